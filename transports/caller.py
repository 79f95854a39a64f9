"""A caller without a browser: speaks audio files to the agent over WebRTC, and measures the answers.

    report = await place_call(CallOptions(url="http://127.0.0.1:7860", wavs=[Path("question.wav")]))
    print(json.dumps(report.as_dict()))

Both ends of every figure are taken from the audio itself (see `caller_measure` for which answer counts, `caller_audio`
for what is heard when); only words and stages come from the server.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import soundfile

from transports import caller_measure as measure
from transports.caller_audio import Listener, NoSpeech, SpeechFile, read_speech
from transports.caller_microphone import Microphone, clock
from transports.caller_peer import Line
from transports.caller_recording import HEARD, SENT, Recorder, Tape
from transports.caller_report import (
    BadAudioFile,
    BadRecording,
    CallDropped,
    CallError,
    CallNotConnected,
    CallOptions,
    CallRefused,
    CallReport,
    NoAnswer,
    TurnReport,
)
from transports.caller_transcript import Transcript
from transports.caller_turns import Turns

__all__ = [
    "BadAudioFile",
    "BadRecording",
    "CallDropped",
    "CallError",
    "CallNotConnected",
    "CallOptions",
    "CallRefused",
    "CallReport",
    "NoAnswer",
    "TurnReport",
    "place_call",
]

_POLL_SECS = 0.01
_BOT_READY_SECS = 5.0
_LATE_SECS = 0.06


async def place_call(options: CallOptions) -> CallReport:
    """Place one call, speak every file, and wait for the answers.

    Files are read, and the recording is opened, before anything is dialled. On return and on every error the peer
    connection is closed, the recording is complete, and no task or thread is left.

    Raises:
        CallError: One of its kinds, with a sentence that says what happened; see `caller_report`.
    """
    # Of its own, so that no file work waits behind what others do in the loop's default executor.
    executor = ThreadPoolExecutor(1, "caller-files")
    try:
        files = await asyncio.get_running_loop().run_in_executor(executor, _read_all, options.wavs)
        return await _Call(options, files).run(executor)
    finally:
        executor.shutdown()


def normal_url(url: str) -> str:
    """The agent's address without a slash at its end, with a scheme."""
    url = url.strip().rstrip("/")
    return url if "://" in url else f"http://{url}"


def _read_all(paths: list[Path]) -> list[SpeechFile]:
    return [_read(Path(path)) for path in paths]


def _read(path: Path) -> SpeechFile:
    try:
        return read_speech(path)
    except NoSpeech as error:
        raise BadAudioFile(path, str(error)) from error
    except OSError as error:
        raise BadAudioFile(path, error.strerror or str(error)) from error
    except soundfile.SoundFileError as error:
        raise BadAudioFile(path, f"it cannot be read as audio ({error})") from error


class _Call:
    """One call: dial, take the turns, hang up, report."""

    def __init__(self, options: CallOptions, files: list[SpeechFile]) -> None:
        self._options = options
        self._files = files
        self._report = CallReport()
        self._problems: list[str] = []
        self._tape = Tape(origin=clock())
        self._listener = Listener()
        self._transcript = Transcript()
        self._turns = Turns(
            [str(wav) for wav in options.wavs], options.barge_in_secs is not None, self._listener, self._transcript
        )
        self._microphone = Microphone(self._on_sent)
        self._line: Line | None = None

    async def run(self, executor: Executor) -> CallReport:
        recorder = Recorder(self._tape, clock, executor)
        if self._options.record:
            await self._record(recorder, self._options.record)
        try:
            await self._talk()
        except (NoAnswer, CallDropped) as error:
            error.report = self._fill_report()
            raise
        finally:
            await self._hang_up(recorder)
        return self._fill_report()

    async def _record(self, recorder: Recorder, path: Path) -> None:
        try:
            await recorder.start(path)
        except (OSError, soundfile.SoundFileError) as error:
            raise BadRecording(f"The recording cannot be written to {path}: {error}") from error
        self._report.recording = str(path)

    async def _hang_up(self, recorder: Recorder) -> None:
        try:
            if self._line:
                await self._line.close()
            self._microphone.stop()
        finally:
            try:
                await recorder.stop()
            except (OSError, soundfile.SoundFileError) as error:
                raise BadRecording(f"The recording could not be finished: {error}", self._fill_report()) from error

    async def _talk(self) -> None:
        options, url = self._options, normal_url(self._options.url)
        headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
        async with httpx.AsyncClient(headers=headers, timeout=options.connect_timeout_secs) as http:
            self._line = Line(self._microphone, self._on_heard, self._transcript.receive)
            dialled = clock()
            await self._line.dial(http, url, options.connect_timeout_secs)
            self._report.connected_ms = measure.milliseconds(clock() - dialled)
        if not await self._until(lambda: self._transcript.ready, _BOT_READY_SECS):
            self._problem(f"the server did not say bot-ready within {_BOT_READY_SECS:g} s")
        await self._wait(options.lead_secs)
        await self._until_quiet("a greeting")
        for index, file in enumerate(self._files):
            await self._take_turn(index, file)
        await self._until(lambda: False, options.hold_secs, ended_is_fine=True)

    async def _take_turn(self, index: int, file: SpeechFile) -> None:
        await self._until_due(index)
        self._transcript.begin_turn()
        speaking = self._microphone.speak(file)
        self._turns.spoken_files.append(speaking)
        while speaking.last is None:
            await self._wait(_POLL_SECS)
        self._transcript.end_of_speech(speaking.last)
        timeout = self._options.answer_timeout_secs
        answered = await self._until(lambda: self._turns.answer(index) is not None, timeout)
        if not answered:
            self._note_no_answer(index, timeout)
        elif self._options.barge_in_secs is None or index == len(self._files) - 1:
            await self._until_quiet("the answer", ended_is_fine=index == len(self._files) - 1)

    def _note_no_answer(self, index: int, timeout: float) -> None:
        spoken = self._turns.spoken(index)
        if spoken is None or not measure.cut_in(spoken, self._listener.bursts, self._transcript.talks):
            raise NoAnswer(str(self._options.wavs[index]), timeout, self._report)
        self._problem(f"the bot answered in the middle of {self._options.wavs[index]} and not again after it")

    async def _until_due(self, index: int) -> None:
        """Wait for the moment at which a file is spoken over the answer before it."""
        answer = self._turns.answer(index - 1) if index else None
        if self._options.barge_in_secs is not None and answer:
            await self._wait(answer.start + self._options.barge_in_secs - clock())

    async def _until_quiet(self, what: str, ended_is_fine: bool = False) -> None:
        limit = self._options.max_answer_secs
        if not await self._until(self._quiet, limit, ended_is_fine):
            self._problem(f"{what} went on for more than {limit:g} s")
        # A bot that was silent for so long and did not say that it stopped will not say it any more.
        self._transcript.assume_stopped(clock())

    def _quiet(self) -> bool:
        """Whether it was silent for long enough; three times as long where the bot did not say that it stopped."""
        talks = self._transcript.talks
        # The bot's word may come before its voice.
        silent_secs = clock() - max(self._listener.last_audible, talks[-1].start if talks else float("-inf"))
        settle = self._options.settle_secs
        stopped = bool(talks) and not self._transcript.bot_talking
        return silent_secs >= (settle if stopped else 3 * settle)

    async def _wait(self, secs: float) -> None:
        await self._until(lambda: False, secs)

    async def _until(self, reached: Callable[[], bool], timeout_secs: float, ended_is_fine: bool = False) -> bool:
        """Wait until something is reached; whether it was in time.

        Raises:
            CallDropped: The call ended meanwhile, unless nothing more was to come.
        """
        deadline = clock() + timeout_secs
        while not reached():
            if self._transcript.peer_left or (self._line and self._line.gone):
                if ended_is_fine:
                    return True
                raise CallDropped(self._why_dropped())
            left = deadline - clock()
            if left <= 0:
                return False
            await asyncio.sleep(min(left, _POLL_SECS))
        return True

    def _why_dropped(self) -> str:
        who = "The server hung up" if self._transcript.peer_left else "The call was lost"
        reason = self._transcript.ending or (self._line.gone if self._line else None)
        answered = sum(self._turns.answer(index) is not None for index in range(len(self._turns.spoken_files)))
        return f"{who} after {answered} of {len(self._files)} answers{f': {reason}' if reason else ''}."

    def _on_sent(self, at: float, pcm: np.ndarray) -> None:
        if self._options.record:
            self._tape.place(SENT, at, pcm)

    def _on_heard(self, arrival: float, pcm: np.ndarray) -> None:
        at, audible = self._listener.hear(arrival, pcm)
        if self._options.record:
            self._tape.place(HEARD, at, audible)

    def _problem(self, sentence: str) -> None:
        self._problems.append(sentence)

    def _fill_report(self) -> CallReport:
        report, transcript = self._report, self._transcript
        report.call_id = transcript.call_id or (self._line.pc_id if self._line else None)
        report.ending = transcript.ending or ("the server hung up" if transcript.peer_left else None)
        report.turns = self._turns.reports()
        problems = (*self._problems, *transcript.problems, *self._turns.problems(report.turns))
        report.problems = list(dict.fromkeys((*problems, *self._instrument_problems())))
        return report

    def _instrument_problems(self) -> list[str]:
        problems = []
        if self._microphone.worst_lateness_secs > _LATE_SECS:
            late_ms = round(self._microphone.worst_lateness_secs * 1000)
            problems.append(f"this caller was up to {late_ms} ms late in sending: figures may be off by as much")
        if self._line and self._line.arrivals.lost:
            problems.append(f"{self._line.arrivals.lost} audio packets from the server were lost")
        if self._tape.truncated:
            problems.append("the recording stops after ten minutes")
        return problems
