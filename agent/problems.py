"""What went wrong in a call, as the operator counts it and as the caller is told."""

from dataclasses import dataclass

from openai import APIConnectionError, APIStatusError, APITimeoutError
from pipecat.frames.frames import ErrorFrame

from agent.llm import BrainLLMService, BrainTimeout, GuessFailed
from engines.errors import EngineBusy, EngineError
from processors.stt import EngineSTTService
from processors.tts import EngineTTSService

KEY_REFUSED = (401, 403)

STT_BUSY = "Sorry, I am listening to too many people at once. Please say that again."
STT_FAILED = "Sorry, I could not hear that. Please say it again."
TTS_FAILED = "Sorry, my voice failed. Please ask again."
BRAIN_SLOW = "Sorry, my brain is taking too long to answer. Please try again."
BRAIN_AWAY = "Sorry, I cannot reach my brain right now. Please try again in a moment."
BRAIN_KEY = "Sorry, my brain does not accept its key. Please tell whoever runs me."
BRAIN_MODEL = "Sorry, my brain does not know its model. Please tell whoever runs me."
BRAIN_FAILED = "Sorry, something went wrong in my brain. Please try again."
SPOKEN = (STT_BUSY, STT_FAILED, TTS_FAILED, BRAIN_SLOW, BRAIN_AWAY, BRAIN_KEY, BRAIN_MODEL, BRAIN_FAILED)
"""All that a caller may be told."""


@dataclass(frozen=True)
class Problem:
    """A fault of one part of the call.

    Attributes:
        kind: Which part, for metrics and the page: `brain`, `stt`, `tts` or `pipeline`.
        spoken: A sentence for the caller; None when there is nothing the caller should know.
    """

    kind: str
    spoken: str | None


def problem_of(frame: ErrorFrame) -> Problem | None:
    """Tell the part at fault and the words for it; None if nothing was at fault."""
    error = frame.exception
    if isinstance(error, GuessFailed):
        return None
    if isinstance(frame.processor, BrainLLMService):
        return Problem("brain", _brain_sentence(error))
    if isinstance(frame.processor, EngineSTTService):
        if isinstance(error, EngineBusy):
            return Problem("stt", STT_BUSY)
        return Problem("stt", STT_FAILED)
    if isinstance(frame.processor, EngineTTSService):
        # Pipecat also reports a sentence without a word in it, which is silent by right.
        return Problem("tts", TTS_FAILED) if error else None
    return Problem("pipeline", None)


def cause_of(frame: ErrorFrame) -> str:
    """The cause for the log. An endpoint's own error text may repeat what was said, so only its kind is given."""
    error = frame.exception
    if isinstance(error, APIStatusError):
        return f"the endpoint answered {error.status_code} ({error.type or error.code or type(error).__name__})"
    if isinstance(error, APIConnectionError):
        cause = error.__cause__
        return f"{type(error).__name__}: {cause or error}"
    return str(error) if isinstance(error, (BrainTimeout, EngineError)) else frame.error


def _brain_sentence(error: BaseException | None) -> str:
    if isinstance(error, (BrainTimeout, APITimeoutError, TimeoutError)):
        return BRAIN_SLOW
    if isinstance(error, APIConnectionError):
        return BRAIN_AWAY
    if isinstance(error, APIStatusError) and error.status_code in KEY_REFUSED:
        return BRAIN_KEY
    if isinstance(error, APIStatusError) and error.status_code == 404:
        return BRAIN_MODEL
    return BRAIN_FAILED
