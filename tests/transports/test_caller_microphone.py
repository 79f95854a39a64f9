"""What the microphone sends, sample by sample."""

from pathlib import Path

import numpy as np

from transports.caller_audio import FRAME_SAMPLES, SpeechFile
from transports.caller_microphone import Microphone


async def sent(microphone: Microphone, frames: list[np.ndarray], count: int) -> np.ndarray:
    for _ in range(count):
        await microphone.recv()
    return np.concatenate(frames)


async def test_a_background_goes_on_under_silence_and_speech():
    frames: list[np.ndarray] = []
    background = np.arange(1500, dtype=np.int16)
    microphone = Microphone(lambda _, pcm: frames.append(pcm), background)
    await microphone.recv()
    microphone.speak(SpeechFile(Path("a"), np.full(FRAME_SAMPLES, 32_000, np.int16), 0, FRAME_SAMPLES - 1))
    heard = await sent(microphone, frames, 2)
    under = np.resize(background, 3 * FRAME_SAMPLES).astype(int)
    spoken = np.repeat([0, 32_000, 0], FRAME_SAMPLES)
    assert np.array_equal(heard, np.clip(under + spoken, -32768, 32767))
    microphone.stop()


async def test_without_one_there_is_silence():
    frames: list[np.ndarray] = []
    microphone = Microphone(lambda _, pcm: frames.append(pcm))
    assert not (await sent(microphone, frames, 2)).any()
    microphone.stop()
