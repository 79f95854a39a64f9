"""`voice-agent bench …`: measurements under load. `agent.bench` makes them; here are the flags and the settings."""

from pathlib import Path
from typing import Annotated, Any

import typer

bench_app = typer.Typer(help="Measure under load.", no_args_is_help=True)


@bench_app.callback()
def bench() -> None:
    """Measure under load."""


@bench_app.command()
def asr(
    callers: Annotated[str, typer.Option(help="How many speak; 10,30,60 measures each number.")] = "8",
    secs: Annotated[float, typer.Option(help="How long each engine is measured.")] = 60.0,
    url: Annotated[
        list[str] | None, typer.Option(help="A service, ws://HOST:PORT, instead of the engine in this process.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Access token of the service (default stt.token).")] = None,
    profile: Annotated[str, typer.Option(help="Name of a profile in configs/, or path of a YAML file.")] = "embedded",
    env_file: Annotated[Path, typer.Option(help="File with more settings, one VARIABLE=value a line.")] = Path(".env"),
    model: Annotated[str | None, typer.Option(help="As stt.model.")] = None,
    device: Annotated[str | None, typer.Option(help="As stt.device.")] = None,
    compute_type: Annotated[str | None, typer.Option(help="As stt.compute_type.")] = None,
    backend: Annotated[str | None, typer.Option(help="As stt.backend.")] = None,
    threads: Annotated[int | None, typer.Option(help="As stt.threads.")] = None,
    max_batch: Annotated[int | None, typer.Option(help="As stt.max_batch.")] = None,
    wav: Annotated[
        list[Path] | None, typer.Option(help="Recording of speech, or folder of them; may be given several times.")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="JSON object of texts by file name: sends whole files, counts word errors.")
    ] = None,
    utterance_secs: Annotated[float, typer.Option(help="Mean length of an utterance.")] = 3.0,
    period_secs: Annotated[float, typer.Option(help="Mean time from one utterance of a caller to its next.")] = 8.0,
    baseline: Annotated[bool, typer.Option(help="Plain faster-whisper under the same load.")] = True,
    interleave: Annotated[bool, typer.Option(help="Both take turns in rounds and see the same noise.")] = False,
    saturate: Annotated[
        bool, typer.Option("--saturate", help="Each caller asks again as soon as it is answered: throughput.")
    ] = False,
    partials: Annotated[bool, typer.Option(help="Each caller asks for the words so far each second.")] = False,
    patience_secs: Annotated[float, typer.Option(help="An utterance unanswered for so long is an error.")] = 30.0,
    fixed_tokens: Annotated[
        int | None, typer.Option(help="Tokens of every utterance: for measuring with random weights.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed sends the same speech at the same times.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG: latency against callers.")] = None,
    aim_ms: Annotated[float | None, typer.Option(help="A latency to draw into it.")] = None,
) -> None:
    """Speech to text: N callers speak real utterances at real pace, and plain faster-whisper gets the same."""
    # The command imports this module; it may not import the command.
    from agent.cli import _fail, _quiet_logs, _settings

    names = {"model": model, "device": device, "compute_type": compute_type, "backend": backend, "threads": threads}
    names["max_batch"] = max_batch
    stt: Any = _settings(profile, env_file, {f"stt.{name}": value for name, value in names.items()}).stt
    _quiet_logs()
    from agent.bench.asr import run
    from agent.bench.options import AsrOptions, Output, callers_of, rounds_of, wavs_or_default
    from agent.bench.speech import BenchError
    from engines.errors import EngineError

    try:
        options = AsrOptions(
            wavs=wavs_or_default(wav or []),
            texts=texts,
            callers=callers_of(callers),
            secs=secs,
            utterance_secs=utterance_secs,
            period_secs=period_secs,
            seed=seed,
            urls=tuple(url or ()),
            token=token or (stt.token.get_secret_value() if stt.token else None),
            engine=stt.engine_arguments,
            baseline=baseline,
            rounds=rounds_of(interleave or saturate, secs) if baseline else 1,
            saturate=saturate,
            partials=partials,
            patience_secs=patience_secs,
            fixed_tokens=fixed_tokens,
        )
        run(options, Output(as_json, plot, aim_ms))
    except (BenchError, EngineError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped before the end")


@bench_app.command()
def tts(
    speakers: Annotated[str, typer.Option(help="How many speak; 1,32,100 measures each number.")] = "8",
    secs: Annotated[float, typer.Option(help="How long each number of speakers is measured.")] = 60.0,
    ramp_secs: Annotated[
        float | None, typer.Option(help="Time before that, in which they begin (default: a quarter, at most 8).")
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option(help="A service, ws://HOST:PORT, instead of the engine in this process.")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Access token of the service (default tts.token).")] = None,
    profile: Annotated[str, typer.Option(help="Name of a profile in configs/, or path of a YAML file.")] = "embedded",
    env_file: Annotated[Path, typer.Option(help="File with more settings, one VARIABLE=value a line.")] = Path(".env"),
    engine: Annotated[str | None, typer.Option(help="As tts.engine: hibari or chatterbox.")] = None,
    voice: Annotated[str | None, typer.Option(help="As tts.voice.")] = None,
    variant: Annotated[str | None, typer.Option(help="As tts.variant: turbo or base.")] = None,
    model: Annotated[str | None, typer.Option(help="As tts.model.")] = None,
    device: Annotated[str | None, typer.Option(help="As tts.device.")] = None,
    dtype: Annotated[str | None, typer.Option(help="As tts.dtype.")] = None,
    slots: Annotated[int | None, typer.Option(help="As tts.slots.")] = None,
    threads: Annotated[int | None, typer.Option(help="As tts.threads.")] = None,
    max_queue: Annotated[int | None, typer.Option(help="As tts.max_queue.")] = None,
    watermark: Annotated[bool | None, typer.Option(help="As tts.watermark; upstream gets the same.")] = None,
    random_weights: Annotated[
        str | None, typer.Option(help="Chatterbox without its weights: full (or tiny) random ones, real lengths.")
    ] = None,
    texts: Annotated[Path | None, typer.Option(help="Sentences to say, one on each line.")] = None,
    tokens_per_sec: Annotated[float, typer.Option(help="Pace at which the text is written.")] = 60.0,
    instant: Annotated[bool, typer.Option("--instant", help="Give the text whole.")] = False,
    duty: Annotated[
        float | None, typer.Option(help="Share of the time in which a speaker is heard (default: on after 0.3 to 1 s).")
    ] = None,
    period_secs: Annotated[
        float | None, typer.Option(help="Mean time from one answer of a speaker to its next, instead.")
    ] = None,
    buffer_ms: Annotated[
        float, typer.Option(help="Jitter buffer of the listeners; 0 plays the first sound at once.")
    ] = 0.0,
    barge_in: Annotated[float, typer.Option(help="Share of the answers that are cut off at some moment.")] = 0.0,
    baseline: Annotated[
        bool | None, typer.Option(help="Upstream's generate as well (default: with Chatterbox in this process).")
    ] = None,
    baseline_secs: Annotated[float, typer.Option(help="How long that is measured.")] = 20.0,
    patience_secs: Annotated[float, typer.Option(help="A stream silent for so long is an error.")] = 30.0,
    seed: Annotated[int, typer.Option(help="The same seed says the same.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG: first sound and underruns against speakers.")] = None,
    aim_ms: Annotated[float | None, typer.Option(help="The highest p95 of the first sound that will do.")] = None,
) -> None:
    """Text to speech: N speakers say real sentences at real pace, each to a listener who may run dry."""
    # The command imports this module; it may not import the command.
    from agent.cli import _fail, _quiet_logs, _settings

    names = {"engine": engine, "voice": voice, "variant": variant, "model": model, "device": device, "dtype": dtype}
    names |= {"slots": slots, "threads": threads, "max_queue": max_queue, "watermark": watermark}
    settings: Any = _settings(profile, env_file, {f"tts.{name}": value for name, value in names.items()}).tts
    _quiet_logs()
    from agent.bench.options import Output
    from agent.bench.speech import BenchError
    from agent.bench.tts import run
    from agent.bench.tts_options import TtsOptions, speakers_of
    from engines.errors import EngineError

    try:
        options = TtsOptions(
            texts=texts,
            speakers=speakers_of(speakers),
            secs=secs,
            ramp_secs=ramp_secs,
            tokens_per_sec=tokens_per_sec,
            instant=instant,
            duty=duty,
            period_secs=period_secs,
            buffer_ms=buffer_ms,
            barge_in=barge_in,
            patience_secs=patience_secs,
            seed=seed,
            urls=tuple(url or ()),
            token=token or (settings.token.get_secret_value() if settings.token else None),
            name=settings.engine,
            engine=settings.engine_arguments,
            random_weights=random_weights,
            baseline=baseline,
            baseline_secs=baseline_secs,
            aim_ms=aim_ms,
        )
        run(options, Output(as_json, plot, aim_ms))
    except (BenchError, EngineError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped before the end")


@bench_app.command()
def talk(
    turns: Annotated[int, typer.Option(help="Turns of the caller to play, at least.")] = 100,
    parts: Annotated[str, typer.Option(help="all, tune (what strategies are tuned on) or held-out.")] = "all",
    kinds: Annotated[str, typer.Option(help="Only dialogues with such turns, e.g. pause,hesitation.")] = "",
    dialogue: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    baseline: Annotated[bool, typer.Option(help="Plain Pipecat's default strategies in turn with the agent.")] = True,
    url: Annotated[str | None, typer.Option(help="A running agent, instead of one that is started here.")] = None,
    token: Annotated[
        str | None, typer.Option(help="Access token of the running agent.", envvar="VOICE_AGENT_SERVER__TOKEN")
    ] = None,
    brain: Annotated[
        str, typer.Option(help="scripted (known answers at a known pace) or packaged (SmolLM2).")
    ] = "scripted",
    first_token_ms: Annotated[float, typer.Option(help="When the scripted brain begins to write.")] = 200.0,
    tokens_per_sec: Annotated[float, typer.Option(help="How fast it writes.")] = 60.0,
    profile: Annotated[str, typer.Option(help="Name of a profile in configs/, or path of a YAML file.")] = "embedded",
    env_file: Annotated[Path, typer.Option(help="File with more settings, one VARIABLE=value a line.")] = Path(".env"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG: rates and latencies of both.")] = None,
) -> None:
    """Manners: spoken dialogues over real calls, and plain Pipecat gets the same."""
    # The command imports this module; it may not import the command.
    from agent.cli import _fail, _quiet_logs, _settings

    _settings(profile, env_file, {})
    _quiet_logs()
    from agent.bench.options import Output
    from agent.bench.speech import BenchError
    from agent.bench.talk.options import TalkOptions
    from agent.bench.talk.run import run
    from engines.errors import EngineError

    try:
        options = TalkOptions(
            turns=turns,
            parts=parts,
            kinds=tuple(name.strip() for name in kinds.split(",") if name.strip()),
            dialogues=tuple(dialogue or ()),
            baseline=baseline and url is None,
            url=url,
            token=token if url else None,
            brain=brain,
            first_token_ms=first_token_ms,
            tokens_per_sec=tokens_per_sec,
            profile=profile,
            env_file=env_file,
        )
        run(options, Output(as_json, plot, None))
    except (BenchError, EngineError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped before the end")
