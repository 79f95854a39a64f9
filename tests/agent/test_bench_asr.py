"""The run: what is timed from when, on a clock that only the test moves; then a few real seconds."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.bench.asr import main, measure_engines
from agent.bench.baseline import Baseline
from agent.bench.callers import UNANSWERED, Measured, saturate, speak
from agent.bench.load import Turn, Utterance
from agent.bench.options import AsrOptions, callers_of, parse, rounds_of, wavs_or_default
from agent.bench.speech import BenchError
from engines.errors import EngineBusy, EngineFailed, EngineOvertaken
from engines.protocol import DEFAULT_OPTIONS, Transcript, TranscriptionOptions
from tests.agent.virtual_time import VirtualLoop, virtually

COMMAND = Path(sys.executable).with_name("voice-agent")


class Fake:
    """Takes `secs` for each utterance, one after another, and refuses where `room` wait already."""

    name, sample_rate, problem = "fake", 16_000, None

    def __init__(self, secs: float, *, room: int = 1000):
        self.secs, self.room = secs, room
        self.lock, self.waiting, self.heard = asyncio.Lock(), 0, []

    @property
    def has_room(self) -> bool:
        return self.waiting == 0

    async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
        loop, asked_at = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        if self.waiting >= self.room:
            raise EngineBusy("full")
        self.waiting += 1
        try:
            await self.lock.acquire()
        finally:
            self.waiting -= 1
        queue_secs = loop.time() - asked_at
        self.heard.append((round(loop.time(), 3), len(pcm), options))
        try:
            await asyncio.sleep(self.secs)
        finally:
            self.lock.release()
        return Transcript("yes", "en", -0.1, 0, len(pcm) / 32_000, queue_secs, self.secs)

    async def close(self) -> None: ...


def turn(begins: float, secs: float = 2.0, caller: int = 0) -> Turn:
    return Turn(caller, begins, Utterance("a", bytes(int(secs * 32_000)), secs, "yes"))


def latencies(measured: Measured) -> list[float]:
    return sorted(round(answer.latency_secs, 3) for answer in measured.answers)


def test_latency_counts_from_the_end_of_the_utterance():
    async def run(loop: VirtualLoop) -> Measured:
        return await speak(Fake(0.5), [turn(0.0), turn(5.0), turn(-1.5)], secs=10, patience_secs=30)

    measured = virtually(run)
    assert latencies(measured) == [0.5, 0.5, 0.5]
    assert measured.elapsed_secs == pytest.approx(10)


def test_who_waits_for_others_has_the_wait_in_his_latency():
    async def run(loop: VirtualLoop) -> Measured:
        return await speak(Fake(1.0), [turn(0, caller=caller) for caller in range(3)], secs=3, patience_secs=30)

    measured = virtually(run)
    assert latencies(measured) == [1, 2, 3]
    assert measured.elapsed_secs == pytest.approx(5)  # The last answer came two seconds after the round.


def test_an_engine_that_falls_behind_does_not_slow_the_callers_down():
    """Each utterance takes three times its period: all are still asked for when they end."""

    async def run(loop: VirtualLoop) -> tuple[Measured, Fake]:
        engine = Fake(3.0)
        return await speak(engine, [turn(second, 0.5) for second in range(5)], secs=6, patience_secs=99), engine

    measured, _ = virtually(run)
    assert latencies(measured) == [3, 5, 7, 9, 11]
    assert all(answer.late_secs < 0.01 for answer in measured.answers)


def test_a_loop_that_comes_late_does_not_make_the_latency_shorter():
    """The engine holds up the loop itself for two seconds: what ended meanwhile has waited."""

    async def run(loop: VirtualLoop) -> Measured:
        class Blocking(Fake):
            async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
                loop.clock.now += self.secs
                return Transcript("yes", "en", 0, 0, 1, 0, self.secs)

        return await speak(Blocking(2.0), [turn(0), turn(0.5, caller=1)], secs=3, patience_secs=30)

    measured = virtually(run)
    assert latencies(measured) == [2, 3.5]
    assert max(answer.late_secs for answer in measured.answers) == pytest.approx(1.5)


def test_refusals_and_lost_patience_are_counted():
    async def run(loop: VirtualLoop) -> Measured:
        return await speak(Fake(4.0, room=2), [turn(0, caller=caller) for caller in range(4)], secs=3, patience_secs=5)

    measured = virtually(run)
    assert sorted(answer.error or "" for answer in measured.answers) == ["", "EngineBusy", UNANSWERED, UNANSWERED]
    assert [answer.latency_secs for answer in measured.answers if answer.error == UNANSWERED] == [5, 5]


def test_an_engine_that_breaks_is_an_error_and_not_the_end():
    class Broken(Fake):
        async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
            raise EngineFailed("broken")

    async def run(loop: VirtualLoop) -> Measured:
        return await speak(Broken(0), [turn(0), turn(3)], secs=6, patience_secs=5)

    assert [answer.error for answer in virtually(run).answers] == ["EngineFailed", "EngineFailed"]


def test_partials_are_asked_for_each_second_with_what_has_been_said():
    async def run(loop: VirtualLoop) -> tuple[Measured, Fake]:
        engine = Fake(0.1)
        return await speak(engine, [turn(0, 2.5)], secs=4, patience_secs=5, partial_secs=1.0), engine

    measured, engine = virtually(run)
    assert [(length, options.partial) for _, length, options in engine.heard] == [
        (32_000, True),
        (64_000, True),
        (80_000, False),
    ]
    assert len({options.stream for _, _, options in engine.heard}) == 1
    assert (measured.partials.asked, measured.partials.answered) == (2, 2)
    assert len(measured.answers) == 1


def test_partials_without_room_or_overtaken_are_counted_as_such():
    class Overtaking(Fake):
        room_now = True

        @property
        def has_room(self) -> bool:
            self.room_now = not self.room_now
            return not self.room_now

        async def transcribe(self, pcm: bytes, options: TranscriptionOptions = DEFAULT_OPTIONS) -> Transcript:
            if options.partial:
                raise EngineOvertaken("newer")
            return await super().transcribe(pcm, options)

    async def run(loop: VirtualLoop) -> Measured:
        return await speak(Overtaking(0.1), [turn(0, 2.5)], secs=4, patience_secs=5, partial_secs=1.0)

    found = virtually(run).partials
    assert (found.asked, found.overtaken, found.no_room, found.errors) == (1, 1, 1, {})


def test_saturation_asks_again_at_once_and_waits_for_the_last():
    async def run(loop: VirtualLoop) -> Measured:
        said = [[turn(0).utterance]] * 3
        return await saturate(Fake(1.0), said, secs=4.5, patience_secs=99)

    measured = virtually(run)
    assert len(measured.answers) == 7 and measured.elapsed_secs == pytest.approx(7)


def test_both_engines_get_the_same_load_in_every_round():
    async def run(loop: VirtualLoop) -> tuple[dict[str, Any], Fake, Fake]:
        ours, plain = Fake(0.1), Fake(0.4)
        options = AsrOptions(wavs=(), engine={"model": "fake"}, callers=(3, 6), secs=80, rounds=4)

        def choose(secs: float, random: Any) -> Utterance:
            return Utterance("a", bytes(2 * int(secs * 16_000)), secs, "yes")

        report = await measure_engines({"ours": ours, "baseline": plain}, options, choose)
        return report, ours, plain

    report, ours, plain = virtually(run)
    assert sorted(length for _, length, _ in ours.heard) == sorted(length for _, length, _ in plain.heard)
    few, many = report["sweep"]
    assert (few["load"]["callers"], many["load"]["callers"]) == (3, 6)
    assert many["utterances"] == many["baseline"]["utterances"] == pytest.approx(60, rel=0.4)
    assert few["latency_ms"]["p50"] == pytest.approx(100, abs=1)
    assert few["ratio"]["p50"] == pytest.approx(0.25, abs=0.02)
    assert few["word_error_rate"] == 0 and json.loads(json.dumps(report)) == report


def test_flags_that_make_no_sense_are_refused_with_a_sentence():
    assert callers_of("8") == (8,) and callers_of("10,30, 60") == (10, 30, 60)
    for make in (
        lambda: callers_of("many"),
        lambda: parse(["--callers", "0"]),
        lambda: parse(["--secs", "0.5"]),
        lambda: parse(["--period-secs", "2"]),
        lambda: parse(["--fixed-tokens", "0"]),
    ):
        with pytest.raises(BenchError, match="expected"):
            make()
    assert rounds_of(False, 60) == 1 and rounds_of(True, 60) == 6 and rounds_of(True, 5) == 2
    assert wavs_or_default([Path("a")]) == (Path("a"),) and wavs_or_default([])[0].is_dir()


def test_what_cannot_be_run_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]):
    assert main(["--wav", "gone.wav"]) == 1
    assert "gone.wav: no such file" in capsys.readouterr().err
    assert main(["--model", "./gone", "--callers", "1"]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_the_package_needs_neither_pipecat_nor_typer_nor_the_settings():
    missing = ("pipecat", "typer", "configs", "rich", "matplotlib", "faster_whisper", "soundfile", "jiwer")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import agent.bench.asr"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


async def test_the_baseline_writes_as_many_tokens_as_are_fixed(audio_folder: Path, monkeypatch: pytest.MonkeyPatch):
    from agent.bench.speech import Recording, read_audio

    said = Recording("a", read_audio(audio_folder / "librivox-0880.wav")).utterance()
    plain = Baseline()
    heard = await plain.transcribe(said.pcm)
    assert "young man" in heard.text and heard.decode_secs > 0 and heard.encode_secs > 0
    assert heard.features_secs + heard.encode_secs + heard.decode_secs == pytest.approx(heard.compute_secs)
    await plain.close()
    for tokens in (1, 24):
        fixed = Baseline(fixed_tokens=tokens)
        written: list[int] = []
        generate = fixed._model.model.generate

        def counted(*arguments: Any, generate: Any = generate, written: list[int] = written, **named: Any) -> Any:
            found = generate(*arguments, **named)
            written.append(len(found[0].sequences_ids[0]))
            return found

        class Counting:
            def __init__(self, model: Any, generate: Any):
                self.model, self.generate = model, generate

            def __getattr__(self, name: str) -> Any:
                return getattr(self.model, name)

        fixed._model.model = Counting(fixed._model.model, counted)  # pyright: ignore[reportAttributeAccessIssue]
        await fixed.transcribe(said.pcm)
        assert written == [tokens]
        await fixed.close()


def test_the_command_measures_and_prints_one_object(tmp_path: Path, audio_folder: Path):
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps({"librivox-0880.wav": "he was not an ill disposed young man"}))
    flags = ["--callers", "4", "--secs", "6", "--interleave", "--texts", texts, "--wav", audio_folder, "--json"]
    flags += ["--period-secs", "4", "--partials"]
    ran = subprocess.run(
        [COMMAND, "bench", "asr", *flags], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["what"] == "asr" and report["engine"]["backend"] == "ctranslate2"
    for side in (report, report["baseline"]):
        assert side["answered"] > 0 and side["latency_ms"]["p50"] > 0 and side["word_error_rate"] <= 0.3
        assert side["errors"] == {}
        assert sum(side["shares"]["latency"].values()) == pytest.approx(1, abs=0.05)
    assert report["utterances"] == report["baseline"]["utterances"]
    assert report["ratio"]["throughput"] > 0 and report["partials"]["asked"] > 0
