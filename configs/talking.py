"""Settings of the conversation: when the caller has begun and finished, and what the agent says of itself."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from configs.section import Section


class TurnSettings(Section):
    """When the caller has begun and finished speaking. Silences count from the last sound of the voice."""

    vad_confidence: float = Field(default=0.7, gt=0, lt=1, description="Silero's confidence that counts as speech")
    vad_start_secs: float = Field(default=0.2, gt=0, le=1, description="speech must last so long to count")
    vad_stop_secs: float = Field(default=0.2, gt=0, le=2, description="silence that makes a pause")
    vad_min_volume: float = Field(default=0.6, ge=0, le=1, description="quieter sound is not speech")
    smart_turn: bool = Field(default=True, description="let Smart Turn hear whether the caller has finished")
    sure_secs: float = Field(
        default=0.2, gt=0, le=5, description="silence that ends a turn that sounds finished, or a whole answer"
    )
    doubt_secs: float = Field(
        default=0.55, gt=0, le=5, description="silence that ends it where the words or the voice leave a doubt"
    )
    open_secs: float = Field(
        default=1.3,
        gt=0,
        le=10,
        description="silence that ends it in mid-sentence, for a caller who has not paused yet",
    )
    spelling_secs: float = Field(
        default=1.15, gt=0, le=10, description="silence that ends it while digits, letters or an address are spelled"
    )
    longest_secs: float = Field(
        default=2.0, gt=0, le=10, description="the longest silence, also for a caller who pauses long"
    )
    guesses: int = Field(
        default=2,
        ge=0,
        le=20,
        description="answers begun before a turn is certain to have ended, at most; 0 begins none",
    )

    @model_validator(mode="after")
    def _silences_grow(self) -> "TurnSettings":
        names = ("sure_secs", "doubt_secs", "open_secs", "longest_secs")
        for shorter, longer in pairwise(names):
            if getattr(self, shorter) > getattr(self, longer):
                raise ValueError(
                    f"{shorter} is {getattr(self, shorter):g} and {longer} {getattr(self, longer):g}; "
                    f"expected {shorter} to be at most {longer}"
                )
        return self


class ConversationSettings(Section):
    """What the agent says of itself, and how readily it lets itself be interrupted."""

    greeting: str | None = Field(
        default="Hello! How can I help you?", max_length=400, description="said when a call begins; null says nothing"
    )
    barge_in: Literal["polite", "eager", "never"] = Field(
        default="polite",
        description="speech over the agent's: polite tells a cough and a mhm from words, eager stops for any voice",
    )
    reprompt_secs: float = Field(
        default=25, ge=0, le=3600, description="silence of the caller after which the agent asks again; 0 never does"
    )
    reprompts: list[str] = Field(
        default=["Are you still there?", "I am still here, if you need anything."],
        max_length=10,
        description="what it asks, one after the other; after the last it says goodbye and hangs up",
    )
    filler_secs: float = Field(
        default=2.5,
        ge=0,
        le=60,
        description="wait for the brain after which the agent says that it is thinking; 0 never",
    )
    fillers: list[str] = Field(
        default=["One moment, please.", "Let me think.", "Just a second.", "Let me see."],
        max_length=20,
        description="what it says then, never the same twice in a row",
    )
