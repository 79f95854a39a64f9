"""The engines of this process: loaded, warmed and given back together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from loguru import logger
from openai import AsyncOpenAI

from agent.brain import Brain, open_brain
from agent.llm import new_client
from agent.phrases import Phrases
from agent.problems import SPOKEN
from agent.tools.toolbox import ToolBox, load_toolbox
from configs.settings import ConversationSettings, Settings, SttSettings, TtsSettings
from engines.protocol import SpeechToText, TextToSpeech
from processors.turn import TurnModels

T = TypeVar("T")
START_SECS = 60.0
"""Longest wait for a service that may be loading its model."""


@dataclass
class Engines:
    """What every call shares."""

    stt: SpeechToText
    tts: TextToSpeech
    turn: TurnModels
    brain: Brain
    brain_client: AsyncOpenAI
    hearing: SttSettings = field(default_factory=SttSettings)
    talking: ConversationSettings = field(default_factory=ConversationSettings)
    tools: ToolBox = field(default_factory=ToolBox)
    phrases: Phrases = field(default_factory=Phrases)
    preparing: asyncio.Task[None] | None = None
    """Makes the sound of `phrases`, in the background."""

    async def close(self) -> None:
        """Give every model back."""
        if self.preparing is not None:
            self.preparing.cancel()
            await asyncio.gather(self.preparing, return_exceptions=True)
        await asyncio.gather(self.brain_client.close(), self.tools.close())
        await asyncio.gather(self.stt.close(), self.tts.close(), self.turn.close(), self.brain.close())


async def load_engines(settings: Settings, progress: Callable[[str], None]) -> Engines:
    """Load and warm every model, telling `progress` what was done and how long it took.

    Raises:
        EngineError, StartError: A model cannot be loaded.
    """
    loop = asyncio.get_running_loop()

    async def step(what: str, load: Callable[[], T]) -> T:
        began_at = loop.time()
        logger.debug(f"loading {what}")
        loaded = await loop.run_in_executor(None, load)
        if hasattr(loaded, "warm_up"):
            await loaded.warm_up()  # pyright: ignore[reportAttributeAccessIssue]
        progress(f"{what}  ({loop.time() - began_at:.1f} s)")
        return loaded

    # What may be wrong in the settings shows before the models are loaded.
    tools = await loop.run_in_executor(None, load_toolbox, settings.tools)
    turn = await step("turn detection: Silero VAD and Smart Turn v3", lambda: TurnModels.load(settings.turn))
    if settings.stt.urls:
        progress(f"waiting for speech to text at {_where(settings)} …")
    stt = await step(f"speech to text: {_where(settings)}", lambda: _load_stt(settings))
    if settings.tts.urls:
        progress(f"waiting for the voice at {_voice(settings)} …")
    tts = await step(f"voice: {_voice(settings)}", lambda: _load_tts(settings))
    began_at = loop.time()
    brain = await open_brain(settings.brain)
    where = "" if brain.server else f" at {brain.base_url}"
    progress(f"brain: {brain.label}{where}  ({loop.time() - began_at:.1f} s)")
    if brain.small:
        # It would answer with nonsense in their place.
        tools = ToolBox()
    else:
        await tools.open()
        progress(f"tools: {', '.join(tool.name for tool in tools.tools()) or 'none'}")
    phrases = Phrases(spare=_spare_voice)
    return Engines(
        stt=stt,
        tts=tts,
        turn=turn,
        brain=brain,
        brain_client=new_client(brain),
        hearing=settings.stt,
        talking=settings.conversation,
        tools=tools,
        phrases=phrases,
        preparing=asyncio.create_task(phrases.prepare(tts, SPOKEN), name="phrases"),
    )


def _spare_voice() -> TextToSpeech:
    """The packaged voice, for what the usual one could not say beforehand."""
    from engines.opening import open_voice

    return open_voice("hibari", **TtsSettings().engine_arguments)


def _where(settings: Settings) -> str:
    return " ".join(settings.stt.urls) or f"whisper {settings.stt.model}"


def _voice(settings: Settings) -> str:
    return " ".join(settings.tts.urls) or f"{settings.tts.engine_model} {settings.tts.voice}"


def _load_stt(settings: Settings) -> SpeechToText:
    stt = settings.stt
    if stt.urls:
        from engines.remote import RemoteSpeechToText

        return RemoteSpeechToText(
            stt.urls,
            token=stt.token.get_secret_value() if stt.token else None,
            timeout_secs=stt.timeout_secs,
            ready_secs=START_SECS,
        )
    from engines.whisper import WhisperEngine

    return WhisperEngine(**stt.engine_arguments)


def _load_tts(settings: Settings) -> TextToSpeech:
    tts = settings.tts
    if tts.urls:
        from engines.remote_tts import RemoteTextToSpeech

        return RemoteTextToSpeech(
            tts.urls,
            token=tts.token.get_secret_value() if tts.token else None,
            timeout_secs=tts.timeout_secs,
            ready_secs=START_SECS,
            voice=tts.asked_voice,
        )
    from engines.opening import open_voice

    return open_voice(tts.engine, **tts.engine_arguments)
