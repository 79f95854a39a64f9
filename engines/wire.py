"""What both ends of the services' protocol share: codes, and what is said as JSON. See docs/protocol.md."""

import dataclasses
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeVar

from engines.errors import (
    EngineBusy,
    EngineClosed,
    EngineError,
    EngineFailed,
    EngineOvertaken,
    EngineRefused,
    EngineUnreachable,
    WeightsError,
)
from engines.protocol import Mark, Segment, SpeechOptions, Transcript, TranscriptionOptions, Voice, Word

T = TypeVar("T")
VERSION = 1
"""Version of the protocol that this code speaks."""


class CloseCode(IntEnum):
    """Why a service closed a WebSocket. Those of 4000 and above are ours, and end like an HTTP status."""

    NORMAL = 1000
    GOING_AWAY = 1001
    TOO_BIG = 1009
    INTERNAL = 1011
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    UNSUPPORTED = 4406
    IDLE = 4408
    SLOW_READER = 4413
    TOO_MANY = 4429
    NOT_READY = 4503


ERRORS: dict[str, type[EngineError]] = {
    "refused": EngineRefused,
    "busy": EngineBusy,
    "overtaken": EngineOvertaken,
    "failed": EngineFailed,
    "unreachable": EngineUnreachable,
    "closed": EngineClosed,
    "weights": WeightsError,
    "draining": EngineClosed,
    "not_ready": EngineClosed,
}
"""The engines' errors by their code on the wire."""

REFUSALS = frozenset({"refused", "odd_audio", "too_long", "idle", "unknown_id", "bad_message"})
"""Codes by which a service says that the request itself is wrong."""


def code_of(error: EngineError) -> str:
    """The code of an engine's error."""
    return next((code for code, kind in ERRORS.items() if isinstance(error, kind)), "failed")


def error_of(code: str, message: str) -> EngineError:
    """The error that a code means; one that is not known is an `EngineFailed`."""
    if code in REFUSALS:
        return EngineRefused(message)
    return ERRORS.get(code, EngineFailed)(message)


OPTION_NAMES = tuple(field.name for field in dataclasses.fields(TranscriptionOptions))
SPEECH_OPTION_NAMES = tuple(field.name for field in dataclasses.fields(SpeechOptions))


def options_to_json(options: TranscriptionOptions | SpeechOptions) -> dict[str, Any]:
    """The options that differ from the defaults."""
    return {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != field.default
    }


def transcript_to_json(transcript: Transcript) -> dict[str, Any]:
    """Every field of a transcript."""
    return dataclasses.asdict(transcript)


def transcript_from_json(fields: Mapping[str, Any]) -> Transcript:
    """The transcript of a message. Fields that this version does not know are passed over.

    Raises:
        EngineFailed: A field that a transcript needs is missing.
    """
    try:
        known = _known(Transcript, fields)
        known["words"] = tuple(Word(**_known(Word, word)) for word in fields.get("words", ()))
        known["segments"] = tuple(
            Segment(**{**_known(Segment, segment), "tokens": tuple(segment.get("tokens", ()))})
            for segment in fields.get("segments", ())
        )
        return Transcript(**known)
    except (TypeError, AttributeError) as error:
        raise EngineFailed(f"the service's answer is not a transcript: {error}") from error


def marks_from_json(marks: Any) -> tuple[Mark, ...]:
    """The marks of an `audio` message. Fields that this version does not know are passed over.

    Raises:
        EngineFailed: A field that a mark needs is missing.
    """
    return _all_known(Mark, marks, "marks")


def voices_from_json(voices: Any) -> tuple[Voice, ...]:
    """The voices of a `voices` message. Fields that this version does not know are passed over.

    Raises:
        EngineFailed: A field that a voice needs is missing.
    """
    return _all_known(Voice, voices, "voices")


def _all_known(kind: type[T], items: Any, what: str) -> tuple[T, ...]:
    try:
        return tuple(kind(**_known(kind, item)) for item in items)
    except (TypeError, AttributeError) as error:
        raise EngineFailed(f"the service's answer has no {what}: {error}") from error


def _known(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: fields[field.name] for field in dataclasses.fields(kind) if field.name in fields}
