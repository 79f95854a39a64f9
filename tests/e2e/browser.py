"""A caller's browser: headless Chromium with a sound file as its microphone."""

import base64
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, sync_playwright

SHOTS = Path(__file__).parent.parent.parent / ".run" / "screenshots"
RATE = 48_000
LEAD_SECS = 5
TAIL_SECS = 40

KEEP_CONNECTION = """
    const set = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = async function (...args) {
        await set.apply(this, args);
        window.lastConnection = this;
    };
"""
RECORD = """
    () => {
        const { track } = window.lastConnection.getReceivers().find((one) => one.track.kind === "audio");
        const pieces = [];
        window.recorder = new MediaRecorder(new MediaStream([track]));
        window.recorder.ondataavailable = ({ data }) => pieces.push(data);
        window.recording = new Promise((resolve) => {
            window.recorder.onstop = async () => {
                const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
                let text = "";
                for (const byte of bytes) text += String.fromCharCode(byte);
                resolve(btoa(text));
            };
        });
        window.recorder.start();
    }
"""


@dataclass
class Browser:
    """One page in a browser of its own, and what it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def shot(self, name: str) -> None:
        """Keep a picture of the page, for people to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def until_state(self, state: str, secs: float = 20) -> None:
        """Wait until the page says that the call stands so."""
        self.page.wait_for_function("state => document.body.dataset.state === state", arg=state, timeout=secs * 1000)

    def record(self) -> None:
        """Begin to record what the page hears."""
        self.page.evaluate(RECORD)

    def recorded(self) -> tuple[np.ndarray, int]:
        """What the page heard since `record`, as float samples and their rate."""
        encoded = self.page.evaluate("() => { window.recorder.stop(); return window.recording; }")
        with av.open(io.BytesIO(base64.b64decode(encoded)), "r") as container:
            resampler = av.AudioResampler("flt", "mono", RATE)
            frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames]), RATE

    @property
    def foreign_requests(self) -> list[str]:
        """Requests that left this machine."""
        return [url for url in self.requests if not url.startswith(("http://127.0.0.1", "data:", "blob:"))]


def chromium() -> str:
    """The installed Chromium. Continuous integration installs it; elsewhere its absence skips the test, and says so."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail("there is no Chromium; .ci/run installs it")
    pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")


@contextmanager
def browser(
    url: str,
    microphone: Path | None,
    *,
    allowed: bool = True,
    dark: bool = False,
    size: tuple[int, int] = (1200, 800),
) -> Iterator[Browser]:
    """Open a page.

    Args:
        url: What to open.
        microphone: A WAV that the microphone hears once; None for a machine without one.
        allowed: Whether the caller allows the microphone when asked.
        dark: Whether the caller prefers dark pages.
        size: Width and height in CSS pixels.
    """
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    arguments.append("--autoplay-policy=no-user-gesture-required")
    if microphone is not None:
        arguments.append("--use-fake-device-for-media-stream")
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    if allowed:
        arguments.append("--use-fake-ui-for-media-stream")
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        context = chrome.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        opened = Browser(context.new_page())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("pageerror", lambda error: opened.faults.append(error.message))
        opened.page.add_init_script(KEEP_CONNECTION)
        opened.page.goto(url)
        try:
            yield opened
        finally:
            chrome.close()


def microphone_file(folder: Path, question: Path) -> Path:
    """A WAV for the microphone: silence while the call begins, the question, silence."""
    speech, rate = soundfile.read(question, dtype="float32")
    path = folder / "microphone.wav"
    samples = np.concatenate([np.zeros(LEAD_SECS * rate), speech, np.zeros(TAIL_SECS * rate)])
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path
