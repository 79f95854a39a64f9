"""The one place where the order of a call's pipeline is written."""

from collections.abc import Sequence

from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frameworks.rtvi import RTVIObserverParams
from pipecat.transports.base_transport import BaseTransport

from agent.engines import Engines
from agent.history import assistant_params
from agent.llm import BrainLLMService
from agent.tools.shipped import CallControl
from processors.stt import EngineSTTService
from processors.tts import EngineTTSService
from processors.turn import RecoveryWhenHeard

USER_TURN_STOP_SECS = 5.0


def build_call(
    transport: BaseTransport,
    engines: Engines,
    *,
    idle_secs: float,
    observers: Sequence[BaseObserver] = (),
    control: CallControl | None = None,
) -> PipelineWorker:
    """Build the pipeline of one call over shared engines.

    Args:
        transport: Where audio comes in and goes out.
        engines: The models of the process. The brain's model must be known.
        idle_secs: `on_idle_timeout` fires when nobody has spoken for so long; what follows is the caller's to decide.
        observers: Watchers of the frames.
        control: What tools may do to the call.

    Returns:
        A worker, ready to run. Its processors hold no model of their own.
    """
    brain = engines.brain
    vad = engines.turn.vad_analyzer()
    hearing = engines.hearing
    ears = EngineSTTService(engine=engines.stt, early_secs=hearing.early_secs, partial_secs=hearing.partial_secs)
    vad.watch_dips(ears)
    llm = BrainLLMService(brain, engines.brain_client, engines.tools)
    tools = None if brain.small else engines.tools.schema()
    context = LLMContext(
        messages=brain.opening_messages(),  # pyright: ignore[reportArgumentType]
        tools=tools or NOT_GIVEN,
    )
    user, assistant = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=vad,
            user_turn_strategies=engines.turn.turn_strategies(),
            user_turn_stop_timeout=USER_TURN_STOP_SECS,
            empty_user_turn=RecoveryWhenHeard(lambda: ears.is_behind),
        ),
        assistant_params=assistant_params(brain, llm),
    )
    pipeline = Pipeline(
        [
            transport.input(),
            ears,
            user,
            llm,
            EngineTTSService(engine=engines.tts),
            transport.output(),
            assistant,
        ]
    )
    return PipelineWorker(
        pipeline,
        params=PipelineParams(
            audio_in_sample_rate=engines.stt.sample_rate,
            audio_out_sample_rate=engines.tts.sample_rate,
            enable_metrics=True,
        ),
        observers=list(observers),
        rtvi_observer_params=RTVIObserverParams(bot_llm_enabled=False, user_llm_enabled=False, metrics_enabled=False),
        idle_timeout_secs=idle_secs,
        app_resources=control,
        cancel_on_idle_timeout=False,
    )
