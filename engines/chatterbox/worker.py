"""The thread that keeps the models busy: commands in, steps of the token model and pieces of sound out.

Between two steps everything is decided anew: who was cancelled, who is read next, who decodes, whose sound is due. On a
GPU the token model and the vocoder work side by side, each on its own CUDA stream, and a step is launched before the
tokens of the one before it are read, so that neither the device nor this thread waits for the other.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from loguru import logger

from engines.chatterbox.busy import BusyMeter
from engines.chatterbox.failures import Failures, Part, as_engine_error
from engines.chatterbox.finish import Finisher
from engines.chatterbox.inbox import Inbox
from engines.chatterbox.schedule import Pace
from engines.chatterbox.sound_turns import SoundTurns
from engines.chatterbox.speaker import Speaker, Utterance
from engines.chatterbox.speakers import Speakers
from engines.chatterbox.stages import Decoding, Sounding
from engines.chatterbox.token_turns import TokenTurns
from engines.errors import EngineClosed, EngineError

T = TypeVar("T")
POLL_SECS = 0.001
"""How often a piece of sound is looked for while the token model has nothing to do."""

PAUSE_SECS = 0.02
"""How often those who are far ahead are looked at."""


class Worker:
    """Runs the models for all streams. Its methods may be called from any thread."""

    def __init__(
        self,
        decoding: Decoding,
        sounding: Sounding,
        finisher: Callable[..., Finisher],
        *,
        pace: Pace,
        max_streams: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        """
        Args:
            decoding: The token model.
            sounding: The vocoder.
            finisher: Makes the finisher, given `clock`, `on_over` and `on_failure`.
            pace: When there is enough.
            max_streams: Streams at once; one more is refused with `EngineBusy`.
            clock: Seconds.
        """
        self._decoding, self._sounding = decoding, sounding
        self._inbox = inbox = Inbox(max_streams)
        self._failures = failures = Failures(recover=decoding.recover, give_up=inbox.give_up)
        self._speakers = speakers = Speakers(decoding, sounding, failures, on_left=inbox.leave)
        self._finisher = finisher(clock=clock, on_over=self._end_early, on_failure=self._fail_later)
        self._vocoder_busy = BusyMeter()
        self._tokens = TokenTurns(decoding, speakers, failures, pace=pace, clock=clock)
        self._sound = SoundTurns(
            sounding, self._finisher, speakers, failures, pace=pace, busy=self._vocoder_busy, clock=clock
        )
        self._thread = threading.Thread(target=self._work, name="chatterbox", daemon=True)
        self._thread.start()

    # From any thread.

    @property
    def problem(self) -> str | None:
        """What went wrong, when a model has made nothing for a while; None otherwise."""
        if self._inbox.closed:
            return self._failures.last if self._inbox.gave_up else "the engine has been shut down"
        return self._failures.problem

    @property
    def open_streams(self) -> int:
        """Streams that are spoken or wait."""
        return self._inbox.open_streams

    def open(self, speaker: Speaker, voice: str) -> None:
        """Take a new stream.

        Raises:
            EngineBusy: There are too many.
            EngineClosed: The engine has been shut down.
        """
        self._inbox.enter()
        try:
            speaker.sound = self._finisher.open(voice)
            opened = self._inbox.post(lambda: self._speakers.add(speaker))
        except BaseException:
            self._inbox.leave()
            raise
        if not opened:
            self._inbox.leave()
            raise EngineClosed("chatterbox has been shut down")

    def say(self, speaker: Speaker, utterance: Utterance) -> None:
        """Add a sentence to a stream."""
        self._inbox.post(lambda: speaker.utterances.append(utterance))

    def end(self, speaker: Speaker) -> None:
        """No more sentences follow."""

        def end() -> None:
            speaker.text_ended = True

        self._inbox.post(end)

    def cancel(self, speaker: Speaker) -> None:
        """Make nothing more for a stream; its place is free before the next step."""
        speaker.cancelled = True
        self._inbox.post(lambda: None)

    def call(self, work: Callable[[], T]) -> "Future[T]":
        """Run something between two steps, with both models at rest on the device."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                for utterance, token in self._tokens.finish_step():
                    self._take(utterance, token)
                self._sound.read(wait=True)
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        if not self._inbox.post(run):
            future.set_exception(EngineClosed("chatterbox has been shut down"))
        return future

    def close(self) -> None:
        """End the thread; what is not spoken is refused with `EngineClosed`."""
        self._inbox.close()
        self._thread.join(timeout=10)
        self._finisher.close()

    def stats(self) -> dict[str, float]:
        """What was done since the beginning: seconds of each stage, and counts."""
        return {
            **self._decoding.stats(),
            **self._sounding.stats(),
            "finish_secs": self._finisher.busy_secs,
            "open_streams": float(self._inbox.open_streams),
            "most_open_streams": float(self._inbox.most_open),
        }

    def _end_early(self, utterance: Utterance) -> None:
        """The finisher found the end of a sentence in its sound."""

        def end() -> None:
            # Also where all tokens are there: what is left of them would be made into sound for nobody.
            if not utterance.last_piece:
                utterance.end(keep=utterance.used)
                self._decoding.release(utterance)

        self._inbox.post(end)

    def _fail_later(self, speaker: Speaker, error: EngineError) -> None:
        self._inbox.post(lambda: self._speakers.fail(speaker, error))

    # On the worker's thread.

    def _work(self) -> None:
        try:
            with self._decoding.device:
                while not self._inbox.closed:
                    try:
                        if not self._turn():
                            self._rest()
                    except Exception as error:
                        # Not of one request: what was under way is lost, the engine goes on.
                        self._fail_all(error)
        finally:
            # Whatever ended it: nobody may wait for a thread that is gone.
            self._inbox.give_up()
            self._inbox.obey()
            self._speakers.fail_all(EngineClosed("chatterbox has been shut down"))

    def _turn(self) -> bool:
        """One round. Returns whether there was anything to do."""
        self._inbox.obey()
        self._speakers.drop_cancelled()
        self._sound.read(wait=False)
        worked = self._tokens.read_texts()
        worked |= self._sound.launch()
        worked |= self._step()
        self._sound.finish_streams()
        return worked

    def _step(self) -> bool:
        made = self._tokens.step()
        for utterance, token in made or []:
            self._take(utterance, token)
        return made is not None

    def _take(self, utterance: Utterance, token: int) -> None:
        """The next token of a sentence."""
        if utterance.ended:
            return
        utterance.take(token, self._decoding.stop_token)
        if utterance.ended:
            self._decoding.release(utterance)

    def _rest(self) -> None:
        waiting = any(speaker.utterances for speaker in self._speakers)
        self._inbox.rest(POLL_SECS if self._sounding.busy else PAUSE_SECS if waiting else None)

    def _fail_all(self, error: Exception) -> None:
        logger.opt(exception=error).error("chatterbox failed at all streams")
        self._failures.failed(Part.ROUND, error)
        self._decoding.drop()
        self._sounding.drop()
        self._speakers.fail_all(as_engine_error(error))
