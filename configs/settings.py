"""The settings: what may be set, its type, its bounds and its default.

Times are in seconds (`_secs`). Each class is one section of a profile's YAML; from the environment a field is reached
as `VOICE_AGENT_<SECTION>__<FIELD>`, e.g. `VOICE_AGENT_BRAIN__BASE_URL`. `configs.loading` reads and joins the sources.
"""

import ipaddress
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from configs.section import Section
from configs.talking import ConversationSettings, TurnSettings
from configs.tools import ToolSettings


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


class Listener(Section):
    """Where a server listens, and the token that those who reach it from other machines must show."""

    token_variable: ClassVar[str]
    """The environment variable of the token, for errors."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; loopback needs no token")
    port: int = Field(default=0, ge=0, le=65535, description="TCP port; 0 takes a free one")
    token: SecretStr | None = Field(
        default=None, description="access token that callers must show; needed beyond loopback"
    )

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
    def _open_servers_need_a_token(self) -> "Listener":
        if not self.is_loopback and self.token is None:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, so callers need an access token: set "
                f"{self.token_variable} to a secret of 8 characters or more (`openssl rand -hex 16` makes one), "
                "or listen on 127.0.0.1"
            )
        return self


class ServerSettings(Listener):
    """Where the agent listens, who may call, and for how long."""

    token_variable = "VOICE_AGENT_SERVER__TOKEN"

    port: int = Field(
        default=7860, ge=0, le=65535, description="TCP port of the page and the signalling; 0 takes a free one"
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
    jitter_min_secs: float = Field(
        default=0.01, ge=0, le=0.2, description="a missing packet of the caller's sound is waited for at least so long"
    )
    jitter_max_secs: float = Field(
        default=0.15, ge=0, le=1, description="and, where packets overtake each other, at most so long"
    )
    ice_servers: list[IceServer] = Field(default=[], description="STUN and TURN servers, as a JSON list")

    @model_validator(mode="after")
    def _waits_are_in_order(self) -> "ServerSettings":
        if self.jitter_min_secs > self.jitter_max_secs:
            raise ValueError(
                f"jitter_min_secs is {self.jitter_min_secs:g} and jitter_max_secs {self.jitter_max_secs:g}: "
                "expected jitter_max_secs to be at least as long"
            )
        return self


def websocket_urls(urls: list[str]) -> list[str]:
    """The addresses of services, checked."""
    for url in urls:
        if not re.fullmatch(r"wss?://[^\s/]+(/\S*)?", url):
            raise ValueError("expected addresses such as ws://127.0.0.1:8001")
    return urls


class SttSettings(Section):
    """Speech to text: Whisper, in this process or in services of its own."""

    urls: list[str] = Field(
        default=[],
        description='addresses of ASR services, e.g. ["ws://127.0.0.1:8001"]; empty runs the model in this process',
    )
    token: SecretStr | None = Field(default=None, description="access token of those services, where they want one")
    timeout_secs: float = Field(default=4, gt=0, le=60, description="longest wait for an answer of those services")
    model: str = Field(
        default="tiny.en",
        min_length=1,
        description="tiny.en (packaged), a model's folder, or a name such as large-v3-turbo, which is downloaded",
    )
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    backend: Literal["auto", "ctranslate2", "torch"] = Field(
        default="auto", description="what runs the model; auto takes torch on a GPU where it is installed"
    )
    compute_type: Literal["int8", "int8_float16", "int8_float32", "float16", "bfloat16", "float32"] = Field(
        default="int8", description="number format of the weights; torch takes the float ones"
    )
    language: str | None = Field(
        default="en", pattern=r"^[a-z]{2,3}$", description="language code; null detects it (multilingual models)"
    )
    prompt: str | None = Field(
        default=None, max_length=2000, description="text before every utterance, for spelling and style"
    )
    hotwords: str | None = Field(default=None, max_length=2000, description="words to expect, e.g. names")
    threads: int = Field(default=1, ge=1, le=64, description="CPU threads of one batch")
    windows_secs: list[float] = Field(
        default=[10, 20],
        description="encoder windows, each for utterances that fit in it; 30, Whisper's own, is for all others",
    )
    beam_size: int = Field(default=1, ge=1, le=10, description="1 is greedy; more is slower and a little better")
    temperatures: list[float] = Field(
        default=[0], min_length=1, max_length=6, description="tried in this order while a result is doubtful"
    )
    max_batch: int = Field(default=16, ge=1, le=128, description="utterances that go through the model together")
    max_queue: int = Field(default=64, ge=1, description="utterances that may wait; one more is refused")
    silence_dbfs: float = Field(
        default=-55, ge=-90, le=-20, description="what is nowhere louder than this holds no speech, in dB of full scale"
    )
    early_secs: float | None = Field(
        default=0.08,
        ge=0,
        le=1,
        description="transcription begins when the voice has been down for so long; null waits for the pause",
    )
    partial_secs: float | None = Field(
        default=1.0, ge=0.2, le=10, description="how often the words so far are shown while one speaks; null never"
    )

    @field_validator("urls")
    @classmethod
    def _urls_are_websockets(cls, urls: list[str]) -> list[str]:
        return websocket_urls(urls)

    @field_validator("windows_secs")
    @classmethod
    def _windows_do_no_harm(cls, windows: list[float]) -> list[float]:
        if any(not 10 <= secs <= 30 for secs in windows):
            raise ValueError("expected windows from 10 to 30 seconds: shorter ones make Whisper repeat itself")
        if any(round(secs * 50) != secs * 50 for secs in windows):
            raise ValueError("expected windows in steps of 0.02 seconds")
        return windows

    @field_validator("temperatures")
    @classmethod
    def _temperatures_are_in_range(cls, temperatures: list[float]) -> list[float]:
        if any(not 0 <= temperature <= 1 for temperature in temperatures):
            raise ValueError("expected temperatures from 0 to 1")
        return temperatures

    @property
    def engine_arguments(self) -> dict[str, Any]:
        """What the engine in this process is built with."""
        fields = ("model", "device", "backend", "compute_type", "language", "prompt", "hotwords")
        fields += ("threads", "beam_size", "max_batch", "max_queue", "silence_dbfs")
        arguments = {name: getattr(self, name) for name in fields}
        return {
            **arguments,
            "windows_secs": tuple(self.windows_secs),
            "temperatures": tuple(self.temperatures),
        }


OWN_VOICES = ("heart", "default")
"""The voices that come with hibari and with Chatterbox."""


class TtsSettings(Section):
    """Text to speech: the embedded voice or Chatterbox, in this process or in services of their own."""

    urls: list[str] = Field(
        default=[],
        description='addresses of TTS services, e.g. ["ws://127.0.0.1:8002"]; empty runs the model in this process',
    )
    token: SecretStr | None = Field(default=None, description="access token of those services, where they want one")
    timeout_secs: float = Field(default=4, gt=0, le=60, description="longest wait for sound from those services")
    engine: Literal["hibari", "chatterbox"] = Field(default="hibari", description="which voice engine")
    voice: str = Field(
        default="heart",
        min_length=1,
        description="who speaks; heart is the engine's own (Chatterbox: default); any other is asked of services, too",
    )
    speed: float = Field(default=1.0, ge=0.5, le=2.0, description="1 is the voice's own pace (hibari)")
    threads: int = Field(default=1, ge=1, le=64, description="CPU threads of one synthesis (hibari)")
    max_queue: int = Field(default=32, ge=1, description="sentences or streams that may wait; one more is refused")
    variant: Literal["turbo", "base"] = Field(default="turbo", description="Chatterbox: which model")
    model: str | None = Field(
        default=None, min_length=1, description="Chatterbox: folder of its weights; unset downloads them from the hub"
    )
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N (Chatterbox)")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="Chatterbox: number format of the token model; auto is bfloat16 on a GPU, else float32",
    )
    slots: int = Field(default=50, ge=1, le=512, description="Chatterbox: streams that are spoken at once")
    max_text_chars: int = Field(
        default=300, ge=40, le=400, description="Chatterbox: longest sentence spoken as one; a longer one is cut"
    )
    first_tokens: int = Field(
        default=15, ge=4, le=100, description="Chatterbox: speech tokens (25 a second) of the first piece of sound"
    )
    chunk_tokens: list[int] = Field(
        default=[25, 50, 75], min_length=1, description="Chatterbox: tokens of the pieces after it; the last repeats"
    )
    max_ahead_secs: float = Field(
        default=8, ge=1, le=60, description="Chatterbox: a stream with so much sound ahead of its listener waits"
    )
    min_prompt_secs: float = Field(
        default=3,
        ge=1,
        le=60,
        description="Chatterbox: least of a voice's recording that is used while the GPU is busy; 10 always uses all",
    )
    flow_attention: Literal["full", "chunked"] = Field(
        default="full",
        description="Chatterbox: full sees all that was said, as upstream; chunked gives the stream exactly, unproven",
    )
    flow_steps: int | None = Field(
        default=None,
        ge=1,
        le=20,
        description="Chatterbox: steps from tokens to sound; unset is the model's own: 2 in turbo, 10 in base",
    )
    voices_dir: str = Field(default="voices", min_length=1, description="Chatterbox: folder of cloned voices")
    voice_cache_mb: int = Field(
        default=1024, ge=16, description="Chatterbox: memory for voices in use; the longest unused goes first"
    )
    watermark: bool = Field(default=True, description="Chatterbox: mark its speech as synthetic (Perth), inaudibly")
    normalize_text: bool = Field(default=True, description="write out numbers, dates, currency, URLs and the like")
    trim_silence: bool = Field(default=True, description="cut the silence before the first sound of a stream")
    end_detection: bool = Field(default=True, description="Chatterbox: cut babble after the end of a sentence")
    bound_length: bool = Field(default=True, description="Chatterbox: stop a sentence that runs far too long")
    level_loudness: bool = Field(default=True, description="Chatterbox: keep the sentences of a stream equally loud")
    temperature: float | None = Field(default=None, gt=0, le=2, description="Chatterbox: unset is the model's own")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Chatterbox: unset is the model's own")
    top_k: int | None = Field(default=None, ge=0, le=6561, description="Chatterbox: 0 takes all; unset the model's own")
    min_p: float | None = Field(default=None, ge=0, le=1, description="Chatterbox: unset is the model's own")
    repetition_penalty: float | None = Field(
        default=None, ge=1, le=3, description="Chatterbox: unset is the model's own"
    )
    cfg_weight: float | None = Field(default=None, ge=0, le=1, description="Chatterbox base: unset is the model's own")
    exaggeration: float | None = Field(default=None, ge=0, le=2, description="Chatterbox base: emotion; 0.5 is usual")

    @model_validator(mode="before")
    @classmethod
    def _each_engine_has_a_voice_of_its_own(cls, values: Any) -> Any:
        # A profile names hibari's; who chooses the other engine need not choose the voice as well.
        if (
            isinstance(values, dict)
            and values.get("engine") == "chatterbox"
            and values.get("voice", "heart") == "heart"
        ):
            return {**values, "voice": "default"}
        return values

    @field_validator("urls")
    @classmethod
    def _urls_are_websockets(cls, urls: list[str]) -> list[str]:
        return websocket_urls(urls)

    @field_validator("chunk_tokens")
    @classmethod
    def _chunks_are_in_range(cls, chunks: list[int]) -> list[int]:
        if any(not 4 <= chunk <= 250 for chunk in chunks):
            raise ValueError("expected numbers of tokens from 4 to 250")
        return chunks

    @property
    def asked_voice(self) -> str | None:
        """Whom services are asked for; None leaves it to them: a setting that is an engine's own voice is not told."""
        return self.voice if self.voice not in OWN_VOICES else None

    @property
    def engine_device(self) -> str:
        """Where the engine runs; the embedded voice knows the CPU only."""
        return self.device if self.engine == "chatterbox" else "cpu"

    @property
    def engine_model(self) -> str:
        """Which model speaks, as a service lists it."""
        return f"chatterbox-{self.variant}" if self.engine == "chatterbox" else self.engine

    @property
    def engine_arguments(self) -> dict[str, Any]:
        """What the engine in this process is built with: the arguments of `engines.opening.open_voice`."""
        if self.engine == "hibari":
            return self._fields("voice", "speed", "threads", "max_queue")
        names = ("voice", "max_queue", "variant", "model", "device", "dtype", "slots", "max_text_chars")
        names += (
            "first_tokens",
            "max_ahead_secs",
            "min_prompt_secs",
            "flow_attention",
            "flow_steps",
            "voices_dir",
            "voice_cache_mb",
            "watermark",
        )
        hygiene = ("normalize_text", "trim_silence", "end_detection", "bound_length", "level_loudness")
        sampling = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "cfg_weight", "exaggeration")
        return {
            **self._fields(*names),
            "chunk_tokens": tuple(self.chunk_tokens),
            "hygiene": self._fields(*hygiene),
            "sampling": self._fields(*sampling),
        }

    def _fields(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}


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
    context_tokens: int | None = Field(
        default=None,
        ge=512,
        description="context of one answer; unset asks the endpoint, else 8192 (2048 for a model in this process)",
    )
    summarize_share: float | None = Field(
        default=0.6,
        ge=0.2,
        le=0.9,
        description="a conversation that fills this share of the context is summarised; null only forgets its start",
    )
    gpu_layers: int = Field(default=0, ge=0, description="layers of a model in this process to put on a GPU")


class ServiceSettings(Listener):
    """What the services have in common: where they listen, and their limits."""

    max_connections: int = Field(
        default=50, ge=1, le=10_000, description="WebSocket connections at once; one more is closed with 4429"
    )
    idle_secs: float = Field(
        default=60, gt=0, description="a client from whom nothing came for so long, not even a pong, is closed"
    )
    max_message_bytes: int = Field(default=1_048_576, ge=4096, description="largest WebSocket message")
    max_outgoing: int = Field(
        default=256, ge=4, description="messages that may wait for a client that reads slowly; one more closes it"
    )
    drain_secs: float = Field(default=10, ge=0, description="time for running requests to end when the service stops")


class AsrServiceSettings(ServiceSettings):
    """The speech-to-text service. Its model is that of the section `stt`."""

    token_variable = "VOICE_AGENT_ASR__TOKEN"

    port: int = Field(default=8001, ge=0, le=65535, description="TCP port of the service; 0 takes a free one")
    max_utterance_secs: float = Field(
        default=60, ge=2, le=600, description="longest utterance of a WebSocket; a longer one is refused, or cut"
    )
    max_in_flight: int = Field(
        default=64, ge=1, description="utterances of one connection that may wait for their answers"
    )
    partial_secs: float = Field(default=0.5, ge=0.1, le=10, description="how often a partial transcript is made")
    speech_threshold: float = Field(
        default=0.5, gt=0, lt=1, description="server endpointing: probability that begins speech"
    )
    silence_threshold: float = Field(
        default=0.35, gt=0, lt=1, description="server endpointing: probability below which it is silent"
    )
    start_secs: float = Field(default=0.1, ge=0, le=2, description="server endpointing: speech lasts so long to count")
    stop_secs: float = Field(default=0.5, gt=0, le=5, description="server endpointing: silence that ends an utterance")
    preroll_secs: float = Field(
        default=0.3, ge=0, le=2, description="server endpointing: sound before the speech that goes with it"
    )
    max_upload_bytes: int = Field(default=26_214_400, ge=4096, description="largest body of an uploaded file")
    max_uploads: int = Field(
        default=32, ge=1, description="files that may be uploaded and transcribed at once; one more is refused with 503"
    )
    max_upload_secs: float = Field(default=1800, gt=0, description="longest audio of an uploaded file")
    decode_threads: int = Field(default=2, ge=1, le=64, description="uploaded files that are decoded at once")
    max_decode_queue: int = Field(default=16, ge=1, description="uploaded files that may wait to be decoded")


class TtsServiceSettings(ServiceSettings):
    """The text-to-speech service. Its engine is that of the section `tts`."""

    token_variable = "VOICE_AGENT_TTS_SERVICE__TOKEN"

    port: int = Field(default=8002, ge=0, le=65535, description="TCP port of the service; 0 takes a free one")
    max_text_chars: int = Field(default=4096, ge=100, description="longest text of one stream or one file")
    max_streams: int = Field(
        default=128, ge=1, description="streams of one connection that may be open at once; one more is refused"
    )
    slow_secs: float = Field(
        default=10, gt=0, description="longest time that sound waits for a client that reads slowly; then it is closed"
    )
    max_files: int = Field(
        default=16, ge=1, description="files that may be made at once over HTTP; one more is refused with 503"
    )
    encode_threads: int = Field(default=2, ge=1, le=64, description="pieces of files that are encoded at once")


class LogSettings(Section):
    """What is logged, to standard error."""

    level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG and below log what was said"
    )
    format: Literal["text", "json"] = Field(default="text", description="json writes one object a line")


class TracingSettings(Section):
    """Spans of calls, turns and stages, to an OpenTelemetry collector."""

    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+(/\S*)?$",
        description="an OTLP collector, e.g. http://127.0.0.1:4318; unset takes OTEL_EXPORTER_OTLP_ENDPOINT, or none",
    )
    headers: SecretStr | None = Field(
        default=None, description="headers for the collector, name=value,name=value, the values URL-encoded"
    )
    service_name: str | None = Field(
        default=None, min_length=1, description="name of this agent in the traces; unset takes OTEL_SERVICE_NAME"
    )
    content: bool = Field(default=False, description="let what is said, prompts and answers go along in the spans")

    @field_validator("headers")
    @classmethod
    def _headers_are_pairs(cls, headers: SecretStr | None) -> SecretStr | None:
        pairs = headers.get_secret_value().split(",") if headers is not None else []
        if not all(re.fullmatch(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[^;\"]*", pair) for pair in pairs):
            raise ValueError("expected name=value pairs with commas between them, such as x-api-key=secret")
        return headers


class Settings(Section):
    """All settings of the agent."""

    server: ServerSettings = ServerSettings()
    stt: SttSettings = SttSettings()
    tts: TtsSettings = TtsSettings()
    brain: BrainSettings = BrainSettings()
    tools: ToolSettings = ToolSettings()
    turn: TurnSettings = TurnSettings()
    conversation: ConversationSettings = ConversationSettings()
    asr: AsrServiceSettings = AsrServiceSettings()
    tts_service: TtsServiceSettings = TtsServiceSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()


PROFILES = Path(__file__).parent
"""The folder of the profiles: `<name>.yaml`."""
