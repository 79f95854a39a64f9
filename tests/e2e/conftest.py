"""Real agents for the tests to call, and an ear to check what they said."""

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import soxr

from configs.settings import ConversationSettings
from engines.whisper import WhisperEngine
from scripts.questions import speak_questions
from scripts.served import ServedAgent, served
from tests.e2e.echo_brain import EchoBrain, echo_brain

GREETING = ConversationSettings().greeting or ""
QUESTIONS = (
    "What is the capital of France?",
    "How many days are there in a week?",
    "Please stop talking now, thank you.",
    "Yes.",
)


@pytest.fixture(scope="session")
def agent() -> Iterator[ServedAgent]:
    """The embedded profile as a newcomer runs it: every engine real."""
    with served({"VOICE_AGENT_CONVERSATION__GREETING": GREETING}) as running:
        yield running


@pytest.fixture(scope="session")
def brain() -> Iterator[EchoBrain]:
    """An OpenAI-compatible endpoint whose answers are known."""
    with echo_brain() as running:
        yield running


@pytest.fixture(scope="session")
def echo_agent(brain: EchoBrain) -> Iterator[ServedAgent]:
    """An agent whose answers are known: its ears and voice are real, its brain repeats what it was told."""
    with served({"VOICE_AGENT_BRAIN__BASE_URL": brain.url, "VOICE_AGENT_SERVER__VANISH_SECS": "4"}) as running:
        yield running


@pytest.fixture
def served_with(brain: EchoBrain) -> Callable[..., AbstractContextManager[ServedAgent]]:
    """Starts an agent with the known brain and other settings."""

    def start(**settings: str) -> AbstractContextManager[ServedAgent]:
        named = {f"VOICE_AGENT_{name.upper()}": value for name, value in settings.items()}
        return served({"VOICE_AGENT_BRAIN__BASE_URL": brain.url, **named})

    return start


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Spoken `QUESTIONS`."""
    return speak_questions(tmp_path_factory.mktemp("questions"), QUESTIONS)


@pytest.fixture(scope="session")
def transcribe() -> Iterator[Callable[[np.ndarray, int], str]]:
    """Writes down what is said in float samples at a rate."""
    engine = WhisperEngine()

    def write_down(audio: np.ndarray, rate: int) -> str:
        mono = soxr.resample(audio, rate, engine.sample_rate)
        pcm = (np.clip(mono, -1, 1) * 32767).astype("<i2").tobytes()
        # On a thread of its own, since tests may call this from their event loop.
        return thread.submit(asyncio.run, engine.transcribe(pcm)).result().text

    with ThreadPoolExecutor(1) as thread:
        yield write_down
        thread.submit(asyncio.run, engine.close()).result()


def words(text: str) -> str:
    """Lower case, without punctuation: what a word error rate compares."""
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", text.lower()).split())


def word_error_rate(expected: str, heard: str) -> float:
    """Wrong words as a share of the expected ones."""
    return jiwer.wer(words(expected), words(heard))


def channels(recording: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """What was said and what was heard, as float samples, and their rate."""
    audio, rate = soundfile.read(recording, dtype="float32")
    assert audio.ndim == 2
    assert audio.shape[1] == 2
    return audio[:, 0], audio[:, 1], rate
