"""Plain Pipecat: its default strategies and its segmented speech to text, over the same engines, brain and transport.

    python -m agent.bench.talk.baseline --profile embedded

serves it as `voice-agent serve` serves the agent. What differs from `agent.pipeline`: when a turn begins and ends is
Pipecat's own default (any voice begins it, Smart Turn ends it), and speech is transcribed when a pause is certain.
"""

import argparse
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import ErrorFrame, Frame, TranscriptionFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frameworks.rtvi import RTVIObserverParams
from pipecat.services.settings import STTSettings
from pipecat.services.stt_latency import WHISPER_TTFS_P99
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transports.base_transport import BaseTransport
from pipecat.utils.time import time_now_iso8601

from agent.engines import Engines
from agent.llm import BrainLLMService
from engines.errors import EngineError
from engines.protocol import SpeechToText
from processors.mouth import Mouth
from processors.tts import EngineTTSService


class PlainSTTService(SegmentedSTTService):
    """Pipecat's own flow: one request for each segment, once its end is certain."""

    def __init__(self, engine: SpeechToText):
        """
        Args:
            engine: The engine that the agent uses as well.
        """
        super().__init__(
            sample_rate=engine.sample_rate,
            ttfs_p99_latency=WHISPER_TTFS_P99,
            settings=STTSettings(model=engine.name, language=None),
        )
        self._engine = engine

    @property
    def wants_wav_segments(self) -> bool:
        """The engine takes PCM."""
        return False

    def can_generate_metrics(self) -> bool:
        """As Pipecat's Whisper service does."""
        return True

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Transcribe one segment of PCM16."""
        await self.start_processing_metrics()
        try:
            heard = await self._engine.transcribe(audio)
        except EngineError as error:
            yield ErrorFrame(f"speech to text failed: {error}", exception=error)
            return
        await self.stop_processing_metrics()
        if heard.text:
            yield TranscriptionFrame(heard.text, self._user_id, time_now_iso8601())


def build_plain_call(
    transport: BaseTransport,
    engines: Engines,
    _: Mouth,
    *,
    idle_secs: float,
    observers: Sequence[BaseObserver] = (),
    **__: Any,
) -> tuple[PipelineWorker, None]:
    """As `agent.pipeline.build_call`, with nothing of the agent's own where Pipecat has a default."""
    brain = engines.brain
    context = LLMContext(messages=brain.opening_messages())  # pyright: ignore[reportArgumentType]
    user, assistant = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline(
        [
            transport.input(),
            PlainSTTService(engines.stt),
            user,
            BrainLLMService(brain, engines.brain_client),
            EngineTTSService(engine=engines.tts),
            transport.output(),
            assistant,
        ]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(
            audio_in_sample_rate=engines.stt.sample_rate,
            audio_out_sample_rate=engines.tts.sample_rate,
            enable_metrics=True,
        ),
        observers=list(observers),
        rtvi_observer_params=RTVIObserverParams(bot_llm_enabled=False, user_llm_enabled=False, metrics_enabled=False),
        idle_timeout_secs=idle_secs,
        cancel_on_idle_timeout=False,
    )
    return worker, None


def main() -> None:
    """Serve it until told to stop."""
    from agent.logs import configure_logs
    from agent.serve import serve
    from configs.loading import load_settings

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--env-file", type=Path, default=Path(".env"))
    flags = parser.parse_args()
    settings = load_settings(flags.profile, env_file=flags.env_file)
    configure_logs(settings.log)
    serve(settings, build_plain_call)


if __name__ == "__main__":
    main()
