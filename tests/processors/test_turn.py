"""Shared models decide exactly as Pipecat's own, and calls do not disturb each other."""

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from pipecat.audio.turn.base_turn_analyzer import EndOfTurnState
from pipecat.audio.turn.smart_turn.base_smart_turn import BaseSmartTurn, SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState

from configs.settings import TurnSettings
from processors.turn import SharedSmartTurnAnalyzer, TurnModels

RATE = 16_000
CHUNK = RATE // 50 * 2


@pytest.fixture(scope="module")
def models() -> TurnModels:
    return TurnModels.load(TurnSettings())


@pytest.fixture
async def vad(models: TurnModels) -> AsyncIterator[VADAnalyzer]:
    analyzer = ready(models.vad_analyzer())
    yield analyzer
    await analyzer.cleanup()


def ready(analyzer: VADAnalyzer) -> VADAnalyzer:
    analyzer.set_sample_rate(RATE)
    return analyzer


def chunks(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + CHUNK] for at in range(0, len(pcm), CHUNK)]


async def states(analyzer: VADAnalyzer, pcm: bytes) -> list[VADState]:
    return [await analyzer.analyze_audio(chunk) for chunk in chunks(pcm)]


@pytest.mark.parametrize("name", ["librivox-0870.wav", "librivox-0880.wav", "jfk.flac"])
async def test_speech_is_noticed_chunk_by_chunk_as_by_pipecats_own(
    vad: VADAnalyzer, recordings: dict[str, bytes], name: str
):
    pcm = bytes(RATE) + recordings[name] + bytes(3 * RATE) + recordings[name][: 2 * RATE]
    own = ready(SileroVADAnalyzer(params=VADParams()))
    try:
        expected = await states(own, pcm)
    finally:
        await own.cleanup()
    assert await states(vad, pcm) == expected
    assert expected[0] == VADState.QUIET and {VADState.SPEAKING, VADState.STOPPING} <= set(expected)


async def test_a_call_in_silence_and_a_call_in_speech_do_not_disturb_each_other(
    models: TurnModels, recordings: dict[str, bytes]
):
    speech = recordings["librivox-0870.wav"]
    alone = await states(ready(models.vad_analyzer()), speech)
    speaking, silent = ready(models.vad_analyzer()), ready(models.vad_analyzer())
    heard: list[VADState] = []
    for chunk in chunks(speech):
        heard.append(await speaking.analyze_audio(chunk))
        assert await silent.analyze_audio(bytes(len(chunk))) == VADState.QUIET
    assert heard == alone


async def test_calls_at_the_same_time_each_hear_their_own(models: TurnModels, recordings: dict[str, bytes]):
    names = ("librivox-0870.wav", "librivox-0880.wav", "jfk.flac")
    alone = [await states(ready(models.vad_analyzer()), recordings[name]) for name in names]
    together = await asyncio.gather(*(states(ready(models.vad_analyzer()), recordings[name]) for name in names))
    assert together == alone


@pytest.mark.parametrize("size", [160, 320, 512, 1024, 1600, 5000])
async def test_packets_of_any_size_are_judged_as_by_pipecats_own(
    models: TurnModels, recordings: dict[str, bytes], size: int
):
    own, shared = ready(SileroVADAnalyzer(params=VADParams())), ready(models.vad_analyzer())
    pcm = recordings["librivox-0880.wav"]
    try:
        for at in range(0, len(pcm), 2 * size):
            chunk = pcm[at : at + 2 * size]
            assert await shared.analyze_audio(chunk) == await own.analyze_audio(chunk)
    finally:
        await own.cleanup()


async def test_the_end_of_one_call_leaves_the_others_their_models(models: TurnModels, recordings: dict[str, bytes]):
    first, second = ready(models.vad_analyzer()), ready(models.vad_analyzer())
    await states(first, recordings["librivox-0880.wav"])
    await first.cleanup()
    assert VADState.SPEAKING in await states(second, recordings["librivox-0880.wav"])


async def test_the_settings_reach_the_detector():
    settings = TurnSettings.model_validate(
        {"vad_confidence": 0.5, "vad_start_secs": 0.1, "vad_stop_secs": 0.4, "vad_min_volume": 0.2}
    )
    models = TurnModels.load(settings)
    params = models.vad_analyzer().params
    assert (params.confidence, params.start_secs, params.stop_secs, params.min_volume) == (0.5, 0.1, 0.4, 0.2)
    await models.close()


async def verdict(analyzer: BaseSmartTurn, pcm: bytes) -> tuple[EndOfTurnState, float]:
    analyzer.set_sample_rate(RATE)
    for chunk in chunks(pcm):
        analyzer.append_audio(chunk, is_speech=True)
    state, metrics = await analyzer.analyze_end_of_turn()
    return state, round(metrics.probability, 5)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]


@pytest.mark.parametrize("name", ["librivox-0870.wav", "librivox-0880.wav", "jfk.flac"])
@pytest.mark.parametrize("part", [0.5, 1.0])
async def test_smart_turn_judges_as_pipecats_own(
    models: TurnModels, recordings: dict[str, bytes], name: str, part: float
):
    pcm = recordings[name][: int(len(recordings[name]) * part) // 2 * 2]
    own = LocalSmartTurnAnalyzerV3(params=SmartTurnParams())
    shared = SharedSmartTurnAnalyzer(models.turn_session, models.turn_executor, SmartTurnParams())
    try:
        assert await verdict(shared, pcm) == await verdict(own, pcm)
    finally:
        await own.cleanup()


async def test_smart_turn_of_two_calls_at_once(models: TurnModels, recordings: dict[str, bytes]):
    def analyzer() -> SharedSmartTurnAnalyzer:
        return SharedSmartTurnAnalyzer(models.turn_session, models.turn_executor, SmartTurnParams())

    texts = [recordings["librivox-0880.wav"], recordings["librivox-0870.wav"][: 2 * RATE]]
    alone = [await verdict(analyzer(), pcm) for pcm in texts]
    assert await asyncio.gather(*(verdict(analyzer(), pcm) for pcm in texts)) == alone


async def test_a_call_adds_no_thread(models: TurnModels, recordings: dict[str, bytes]):
    pcm = recordings["librivox-0880.wav"]

    async def call() -> None:
        analyzer = ready(models.vad_analyzer())
        await states(analyzer, pcm)
        smart_turn = models.turn_analyzer()
        assert isinstance(smart_turn, SharedSmartTurnAnalyzer)
        await verdict(smart_turn, pcm)
        await analyzer.cleanup()
        await smart_turn.cleanup()

    await call()
    before = {thread.name for thread in threading.enumerate()}
    await asyncio.gather(*(call() for _ in range(4)))
    assert {thread.name for thread in threading.enumerate()} <= before


def test_every_call_has_an_analyzer_of_its_own(models: TurnModels):
    assert models.turn_analyzer() is not models.turn_analyzer()


async def test_smart_turn_may_be_switched_off_and_the_silences_are_those_of_the_settings():
    models = TurnModels.load(TurnSettings.model_validate({"smart_turn": False, "doubt_secs": 0.4, "longest_secs": 3}))
    assert models.turn_analyzer() is None
    assert (models.patience.doubt_secs, models.patience.longest_secs) == (0.4, 3)
    await models.close()


async def test_the_beginning_of_a_voice_is_told_before_it_is_certain(models: TurnModels, recordings: dict[str, bytes]):
    told: list[tuple[int, str]] = []
    analyzer = models.vad_analyzer()
    ready(analyzer)
    listener: Any = SimpleNamespace(
        voice_began=lambda: told.append((at, "began")), voice_faded=lambda: told.append((at, "faded"))
    )
    analyzer.watch_onsets(listener)
    certain = None
    for at, chunk in enumerate(chunks(bytes(RATE) + recordings["librivox-0880.wav"])):
        if await analyzer.analyze_audio(chunk) == VADState.SPEAKING and certain is None:
            certain = at
    assert told and told[0][1] == "began" and certain is not None
    began = max(place for place, what in told if what == "began" and place < certain)
    # 0.2 s of voice make it certain, and Pipecat's smoothing of the volume takes as long again.
    assert 9 <= certain - began <= 25


async def test_closing_ends_the_threads():
    models = TurnModels.load(TurnSettings())
    await ready(models.vad_analyzer()).analyze_audio(bytes(4 * CHUNK))
    names = {thread.name for thread in models.vad_executor._threads}
    assert names and all(name.startswith("vad") for name in names)
    alive = list(models.vad_executor._threads)
    await models.close()
    assert not any(thread.is_alive() for thread in alive)
