"""The turns of one call: what was spoken, which answer it had, and the report of both."""

from transports import caller_measure as measure
from transports.caller_audio import Burst, Listener
from transports.caller_measure import Spoken
from transports.caller_microphone import Speaking
from transports.caller_report import TurnReport
from transports.caller_transcript import Transcript


class Turns:
    """Puts together what was sent, what was heard and what the server said.

    Args:
        wavs: Names of the files, in order.
        barge_in: Whether each later file was started over the answer before it.
        listener: What was heard.
        transcript: What the server said.
    """

    def __init__(self, wavs: list[str], barge_in: bool, listener: Listener, transcript: Transcript) -> None:
        self.spoken_files: list[Speaking] = []
        self._wavs = wavs
        self._barge_in = barge_in
        self._listener = listener
        self._transcript = transcript

    def spoken(self, index: int) -> Spoken | None:
        """When a file was spoken; None until its last speech was sent."""
        turn = self.spoken_files[index]
        if turn.started is None or turn.first is None or turn.last is None:
            return None
        return Spoken(turn.started, turn.first, turn.last)

    def answer(self, index: int) -> Burst | None:
        spoken = self.spoken(index)
        return measure.find_answer(spoken, self._listener.bursts, self._transcript.talks) if spoken else None

    def reports(self) -> list[TurnReport]:
        """One report per file that was started, as far as is known by now."""
        return [self._report(index) for index in range(len(self.spoken_files))]

    def problems(self, reports: list[TurnReport]) -> list[str]:
        """What did not go as planned."""
        later = reports[1:] if self._barge_in else []
        return [
            f"the answer before {turn.wav} was over before that file could interrupt it"
            for turn in later
            if turn.silence_after_barge_in_ms is None
        ]

    def _report(self, index: int) -> TurnReport:
        words = self._transcript.turns[index]
        turn = TurnReport(wav=self._wavs[index], heard=words.heard_text(), stages=words.stages, timeline=words.timeline)
        spoken, answer = self.spoken(index), self.answer(index)
        bursts, talks = self._listener.bursts, self._transcript.talks
        if spoken:
            turn.cut_in = measure.cut_in(spoken, bursts, talks)
        if spoken and answer:
            turn.voice_to_voice_ms = measure.milliseconds(answer.start - spoken.last)
            end = self._answer_end(index, answer)
            turn.answer_secs = round(end - answer.start, 3)
            turn.interrupted = measure.was_interrupted(answer, end, self._transcript.interruptions)
        if spoken and index and self._barge_in:
            turn.silence_after_barge_in_ms = self._silence_after_barge_in(index, spoken)
        turn.reply = words.reply_text(turn.interrupted)
        return turn

    def _answer_end(self, index: int, answer: Burst) -> float:
        """Last audible sample of the answer to a file, as far as it was heard by now."""
        until = float("inf")
        if index + 1 < len(self.spoken_files) and (following := self.spoken(index + 1)):
            until = following.started
            if self._barge_in:
                until = measure.talked_over_until(following, self.answer(index + 1), self._transcript.talks)
        return measure.answer_end(answer, self._listener.bursts, until)

    def _silence_after_barge_in(self, index: int, spoken: Spoken) -> float | None:
        old = self.answer(index - 1)
        old_end = self._answer_end(index - 1, old) if old else None
        if old_end is not None and old_end > spoken.first:
            return measure.milliseconds(old_end - spoken.first)
        return None
