"""The engines that `bench tts` measures: how each is made from the options."""

import contextlib
import dataclasses
import functools
import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.bench.speech import BenchError
from agent.bench.tts_lengths import fixed_tokens
from agent.bench.tts_options import TtsOptions
from engines.opening import open_voice
from engines.protocol import TextToSpeech

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def weights(options: TtsOptions, progress: Callable[[str], None]) -> Iterator[TtsOptions]:
    """The options with a folder of random weights in them, where those are wanted; the engines must be made within it.

    A folder that is named and there is taken as it is.

    Raises:
        BenchError: torch or upstream is not installed.
    """
    if not options.random_weights:
        yield options
        return
    with contextlib.ExitStack() as stack:
        folder = options.engine.get("model")
        try:
            scripts = _scripts()
            if options.random_weights == "tiny":
                stack.enter_context(scripts.tiny_architecture())
            if folder is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatterbox-"))
                progress(f"writing random weights to {folder}")
                scripts.write_checkpoint(Path(folder), _variant(options))
        except ImportError as error:
            raise BenchError(f"--random-weights needs the packages of the extra gpu: {error}") from error
        yield dataclasses.replace(options, engine={**options.engine, "model": str(folder)})


def load_engine(options: TtsOptions) -> TextToSpeech:
    """What is measured; not for the event loop.

    Raises:
        BenchError: Its packages are not installed, or it does not know an argument.
        EngineError: It cannot be loaded.
    """
    try:
        return _engine(options)
    except (ImportError, TypeError) as error:
        which = "--url" if options.urls else f"--engine {options.name}"
        raise BenchError(f"{which} cannot be measured: {error}") from error


def load_baseline(options: TtsOptions) -> TextToSpeech:
    """Upstream with weights from the same folder, on the same device, with the watermark or without it as the engine.

    Upstream loads its own copy: the engine may keep its weights in another form.

    Raises:
        EngineError: It cannot be loaded.
    """
    from agent.bench.tts_baseline import UpstreamSpeech, load_upstream

    engine = options.engine
    model = load_upstream(_variant(options), engine.get("model"), engine.get("device", "cpu"))
    return UpstreamSpeech(model, fixed_tokens=_lengths(options), watermark=engine.get("watermark", True))


def device_of(options: TtsOptions) -> str:
    """Where the engine of this process runs."""
    return str(options.engine.get("device", "cpu"))


def _engine(options: TtsOptions) -> TextToSpeech:
    if options.urls:
        from engines.remote_tts import RemoteTextToSpeech

        # Its own patience and its own bound would end before those of the listeners and the services.
        patience_secs, most = options.patience_secs + 1, 2 * max(options.speakers)
        return RemoteTextToSpeech(options.urls, token=options.token, timeout_secs=patience_secs, max_streams=most)
    lengths = _lengths(options)
    return open_voice(options.name, **options.engine, **({"exact_tokens": lengths} if lengths else {}))


def _variant(options: TtsOptions) -> str:
    return str(options.engine.get("variant", "turbo"))


def _lengths(options: TtsOptions) -> Callable[[str], int] | None:
    return functools.partial(fixed_tokens, seed=options.seed) if options.random_weights else None


def _scripts() -> Any:
    """The script that makes random weights; and what a machine for measuring may lack is stood in for."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    importlib.import_module("scripts.stub_optional").stub_optional()
    return importlib.import_module("scripts.random_chatterbox")
