"""What the server says about a call on the data channel, sorted into turns.

The server speaks RTVI (protocol 2): JSON messages labelled `rtvi-ai`, and Pipecat's own `signalling` messages beside
them. Times are seconds on the caller's monotonic clock.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from transports.caller_report import STAGES


@dataclass
class Talk:
    """One stretch in which the bot says that it is speaking; `stop` is None while it is."""

    start: float
    stop: float | None = None


@dataclass
class Segment:
    """One piece of the bot's output, usually a sentence; `by_words` once a part of it was reported as spoken."""

    text: str
    status: Literal["new", "in-progress", "completed"]
    spoken: str = ""
    by_words: bool = False


@dataclass
class Words:
    """The words of one turn.

    Args:
        heard: Final transcripts, in order.
        segments: The bot's output by segment, in order of first mention.
        cut_in: Output that the bot began while the file was still being spoken, where it began anew afterwards.
        stages: The last figures that the server gave.
        timeline: When each stage worked, by the same message; empty where the server does not say.
        played: What the server says was played of an answer that was cut off.
    """

    heard: list[str] = field(default_factory=list)
    segments: dict[object, Segment] = field(default_factory=dict)
    cut_in: dict[object, Segment] = field(default_factory=dict)
    stages: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(STAGES))
    timeline: dict[str, list[float] | None] = field(default_factory=dict)
    played: str | None = None

    def heard_text(self) -> str:
        """All that the server understood in this turn."""
        return " ".join(self.heard)

    def reply_text(self, interrupted: bool) -> str:
        """What the bot said, as far as the server tells: segments that were never spoken are left out.

        An answer that was cut off is what the server says was played. Where it does not say, the segment being spoken
        then is cut at its last word if the server reports words, and whole if it reports only whole segments. A server
        that reports no progress is taken at its word.
        """
        if interrupted and self.played is not None:
            return self.played
        segments = list((self.segments or self.cut_in).values())
        begun = [index for index, segment in enumerate(segments) if segment.spoken]
        if not interrupted:
            return " ".join(segment.text for segment in segments if segment.spoken or not begun)
        texts = [segments[index].spoken for index in begun]
        following = begun[-1] + 1 if begun else 0
        if following < len(segments) and not any(segment.by_words for segment in segments):
            texts.append(segments[following].text)
        return " ".join(texts)


class Transcript:
    """Collects the server's messages.

    Messages carry no turn, so they belong to the file that is being spoken or was spoken last. The exception is output
    of an answer that is being talked over: until the bot stops or notices the caller, new segments are still its own.
    """

    def __init__(self) -> None:
        self.call_id: str | None = None
        self.ready = False
        self.ending: str | None = None
        self.peer_left = False
        self.problems: list[str] = []
        self.talks: list[Talk] = []
        self.interruptions: list[float] = []
        self.turns: list[Words] = []
        self._greeting = Words()
        self._replying = self._greeting
        self._answering = self._greeting
        self._speech_end = float("-inf")

    @property
    def bot_talking(self) -> bool:
        """Whether the bot says that it is speaking."""
        return bool(self.talks) and self.talks[-1].stop is None

    @property
    def _current(self) -> Words:
        return self.turns[-1] if self.turns else self._greeting

    def begin_turn(self) -> None:
        """A file starts."""
        self.turns.append(Words())
        self._speech_end = float("inf")
        if not self.bot_talking:
            self._replying = self._current

    def end_of_speech(self, at: float) -> None:
        """The last speech of the file was sent."""
        self._speech_end = at

    def assume_stopped(self, now: float) -> None:
        """Take the bot's talk as over though it did not say so."""
        if self.bot_talking:
            self.talks[-1].stop = now

    def receive(self, message: dict[str, Any], now: float) -> None:
        """Take in one message as parsed from JSON; unknown ones are ignored."""
        data = message.get("data")
        data = data if isinstance(data, dict) else {}
        match message.get("type"):
            case "bot-ready":
                self.ready = True
            case "bot-started-speaking" if not self.bot_talking:
                self.talks.append(Talk(now))
            case "bot-stopped-speaking" if self.bot_talking:
                self.talks[-1].stop = now
                self._reply_over()
            case "bot-interrupted":
                # Each turn of the caller begins with one, also where there is nothing to interrupt.
                if self.bot_talking:
                    self.interruptions.append(now)
                self._reply_over()
            case "user-started-speaking":
                self._replying = self._current
            case "user-input":
                self._note_user_input(data)
            case "bot-output":
                self._note_bot_output(data)
            case "error":
                self.problems.append(str(data.get("error", "the server reported an error")))
            case "server-message":
                self._note_server_message(data)
            case "signalling":
                inner = message.get("message")
                self.peer_left |= isinstance(inner, dict) and inner.get("type") == "peerLeft"

    def _reply_over(self) -> None:
        """What was being said is over: what comes next answers the current file.

        An answer that began before the file's speech ended turns out to be one that cut in.
        """
        words = self._current
        began_early = self._speech_end == float("inf") or (bool(self.talks) and self.talks[-1].start < self._speech_end)
        if words is self._replying and began_early:
            words.cut_in.update(words.segments)
            words.segments.clear()
        self._replying = words

    def _note_user_input(self, data: dict[str, Any]) -> None:
        text = str(data.get("text", "")).strip()
        if self.turns and text and data.get("final") and data.get("input_type", "transcription") != "chat":
            self.turns[-1].heard.append(text)

    def _note_bot_output(self, data: dict[str, Any]) -> None:
        text = str(data.get("text", "")).strip()
        # A word or a token is also part of a sentence that is sent whole.
        if not text or data.get("will_be_spoken") is False or data.get("output_type") in ("word", "token"):
            return
        status = data.get("spoken_status") or "new"
        progress = data.get("spoken_progress") or {}
        segment = self._segment(data.get("segment_id"), text)
        segment.status = status
        segment.by_words = segment.by_words or status == "in-progress"
        segment.spoken = str(progress.get("accumulated_text", "")).strip() or segment.spoken
        if status == "completed":
            segment.spoken = segment.text

    def _segment(self, segment_id: object, text: str) -> Segment:
        """The segment of this id, known or new."""
        key = text if segment_id is None else segment_id
        for words in (*reversed(self.turns), self._greeting):
            if known := words.segments.get(key) or words.cut_in.get(key):
                self._answering = words
                return known
        self._answering = self._replying
        return self._replying.segments.setdefault(key, Segment(text, "new"))

    def _note_server_message(self, data: dict[str, Any]) -> None:
        match data.get("type"):
            case "call":
                self.call_id = str(data.get("call_id"))
            case "latency" if self.turns:
                stages = data.get("stages") or {}
                self.turns[-1].stages = {name: stages.get(name) for name in STAGES}
                timeline = data.get("timeline") or {}
                self.turns[-1].timeline = {name: timeline.get(name) for name in STAGES if name in timeline}
            case "interrupted" if self._answering.segments:
                self._answering.played = str(data.get("heard") or "").strip()
            case "problem":
                self.problems.append(str(data.get("message") or data.get("kind") or "unnamed problem"))
            case "call-ending":
                self.ending = str(data.get("reason") or data.get("message") or "the server ended the call")
