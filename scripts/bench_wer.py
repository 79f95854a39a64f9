#!/usr/bin/env python
"""Word error rate by encoder window and length, and what the gates remove, on real speech (CPU, int8, greedy).

scripts/bench_wer.py [--models tiny.en base] [--parts wer sounds answers] [--threads 1] [--json FILE]

Set SPEECH_CORPUS to what `scripts/speech_corpus.py` fetched; without it only `tests/audio` is measured. The model is
driven directly, so that an engine's batching and retries have no part in the numbers.
"""

import argparse
import difflib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import ctranslate2
import jiwer
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens
from num2words import num2words

sys.path.insert(0, str(Path(__file__).parent.parent))

from engines.whisper.features import Spectrograms, level_dbfs
from engines.whisper.gates import Evidence, Gates, judge
from engines.whisper.models import model_path
from scripts.speech_corpus import SAMPLE_RATE, answers, loaded, sentences, sounds

WINDOWS = (5, 8, 10, 15, 20, 30)
MARGINS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
LENGTHS = (0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 11.0, 13.0, 16.0, 18.0, 22.0, 25.0, 29.0)
ANSWERS = (
    *("yes", "no", "okay", "thank you", "bye", "hello", "stop", "sure", "right", "you", "no no no", "goodbye"),
    *("twenty four", "five five five one two", "maybe tomorrow", "a table for two"),
)


def normal(text: str) -> str:
    """Words in lower case without punctuation; numbers, and the digits of long ones, written out."""
    words = re.sub(r"[^a-z0-9' ]+", " ", text.lower()).split()
    spelled = (
        " ".join(num2words(int(part)) for part in (word if len(word) > 2 else [word])) if word.isdigit() else word
        for word in words
    )
    plain = " ".join(spelled).replace("-", " ").split()
    return " ".join({"mr": "mister", "ok": "okay"}.get(word, word) for word in plain)


@dataclass(frozen=True)
class Heard:
    """One pass of one utterance through one window."""

    evidence: Evidence
    secs: float

    @property
    def text(self) -> str:
        """The normalised words."""
        return normal(self.evidence.text)


class Model:
    """A packaged model, driven directly."""

    def __init__(self, name: str, threads: int):
        loaded_model = WhisperModel(model_path(name), device="cpu", compute_type="int8", cpu_threads=threads)
        self.name = name
        self.timed = loaded_model
        self._model = loaded_model.model
        self._tokenizer = Tokenizer(
            loaded_model.hf_tokenizer, self._model.is_multilingual, task="transcribe", language="en"
        )
        self._spectrograms = Spectrograms(self._model.n_mels)
        self._suppressed = list(get_suppressed_tokens(self._tokenizer, [-1]) or ())  # pyright: ignore[reportArgumentType]

    def hear(self, audio: np.ndarray, window_secs: float) -> Heard:
        """One greedy pass. The audio is cut where it is longer than the window."""
        began_at = time.perf_counter()
        features = self._spectrograms.batch([self._spectrograms.of(audio)], int(window_secs * 100))
        encoded = self._model.encode(ctranslate2.StorageView.from_array(features))
        prompt = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]
        limit = 16 + int(10 * len(audio) / SAMPLE_RATE)
        result = self._model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=max(2 * limit, limit + len(prompt) - 1),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
        )[0]
        took = time.perf_counter() - began_at
        tokens = result.sequences_ids[0]
        text = self._tokenizer.decode([token for token in tokens if token < self._tokenizer.eot]).strip()
        evidence = Evidence(
            text=text,
            tokens=tuple(tokens),
            language="en",
            avg_logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_prob=result.no_speech_prob,
            compression_ratio=get_compression_ratio(text) if text else 0.0,
            audio_secs=len(audio) / SAMPLE_RATE,
            level_dbfs=level_dbfs(audio),
            hit_token_limit=len(tokens) >= limit,
        )
        return Heard(evidence, took)

    def word_times(self, audio: np.ndarray, text: str) -> list[tuple[str, float, float, bool]]:
        """The words of a known text with their times, and whether they were heard as they are or times are guessed."""
        segments, _ = self.timed.transcribe(audio, language="en", beam_size=5, word_timestamps=True)
        heard = [
            (part, word.start, word.end)
            for segment in segments
            for word in segment.words or ()
            for part in normal(word.word).split()
        ]
        words = text.split()
        matcher = difflib.SequenceMatcher(None, [word for word, _, _ in heard], words, autojunk=False)
        known = {
            block.b + at: heard[block.a + at][1:] for block in matcher.get_matching_blocks() for at in range(block.size)
        }
        starts = np.interp(range(len(words)), list(known), [start for start, _ in known.values()])
        ends = np.interp(range(len(words)), list(known), [end for _, end in known.values()])
        return [(word, float(starts[at]), float(ends[at]), at in known) for at, word in enumerate(words)]


@dataclass(frozen=True)
class Utterance:
    """Real speech, cut between words."""

    audio: np.ndarray
    text: str

    @property
    def secs(self) -> float:
        """Its length."""
        return len(self.audio) / SAMPLE_RATE


class Stream:
    """All real sentences after each other, to cut utterances from."""

    def __init__(self, model: Model):
        gap = np.zeros(int(0.3 * SAMPLE_RATE), dtype=np.float32)
        parts: list[np.ndarray] = []
        self.words: list[tuple[str, float, float, bool]] = []
        at = 0.0
        for spoken in sentences():
            audio = loaded(spoken.path)
            timed = model.word_times(audio, spoken.text)
            self.words += [(word, start + at, end + at, known) for word, start, end, known in timed]
            parts += [audio, gap]
            at += (len(audio) + len(gap)) / SAMPLE_RATE
        self.audio = np.concatenate(parts)

    def cut(self, first: int, secs: float) -> Utterance | None:
        """Words from one on, as many as fit, padded with faint noise to the length; None where the cut is not sure."""
        start = self.words[first][1] - 0.1
        chosen = [word for word in self.words[first:] if word[2] <= start + secs - 0.1]
        if not chosen or not chosen[0][3] or not chosen[-1][3]:
            return None
        rng = np.random.default_rng(first)
        audio = (rng.standard_normal(int(secs * SAMPLE_RATE)) * 1e-4).astype(np.float32)
        speech = self.audio[max(0, int(start * SAMPLE_RATE)) : int((chosen[-1][2] + 0.08) * SAMPLE_RATE)][: len(audio)]
        audio[: len(speech)] += speech
        return Utterance(audio, " ".join(word for word, *_ in chosen))

    def several(self, secs: float, count: int) -> Iterator[Utterance]:
        """Utterances of one length from all over the stream."""
        step = max(1, len(self.words) // (count * 2))
        offset = int(secs * 7) % step
        made = [self.cut(first, secs) for first in range(offset, len(self.words), step)]
        yield from [utterance for utterance in made if utterance is not None and len(utterance.text)][:count]


def errors(reference: str, heard: str) -> int:
    """Words substituted, left out or added."""
    if not heard:
        return len(reference.split())
    found = jiwer.process_words(reference, heard)
    return found.substitutions + found.deletions + found.insertions


def runaway(utterance: Utterance, heard: Heard) -> bool:
    """Whether far more was written than said."""
    return heard.evidence.hit_token_limit or len(heard.text.split()) > 1.5 * len(utterance.text.split()) + 5


def redone(short: Heard, full: Heard) -> Heard:
    """What is left where doubt about the short window costs a pass through the full one."""
    if not judge(short.evidence, Gates()).doubtful:
        return short
    again = judge(full.evidence, Gates())
    if not again.doubtful:
        return full
    kept = [item for item in (short, full) if judge(item.evidence, Gates()).keep]
    return max(kept, key=lambda item: item.evidence.avg_logprob) if kept else full


def measure_wer(model: Model, stream: Stream, each: int) -> list[dict]:
    """One record for each utterance and window that holds it."""
    cases = [(secs, utterance) for secs in LENGTHS for utterance in stream.several(secs, each)]
    edges = sorted({round(window - margin, 2) for window in WINDOWS[:-1] for margin in MARGINS})
    cases += [(secs, utterance) for secs in edges for utterance in stream.several(secs, max(2, each // 2))]
    records: list[dict] = []
    for secs, utterance in cases:
        full = model.hear(utterance.audio, 30)
        for window in WINDOWS:
            if window < secs or (window > 10 and window >= 3 * secs and window != 30):
                continue
            heard = full if window == 30 else model.hear(utterance.audio, window)
            final = redone(heard, full) if window != 30 else heard
            verdict, last = judge(heard.evidence, Gates()), judge(final.evidence, Gates())
            records.append(
                {
                    "model": model.name,
                    "secs": secs,
                    "window": window,
                    "words": len(utterance.text.split()),
                    "errors": errors(utterance.text, heard.text),
                    "errors_redone": errors(utterance.text, final.text),
                    "errors_gated": errors(utterance.text, final.text if last.keep else ""),
                    "gate": last.gate,
                    "doubtful": verdict.doubtful,
                    "runaway": runaway(utterance, heard),
                    "runaway_redone": runaway(utterance, final),
                    "took": heard.secs,
                    "took_redone": heard.secs + (full.secs if verdict.doubtful and window != 30 else 0.0),
                    "said": utterance.text,
                    "evidence": asdict(heard.evidence),
                }
            )
    return records


def made_sounds() -> Iterator[tuple[str, np.ndarray]]:
    """Noises made here, at several levels: name and samples."""
    rng = np.random.default_rng(5)
    size = 3 * SAMPLE_RATE
    at = np.arange(size) / SAMPLE_RATE
    white = rng.standard_normal(size)
    shaped = np.fft.rfft(white)
    frequency = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 20)

    def filtered(gain: np.ndarray) -> np.ndarray:
        return np.fft.irfft(shaped * gain, size)

    def bursts(times: list[float], decay: float, source: np.ndarray) -> np.ndarray:
        decays = (np.where(at >= when, np.exp(-np.maximum(at - when, 0) / decay), 0) for when in times)
        return source * sum(decays, np.zeros(size))

    band = np.exp(-(((frequency - 1200) / 900) ** 2))
    breath = filtered(np.exp(-(((frequency - 900) / 700) ** 2))) * np.sin(np.pi * np.clip((at - 0.5) / 1.5, 0, 1)) ** 2
    keys = sorted(rng.uniform(0.1, 2.8, 14).tolist())
    chord = [sum(np.sin(2 * np.pi * note * n * at) / n for n in range(1, 5)) for note in (220, 277, 330)]
    shapes = {
        "white": white,
        "pink": filtered(frequency**-0.5),
        "brown": filtered(1 / frequency),
        "hum": np.sin(2 * np.pi * 50 * at) + 0.3 * np.sin(2 * np.pi * 150 * at),
        "tone": np.sin(2 * np.pi * 440 * at),
        "beeps": np.sin(2 * np.pi * 1000 * at) * ((at * 2) % 1 < 0.3),
        "clicks": bursts([0.4, 1.1, 1.2, 2.3], 0.002, white),
        "typing": bursts(keys, 0.012, filtered(np.exp(-(((frequency - 3000) / 2000) ** 2)))),
        "breath": breath,
        "cough": bursts([0.5, 0.95, 1.6], 0.07, filtered(band)),
        "music": sum(np.roll(tone * np.exp(-((at * 2) % 1) * 3), i * 4000) for i, tone in enumerate(chord)),
        "modulated": filtered(band) * (1 + np.sin(2 * np.pi * 4 * at)),
    }
    for name, shape in shapes.items():
        for dbfs in (-50, -40, -30, -20):
            scaled = shape / np.sqrt(np.mean(shape**2)) * 10 ** (dbfs / 20)
            yield f"made {name} {dbfs}", np.clip(scaled, -1, 1).astype(np.float32)


def measure_sounds(model: Model, window: float) -> list[dict]:
    """What is written where nobody speaks."""
    clips = [*made_sounds(), *((f"recorded {path.parent.name}/{path.name}", loaded(path)) for path in sounds())]
    records: list[dict] = []
    for name, audio in clips:
        clip = audio[: 6 * SAMPLE_RATE]
        if len(clip) >= SAMPLE_RATE // 5:
            records.append(_judged(model, name, "", clip, window))
    return records


def measure_answers(model: Model, window: float) -> list[dict]:
    """What is left of short answers, alone and in noise."""
    records: list[dict] = []
    rng = np.random.default_rng(7)
    for name, text, audio in _answers():
        padded = np.pad(audio, (int(0.3 * SAMPLE_RATE), int(0.5 * SAMPLE_RATE)))
        speech = level_dbfs(audio)
        for snr in (60, 20, 10):
            spectrum = np.fft.rfft(rng.standard_normal(len(padded)))
            pink = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 20), len(padded))
            pink *= 10 ** ((speech - snr) / 20) / np.sqrt(np.mean(pink**2))
            records.append(_judged(model, f"{name} {snr} dB", text, (padded + pink).astype(np.float32), window))
    return records


def _answers() -> Iterator[tuple[str, str, np.ndarray]]:
    for spoken in answers():
        yield f"real {spoken.path.name}", spoken.text, loaded(spoken.path)
    with tempfile.TemporaryDirectory() as folder:
        for voice in ("en-us", "en-gb+f3"):
            for text in ANSWERS:
                path = Path(folder) / "a.wav"
                subprocess.run(["espeak-ng", "-v", voice, "-w", path, text], check=True)
                yield f"espeak {voice} {text}", text, loaded(path) * 0.5
    for text, audio in _hibari(ANSWERS):
        yield f"hibari {text}", text, audio


def _hibari(texts: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    import asyncio

    import soxr

    from engines.voices import HibariEngine

    async def spoken() -> list[np.ndarray]:
        engine = HibariEngine()

        async def once(text: str):
            yield text

        found = []
        for text in texts:
            pcm = b"".join([chunk.pcm async for chunk in engine.synthesize(once(text.capitalize() + "."))])
            samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
            found.append(soxr.resample(samples, engine.sample_rate, SAMPLE_RATE).astype(np.float32))
        await engine.close()
        return found

    yield from zip(texts, asyncio.run(spoken()), strict=True)


def _judged(model: Model, name: str, said: str, audio: np.ndarray, window: float) -> dict:
    heard = model.hear(audio, window)
    verdict = judge(heard.evidence, Gates())
    full = model.hear(audio, 30) if verdict.doubtful else heard
    final = redone(heard, full)
    last = judge(final.evidence, Gates())
    return {
        "model": model.name,
        "name": name,
        "said": said,
        "heard": heard.evidence.text,
        "final": final.evidence.text if last.keep else "",
        "gate": last.gate,
        "doubtful": verdict.doubtful,
        "evidence": asdict(heard.evidence),
        "full": asdict(full.evidence),
    }


def print_wer(records: list[dict]) -> None:
    """Tables by window and length, and by window and margin."""
    for title, key in (("length up to", _length_bin), ("margin from", _margin_bin)):
        groups: dict[tuple, list[dict]] = defaultdict(list)
        for record in records:
            groups[(record["model"], record["window"], key(record))].append(record)
        print(f"\n{'model':8} {'window':>6} {title:>12}  n  words   WER  redone  gated runaway redone doubt   ms")
        for (model, window, bin_), group in sorted(groups.items(), key=str_key):
            words = sum(record["words"] for record in group)
            rate = [100 * sum(r[k] for r in group) / words for k in ("errors", "errors_redone", "errors_gated")]
            counts = [sum(r[k] for r in group) for k in ("runaway", "runaway_redone", "doubtful")]
            took = 1000 * float(np.median([record["took_redone"] for record in group]))
            print(
                f"{model:8} {window:6} {bin_:12} {len(group):3} {words:5} {rate[0]:6.1f} {rate[1]:6.1f} {rate[2]:6.1f} "
                f"{counts[0]:6} {counts[1]:6} {counts[2]:5} {took:6.0f}"
            )


def str_key(item: tuple) -> tuple:
    """Models by name, then numbers by size."""
    model, window, bin_ = item[0]
    return model, window, bin_


def _length_bin(record: dict) -> float:
    return next(limit for limit in (1, 2, 5, 8, 10, 15, 20, 30) if record["secs"] <= limit)


def _margin_bin(record: dict) -> float:
    margin = record["window"] - record["secs"]
    return max(limit for limit in (0, 0.1, 0.25, 0.5, 1, 2, 5, 10) if limit <= margin + 1e-6)


def print_gates(title: str, records: list[dict]) -> None:
    """How many have words before and after the gates."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for record in records:
        kind = record["name"].split()[0] + (" " + " ".join(record["name"].split()[-2:]) if record["said"] else "")
        groups[(record["model"], kind)].append(record)
    print(f"\n{title}: {'model':8} {'kind':16} clips, with words, with words after the gates, right, right after")
    for (model, kind), group in sorted(groups.items()):
        right = [normal(r["heard"]) == r["said"] for r in group], [normal(r["final"]) == r["said"] for r in group]
        counts = len(group), sum(bool(r["heard"]) for r in group), sum(bool(r["final"]) for r in group)
        print(f"{model:8} {kind:24} {counts[0]:4} {counts[1]:4} {counts[2]:4} {sum(right[0]):4} {sum(right[1]):4}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Word error rate by window, and what the gates remove.")
    parser.add_argument("--models", nargs="+", default=["tiny.en", "base"])
    parser.add_argument("--parts", nargs="+", default=["wer", "sounds", "answers"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--each", type=int, default=4, help="utterances of each length")
    parser.add_argument("--window", type=float, default=10, help="for sounds and answers")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[dict]] = defaultdict(list)
    models = [Model(name, options.threads) for name in options.models]
    if "wer" in options.parts:
        # One model finds the words for all, so that all hear the same.
        stream = Stream(next((model for model in models if model.name == "base"), None) or Model("base", 1))
        for model in models:
            found["wer"] += measure_wer(model, stream, options.each)
        print_wer(found["wer"])
    for part, measure in (("sounds", measure_sounds), ("answers", measure_answers)):
        if part in options.parts:
            for model in models:
                found[part] += measure(model, options.window)
            print_gates(part, found[part])
    if options.json:
        options.json.write_text(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
