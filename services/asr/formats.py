"""A transcript in OpenAI's response formats."""

from collections.abc import Callable
from typing import Any

from engines.protocol import Segment, Transcript

Formatted = dict[str, Any] | str


def segments_of(transcript: Transcript) -> tuple[Segment, ...]:
    """The segments, or one that spans the audio where the engine gave none."""
    if transcript.segments or not transcript.text:
        return transcript.segments
    return (
        Segment(
            text=transcript.text,
            start=0.0,
            end=transcript.audio_secs,
            avg_logprob=transcript.avg_logprob,
            no_speech_prob=transcript.no_speech_prob,
            compression_ratio=1.0,
        ),
    )


def as_json(transcript: Transcript) -> Formatted:
    """`{"text", "usage"}`."""
    return {"text": transcript.text, "usage": {"type": "duration", "seconds": round(transcript.audio_secs, 3)}}


def as_text(transcript: Transcript) -> Formatted:
    """The words and a line's end."""
    return transcript.text + "\n"


def as_verbose_json(transcript: Transcript) -> Formatted:
    """The text with its segments, and its words where they were asked for; times in seconds."""
    verbose: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language,
        "duration": round(transcript.audio_secs, 3),
        "text": transcript.text,
        "segments": [
            {
                "id": number,
                "seek": 0,
                "start": round(segment.start, 3),
                "end": round(segment.end, 3),
                "text": segment.text,
                "tokens": list(segment.tokens),
                "temperature": segment.temperature,
                "avg_logprob": segment.avg_logprob,
                "compression_ratio": segment.compression_ratio,
                "no_speech_prob": segment.no_speech_prob,
            }
            for number, segment in enumerate(segments_of(transcript))
        ],
        "usage": {"type": "duration", "seconds": round(transcript.audio_secs, 3)},
    }
    if transcript.words:
        verbose["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in transcript.words
        ]
    return verbose


def as_srt(transcript: Transcript) -> Formatted:
    """SubRip subtitles."""
    blocks = [
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{_one_line(segment.text)}\n"
        for number, segment in enumerate(segments_of(transcript), start=1)
    ]
    return "\n".join(blocks)


def as_vtt(transcript: Transcript) -> Formatted:
    """WebVTT subtitles."""
    blocks = [
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_escaped(_one_line(segment.text))}\n"
        for segment in segments_of(transcript)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


FORMATS: dict[str, tuple[Callable[[Transcript], Formatted], str]] = {
    "json": (as_json, "application/json"),
    "text": (as_text, "text/plain; charset=utf-8"),
    "verbose_json": (as_verbose_json, "application/json"),
    "srt": (as_srt, "application/x-subrip; charset=utf-8"),
    "vtt": (as_vtt, "text/vtt; charset=utf-8"),
}
"""Each format's function and media type."""


def _clock(secs: float, point: str) -> str:
    millis = round(secs * 1000)
    hours, rest = divmod(millis, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """A cue's text may not hold tags, nor the arrow of the times."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
