"""The whole measurement: start what is needed, play every dialogue to each side in turn, report."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence

from agent.bench.machine import describe, in_words
from agent.bench.options import Output
from agent.bench.talk.measure import judge
from agent.bench.talk.options import TalkOptions, wanted
from agent.bench.talk.play import Played, Prompter, UnknownBrain, play
from agent.bench.talk.render import Rendered, Renderer, render
from agent.bench.talk.report import Judged, differences, show, side
from agent.bench.talk.script import Dialogue, Turn, Words, read_dialogues
from agent.bench.talk.server import OURS, PLAIN, READY, environment, process, scripted_brain

PACKAGES = ("pipecat-ai", "aiortc", "faster-whisper", "ctranslate2", "hibari-tts", "onnxruntime")
LATE_SECS = 0.06
WARM_UP = Dialogue(
    "warm-up",
    "tune",
    "heart",
    None,
    (Turn("question", (Words("Hello, can you hear me?"),), "Hello, can you hear me?", None, frozenset({"answer"})),),
)


def run(options: TalkOptions, output: Output) -> None:
    """Measure and report.

    Raises:
        BenchError: A dialogue, a process or a call is not as it should be.
    """
    if output.plot:
        from agent.bench.plot import check_plot

        check_plot(output.plot)
    machine = describe(PACKAGES)
    dialogues = wanted(read_dialogues(), options)
    renderer = Renderer()
    *rendered, warm_up = render([*dialogues, WARM_UP], renderer)
    sides, problems = asyncio.run(measure(options, rendered, warm_up))
    problems += [
        f"espeak-ng is not installed: {name} was spoken by {by}" for name, by in _stand_ins(renderer, rendered)
    ]
    report = {
        "what": "talk",
        "machine": machine,
        "load": {
            "dialogues": len(dialogues),
            "parts": options.parts,
            "brain": options.brain_in_words,
            "voices": sorted({item.voice for item in dialogues}),
            "url": options.url,
            "load_average": [machine["load_average"], describe(())["load_average"]],
            "problems": problems,
        },
        **side(sides[0]),
    }
    if len(sides) > 1:
        report["baseline"] = side(sides[1])
        report["differences"] = differences(report, report["baseline"])
        report["differences"]["parts"] = {
            part: differences(found, report["baseline"]["parts"][part]) for part, found in report["parts"].items()
        }
    if output.as_json:
        print(json.dumps(report))
    else:
        show(report, in_words(machine))
    if output.plot:
        from agent.bench.talk.plot import draw

        draw(report, output.plot)


async def measure(
    options: TalkOptions, rendered: Sequence[Rendered], warm_up: Rendered
) -> tuple[list[list[Judged]], list[str]]:
    """Play every dialogue to each side before the next one, so that the machine's noise hits both.

    Args:
        options: Whom to call.
        rendered: What is measured.
        warm_up: What is played first and not measured: the first call of a process pays for what is loaded late.

    Returns:
        The turns of each side, ours first; and what makes the figures less certain.
    """
    async with _sides(options) as (urls, prompter):
        for url in urls:
            await play(url, warm_up, prompter, options.token)
        judged: list[list[Judged]] = [[] for _ in urls]
        problems: list[str] = []
        for number, item in enumerate(rendered, 1):
            # Who was first last time is second now.
            order = list(enumerate(urls))[:: 1 if number % 2 else -1]
            for which, url in order:
                played = await play(url, item, prompter, options.token)
                judged[which] += _judged(item, played)
                problems += _problems(item, played, "ours" if which == 0 else "plain Pipecat")
            _progress(number, len(rendered))
        return judged, problems


@contextlib.asynccontextmanager
async def _sides(options: TalkOptions) -> AsyncIterator[tuple[list[str], Prompter]]:
    if options.url:
        yield [options.url], UnknownBrain()
        return
    flags = ("--profile", options.profile, "--env-file", str(options.env_file))
    async with contextlib.AsyncExitStack() as stack:
        prompter: Prompter = UnknownBrain()
        brain_url = None
        if options.brain == "scripted":
            prompter = brain = await stack.enter_async_context(
                scripted_brain(options.first_token_ms, options.tokens_per_sec)
            )
            brain_url = brain.url
        commands = [OURS, PLAIN] if options.baseline else [OURS]
        started = [
            await stack.enter_async_context(process((*command, *flags), READY, environment(brain_url)))
            for command in commands
        ]
        yield [await it.address() for it in started], prompter


def _judged(item: Rendered, played: Played) -> list[Judged]:
    dialogue = item.dialogue
    return [
        Judged(
            dialogue.id,
            dialogue.part,
            number,
            heard.turn.kind,
            heard.turn.text,
            played.words[number - 1],
            judge(heard),
            played.stages[number - 1],
        )
        for number, heard in enumerate(played.heard, 1)
    ]


def _problems(item: Rendered, played: Played, name: str) -> list[str]:
    where = f"{item.dialogue.id}, {name}"
    problems = [f"{where}: {played.problem}"] if played.problem else []
    if played.late_secs > LATE_SECS:
        problems.append(f"{where}: this caller was up to {played.late_secs * 1000:.0f} ms late in sending")
    return problems


def _stand_ins(renderer: Renderer, rendered: Sequence[Rendered]) -> list[tuple[str, str]]:
    used = {item.dialogue.voice for item in rendered}
    return [(name, by) for name, by in renderer.speaker.stand_ins.items() if name in used]


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\rdialogue {done} of {of}", end="\n" if done == of else "", file=sys.stderr, flush=True)
