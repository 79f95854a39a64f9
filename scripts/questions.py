"""Spoken questions, made with the embedded voice, for benchmarks and tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import soundfile

from engines.voices import HibariEngine

QUESTIONS = (
    "What is the capital of France?",
    "How many days are there in a week?",
    "What is your name?",
    "Can you tell me something about the ocean?",
    "What should I cook for dinner tonight?",
    "Why is the sky blue?",
    "What is the largest animal in the world?",
    "How do I make a good cup of tea?",
    "Who wrote Romeo and Juliet?",
    "What is a good name for a cat?",
    "How far away is the moon?",
    "What do bees do in winter?",
    "Can you recommend a book for children?",
    "What is the best way to learn to swim?",
    "Where do penguins live?",
    "How does a bicycle stay upright?",
    "What language do people speak in Brazil?",
    "Is it healthy to sleep in the afternoon?",
    "What can I plant in my garden in spring?",
    "How long does it take to boil an egg?",
)


def speak_questions(folder: Path, questions: tuple[str, ...] = QUESTIONS) -> list[Path]:
    """Write one mono 24 kHz WAV for each question into `folder`, with 0.2 s of silence around it."""
    return asyncio.run(_speak_all(folder, questions))


async def _speak_all(folder: Path, questions: tuple[str, ...]) -> list[Path]:
    voice = HibariEngine()
    silence = np.zeros(voice.sample_rate // 5, dtype=np.int16)
    paths: list[Path] = []
    for number, question in enumerate(questions, 1):
        pcm = b"".join([chunk.pcm async for chunk in voice.synthesize(_once(question))])
        path = folder / f"question-{number:02d}.wav"
        samples = np.concatenate([silence, np.frombuffer(pcm, dtype="<i2"), silence])
        soundfile.write(path, samples, voice.sample_rate, subtype="PCM_16")
        paths.append(path)
    await voice.close()
    return paths


async def _once(text: str) -> AsyncIterator[str]:
    yield text
