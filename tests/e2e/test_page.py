"""The page and Pipecat's prebuilt client in a real browser."""

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from scripts.served import ServedAgent
from tests.e2e.browser import SHOTS, browser, microphone_file
from tests.e2e.conftest import QUESTIONS, word_error_rate, words
from tests.e2e.echo_brain import EchoBrain

ServedWith = Callable[..., AbstractContextManager[ServedAgent]]
PHONE = (360, 740)
SPEAKING = "#captions li[data-role=user][data-final=false]"


@pytest.fixture
def microphone(tmp_path: Path, questions: list[Path]) -> Path:
    return microphone_file(tmp_path, questions[0])


def calls_now(agent: ServedAgent) -> int:
    return int(httpx.get(f"{agent.url}/health").json()["active_calls"])


def until_no_calls(agent: ServedAgent, secs: float) -> bool:
    deadline = time.monotonic() + secs
    while calls_now(agent) and time.monotonic() < deadline:
        time.sleep(0.2)
    return calls_now(agent) == 0


def test_press_speak_read_and_hear(
    echo_agent: ServedAgent, brain: EchoBrain, microphone: Path, transcribe: Callable[..., str]
) -> None:
    brain.mode = "echo"
    with browser(echo_agent.url, microphone) as caller:
        page = caller.page
        assert page.title()
        caller.shot("idle-light")
        page.click("#call")
        caller.until_state("live")
        caller.record()
        page.wait_for_selector("#captions li[data-role=user][data-final=true]", timeout=20_000)
        page.wait_for_selector(".latency", timeout=20_000)
        caller.shot("speaking")
        page.wait_for_function("() => document.body.dataset.floor === 'listening'", timeout=20_000)
        audio, rate = caller.recorded()
        said = page.inner_text("#captions li[data-role=user]")
        answered = page.inner_text("#captions li[data-role=agent]")
        assert word_error_rate(f"You {QUESTIONS[0]}", said) <= 0.3, said
        assert "capital of france" in words(answered)
        assert "ms" in page.inner_text(".latency") or " s" in page.inner_text(".latency")
        assert word_error_rate(f"You said {QUESTIONS[0]}", transcribe(audio, rate)) <= 0.25

        page.fill("#text", "The weather is fine in Lisbon.")
        page.press("#text", "Enter")
        page.wait_for_function(
            "() => document.querySelector('#captions').innerText.split('Lisbon').length > 2", timeout=20_000
        )
        # The spoken turn was measured, typed ones have no last word to measure from.
        assert page.locator("#times-turns li").count() == 1
        assert page.locator("#times-turns i").count() == 5
        assert "Turn 1, answered in" in page.inner_text("#times-turns .unseen")

        brain.mode = "story"
        page.fill("#text", "Tell me a story.")
        page.press("#text", "Enter")
        page.wait_for_function("() => [...document.querySelectorAll('.said')].at(-1).innerText.includes('a time')")
        brain.mode = "echo"
        page.fill("#text", "Enough.")
        page.press("#text", "Enter")
        page.wait_for_function("() => document.querySelector('#captions').innerText.includes('You said: Enough.')")
        caller.shot("interrupted")
        # The page shows what was played and no more: the same words that the brain is told it said.
        (remembered,) = [str(it["content"]) for it in brain.requests[-1] if str(it["content"]).startswith("Once")]
        cut_off = page.locator("#captions li[data-cut-off=true]").last
        assert cut_off.locator(".words").inner_text() == f"{remembered} … interrupted"

        page.click("#mute")
        assert page.get_attribute("#mute", "aria-pressed") == "true"
        caller.shot("muted")
        page.click("#call")
        caller.until_state("ended")
        caller.shot("ended")
        assert caller.faults == []
        assert caller.foreign_requests == []
    assert until_no_calls(echo_agent, 10)


def test_words_are_shown_while_the_caller_still_speaks(
    echo_agent: ServedAgent, brain: EchoBrain, audio_folder: Path, tmp_path: Path
) -> None:
    brain.mode = "echo"
    with browser(echo_agent.url, microphone_file(tmp_path, audio_folder / "librivox-0870.wav")) as caller:
        page = caller.page
        page.click("#call")
        caller.until_state("live")
        page.wait_for_function(
            "selector => (document.querySelector(selector)?.innerText ?? '').split(' ').length > 4",
            arg=SPEAKING,
            timeout=20_000,
        )
        early = words(page.inner_text(SPEAKING))
        caller.shot("words-so-far")
        page.wait_for_selector("#captions li[data-role=user][data-final=true]", timeout=20_000)
        said = words(page.inner_text("#captions li[data-role=user]"))
        assert "john dashwood" in early
        assert len(early) < len(said)
        assert page.locator(SPEAKING).count() == 0
        assert caller.faults == []


def test_keyboard_alone_on_a_dark_phone(echo_agent: ServedAgent, microphone: Path) -> None:
    with browser(echo_agent.url, microphone, dark=True, size=PHONE) as caller:
        page = caller.page
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "call":
                break
        assert page.evaluate("document.activeElement.id") == "call"
        page.keyboard.press("Enter")
        caller.until_state("live")
        page.wait_for_selector("#captions li[data-role=agent]", timeout=30_000)
        caller.shot("phone-dark")
        page.keyboard.press("Escape")
        assert page.evaluate("document.body.dataset.state") == "live"
    assert until_no_calls(echo_agent, 12)


def test_a_lost_connection_comes_back(echo_agent: ServedAgent, microphone: Path) -> None:
    with browser(echo_agent.url, microphone) as caller:
        caller.page.click("#call")
        caller.until_state("live")
        time.sleep(1)
        echo_agent.process.send_signal(signal.SIGSTOP)
        try:
            caller.until_state("reconnecting")
            caller.shot("reconnecting")
        finally:
            echo_agent.process.send_signal(signal.SIGCONT)
        caller.until_state("live", secs=15)
        caller.shot("back-again")
        # It is the same call, and it still answers.
        assert calls_now(echo_agent) == 1
        caller.page.fill("#text", "Are you there?")
        caller.page.press("#text", "Enter")
        caller.page.wait_for_selector("#captions li[data-role=agent][data-final=true]", timeout=20_000)
    assert until_no_calls(echo_agent, 12)


def test_a_refused_microphone_is_explained(echo_agent: ServedAgent, microphone: Path) -> None:
    with browser(echo_agent.url, microphone, allowed=False) as caller:
        caller.page.click("#call")
        caller.page.wait_for_selector("#alert:not(:empty)")
        assert "microphone" in caller.page.inner_text("#alert").lower()
        caller.shot("refused")
    assert calls_now(echo_agent) == 0


def test_a_full_server_is_explained(served_with: ServedWith, microphone: Path) -> None:
    with served_with(server__max_calls="1") as agent, browser(agent.url, microphone) as first:
        first.page.click("#call")
        first.until_state("live")
        other = first.page.context.new_page()
        other.goto(agent.url)
        other.click("#call")
        other.wait_for_selector("#alert:not(:empty)")
        assert "busy" in other.inner_text("#alert").lower()
        other.screenshot(path=SHOTS / "full.png")


def test_a_token_is_asked_for(served_with: ServedWith, microphone: Path) -> None:
    with served_with(server__token="open-sesame-1") as agent, browser(agent.url, microphone) as caller:
        page = caller.page
        page.wait_for_selector("#token", state="visible")
        page.fill("#token", "not-this-one")
        page.press("#token", "Enter")
        page.wait_for_selector("#alert:not(:empty)")
        caller.shot("token")
        page.fill("#token", "open-sesame-1")
        page.press("#token", "Enter")
        page.wait_for_selector("#token", state="hidden")
        page.click("#call")
        caller.until_state("live")


def test_the_servers_farewell_is_shown(served_with: ServedWith, microphone: Path) -> None:
    with served_with(server__max_call_secs="5") as agent, browser(agent.url, microphone) as caller:
        caller.page.click("#call")
        caller.until_state("live")
        caller.until_state("ended", secs=30)
        assert "time limit" in caller.page.inner_text("body")
        caller.shot("time-limit")


def test_pipecats_prebuilt_client_connects_unchanged(
    echo_agent: ServedAgent, brain: EchoBrain, microphone: Path, transcribe: Callable[..., str]
) -> None:
    brain.mode = "echo"
    with browser(f"{echo_agent.url}/client/", microphone) as caller:
        page = caller.page
        page.get_by_text('"initialized"').first.wait_for()
        page.get_by_role("button", name="Connect").first.click()
        page.wait_for_function("() => window.lastConnection?.connectionState === 'connected'", timeout=20_000)
        caller.record()
        page.get_by_text("You said", exact=False).first.wait_for(timeout=30_000)
        time.sleep(3)
        audio, rate = caller.recorded()
        caller.shot("prebuilt-client")
        assert "capital of france" in words(page.inner_text("body"))
        assert "capital of france" in words(transcribe(audio, rate))
        assert caller.foreign_requests == []
    assert until_no_calls(echo_agent, 12)
