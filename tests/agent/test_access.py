"""Who may call: with which token, and from which web page."""

import pytest
from starlette.datastructures import Headers

from agent.access import COOKIE, Access
from agent.errors import OriginRefused, TokenRequired
from configs.settings import ServerSettings

TOKEN = "correct-horse-battery"


def access(**settings: object) -> Access:
    return Access(ServerSettings.model_validate(settings))


def check_token(guard: Access, authorization: str | None = None, cookie: str | None = None) -> None:
    headers = Headers({} if authorization is None else {"Authorization": authorization})
    guard.check_token(headers, {} if cookie is None else {COOKIE: cookie})


def check_origin(guard: Access, host: str | None = "127.0.0.1:7860", origin: str | None = None) -> None:
    given = {"Host": host, "Origin": origin}
    guard.check_origin(Headers({name: value for name, value in given.items() if value is not None}))


def test_without_a_token_everyone_on_this_machine_may_call():
    guard = access()
    assert not guard.needs_token
    check_token(guard)
    check_token(guard, "Bearer whatever")


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN} "])
def test_the_token_is_shown_as_a_bearer_token(authorization: str):
    check_token(access(token=TOKEN), authorization)


def test_or_as_our_cookie():
    check_token(access(token=TOKEN), cookie=TOKEN)
    check_token(access(token=TOKEN), "Basic dXNlcjpwYXNz", cookie=TOKEN)


def test_blanks_around_the_token_of_the_settings_do_not_matter():
    check_token(access(token=f" {TOKEN}\n"), f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("authorization", "cookie"),
    [
        (None, None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer wrong", None),
        (f"Bearer {TOKEN}x", None),
        (f"Bearer {TOKEN[:-1]}", None),
        (f"Bearer {TOKEN.upper()}", None),
        (f"Basic {TOKEN}", None),
        (TOKEN, None),
        ("Bearer pässwörd", None),
        (None, "wrong"),
        (None, ""),
        ("Bearer wrong", TOKEN),
    ],
)
def test_no_token_or_a_wrong_one_is_refused(authorization: str | None, cookie: str | None):
    with pytest.raises(TokenRequired) as caught:
        check_token(access(token=TOKEN), authorization, cookie)
    assert caught.value.status == 401 and caught.value.where == "Authorization"
    assert TOKEN not in str(caught.value.body())


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "127.0.0.2", "LOCALHOST"]
)
def test_on_the_loopback_the_page_itself_and_programs_may_call(host: str):
    check_origin(access(), host)
    check_origin(access(), host, f"http://{host}")


def test_a_server_on_the_ipv6_loopback_is_on_the_loopback_too():
    check_origin(access(host="::1"), "[::1]:7860", "http://[::1]:7860")
    with pytest.raises(OriginRefused):
        check_origin(access(host="::1"), "evil.example:7860")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.1.5:7860",
        "0.0.0.0:7860",
        "",
        None,
        "[::1",
        "]",
        "127.0.0.1@evil.example",
    ],
)
def test_a_name_rebound_to_the_loopback_is_refused(host: str | None):
    with pytest.raises(OriginRefused) as caught:
        check_origin(access(), host)
    assert caught.value.status == 403 and caught.value.where == "Host"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1:9999",
        "http://127.0.0.1",
        "http://localhost:7860",
        "null",
        "http://127.0.0.1:7860.evil.example",
        "http://evil.example/127.0.0.1:7860",
        "http://[::1",
    ],
)
@pytest.mark.parametrize("settings", [{}, {"host": "0.0.0.0", "token": TOKEN}], ids=["loopback", "open"])
def test_a_page_of_another_site_is_refused(settings: dict[str, str], origin: str):
    with pytest.raises(OriginRefused) as caught:
        check_origin(access(**settings), "127.0.0.1:7860", origin)
    assert caught.value.where == "Origin"


@pytest.mark.parametrize("allowed", ["https://voice.example.org", "https://Voice.Example.org/"])
def test_pages_of_an_allowed_origin_may_call(allowed: str):
    guard = access(allowed_origins=[allowed])
    check_origin(guard, "127.0.0.1:7860", "https://voice.example.org")
    check_origin(guard, "voice.example.org", "https://voice.example.org")
    check_origin(guard, "voice.example.org")
    with pytest.raises(OriginRefused):
        check_origin(guard, "127.0.0.1:7860", "http://voice.example.org")
    with pytest.raises(OriginRefused):
        check_origin(guard, "127.0.0.1:7860", "https://voice.example.org.evil.example")


def test_an_open_server_is_called_by_any_name_of_its_machine():
    guard = access(host="0.0.0.0", token=TOKEN)
    check_origin(guard, "voice.example.org:7860", "http://voice.example.org:7860")
    check_origin(guard, "192.168.1.5:7860")
