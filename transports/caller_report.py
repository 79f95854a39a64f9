"""What a call is asked to do, what it reports, and how it fails.

CallError
├── BadAudioFile        a file to be spoken is missing, unreadable, empty or without speech; nothing was dialled
├── BadRecording        the recording cannot be written; where it cannot be opened, nothing was dialled
├── CallRefused         the server answered the offer with an HTTP error
├── CallNotConnected    there is no server, or no media path to it
├── NoAnswer            connected, but a file was not answered in time; carries the report so far
└── CallDropped         the server or the network ended the call too early; carries the report so far
"""

from dataclasses import dataclass, field
from pathlib import Path

STAGES = ("vad_ms", "turn_ms", "stt_ms", "llm_ms", "tts_ms")


@dataclass(frozen=True)
class CallOptions:
    """One call.

    Args:
        url: The agent, `http://host:port`; a missing scheme means http.
        wavs: Files to speak, in order; anything libsndfile reads.
        token: Sent as `Authorization: Bearer`.
        record: Stereo WAV to write: left what was sent, right what was heard.
        answer_timeout_secs: Longest wait from the end of speech to the first sound of its answer.
        connect_timeout_secs: Longest wait from dialling to an open line.
        settle_secs: Silence that ends an answer once the bot said that it stopped.
        lead_secs: Silence before the first file.
        barge_in_secs: If set, each later file starts this long after the answer to the one before became audible.
        hold_secs: Stay on the line this long after the last answer.
        max_answer_secs: Longest answer, or greeting, to wait out.
    """

    url: str
    wavs: list[Path]
    token: str | None = None
    record: Path | None = None
    answer_timeout_secs: float = 20.0
    connect_timeout_secs: float = 15.0
    settle_secs: float = 1.0
    lead_secs: float = 0.5
    barge_in_secs: float | None = None
    hold_secs: float = 0.0
    max_answer_secs: float = 120.0


@dataclass
class TurnReport:
    """One file and the answer to it.

    Args:
        wav: The file, as it was given.
        heard: What the server understood.
        reply: What the bot said, up to where it was cut off.
        voice_to_voice_ms: From the last sample of speech sent to the first sample heard of the answer that began after
            it; None where there was no such answer.
        stages: What the server says each stage added, in milliseconds; None for what it did not say.
        timeline: When each stage worked, as [begin, end] in milliseconds from where the server took the speech to end;
            empty where the server does not say.
        interrupted: Whether the answer was cut off.
        answer_secs: From the first to the last audible sample of the answer.
        silence_after_barge_in_ms: For a file spoken over the answer before: from its first sample of speech to the last
            audible sample of that answer.
        cut_in: Whether the bot started to talk in the middle of the file.
    """

    wav: str
    heard: str = ""
    reply: str = ""
    voice_to_voice_ms: float | None = None
    stages: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(STAGES))
    timeline: dict[str, list[float] | None] = field(default_factory=dict)
    interrupted: bool = False
    answer_secs: float | None = None
    silence_after_barge_in_ms: float | None = None
    cut_in: bool = False

    def as_dict(self) -> dict[str, object]:
        """The turn as JSON; the last four only where they apply."""
        turn: dict[str, object] = {
            "wav": self.wav,
            "heard": self.heard,
            "reply": self.reply,
            "voice_to_voice_ms": self.voice_to_voice_ms,
            "stages": self.stages,
            "interrupted": self.interrupted,
        }
        if self.timeline:
            turn["timeline"] = self.timeline
        if self.answer_secs is not None:
            turn["answer_secs"] = self.answer_secs
        if self.silence_after_barge_in_ms is not None:
            turn["silence_after_barge_in_ms"] = self.silence_after_barge_in_ms
        if self.cut_in:
            turn["cut_in"] = True
        return turn


@dataclass
class CallReport:
    """One call.

    Args:
        call_id: The server's name for the call.
        connected_ms: From sending the offer to an open line.
        turns: One per file that was started.
        recording: The file written, if any.
        ending: The server's reason, if it ended the call.
        problems: What went wrong without ending the call, and what makes a figure less certain.
    """

    call_id: str | None = None
    connected_ms: float | None = None
    turns: list[TurnReport] = field(default_factory=list)
    recording: str | None = None
    ending: str | None = None
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """The call as JSON; `ending` and `problems` only where there are any."""
        call: dict[str, object] = {
            "call_id": self.call_id,
            "connected_ms": self.connected_ms,
            "turns": [turn.as_dict() for turn in self.turns],
            "recording": self.recording,
        }
        if self.ending is not None:
            call["ending"] = self.ending
        if self.problems:
            call["problems"] = self.problems
        return call


class CallError(Exception):
    """A call that failed, with a sentence for people; `report` holds what there was up to then, if anything."""

    def __init__(self, message: str, report: CallReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class BadAudioFile(CallError):
    """A file to be spoken cannot be."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}. Expected an audio file (WAV, FLAC, OGG or MP3) with speech in it.")
        self.path = path


class BadRecording(CallError):
    """The recording cannot be written."""


class CallRefused(CallError):
    """The server answered the offer with an HTTP error; `status` and `code` are its own."""

    def __init__(self, status: int, code: str | None, reason: str) -> None:
        super().__init__(f"The server refused the call with HTTP {status}: {reason}")
        self.status = status
        self.code = code


class CallNotConnected(CallError):
    """There is no server at the URL, or no media path to it."""


class NoAnswer(CallError):
    """A file was spoken and not answered in time."""

    def __init__(self, wav: str, waited_secs: float, report: CallReport) -> None:
        super().__init__(f"No answer to {wav} within {waited_secs:g} s of the end of its speech.", report)
        self.wav = wav
        self.waited_secs = waited_secs


class CallDropped(CallError):
    """The call ended before every file was answered."""
