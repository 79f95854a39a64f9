"""What `bench talk` is asked to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.bench.speech import BenchError
from agent.bench.talk.script import KINDS, PARTS, Dialogue

BRAINS = ("scripted", "packaged")


@dataclass(frozen=True)
class TalkOptions:
    """One `bench talk`.

    Attributes:
        turns: At least so many are played; more than there are repeat the dialogues.
        parts: `all`, `tune` or `held-out`.
        kinds: Only dialogues with a turn of one of these kinds; empty takes all.
        dialogues: Only those with these ids; empty takes all.
        baseline: Whether plain Pipecat is measured as well, dialogue by dialogue in turn.
        url: A running agent, instead of those that are started here; then there is no baseline.
        token: Its access token.
        brain: `scripted` or `packaged`; of a running agent it is its own.
        first_token_ms: Of the scripted brain.
        tokens_per_sec: Of the scripted brain.
        profile: Of the agent that is started.
        env_file: Its further settings.
    """

    turns: int = 100
    parts: str = "all"
    kinds: tuple[str, ...] = ()
    dialogues: tuple[str, ...] = ()
    baseline: bool = True
    url: str | None = None
    token: str | None = None
    brain: str = "scripted"
    first_token_ms: float = 200.0
    tokens_per_sec: float = 60.0
    profile: str = "embedded"
    env_file: Path = Path(".env")

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise BenchError(f"--turns {self.turns}: expected 1 or more")
        if self.parts not in ("all", *PARTS):
            raise BenchError(f"--parts {self.parts}: expected one of all, {', '.join(PARTS)}")
        if self.brain not in BRAINS:
            raise BenchError(f"--brain {self.brain}: expected one of {', '.join(BRAINS)}")
        if unknown := set(self.kinds) - set(KINDS):
            raise BenchError(f"--kinds {', '.join(sorted(unknown))}: expected some of {', '.join(KINDS)}")
        if self.first_token_ms < 0 or self.tokens_per_sec <= 0:
            raise BenchError("--first-token-ms and --tokens-per-sec: expected 0 or more, and more than 0")

    @property
    def brain_in_words(self) -> str:
        """For the report."""
        if self.url:
            return "that of the running agent"
        if self.brain == "packaged":
            return "the packaged model"
        return f"scripted, first token after {self.first_token_ms:g} ms, then {self.tokens_per_sec:g} tokens/s"


def wanted(dialogues: Sequence[Dialogue], options: TalkOptions) -> list[Dialogue]:
    """The dialogues to play, in order: of every kind early on, so that a short run has seen something of each.

    Raises:
        BenchError: There is none.
    """
    if unknown := set(options.dialogues) - {item.id for item in dialogues}:
        raise BenchError(f"--dialogue {', '.join(sorted(unknown))}: no such dialogue")
    left = [
        item
        for item in dialogues
        if options.parts in ("all", item.part)
        and (not options.kinds or any(turn.kind in options.kinds for turn in item.turns))
        and (not options.dialogues or item.id in options.dialogues)
    ]
    if not left:
        raise BenchError("no dialogue is of that part and of these kinds")
    return spread(left, options.turns)


def spread(dialogues: Sequence[Dialogue], turns: int) -> list[Dialogue]:
    """Dialogues of at least so many turns: next is always the one whose rarest kind has come least so far, of the part
    that has come less.
    """
    seen = dict.fromkeys((*KINDS, *PARTS), 0)
    chosen: list[Dialogue] = []
    left: list[Dialogue] = []
    while sum(len(item.turns) for item in chosen) < turns:
        left = left or list(dialogues)
        following = min(left, key=lambda item: (min(seen[turn.kind] for turn in item.turns), seen[item.part]))
        left.remove(following)
        chosen.append(following)
        for turn in following.turns:
            seen[turn.kind] += 1
            seen[following.part] += 1
    return chosen
