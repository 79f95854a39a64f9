"""Calls are let in as long as there is room, and leave nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription

from agent.brain import open_brain
from agent.calls import SESSION_SECS, Calls
from agent.engines import Engines
from agent.errors import NotFound, NotReady, ServerFull
from agent.llm import new_client
from agent.metrics import Metrics
from configs.settings import Settings
from engines.voices import HibariEngine
from engines.whisper import WhisperEngine
from processors.turn import TurnModels
from tests.agent.conftest import DEAD, Endpoint, caller, served, settings_with, until
from transports.inbound_audio import inbound_audio
from transports.webrtc import SignallingError, parse_candidates, parse_offer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def engines(whisper: WhisperEngine, hibari: HibariEngine, endpoint: Endpoint) -> AsyncIterator[Engines]:
    settings = settings_with(BRAIN__BASE_URL=f"{endpoint.url}/v1")
    brain = await open_brain(settings.brain)
    turn = TurnModels.load(settings.turn)
    client = new_client(brain)
    yield Engines(stt=whisper, tts=hibari, turn=turn, brain=brain, brain_client=client)
    await client.close()
    await turn.close()


@asynccontextmanager
async def taking_calls(
    engines: Engines, settings: Settings, clock: Clock | None = None
) -> AsyncIterator[tuple[Calls, Metrics]]:
    metrics = Metrics()
    calls = Calls(settings.server, metrics, clock or Clock())
    calls.open(engines)
    try:
        yield calls, metrics
    finally:
        await calls.close()


async def connect(calls: Calls, connection: RTCPeerConnection, sent: dict[str, Any]) -> dict[str, str]:
    answer = await calls.offer(parse_offer(sent))
    await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    return answer


async def test_a_call_runs_until_the_caller_hangs_up(engines: Engines):
    async with taking_calls(engines, settings_with()) as (calls, metrics), caller() as (connection, sent):
        assert await calls.not_ready() is None
        connection.getSenders()[0].replaceTrack(AudioStreamTrack())
        answer = await connect(calls, connection, sent)
        assert answer["type"] == "answer" and "opus" in answer["sdp"] and answer["pc_id"]
        await until(lambda: connection.connectionState == "connected")
        assert calls.count == 1
        audio = inbound_audio(next(iter(calls._running)).connection.pc)
        await until(lambda: audio is not None and audio.counts.received > 5)
        await calls.add_candidates(parse_candidates({"pc_id": answer["pc_id"], "candidates": []}))
        await connection.close()
        await until(lambda: calls.count == 0)
        with pytest.raises(NotFound):
            await calls.add_candidates(parse_candidates({"pc_id": answer["pc_id"], "candidates": []}))
        exposition = metrics.exposition().decode()
        assert audio is not None
        assert f'voice_agent_wire_packets_total{{outcome="received"}} {audio.counts.received:.1f}' in exposition
        assert "voice_agent_calls 0.0" in exposition and "voice_agent_calls_started_total 1.0" in exposition
        assert 'voice_agent_calls_ended_total{reason="hangup"} 1.0' in exposition


async def test_one_call_more_than_the_server_takes_is_told_that_all_lines_are_busy(engines: Engines):
    async with (
        served(settings_with(SERVER__MAX_CALLS="1")) as app,
        caller() as (connection, sent),
        caller() as (_, another),
    ):
        app.calls.open(engines)
        await connect(app.calls, connection, sent)
        refused = await app.http.post("/api/offer", json=another)
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
        assert refused.json()["error"]["code"] == "server_full"
        assert "All 1 lines are busy" in refused.json()["error"]["message"]
        metrics = (await app.http.get("/metrics")).text
        assert 'voice_agent_requests_refused_total{kind="server_full"} 1.0' in metrics
        assert (await app.http.post("/start")).status_code == 503
        assert (await app.http.get("/health")).json()["active_calls"] == 1
        await until(lambda: connection.connectionState == "connected")
        await connection.close()
        await until(lambda: app.calls.count == 0)
        assert (await app.http.post("/api/offer", json=another)).status_code == 200


async def test_callers_who_come_at_the_same_moment_do_not_overfill_the_server(engines: Engines):
    async with taking_calls(engines, settings_with(SERVER__MAX_CALLS="2")) as (calls, _):
        async with caller() as (_, one), caller() as (_, two), caller() as (_, three):
            offers = [calls.offer(parse_offer(sent)) for sent in (one, two, three)]
            results = await asyncio.gather(*offers, return_exceptions=True)
        assert sum(isinstance(result, ServerFull) for result in results) == 1
        assert calls.count == 2


async def test_a_caller_whose_media_never_comes_is_dropped(engines: Engines):
    async with taking_calls(engines, settings_with(SERVER__CONNECT_SECS="0.2")) as (calls, metrics):
        async with caller() as (_, sent):
            await calls.offer(parse_offer(sent))
        await until(lambda: calls.count == 0)
        assert 'voice_agent_calls_ended_total{reason="never-connected"} 1.0' in metrics.exposition().decode()


async def test_a_refused_offer_takes_no_line(engines: Engines):
    async with taking_calls(engines, settings_with(SERVER__MAX_CALLS="1")) as (calls, _), caller() as (_, sent):
        broken = sent["sdp"].replace("a=setup:actpass", "a=setup:nonsense")
        for _ in range(2):
            try:
                await calls.offer(parse_offer({"type": "offer", "sdp": broken}))
            except SignallingError:
                continue
            pytest.fail("an offer that aiortc cannot accept was answered")
        assert calls.count == 0
        await calls.offer(parse_offer(sent))


async def test_an_offer_of_a_running_call_renegotiates_it(engines: Engines):
    settings = settings_with(SERVER__MAX_CALLS="1", SERVER__SHUTDOWN_SECS="0.2")
    async with taking_calls(engines, settings) as (calls, _), caller() as (connection, sent):
        answer = await connect(calls, connection, sent)
        await until(lambda: connection.connectionState == "connected")
        await connection.setLocalDescription(await connection.createOffer())
        again = {"type": "offer", "sdp": connection.localDescription.sdp, "pc_id": answer["pc_id"]}
        assert (await connect(calls, connection, again))["pc_id"] == answer["pc_id"]
        assert calls.count == 1


async def test_a_session_is_good_for_one_call_and_for_a_minute(engines: Engines):
    clock = Clock()
    async with taking_calls(engines, settings_with(), clock) as (calls, _), caller() as (_, sent):
        session, used = calls.new_session(), calls.new_session()
        assert session != used
        calls.check_session(used, None)
        await calls.offer(parse_offer(sent), used)
        with pytest.raises(NotFound):
            calls.check_session(used, None)
        calls.check_session(session, None)
        clock.now += SESSION_SECS + 1
        with pytest.raises(NotFound, match="too long ago"):
            calls.check_session(session, None)


async def test_sessions_that_nobody_uses_do_not_pile_up(engines: Engines):
    async with taking_calls(engines, settings_with()) as (calls, _):
        sessions = [calls.new_session() for _ in range(1000)]
        assert len(calls._sessions) <= 256
        calls.check_session(sessions[-1], None)


async def test_when_the_server_stops_running_calls_end_and_new_ones_are_refused(engines: Engines):
    async with taking_calls(engines, settings_with(SERVER__SHUTDOWN_SECS="1")) as (calls, metrics):
        async with caller() as (connection, sent), caller() as (_, another):
            await connect(calls, connection, sent)
            await until(lambda: connection.connectionState == "connected")
            await calls.close()
            assert calls.count == 0
            with pytest.raises(NotReady, match="switched off"):
                await calls.offer(parse_offer(another))
        assert 'voice_agent_calls_ended_total{reason="shutdown"} 1.0' in metrics.exposition().decode()


async def test_a_brain_that_is_down_is_the_reason_not_to_be_ready(engines: Engines, endpoint: Endpoint):
    clock = Clock()
    async with taking_calls(engines, settings_with(), clock) as (calls, _):
        assert await calls.not_ready() is None
        endpoint.models_status = 500
        clock.now += 60
        reason = await calls.not_ready()
        assert reason is not None and "does not answer" in reason and endpoint.url not in reason
        endpoint.models_status = 200
        clock.now += 60
        assert await calls.not_ready() is None


async def test_a_brain_that_is_down_does_not_keep_callers_out(engines: Engines):
    engines.brain = await open_brain(settings_with(BRAIN__BASE_URL=f"{DEAD}/v1").brain)
    async with taking_calls(engines, settings_with()) as (calls, _), caller() as (connection, sent):
        assert (await connect(calls, connection, sent))["type"] == "answer"
