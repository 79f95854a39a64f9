"""The HTTP door while the models are being loaded: what is answered, and what is refused with which words."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.server import version
from tests.agent.conftest import Served, served, settings_with


def error_of(response: Any) -> dict[str, str]:
    return response.json()["error"]


async def test_health_is_well_as_soon_as_the_server_listens(starting: Served):
    response = await starting.http.get("/health")
    assert response.status_code == 200
    health = response.json()
    assert (health["status"], health["version"]) == ("ok", version())
    assert (health["active_calls"], health["max_calls"]) == (0, 8)
    assert health["uptime_secs"] >= 0


async def test_ready_tells_why_it_is_not(starting: Served):
    response = await starting.http.get("/ready")
    assert response.status_code == 503
    assert response.json() == {"ready": False, "reason": "the models are being loaded"}


async def test_a_server_that_stops_is_not_ready(starting: Served):
    await starting.calls.close()
    assert (await starting.http.get("/ready")).json()["reason"] == "the server is stopping"


async def test_a_call_is_asked_to_wait_until_the_models_are_loaded(starting: Served, offer: dict[str, Any]):
    for response in (await starting.http.post("/api/offer", json=offer), await starting.http.post("/start")):
        assert response.status_code == 503
        assert error_of(response)["code"] == "not_ready" and "still starting" in error_of(response)["message"]
        assert int(response.headers["Retry-After"]) > 0


async def test_a_call_is_not_taken_any_more_once_the_server_stops(starting: Served, offer: dict[str, Any]):
    await starting.calls.close()
    response = await starting.http.post("/api/offer", json=offer)
    assert response.status_code == 503 and "switched off" in error_of(response)["message"]


def without(sdp: str, *prefixes: str) -> str:
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith(prefixes))


@pytest.mark.parametrize("path", ["/api/offer", "/sessions/some-session/api/offer"])
@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda _: [], "body"),
        (lambda _: "offer", "body"),
        (lambda _: None, "body"),
        (lambda offer: {**offer, "type": "answer"}, "type"),
        (lambda offer: {"sdp": offer["sdp"]}, "type"),
        (lambda offer: {"type": "offer"}, "sdp"),
        (lambda offer: {**offer, "sdp": 5}, "sdp"),
        (lambda offer: {**offer, "sdp": ""}, "sdp"),
        (lambda offer: {**offer, "sdp": "hello"}, "sdp"),
        (lambda offer: {**offer, "pc_id": 7}, "pc_id"),
        (lambda offer: {**offer, "restart_pc": "yes"}, "restart_pc"),
        (lambda offer: {**offer, "sdp": offer["sdp"].replace("m=audio", "m=video")}, "sdp"),
        (lambda offer: {**offer, "sdp": offer["sdp"].replace("opus/48000/2", "speex/8000")}, "sdp"),
        (lambda offer: {**offer, "sdp": without(offer["sdp"], "a=ice-")}, "sdp"),
        (lambda offer: {**offer, "sdp": without(offer["sdp"], "a=fingerprint")}, "sdp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_malformed_offer_is_refused_with_the_part_at_fault(
    starting: Served, offer: dict[str, Any], change: Any, where: str, path: str
):
    response = await starting.http.post(path, json=change(offer))
    assert response.status_code == 400
    error = error_of(response)
    assert (error["code"], error["where"]) == ("bad_request", where)
    assert error["message"] and error["expected"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"sdp=1", b"[" * 5000])
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/offer"), ("PATCH", "/api/offer"), ("POST", "/api/token")])
async def test_a_body_that_is_not_json_is_refused(starting: Served, method: str, path: str, content: bytes):
    response = await starting.http.request(method, path, content=content)
    assert response.status_code == 400 and error_of(response)["where"] == "body"


@pytest.mark.parametrize(
    ("content", "where"), [(b"[]", "body"), (b'{"transport": "daily"}', "transport"), (b"{", "body")]
)
async def test_start_takes_nothing_or_a_call_over_webrtc(starting: Served, content: bytes, where: str):
    response = await starting.http.post("/start", content=content)
    assert response.status_code == 400 and error_of(response)["where"] == where


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"pc_id": 1}, "pc_id"),
        ({"candidates": "x"}, "candidates"),
        ({"candidates": [{}] * 65}, "candidates"),
        ({"candidates": [{"candidate": "nonsense"}]}, "candidates[0].candidate"),
    ],
)
async def test_malformed_candidates_are_refused_with_the_part_at_fault(
    starting: Served, change: dict[str, Any], where: str
):
    response = await starting.http.patch("/api/offer", json={"pc_id": "x", "candidates": [], **change})
    assert response.status_code == 400 and error_of(response)["where"] == where


async def test_candidates_of_no_call_are_not_found(starting: Served):
    for path in ("/api/offer", "/sessions/s/api/offer"):
        response = await starting.http.patch(path, json={"pc_id": "gone", "candidates": []})
        assert response.status_code == 404 and error_of(response)["where"] == "pc_id"


async def test_a_session_that_was_not_started_is_not_found(starting: Served, offer: dict[str, Any]):
    response = await starting.http.post("/sessions/never/api/offer", json=offer)
    assert response.status_code == 404 and error_of(response)["where"] == "session id"


@pytest.mark.parametrize("with_length", [True, False])
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/offer"), ("PATCH", "/api/offer"), ("POST", "/start")])
async def test_a_body_that_is_too_large_is_refused(starting: Served, method: str, path: str, with_length: bool):
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 10_000

    content = b" " * 400_000 if with_length else pieces()
    response = await starting.http.request(method, path, content=content)
    assert response.status_code == 413
    assert (error_of(response)["code"], error_of(response)["where"]) == ("too_large", "body")
    assert "262144" in error_of(response)["expected"]


async def test_a_length_that_lies_does_not_let_a_large_body_in(starting: Served):
    async def pieces() -> AsyncIterator[bytes]:
        yield b" " * 300_000

    response = await starting.http.post("/api/offer", content=pieces(), headers={"Content-Length": "10"})
    assert response.status_code == 413


async def test_the_page_and_pipecats_client_are_served(starting: Served):
    page = await starting.http.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "<title>" in page.text
    client = await starting.http.get("/client/")
    assert client.status_code == 200 and "<div" in client.text


@pytest.mark.parametrize(
    "path", ["/nowhere", "/client/nowhere", "/../agent/cli.py", "/%2e%2e/package.json", "/api/nowhere"]
)
async def test_what_is_not_there_is_not_found(starting: Served, path: str):
    assert (await starting.http.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_there_is_no_automatic_documentation_to_load_from_elsewhere(starting: Served, path: str):
    assert (await starting.http.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/", "/client/", "/health", "/nowhere", "/metrics"])
async def test_every_answer_has_the_security_headers(starting: Served, path: str):
    headers = (await starting.http.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer" and "microphone=(self)" in headers["Permissions-Policy"]
    if not path.startswith("/client"):
        assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "access-control-allow-origin" not in headers


async def test_refusals_too_have_the_security_headers(starting: Served):
    response = await starting.http.post("/api/offer", headers={"Origin": "https://evil.example"}, json={})
    assert response.status_code == 403 and response.headers["X-Frame-Options"] == "DENY"
    assert error_of(response)["code"] == "origin_refused"


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/client/", "/api/info"])
async def test_a_site_that_rebinds_its_name_reads_nothing(starting: Served, path: str):
    response = await starting.http.get(path, headers={"Host": "evil.example:7860"})
    assert response.status_code == 403 and error_of(response)["where"] == "Host"


@pytest.mark.parametrize("headers", [{"Host": "[::1"}, {"Origin": "http://[::1"}])
async def test_a_malformed_host_or_origin_is_refused_like_any_other(starting: Served, headers: dict[str, str]):
    assert (await starting.http.get("/health", headers=headers)).status_code in (400, 403)


async def test_the_page_is_told_of_the_agent(starting: Served):
    info = (await starting.http.get("/api/info")).json()
    assert info["voice"] == "hibari heart" and info["version"] == version()
    assert info["brain"] == {"label": None, "small": False} and info["ice_servers"] == []


async def test_the_page_is_told_of_the_ice_servers():
    turn = {"urls": ["turn:turn.example.org"], "username": "u", "credential": "p"}
    async with served(settings_with(SERVER__ICE_SERVERS=json.dumps([turn]))) as app:
        assert (await app.http.get("/api/info")).json()["ice_servers"] == [turn]


async def test_refusals_are_counted(starting: Served):
    await starting.http.post("/api/offer", json={})
    await starting.http.get("/health", headers={"Origin": "https://evil.example"})
    metrics = (await starting.http.get("/metrics")).text
    assert 'voice_agent_requests_refused_total{kind="bad_request"} 1.0' in metrics
    assert 'voice_agent_requests_refused_total{kind="origin_refused"} 1.0' in metrics
