"""The thread that keeps the models busy: commands in, steps of the token model and pieces of sound out.

Between two steps everything is decided anew: who was cancelled, who is read next, who decodes, whose sound is due. On a
GPU the token model and the vocoder work side by side, each on its own CUDA stream, and a step is launched before the
tokens of the one before it are read, so that neither the device nor this thread waits for the other.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from loguru import logger

from engines.chatterbox.busy import BusyMeter
from engines.chatterbox.finish import Finisher, Piece
from engines.chatterbox.schedule import (
    TOKENS_PER_SEC,
    Candidate,
    Pace,
    in_order,
    is_due,
    next_piece,
    prompt_tokens,
    to_decode,
    to_sound,
)
from engines.chatterbox.speaker import TOKEN_SAMPLES, Speaker, Utterance
from engines.chatterbox.stages import NOTHING, Decoding, Pair, Sounding
from engines.errors import EngineBusy, EngineClosed, EngineError, EngineFailed, EngineRefused
from engines.speech import Stop

T = TypeVar("T")
SPEECH_TOKENS = 6561
"""Tokens from here on stand for no sound."""

FAILURES_TO_TELL = 3
FAILURES_TO_GIVE_UP = 20
"""In a row. A GPU that has failed once often fails for ever, until the process is started again."""

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
        self._pace, self._max_streams, self._clock = pace, max_streams, clock
        self._hurry = replace(pace, max_ahead_secs=math.inf)
        self._finisher = finisher(clock=clock, on_over=self._end_early, on_failure=self._fail_later)
        self._speakers: list[Speaker] = []
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._closed = self._gave_up = False
        self._failures = 0
        self._last_failure = ""
        self._vocoder_busy = BusyMeter()
        self._open = 0
        self.most_open = 0
        self._thread = threading.Thread(target=self._work, name="chatterbox", daemon=True)
        self._thread.start()

    # From any thread.

    @property
    def problem(self) -> str | None:
        """What went wrong, when nothing has gone well for a while; None otherwise."""
        if self._closed:
            return self._last_failure if self._gave_up else "the engine has been shut down"
        return self._last_failure if self._failures >= FAILURES_TO_TELL else None

    @property
    def open_streams(self) -> int:
        """Streams that are spoken or wait."""
        return self._open

    def open(self, speaker: Speaker, voice: str) -> None:
        """Take a new stream.

        Raises:
            EngineBusy: There are too many.
            EngineClosed: The engine has been shut down.
        """
        with self._wake:
            if self._closed:
                raise EngineClosed("chatterbox has been shut down")
            if self._open >= self._max_streams:
                raise EngineBusy(f"chatterbox already speaks {self._open} streams (the most it takes)")
            self._open += 1
            self.most_open = max(self.most_open, self._open)
        try:
            speaker.sound = self._finisher.open(voice)
            opened = self._post(lambda: self._speakers.append(speaker))
        except BaseException:
            self._leave()
            raise
        if not opened:
            self._leave()
            raise EngineClosed("chatterbox has been shut down")

    def say(self, speaker: Speaker, utterance: Utterance) -> None:
        """Add a sentence to a stream."""
        self._post(lambda: speaker.utterances.append(utterance))

    def end(self, speaker: Speaker) -> None:
        """No more sentences follow."""

        def end() -> None:
            speaker.text_ended = True

        self._post(end)

    def cancel(self, speaker: Speaker) -> None:
        """Make nothing more for a stream; its place is free before the next step."""
        speaker.cancelled = True
        self._post(lambda: None)

    def call(self, work: Callable[[], T]) -> "Future[T]":
        """Run something between two steps, with both models at rest on the device."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                self._read_step()
                self._read_sound(wait=True)
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        if not self._post(run):
            future.set_exception(EngineClosed("chatterbox has been shut down"))
        return future

    def close(self) -> None:
        """End the thread; what is not spoken is refused with `EngineClosed`."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout=10)
        self._finisher.close()

    def stats(self) -> dict[str, float]:
        """What was done since the beginning: seconds of each stage, and counts."""
        return {
            **self._decoding.stats(),
            **self._sounding.stats(),
            "finish_secs": self._finisher.busy_secs,
            "open_streams": float(self._open),
            "most_open_streams": float(self.most_open),
        }

    def _post(self, command: Callable[[], None]) -> bool:
        """Have something done by the worker's thread; False if it does nothing any more."""
        with self._wake:
            if self._closed:
                return False
            self._commands.append(command)
            self._wake.notify()
        return True

    def _leave(self) -> None:
        with self._wake:
            self._open -= 1

    def _end_early(self, utterance: Utterance) -> None:
        """The finisher found the end of a sentence in its sound."""

        def end() -> None:
            # Also where all tokens are there: what is left of them would be made into sound for nobody.
            if not utterance.last_piece:
                utterance.end(keep=utterance.used)
                self._decoding.release(utterance)

        self._post(end)

    def _fail_later(self, speaker: Speaker, error: EngineError) -> None:
        self._post(lambda: self._fail(speaker, error))

    # On the worker's thread.

    def _work(self) -> None:
        try:
            with self._decoding.device:
                while not self._closed:
                    try:
                        if not self._turn():
                            self._rest()
                    except Exception as error:
                        # Not of one request: what was under way is lost, the engine goes on.
                        self._fail_all(error)
        finally:
            # Whatever ended it: nobody may wait for a thread that is gone.
            with self._wake:
                self._gave_up |= not self._closed
                self._closed = True
            self._close_all()

    def _turn(self) -> bool:
        """One round. Returns whether there was anything to do."""
        self._obey()
        self._drop_cancelled()
        self._read_sound(wait=False)
        worked = self._read_texts()
        worked |= self._launch_sound()
        worked |= self._launch_step()
        self._finish_streams()
        return worked

    def _rest(self) -> None:
        with self._wake:
            if self._commands or self._closed:
                return
            waiting = any(speaker.utterances for speaker in self._speakers)
            self._wake.wait(POLL_SECS if self._sounding.busy else PAUSE_SECS if waiting else None)

    def _obey(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _drop_cancelled(self) -> None:
        for speaker in [speaker for speaker in self._speakers if speaker.cancelled]:
            self._forget(speaker)

    def _forget(self, speaker: Speaker) -> None:
        """Free every place of a stream."""
        for utterance in speaker.utterances:
            utterance.ended = True
            self._decoding.release(utterance)
            self._sounding.release(utterance)
        speaker.utterances.clear()
        if not speaker.finished:
            speaker.finished = True
            self._leave()
        if speaker in self._speakers:
            self._speakers.remove(speaker)

    def _fail(self, speaker: Speaker, error: EngineError) -> None:
        if not speaker.finished:
            self._forget(speaker)
            speaker.cancelled = True
            speaker.tell(error)

    # Reading texts.

    def _read_texts(self) -> bool:
        """Give new sentences to the token model, the most urgent first."""
        free = self._decoding.free
        if not free:
            return False
        now = self._clock()
        waiting = [
            Candidate((speaker, utterance), speaker.fresh, speaker.buffered_secs(now), speaker.live)
            for speaker in self._speakers
            if (utterance := _to_read(speaker)) is not None
            and (speaker.fresh or not speaker.live or speaker.buffered_secs(now) < self._pace.max_ahead_secs)
        ]
        chosen = in_order(waiting)[: min(free, self._decoding.most_at_once)]
        if not chosen:
            return False
        self._each(chosen, lambda pairs: self._decoding.read([utterance for _, utterance in pairs]))
        return True

    # Decoding.

    def _launch_step(self) -> bool:
        now = self._clock()
        candidates = [
            Candidate((speaker, utterance), speaker.fresh, _ahead_secs(speaker, utterance, now), speaker.live)
            for speaker in self._speakers
            for utterance in speaker.utterances
            if utterance.slot is not None and not utterance.ended
        ]
        chosen = [
            utterance for _, utterance in to_decode(candidates, self._hurry if self._somebody_lacks() else self._pace)
        ]
        if not chosen and not self._decoding.busy:
            return False
        try:
            for utterance, token in self._decoding.step(chosen):
                self._take(utterance, token)
            self._failures = 0
        except Exception as error:
            self._step_failed(error)
        return True

    def _somebody_lacks(self) -> bool:
        """Whether a listener who has heard nothing yet waits for a slot: nobody rests in one then."""
        if self._decoding.free:
            return False
        return any(speaker.live and speaker.fresh and _to_read(speaker) is not None for speaker in self._speakers)

    def _read_step(self) -> None:
        try:
            for utterance, token in self._decoding.step([]):
                self._take(utterance, token)
        except Exception as error:
            self._step_failed(error)

    def _step_failed(self, error: Exception) -> None:
        """Without its tokens nothing that is being decoded can go on."""
        self._failed(error)
        self._decoding.drop()
        for speaker in list(self._speakers):
            if any(utterance.slot is not None for utterance in speaker.utterances):
                self._fail(speaker, _failure(error))

    def _take(self, utterance: Utterance, token: int) -> None:
        """The next token of a sentence."""
        if utterance.ended:
            return
        exact = utterance.exact_tokens
        if exact is not None:
            utterance.tokens.append(token % SPEECH_TOKENS)
            if len(utterance.tokens) >= exact:
                utterance.end()
        elif token == self._decoding.stop_token:
            utterance.end()
        else:
            if token < SPEECH_TOKENS:
                utterance.tokens.append(token)
                if utterance.watch is not None and utterance.watch.push(token) is not Stop.NONE:
                    utterance.end(keep=utterance.watch.keep)
            utterance.steps += 1
            if not utterance.ended and utterance.steps >= utterance.request.max_tokens:
                utterance.end()
        if utterance.ended:
            self._decoding.release(utterance)

    # Sound.

    def _launch_sound(self) -> bool:
        if self._sounding.busy:
            return False
        now = self._clock()
        due = [
            Candidate((speaker, utterance), speaker.fresh, speaker.buffered_secs(now), speaker.live, waited)
            for speaker in self._speakers
            if speaker.utterances
            and (waited := self._waits(speaker, utterance := speaker.utterances[0], now)) is not None
        ]
        batch = self._sounding.fitting(to_sound(due, self._pace, self._sounding.most_at_once), self._prompt_tokens)
        if not batch:
            return False
        self._each(batch, self._begin_sound)
        return True

    def _waits(self, speaker: Speaker, utterance: Utterance, now: float) -> float | None:
        """How long the next piece of a sentence could have been made; None where it cannot be yet."""
        if not self._due(speaker, utterance, now):
            return None
        if utterance.due_since is None:
            utterance.due_since = now
        return now - utterance.due_since

    def _due(self, speaker: Speaker, utterance: Utterance, now: float) -> bool:
        if not utterance.reading or utterance.last_piece:
            return False
        if not speaker.live:
            return utterance.ended  # Whole sentences: nobody waits, and pieces would depend on the moment.
        if utterance.due_since is not None:
            return True
        left, busy = speaker.buffered_secs(now), self._vocoder_busy.share(now)
        wanted = next_piece(utterance.pieces, left, speaker.fresh, self._pace, busy=busy)
        return is_due(len(utterance.tokens), utterance.used, utterance.ended, wanted)

    def _prompt_tokens(self, speaker: Speaker) -> int | None:
        """Over how much of its voice's prompt the next sentence of a stream goes; None for all of it."""
        if not speaker.live:
            return None  # Nobody waits, and the sound of a file does not depend on the moment.
        whole, busy = len(speaker.voice.prompt.tokens), self._vocoder_busy.share(self._clock())
        return prompt_tokens(whole, self._pace, busy=busy)

    def _begin_sound(self, pairs: Sequence[Pair]) -> None:
        # Where those of a batch are tried one by one, the run before this one may be under way.
        self._read_sound(wait=True)
        # On a CPU the launch is all of it.
        self._vocoder_busy.turn(True, self._clock())
        try:
            self._sounding.launch(pairs)
        except Exception:
            self._vocoder_busy.turn(False, self._clock())
            raise
        for speaker, utterance in pairs:
            if utterance.last_piece:
                # Its sound is on its way: the next sentence is looked at.
                speaker.utterances.popleft()

    def _read_sound(self, *, wait: bool) -> None:
        """Hand over what the vocoder has made."""
        if not self._sounding.busy or not (wait or self._sounding.ready()):
            return
        self._vocoder_busy.turn(False, self._clock())
        try:
            sounds = self._sounding.read()
            self._failures = 0
        except Exception as error:
            self._failed(error)
            for speaker, _ in self._sounding.drop():
                self._fail(speaker, _failure(error))
            return
        for speaker, utterance, audio, last in sounds:
            if speaker.cancelled:
                continue
            speaker.made_samples += len(audio)
            expected = len(utterance.tokens) * TOKEN_SAMPLES if utterance.ended else None
            self._finisher.put(Piece(speaker, utterance, audio, expected, last))

    def _finish_streams(self) -> None:
        """Tell the end of those whose last sound was handed over."""
        flying = {id(speaker) for speaker, _ in self._sounding.under_way}
        for speaker in [item for item in self._speakers if item.is_over and id(item) not in flying]:
            self._finisher.put(Piece(speaker, None, NOTHING))
            self._forget(speaker)

    # Failures.

    def _each(
        self,
        pairs: Sequence[Pair],
        work: Callable[[Sequence[Pair]], None],
        before: Exception | None = None,
    ) -> None:
        """Do something for all at once; where that fails, for one by one, so that only the guilty fails."""
        try:
            work(pairs)
            return
        except Exception as error:
            if before is None:
                self._failed(error)
            else:
                self._decoding.recover()  # The failure of all at once counts, not each of theirs again.
            if len(pairs) == 1:
                # What a failed device has left unusable is refused when it is tried again: that is not the client's.
                told = before if before is not None and isinstance(error, EngineRefused) else error
                self._fail(pairs[0][0], _failure(told))
                return
            failure = error
        for pair in pairs:
            if not pair[0].finished:
                self._each([pair], work, failure)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, (EngineRefused, EngineBusy)):
            return  # The request is at fault.
        self._failures += 1
        self._last_failure = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        logger.error(f"chatterbox failed, {self._failures} times in a row now: {self._last_failure}")
        self._decoding.recover()
        if self._failures >= FAILURES_TO_GIVE_UP:
            logger.critical("chatterbox gives up: start the process again")
            with self._wake:
                self._closed = self._gave_up = True

    def _fail_all(self, error: Exception) -> None:
        logger.opt(exception=error).error("chatterbox failed at all streams")
        self._failed(error)
        self._decoding.drop()
        self._sounding.drop()
        for speaker in list(self._speakers):
            self._fail(speaker, _failure(error))

    def _close_all(self) -> None:
        self._obey()
        for speaker in list(self._speakers):
            self._fail(speaker, EngineClosed("chatterbox has been shut down"))


def _to_read(speaker: Speaker) -> Utterance | None:
    """The sentence whose text is to be read next: one at a time, once the one before has all its tokens."""
    for utterance in speaker.utterances:
        if not utterance.reading:
            return utterance
        if not utterance.ended:
            return None
    return None


def _ahead_secs(speaker: Speaker, utterance: Utterance, now: float) -> float:
    """Sound that the listener has left, with what can be made of tokens that are there."""
    return speaker.buffered_secs(now) + (len(utterance.tokens) - utterance.used) / TOKENS_PER_SEC


def _failure(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    failure = EngineFailed(f"chatterbox failed: {type(error).__name__}: {str(error).splitlines()[:1]}")
    failure.__cause__ = error
    return failure
