"""Who speaks in the dialogues: the packaged voice at several pitches and paces, and espeak-ng where it is installed."""

import io
import shutil
import subprocess
import wave
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr

from agent.bench.speech import BenchError
from agent.bench.talk.sounds import RATE

SEED = 7
"""Of hibari's noise: the same speech on every run."""

PHONEMES = {"Mhm.": "mhˈm.", "Oh.": "ˈOː."}
"""What hibari's own spelling makes sound like other words, in its phonemes."""

ESPEAK_SECS = 20.0


@dataclass(frozen=True)
class Voice:
    """One voice.

    Attributes:
        pitch: 1 is the packaged voice's own. Formants move with it: a lower one is a larger person.
        pace: 1 is the packaged voice's own.
        espeak: espeak-ng's name of its voice, where it is one of those.
        stand_in: What speaks where espeak-ng is not installed.
    """

    pitch: float = 1.0
    pace: float = 1.0
    espeak: str | None = None
    stand_in: str | None = None


VOICES = {
    "heart": Voice(),
    "low": Voice(pitch=0.82, pace=1.05),
    "high": Voice(pitch=1.14),
    "fast": Voice(pitch=0.95, pace=1.28),
    "slow": Voice(pitch=0.9, pace=0.82),
    "machine": Voice(espeak="en-us", stand_in="low"),
    "briton": Voice(espeak="en-gb+f3", stand_in="high"),
}


class Speaker:
    """Says texts in the voices. Loading takes about a second; nothing here is for an event loop."""

    def __init__(self) -> None:
        from hibari import Hibari

        from engines.weights import HIBARI_HEART, verified

        self._model: Any = Hibari("heart", model=str(verified(HIBARI_HEART)), threads=1)
        self._espeak = shutil.which("espeak-ng")

    @property
    def stand_ins(self) -> dict[str, str]:
        """Voices that others stand in for here."""
        return {} if self._espeak else {name: voice.stand_in for name, voice in VOICES.items() if voice.stand_in}

    def say(self, text: str, name: str) -> np.ndarray:
        """Speech, float64 at 48 kHz, shape (samples,).

        Raises:
            BenchError: espeak-ng fails.
        """
        voice = VOICES[self.stand_ins.get(name, name)]
        if voice.espeak:
            return self._say_with_espeak(text, voice.espeak)
        pace = voice.pace / voice.pitch
        if (phonemes := PHONEMES.get(text)) is not None:
            made = self._model.from_phonemes(phonemes, pace, seed=SEED)
        else:
            made = self._model(text, pace, seed=SEED)
        speech = np.asarray(made, dtype=np.float64)
        # Played faster, and so higher, than it was made.
        return soxr.resample(speech, 24_000 * voice.pitch, RATE)

    def _say_with_espeak(self, text: str, voice: str) -> np.ndarray:
        command = [str(self._espeak), "-v", voice, "-s", "160", "--stdout", text]
        try:
            made = subprocess.run(command, capture_output=True, timeout=ESPEAK_SECS, check=True).stdout
            with wave.open(io.BytesIO(made)) as stream:
                rate, data = stream.getframerate(), made[44:]
            return soxr.resample(np.frombuffer(data[: len(data) // 2 * 2], "<i2") / 32768, rate, RATE)
        except (OSError, subprocess.SubprocessError, wave.Error, EOFError) as error:
            raise BenchError(f"espeak-ng cannot say {text!r} as {voice}: {error}") from error
