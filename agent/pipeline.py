"""The one place where the order of a call's pipeline is written."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    AssistantTurnStoppedMessage,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frameworks.rtvi import RTVIObserverParams
from pipecat.transports.base_transport import BaseTransport
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from agent.brain import Brain
from agent.engines import Engines
from agent.history import assistant_params
from agent.llm import BrainLLMService
from agent.manners import Parts
from agent.tools.shipped import CallControl
from processors.barge_in import BargeIn
from processors.last_said import LastSaid
from processors.mouth import Mouth
from processors.stt import EngineSTTService
from processors.tts import EngineTTSService
from processors.turn import RecoveryWhenHeard
from processors.turn_end import TurnEnd

USER_TURN_STOP_SECS = 5.0


def build_call(
    transport: BaseTransport,
    engines: Engines,
    mouth: Mouth,
    *,
    idle_secs: float,
    observers: Sequence[BaseObserver] = (),
    on_cut: Callable[[str], Awaitable[None]] | None = None,
    traced_as: str | None = None,
    control: CallControl | None = None,
) -> tuple[PipelineWorker, Parts]:
    """Build the pipeline of one call over shared engines.

    Args:
        transport: Where audio comes in and goes out.
        engines: The models of the process. The brain's model must be known.
        mouth: The filter of the transport's outgoing audio.
        idle_secs: `on_idle_timeout` fires when nobody has spoken for so long; what follows is the caller's to decide.
        observers: Watchers of the frames.
        on_cut: Called with the words that were played of an answer that was interrupted.
        traced_as: The call's name in its traces; None traces nothing.
        control: What tools may do to the call.

    Returns:
        A worker, ready to run, and the parts of it that keep the conversation going. Its processors hold no model of
        their own.
    """
    brain, talking = engines.brain, engines.talking
    vad = engines.turn.vad_analyzer()
    hearing = engines.hearing
    ears_of, voice_of = _services(traced=traced_as is not None)
    ears = ears_of(engine=engines.stt, early_secs=hearing.early_secs, partial_secs=hearing.partial_secs)
    vad.watch_dips(ears)
    llm = BrainLLMService(_greeted(brain, talking.greeting), engines.brain_client, engines.tools)
    tools = None if brain.small else engines.tools.schema()
    context = LLMContext(
        messages=brain.opening_messages(),  # pyright: ignore[reportArgumentType]
        tools=tools or NOT_GIVEN,
    )
    said = LastSaid(context)
    barge_in = BargeIn(mouth, manner=talking.barge_in, said=said.now)
    vad.watch_onsets(barge_in)
    turn_end = TurnEnd(
        engines.turn.turn_analyzer(),
        patience=engines.turn.patience,
        # One that finishes first would be given the answer to a guess behind the one that it speaks.
        guesses=0 if talking.barge_in == "never" else engines.turn.settings.guesses,
        asked=said.last,
        is_transcribing=lambda: ears.is_transcribing,
    )
    vad.watch_onsets(turn_end)
    pair = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=vad,
            user_turn_strategies=UserTurnStrategies(start=[barge_in], stop=[turn_end]),
            user_turn_stop_timeout=max(USER_TURN_STOP_SECS, engines.turn.patience.longest_secs + 2),
            user_idle_timeout=talking.reprompt_secs,
            empty_user_turn=RecoveryWhenHeard(lambda: ears.is_behind, lambda: barge_in.has_interrupted),
        ),
        assistant_params=assistant_params(brain, llm),
    )
    user, assistant = pair.user(), pair.assistant()
    said.listen_to(assistant)
    voice = voice_of(engine=engines.tts, on_sound=mouth.open)

    @assistant.event_handler("on_assistant_turn_stopped")
    async def _(_: Any, message: AssistantTurnStoppedMessage) -> None:
        if on_cut is not None and message.interrupted:
            await on_cut(message.content)

    pipeline = Pipeline(
        [
            transport.input(),
            ears,
            user,
            llm,
            voice,
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
        app_resources=control,
        cancel_on_idle_timeout=False,
        # Pipecat's own count of turns serves its traces alone.
        enable_turn_tracking=traced_as is not None,
        enable_tracing=traced_as is not None,
        conversation_id=traced_as,
    )
    return worker, Parts(user, barge_in, voice)


def _greeted(brain: Brain, greeting: str | None) -> Brain:
    """The brain is told of the greeting as of a fact: many models refuse a conversation that the agent begins."""
    if brain.small or not greeting:
        return brain
    return replace(brain, system_prompt=f'{brain.system_prompt} You have greeted the caller already: "{greeting}"')


def _services(*, traced: bool) -> tuple[type[EngineSTTService], type[EngineTTSService]]:
    if not traced:
        return EngineSTTService, EngineTTSService
    from processors.traced import TracedEngineSTTService, TracedEngineTTSService

    return TracedEngineSTTService, TracedEngineTTSService
