"""The `voice-agent` command. Each subcommand imports what it needs, so that the light ones stay light."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

# One thread for numpy's small matrices: more of them only take turns, and Smart Turn burns twice the CPU. It is read
# when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

from agent.bench_cli import bench_app
from agent.voices_cli import voices_app

app = typer.Typer(
    help="A voice agent on your own machine: people call it from a browser, it answers aloud.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(bench_app, name="bench")
app.add_typer(voices_app, name="voices")

Profile = Annotated[str, typer.Option(help="Name of a profile in configs/, or path of a YAML file.")]
EnvFile = Annotated[Path, typer.Option(help="File with more settings, one VARIABLE=value a line.")]


@app.command()
def serve(
    profile: Profile = "embedded",
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the page (default 7860).")] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG also logs what is said.")] = None,
    env_file: EnvFile = Path(".env"),
) -> None:
    """Serve the page and take calls."""
    settings = _settings(profile, env_file, {"server.host": host, "server.port": port, "log.level": log_level})
    from loguru import logger

    from agent.errors import StartError
    from agent.logs import configure_logs

    configure_logs(settings.log)
    logger.disable("pipecat")  # It greets the log when it is imported.
    from agent.serve import serve as serve_calls

    logger.enable("pipecat")
    try:
        serve_calls(settings)
    except StartError as error:
        _fail(str(error))


@app.command()
def call(
    url: Annotated[str, typer.Argument(help="Address of the agent, e.g. http://127.0.0.1:7860")],
    wav: Annotated[
        list[Path], typer.Option(help="What to say: an audio file with speech. May be given several times.")
    ],
    record: Annotated[Path | None, typer.Option(help="Write both sides to this WAV: left said, right heard.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    token: Annotated[str | None, typer.Option(help="Access token.", envvar="VOICE_AGENT_SERVER__TOKEN")] = None,
    barge_in: Annotated[
        float | None,
        typer.Option(
            metavar="SECS", help="Speak over each answer, so long after it began, instead of waiting for its end."
        ),
    ] = None,
    answer_timeout: Annotated[float, typer.Option(metavar="SECS", help="Longest wait for an answer.")] = 20.0,
    hold: Annotated[float, typer.Option(metavar="SECS", help="Stay on the line so long after the last answer.")] = 0.0,
) -> None:
    """Place a real call as a caller would, and measure it."""
    _quiet_logs()
    from transports.caller import CallError, CallOptions, place_call

    options = CallOptions(
        url=url,
        wavs=wav,
        token=token,
        record=record,
        answer_timeout_secs=answer_timeout,
        barge_in_secs=barge_in,
        hold_secs=hold,
    )
    try:
        report = asyncio.run(place_call(options)).as_dict()
    except CallError as error:
        partial = getattr(error, "report", None)
        if as_json:
            print(json.dumps({**(partial.as_dict() if partial else {}), "error": str(error)}))
        elif partial:
            _print_call(partial.as_dict())
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("hung up before the end")
    if as_json:
        print(json.dumps(report))
    else:
        _print_call(report)


@app.command()
def doctor(profile: Profile = "embedded", env_file: EnvFile = Path(".env")) -> None:
    """Check what this machine lacks, and say how to mend it."""
    _quiet_logs()
    from agent.doctor import examine, show

    raise typer.Exit(show(examine(profile, env_file)))


def main() -> None:
    """Entry point of the `voice-agent` command."""
    app()


def _settings(profile: str, env_file: Path, flags: dict[str, Any]) -> Any:
    from configs.loading import SettingsError, load_settings

    if env_file != Path(".env") and not env_file.is_file():
        _fail(f"--env-file {env_file}: no such file")
    try:
        return load_settings(profile, flags=flags, env_file=env_file)
    except SettingsError as error:
        _fail("the settings cannot be used:\n  " + "\n  ".join(error.faults))


def _fail(reason: str) -> Any:
    print(f"voice-agent: {reason}", file=sys.stderr)
    raise typer.Exit(1)


def _quiet_logs() -> None:
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="WARNING", format="{level}: {message}")


def _summary(turns: list[dict[str, Any]]) -> str | None:
    """Percentiles of voice to voice, where there are several to speak of."""
    from agent.bench.figures import PERCENTILES, percentiles

    answered_secs = [turn["voice_to_voice_ms"] / 1000 for turn in turns if turn.get("voice_to_voice_ms") is not None]
    if len(answered_secs) < 2:
        return None
    figures = percentiles(answered_secs)
    parts = (f"p{percent} {figures[f'p{percent}']:.0f} ms" for percent in PERCENTILES)
    return f"voice to voice of {len(answered_secs)} turns: {', '.join(parts)}"


def _print_call(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("said", "heard", "reply", "voice to voice", "vad", "stt", "turn", "brain", "voice", box=None)
    for turn in report["turns"]:
        stages = turn.get("stages") or {}
        columns = [
            turn.get("voice_to_voice_ms"),
            *(stages.get(f"{name}_ms") for name in ("vad", "stt", "turn", "llm", "tts")),
        ]
        times = ["–" if value is None else f"{value:.0f} ms" for value in columns]
        reply = (turn.get("reply") or "") + (" [cut off]" if turn.get("interrupted") else "")
        table.add_row(Path(turn["wav"]).name, turn.get("heard") or "", reply, *times)
    console = Console()
    console.print(f"call {report.get('call_id')}, connected in {report.get('connected_ms')} ms")
    console.print(table)
    if summary := _summary(report["turns"]):
        console.print(summary)
    for problem in report.get("problems", []):
        console.print(f"problem: {problem}")
    if report.get("recording"):
        console.print(f"recording: {report['recording']}")
