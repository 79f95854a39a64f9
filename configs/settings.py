"""The settings: what may be set, its type, its bounds and its default.

Times are in seconds (`_secs`). Each class is one section of a profile's YAML; from the environment a field is reached
as `VOICE_AGENT_<SECTION>__<FIELD>`, e.g. `VOICE_AGENT_BRAIN__BASE_URL`. `configs.loading` reads and joins the sources.
"""

import ipaddress
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class Section(BaseModel):
    """A group of settings. Unknown keys are errors, and values do not change once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class IceServer(Section):
    """A STUN or TURN server, as in WebRTC's `RTCIceServer`."""

    urls: list[str] = Field(min_length=1, description='e.g. ["stun:stun.example.org:3478"]')
    username: str | None = None
    credential: SecretStr | None = None

    @field_validator("urls")
    @classmethod
    def _urls_name_stun_or_turn(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if not re.fullmatch(r"(stuns?|turns?):[^\s:?/]+(:\d{1,5})?(\?transport=(udp|tcp))?", url):
                raise ValueError(
                    "expected URLs such as stun:stun.example.org:3478 or turn:turn.example.org?transport=udp"
                )
        return urls


class ServerSettings(Section):
    """Where the agent listens, who may call, and for how long."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; loopback needs no token")
    port: int = Field(
        default=7860, ge=0, le=65535, description="TCP port of the page and the signalling; 0 takes a free one"
    )
    token: SecretStr | None = Field(
        default=None, description="access token that callers must show; needed beyond loopback"
    )
    allowed_origins: list[str] = Field(
        default=[], description='public addresses of this agent behind a proxy, e.g. ["https://example.org"]'
    )
    max_calls: int = Field(
        default=8, ge=1, le=1000, description="calls at once; one more is told that the server is full"
    )
    max_call_secs: float = Field(default=1800, gt=0, description="longest call; the caller is told before it ends")
    idle_secs: float = Field(default=300, gt=0, description="a call in which nobody speaks for so long is ended")
    vanish_secs: float = Field(
        default=9, ge=3, le=30, description="a caller from whom nothing came for so long is gone"
    )
    connect_secs: float = Field(default=20, gt=0, description="longest wait for the media of a new call")
    shutdown_secs: float = Field(default=5, ge=0, description="time for running calls to end when the server stops")
    max_body_bytes: int = Field(default=262_144, ge=4096, description="largest request body")
    ice_servers: list[IceServer] = Field(default=[], description="STUN and TURN servers, as a JSON list")

    @field_validator("token")
    @classmethod
    def _token_is_not_blank(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch(r"[!-~]{8,}", token.get_secret_value().strip()):
            raise ValueError("expected at least 8 characters, of letters, digits and ASCII signs without space")
        return token

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @model_validator(mode="after")
    def _open_servers_need_a_token(self) -> "ServerSettings":
        if not self.is_loopback and self.token is None:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, so callers need an access token: set "
                "VOICE_AGENT_SERVER__TOKEN to a secret of 8 characters or more (`openssl rand -hex 16` makes one), "
                "or listen on 127.0.0.1"
            )
        return self


class SttSettings(Section):
    """Speech to text: faster-whisper."""

    model: str = Field(
        default="tiny.en",
        min_length=1,
        description="tiny.en (packaged), a folder with a CTranslate2 model, "
        "or a faster-whisper name such as base.en, which is downloaded",
    )
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    compute_type: Literal["int8", "int8_float16", "int8_float32", "float16", "float32"] = Field(
        default="int8", description="number format of the weights"
    )
    language: str | None = Field(
        default="en", pattern=r"^[a-z]{2,3}$", description="language code; null detects it (multilingual models)"
    )
    threads: int = Field(default=1, ge=1, le=64, description="CPU threads of one transcription")
    window_secs: float = Field(
        default=10, ge=10, le=30, description="encoder window for short utterances; 30 is Whisper's own"
    )
    beam_size: int = Field(default=1, ge=1, le=10, description="1 is greedy; more is slower and a little better")
    max_queue: int = Field(default=32, ge=1, description="utterances that may wait; one more is refused")


class TtsSettings(Section):
    """Text to speech: the embedded voice."""

    engine: Literal["hibari"] = Field(default="hibari", description="which voice engine")
    voice: str = Field(default="heart", min_length=1, description="voice of that engine; heart is packaged")
    speed: float = Field(default=1.0, ge=0.5, le=2.0, description="1 is the voice's own pace")
    threads: int = Field(default=1, ge=1, le=64, description="CPU threads of one synthesis")
    max_queue: int = Field(default=32, ge=1, description="sentences that may wait; one more is refused")


class BrainSettings(Section):
    """What answers: an OpenAI-compatible endpoint, Ollama, a GGUF file, or the packaged SmolLM2, in that order."""

    base_url: str | None = Field(
        default=None, pattern=r"^https?://\S+$", description="OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000/v1"
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="model name at that endpoint or in Ollama; unset takes the first it lists",
    )
    api_key: SecretStr | None = Field(default=None, description="key of that endpoint, where it wants one")
    ollama_url: str | None = Field(
        default="http://127.0.0.1:11434",
        pattern=r"^https?://\S+$",
        description="where to look for Ollama; null does not look",
    )
    gguf: str | None = Field(
        default=None, min_length=1, description="path of a GGUF file, or OWNER/REPO/FILE.gguf of the Hugging Face hub"
    )
    system_prompt: str | None = Field(
        default=None, min_length=1, description="who the agent is; unset suits a spoken conversation"
    )
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="unset leaves it to the endpoint (0.2 for the packaged model)"
    )
    max_tokens: int = Field(default=200, ge=8, le=8192, description="longest answer, in tokens")
    max_sentences: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="cuts an answer after so many sentences; unset trusts the prompt (2 for the packaged model)",
    )
    timeout_secs: float = Field(default=15, gt=0, description="longest wait for the first word, and between two words")
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="CPU threads of a model that runs in this process; unset takes half the cores",
    )
    slots: int = Field(default=4, ge=1, le=64, description="answers that a model in this process writes at once")
    context_tokens: int = Field(default=2048, ge=512, description="context of one answer, for a model in this process")
    gpu_layers: int = Field(default=0, ge=0, description="layers of a model in this process to put on a GPU")


class TurnSettings(Section):
    """When the caller has begun and finished speaking."""

    vad_confidence: float = Field(default=0.7, gt=0, lt=1, description="Silero's confidence that counts as speech")
    vad_start_secs: float = Field(default=0.2, gt=0, le=1, description="speech must last so long to count")
    vad_stop_secs: float = Field(default=0.2, gt=0, le=2, description="silence that makes a pause")
    vad_min_volume: float = Field(default=0.6, ge=0, le=1, description="quieter sound is not speech")
    smart_turn: bool = Field(
        default=True, description="let Smart Turn decide at a pause whether the caller has finished"
    )
    incomplete_secs: float = Field(default=2.0, gt=0, le=10, description="longest wait when Smart Turn says unfinished")
    pause_secs: float = Field(default=0.6, gt=0, le=10, description="without Smart Turn, the pause that ends a turn")


class LogSettings(Section):
    """What is logged, to standard error."""

    level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG and below log what was said"
    )
    format: Literal["text", "json"] = Field(default="text", description="json writes one object a line")


class Settings(Section):
    """All settings of the agent."""

    server: ServerSettings = ServerSettings()
    stt: SttSettings = SttSettings()
    tts: TtsSettings = TtsSettings()
    brain: BrainSettings = BrainSettings()
    turn: TurnSettings = TurnSettings()
    log: LogSettings = LogSettings()


PROFILES = Path(__file__).parent
"""The folder of the profiles: `<name>.yaml`."""
