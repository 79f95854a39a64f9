"""The speakers: what they say and when, on a clock that only the test moves; then a few real seconds."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator
from itertools import islice
from pathlib import Path

import pytest

from agent.bench.sentences import read_sentences, tokens
from agent.bench.speakers import UNANSWERED, Measured, Reply, Speaking, pause_secs, replies, speak, written
from agent.bench.speech import BenchError
from agent.bench.tts import compare, main, measure_engine
from agent.bench.tts_options import TtsOptions, arguments_of, parse, speakers_of
from engines.errors import EngineBusy
from engines.protocol import DEFAULT_SPEECH, SpeechChunk, SpeechOptions, Voice
from tests.agent.virtual_time import VirtualLoop, virtually

COMMAND = Path(sys.executable).with_name("voice-agent")
RATE = 1000
SAID = ("This is one sentence.",)


class Fake:
    """Says chunks of so many seconds, each made in so many seconds, when the whole text has come."""

    name, sample_rate, problem = "fake", RATE, None

    def __init__(self, *chunks: tuple[float, float], most: int = 1000):
        self.chunks, self.most = chunks, most
        self.open, self.texts = 0, []
        self.done = 0

    async def voices(self) -> tuple[Voice, ...]:
        return (Voice("one", "fake"),)

    async def synthesize(
        self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncIterator[SpeechChunk]:
        if self.open >= self.most:
            raise EngineBusy("full")
        self.open += 1
        try:
            self.texts.append("".join([piece async for piece in text]))
            yield SpeechChunk(b"")  # Empty: not yet sound.
            for make_secs, secs in self.chunks:
                await asyncio.sleep(make_secs)
                self.done += 1
                yield SpeechChunk(bytes(2 * int(secs * RATE)))
        finally:
            self.open -= 1

    def stats(self) -> dict[str, float]:
        return {"flow_secs": 0.5 * self.done, "chunks": self.done}

    async def close(self) -> None: ...


def spoken(engine: Fake, load: Speaking, sentences: tuple[str, ...] = SAID) -> Measured:
    async def run(loop: VirtualLoop) -> Measured:
        return await speak(engine, load, sentences)

    return virtually(run)


def test_the_first_sound_counts_from_the_first_complete_sentence():
    pieces, ready_secs = written(Reply(("Yes, I do.", "And more."), None, 0.5), 10)
    assert [piece for _, piece in pieces] == ["Yes", ",", " I", " do", ".", " And", " more", "."]
    assert [secs for secs, _ in pieces] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert ready_secs == pytest.approx(0.4)
    assert written(Reply(("Yes, I do.", "And more."), None, 0.5), None) == ([(0.0, "Yes, I do. And more.")], 0.0)


def test_speech_is_asked_for_as_it_is_written_and_heard_at_the_pace_of_time():
    engine = Fake((0.2, 1.0), (0.5, 2.0))
    measured = spoken(engine, Speaking(1, 10, tokens_per_sec=10), ("Yes, I do.",))
    first, second = measured.counted[:2]
    sentences = engine.texts[0].count(".")
    assert engine.texts[0] == " ".join(["Yes, I do."] * sentences)
    assert first.ready_at - first.asked_at == pytest.approx(0.4)
    assert first.first_at == pytest.approx(first.asked_at + (5 * sentences - 1) / 10 + 0.2)
    assert first.ends_at == pytest.approx((first.first_at or 0) + 3) and first.gaps_secs == ()
    assert first.margins_secs == (pytest.approx(0.5),) and first.most_secs == pytest.approx(2.5)
    # The listener has heard it out, and then the other one speaks.
    assert 0.3 <= second.asked_at - (first.ends_at or 0) <= 1.0


def test_a_listener_who_runs_dry_is_an_underrun_with_its_length():
    measured = spoken(Fake((0.1, 1.0), (1.25, 1.0), (0.0, 1.0)), Speaking(1, 1, tokens_per_sec=None))
    (heard,) = measured.counted
    assert heard.gaps_secs == (pytest.approx(0.25),)
    assert (heard.ends_at or 0) - (heard.first_at or 0) == pytest.approx(3.25)


def test_a_jitter_buffer_hides_a_short_gap():
    load = Speaking(1, 1, tokens_per_sec=None, buffer_secs=0.3)
    (heard,) = spoken(Fake((0.1, 1.0), (1.25, 1.0)), load).counted
    assert heard.gaps_secs == () and heard.margins_secs == (pytest.approx(0.05),)


def test_only_what_is_asked_for_in_time_counts_and_all_of_it_is_spoken_to_its_end():
    measured = spoken(Fake((3.0, 1.0)), Speaking(4, 10, ramp_secs=4, tokens_per_sec=None))
    assert min(answer.asked_at for answer in measured.answers) == 0
    assert {measured.begins_at <= answer.asked_at < measured.ends_at for answer in measured.counted} == {True}
    assert max(answer.closed_at for answer in measured.counted) > measured.ends_at
    assert all(answer.secs == 1 and not answer.error for answer in measured.counted)


def test_barge_in_closes_the_stream_at_its_moment():
    engine = Fake((0.1, 1.0), (0.5, 1.0), (0.5, 1.0), (0.5, 1.0), (30.0, 1.0))
    measured = spoken(engine, Speaking(3, 20, tokens_per_sec=None, barge_in=1.0))
    assert engine.open == 0 and all(answer.cut and not answer.error for answer in measured.counted)
    assert [answer.close_secs for answer in measured.counted] == pytest.approx([0] * len(measured.counted), abs=1e-6)
    assert all(answer.closed_at - (answer.first_at or 0) < 8 for answer in measured.counted)


def test_who_is_interrupted_after_all_was_made_has_heard_only_a_part():
    measured = spoken(Fake((0.1, 60.0)), Speaking(1, 20, tokens_per_sec=None, barge_in=1.0))
    heard = measured.counted[0]
    assert heard.cut and heard.close_secs is None and (heard.ends_at or 0) - (heard.first_at or 0) < 10


def test_refusals_and_lost_patience_are_counted_and_the_others_go_on():
    measured = spoken(Fake((9.0, 1.0), most=1), Speaking(2, 20, ramp_secs=0, tokens_per_sec=None, patience_secs=5))
    kinds = {answer.error for answer in measured.counted}
    assert kinds == {UNANSWERED, "EngineBusy"}
    waited = [answer.closed_at - answer.ready_at for answer in measured.counted if answer.error == UNANSWERED]
    assert waited == pytest.approx([5] * len(waited))


def test_whoever_stands_dry_when_a_stream_is_given_up_has_an_underrun():
    (heard,) = spoken(Fake((0.1, 1.0), (99, 1.0)), Speaking(1, 1, tokens_per_sec=None, patience_secs=4)).counted
    assert heard.error == UNANSWERED and heard.gaps_secs == (pytest.approx(3.0),)


def test_a_seed_says_the_same_and_more_speakers_are_the_same_and_others():
    load, sentences = Speaking(2, 10, barge_in=0.5), read_sentences(None)
    first = list(islice(replies(load, 1, sentences), 200))
    assert first == list(islice(replies(Speaking(9, 99, barge_in=0.5), 1, sentences), 200))
    assert first != list(islice(replies(load, 0, sentences), 200))
    assert {len(reply.sentences) for reply in first} == {1, 2, 3}
    assert sum(reply.cut_after_secs is not None for reply in first) == pytest.approx(100, abs=30)


@pytest.mark.parametrize(("duty", "period_secs", "mean_secs"), [(0.5, None, 6), (0.25, None, 18), (None, 10.0, 4)])
def test_pauses_make_the_share_or_the_period_right(duty: float | None, period_secs: float | None, mean_secs: float):
    load = Speaking(1, 10, duty=duty, period_secs=period_secs)
    pauses = [pause_secs(load, 6.0, (number + 0.5) / 2000) for number in range(2000)]
    assert sum(pauses) / len(pauses) == pytest.approx(mean_secs, rel=0.02) and min(pauses) >= 0.3


def test_the_built_in_sentences_are_of_every_length():
    found = read_sentences(None)
    lengths = [len(sentence.split()) for sentence in found]
    assert len(found) >= 60 and len(set(found)) == len(found)
    assert min(lengths) == 2 and 25 <= max(lengths) <= 30
    assert all("".join(tokens(sentence)) == sentence for sentence in found)
    assert 1.2 < sum(len(tokens(sentence)) for sentence in found) / sum(lengths) < 1.7


def test_sentences_of_a_file(tmp_path: Path):
    file = tmp_path / "said.txt"
    file.write_text("One.\n\n  Two!  \n...\n")
    assert read_sentences(file) == ("One.", "Two!")
    file.write_text("\n--\n")
    for path, message in ((file, "nothing to say"), (tmp_path / "gone", "cannot be read")):
        with pytest.raises(BenchError, match=message):
            read_sentences(path)


def test_a_sweep_is_measured_beside_upstream_and_says_where_it_breaks():
    class Slow(Fake):
        """One after the other: two speakers are too many."""

        lock: asyncio.Lock

        async def synthesize(
            self, text: AsyncIterable[str], options: SpeechOptions = DEFAULT_SPEECH
        ) -> AsyncIterator[SpeechChunk]:
            async with self.lock:
                async for chunk in super().synthesize(text, options):
                    yield chunk

    async def run(loop: VirtualLoop) -> list[dict]:
        plain = Slow((2.0, 2.0))
        plain.lock = asyncio.Lock()
        options = TtsOptions(speakers=(1, 8), secs=40, instant=True, name="chatterbox", baseline_secs=40)
        reports = await measure_engine(Fake((0.1, 1.0), (0.5, 1.0)), options, SAID, {})
        await compare(plain, reports, options, SAID)
        return reports

    few, many = virtually(run)
    assert few["load"]["speakers"] == 1 and many["load"]["speakers"] == 8
    assert few["latency_ms"]["p50"] == many["latency_ms"]["p50"] == pytest.approx(100)
    assert few["baseline"]["speakers"] == 1 and few["baseline"]["alone"] is None
    assert many["baseline"]["speakers"] == 4 and many["baseline"]["alone"]["latency_ms"]["p50"] == pytest.approx(2000)
    assert few["ratio"]["p50"] == pytest.approx(0.05) and many["baseline"]["latency_ms"]["p50"] > 4000
    # Each answer is heard for 2 s, then 0.3 to 1 s of silence, and its first sound takes 0.1 s.
    assert many["throughput"]["audio_secs_per_sec"] == pytest.approx(8 * 2 / 2.75, rel=0.05)
    assert many["heard_at_once"]["mean"] == pytest.approx(8 * 2 / 2.75, rel=0.05)
    assert many["streams_at_once"]["mean"] == pytest.approx(8 * 0.6 / 2.75, rel=0.05)
    assert many["stages"]["per_sec"]["chunks"] == pytest.approx(many["throughput"]["audio_secs_per_sec"], rel=0.05)
    assert many["stages"]["shares"]["flow"] == pytest.approx(many["stages"]["per_sec"]["chunks"] / 2, rel=0.01)
    assert json.loads(json.dumps(many)) == many


@pytest.mark.parametrize(
    "flags",
    [
        ["--speakers", "0"],
        ["--speakers", "many"],
        ["--secs", "0"],
        ["--duty", "1.5"],
        ["--duty", "0.5", "--period-secs", "9"],
        ["--barge-in", "2"],
        ["--tokens-per-sec", "0"],
        ["--engine", "piper"],
        ["--random-weights", "small", "--engine", "chatterbox"],
        ["--random-weights"],
        ["--baseline"],
        ["--set", "slots"],
    ],
)
def test_flags_that_make_no_sense_are_refused_with_a_sentence(flags: list[str]):
    with pytest.raises(BenchError, match="expected"):
        parse(flags)


def test_flags_become_arguments_of_the_engine():
    options, output = parse(["--engine", "chatterbox", "--device", "cuda:0", "--set", "chunk_tokens=[9, 20]", "--json"])
    assert options.engine == {"device": "cuda:0", "chunk_tokens": (9, 20)} and options.with_baseline and output.as_json
    assert arguments_of(["dtype=float16", "watermark=false"]) == {"dtype": "float16", "watermark": False}
    assert speakers_of("1, 32,100") == (1, 32, 100) and not TtsOptions().with_baseline
    assert TtsOptions().load(1, 60).ramp_secs == 0 and 7 < TtsOptions().load(32, 60).ramp_secs < 8


def test_what_cannot_be_run_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]):
    assert main(["--texts", "gone.txt"]) == 1
    assert "gone.txt cannot be read" in capsys.readouterr().err
    assert main(["--set", "colour=red", "--speakers", "1"]) == 1
    assert "colour" in capsys.readouterr().err


def test_the_package_needs_neither_pipecat_nor_typer_nor_the_settings():
    missing = ("pipecat", "typer", "configs", "rich", "matplotlib", "hibari", "soundfile", "torch", "websockets")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import agent.bench.tts"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_command_measures_and_prints_one_object(tmp_path: Path):
    texts = tmp_path / "said.txt"
    texts.write_text("Good morning!\nOf course.\n")
    flags = ["--speakers", "2", "--secs", "4", "--texts", texts, "--instant", "--json", "--aim-ms", "9000"]
    ran = subprocess.run(
        [COMMAND, "bench", "tts", *flags], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["what"] == "tts" and report["engine"]["name"] == "hibari heart" and report["baseline"] is None
    assert report["answered"] >= 2 and report["latency_ms"]["p50"] > 0 and report["errors"] == {}
    assert report["throughput"]["audio_secs_per_sec"] > 0.3 and report["throughput"]["real_time_factor"] < 1
    assert report["loop_lag_ms"]["p99"] is not None and report["memory"]["host_mib"] > 50


def test_the_command_refuses_with_a_sentence(tmp_path: Path):
    for flags, message in ((["--duty", "2"], "--duty 2"), (["--engine", "piper"], "piper")):
        ran = subprocess.run(
            [COMMAND, "bench", "tts", *flags], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 1 and message in ran.stderr and "Traceback" not in ran.stderr
