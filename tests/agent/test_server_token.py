"""An agent that wants a token: who gets in, and how a browser keeps the token."""

import json
from typing import Any

import pytest

from agent.access import COOKIE
from tests.agent.conftest import TOKEN, Served, served, settings_with

GUARDED = [
    ("GET", "/api/info"),
    ("GET", "/metrics"),
    ("POST", "/start"),
    ("POST", "/api/offer"),
    ("PATCH", "/api/offer"),
    ("POST", "/sessions/s/api/offer"),
    ("PATCH", "/sessions/s/api/offer"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong-token"}, {"Cookie": f"{COOKIE}=wrong"}])
async def test_without_the_right_token_nothing_is_given(
    guarded: Served, method: str, path: str, headers: dict[str, str]
):
    response = await guarded.http.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json()["error"]["code"] == "token_required"
    assert TOKEN not in response.text


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"{COOKIE}={TOKEN}"}])
async def test_with_it_everything_is(guarded: Served, offer: dict[str, Any], headers: dict[str, str]):
    for path in ("/api/info", "/metrics"):
        assert (await guarded.http.get(path, headers=headers)).status_code == 200
    assert (await guarded.http.post("/api/offer", headers=headers, json=offer)).status_code == 503


@pytest.mark.parametrize("path", ["/", "/client/", "/health", "/ready"])
async def test_the_page_and_the_health_need_none(guarded: Served, path: str):
    assert (await guarded.http.get(path)).status_code in (200, 503)


def cookie_attributes(response: Any) -> set[str]:
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith(f"{COOKIE}=")
    return {attribute.lower() for attribute in attributes}


async def test_a_link_with_the_token_sets_the_cookie_and_takes_the_token_out_of_the_address(guarded: Served):
    response = await guarded.http.get("/", params={"token": TOKEN})
    assert response.status_code == 303 and response.headers["location"] == "/"
    assert {"httponly", "samesite=strict", "path=/"} <= cookie_attributes(response)
    assert "secure" not in cookie_attributes(response)
    assert (await guarded.http.get("/api/info")).status_code == 200


async def test_over_https_the_cookie_is_sent_over_https_only():
    settings = settings_with(SERVER__TOKEN=TOKEN)
    async with served(settings, base_url="https://127.0.0.1:7860") as app:
        assert "secure" in cookie_attributes(await app.http.get("/", params={"token": TOKEN}))


async def test_a_link_with_a_wrong_token_shows_the_page_without_a_cookie(guarded: Served):
    response = await guarded.http.get("/", params={"token": "wrong"})
    assert response.status_code == 200 and "set-cookie" not in response.headers


async def test_the_page_may_hand_in_the_token(guarded: Served):
    response = await guarded.http.post("/api/token", json={"token": f" {TOKEN} "})
    assert response.status_code == 204 and "httponly" in cookie_attributes(response)
    assert (await guarded.http.get("/api/info")).status_code == 200


@pytest.mark.parametrize("body", [b'{"token": "wrong"}', b'{"token": 5}', b"{}", b"[]", b"null", b'"x"'])
async def test_a_wrong_token_is_not_kept(guarded: Served, body: bytes):
    response = await guarded.http.post("/api/token", content=body)
    assert response.status_code == 401 and "set-cookie" not in response.headers


async def test_a_page_of_another_site_cannot_hand_in_a_token(guarded: Served):
    response = await guarded.http.post("/api/token", json={"token": TOKEN}, headers={"Origin": "https://evil.example"})
    assert response.status_code == 403 and "set-cookie" not in response.headers


@pytest.mark.parametrize("token", ['with"quotes";and,more', "a=b=c=d=e=f"])
async def test_any_token_survives_the_cookie(token: str):
    async with served(settings_with(SERVER__TOKEN=token)) as app:
        assert (await app.http.post("/api/token", json={"token": token})).status_code == 204
        assert (await app.http.get("/api/info")).status_code == 200


async def test_without_a_token_in_the_settings_a_link_with_one_is_the_page(starting: Served):
    response = await starting.http.get("/", params={"token": "anything"})
    assert response.status_code == 200 and "set-cookie" not in response.headers


@pytest.mark.parametrize("token", ["\ud800", "☃☃☃☃☃☃☃☃", "ünïcödé-tökén"])
async def test_a_token_that_cannot_be_is_refused_like_any_other(token: str):
    for settings, status in ((settings_with(SERVER__TOKEN=TOKEN), 401), (settings_with(), 204)):
        async with served(settings) as app:
            content = json.dumps({"token": token})
            assert (await app.http.post("/api/token", content=content)).status_code == status
