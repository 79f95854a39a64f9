"""What answers. Settings name an endpoint; else an Ollama on this machine is used; else a GGUF file; else the packaged
SmolLM2. Whatever it is, the pipeline speaks to it through the OpenAI protocol.
"""

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from loguru import logger

from agent.endpoint import context_of, describe, listed_models, model_names, ollama_context
from agent.errors import StartError
from agent.llama_server import LlamaServer, LlamaServerError
from configs.settings import BrainSettings
from engines.errors import WeightsError
from engines.weights import SMOLLM2, verified

SPOKEN_PROMPT = (
    "You are a friendly voice assistant on a phone call. Answer in one or two short sentences of plain spoken English. "
    "Never use lists, headings, markdown, emoji or code. If you do not know something, say so briefly. "
    "If the words seem misheard, ask the caller to say them again."
)
SMALL_MODEL_PROMPT = "You are a friendly voice assistant. Your answers are short and simple."
SMALL_MODEL_EXAMPLES = (
    ("Hello.", "Hello! How can I help?"),
    ("What can you do?", "I can chat with you."),
    ("What is the capital of Japan?", "It's Tokyo."),
    ("How far is it to the sun?", "About ninety three million miles."),
    ("Thank you, goodbye.", "Goodbye!"),
)
"""A model this small follows examples better than instructions."""

SMALL_MODEL_TEMPERATURE = 0.2
SMALL_MODEL_FREQUENCY_PENALTY = 0.5
"""Against its habit of saying a sentence over and over."""

SMALL_MODEL_SENTENCES = 2
SMALL_MODEL_HISTORY = 8
HISTORY_MESSAGES = 60
UNKNOWN_CONTEXT_TOKENS = 8192
IN_PROCESS_CONTEXT_TOKENS = 2048
PROMPT_TOKENS = 384
"""Kept free for the system prompt and what a server puts around messages."""

CHARS_PER_TOKEN = 2
"""On the safe side: English has four, other scripts fewer."""

PROBE_SECS = 0.5
CHECK_SECS = 3.0
WARM_SECS = 120.0
GGUF_PARTS = 3


@dataclass(frozen=True)
class Brain:
    """An OpenAI-compatible endpoint and how to ask it.

    Attributes:
        label: What it is, for callers; where it is, is the operator's business.
        base_url: The endpoint, ending in `/v1` as a rule.
        model: Model name there; None until the endpoint could be asked for its first.
        api_key: Key for the endpoint.
        small: Whether it is the packaged model, quick but often wrong.
        system_prompt: Who the agent is.
        temperature: None leaves it to the endpoint.
        frequency_penalty: As OpenAI's; None leaves it to the endpoint.
        max_tokens: Longest answer.
        max_sentences: Answers are cut after so many; None trusts the prompt.
        history_messages: Most messages of the conversation that are sent along.
        context_tokens: Context of one answer; None where nobody says.
        summarize_share: Share of the history's bounds at which the brain is asked for a summary; None never.
        examples: Exchanges (caller, agent) that stand before every conversation, to show the manner of answering.
        timeout_secs: Longest wait for the first word, and between two.
        server: The server in this process, if the model runs here.
    """

    label: str
    base_url: str
    model: str | None
    api_key: str
    small: bool
    system_prompt: str
    temperature: float | None
    max_tokens: int
    max_sentences: int | None
    history_messages: int
    timeout_secs: float
    frequency_penalty: float | None = None
    context_tokens: int | None = None
    summarize_share: float | None = None
    examples: tuple[tuple[str, str], ...] = ()
    server: LlamaServer | None = None

    def opening_messages(self) -> list[dict[str, str]]:
        """The examples as messages."""
        turns = (zip(("user", "assistant"), pair, strict=True) for pair in self.examples)
        return [{"role": role, "content": text} for turn in turns for role, text in turn]

    @property
    def history_chars(self) -> int:
        """Most characters of the conversation that are sent along."""
        prompt_tokens = max(PROMPT_TOKENS, len(self.system_prompt) // CHARS_PER_TOKEN + 128)
        tokens = (self.context_tokens or UNKNOWN_CONTEXT_TOKENS) - self.max_tokens - prompt_tokens
        return CHARS_PER_TOKEN * max(128, tokens)

    async def close(self) -> None:
        """Stop the server in this process, if there is one."""
        if self.server is not None:
            await self.server.close()


async def open_brain(settings: BrainSettings) -> Brain:
    """Find out what answers, start it if it runs in this process, and warm it.

    Raises:
        StartError: The GGUF or the packaged model cannot be loaded. An endpoint that cannot be reached is no reason not
            to start: it may come up later, and until then callers are told.
    """
    if settings.base_url:
        brain = _endpoint(settings, settings.base_url.rstrip("/"))
        return await with_model(brain) or brain
    if settings.ollama_url and not settings.gguf:
        ollama = await _ollama(settings, settings.ollama_url.rstrip("/"))
        if ollama is not None:
            return ollama
    return await _in_process(settings)


async def with_model(brain: Brain) -> Brain | None:
    """The brain with a model's name, the endpoint's first where none was set, and with the context that the endpoint
    tells; None if it does not answer.
    """
    try:
        models = await listed_models(brain.base_url, brain.api_key, CHECK_SECS)
    except (httpx.HTTPError, ValueError) as error:
        logger.warning(f"the brain at {brain.base_url} does not answer: {describe(error)}")
        return None
    names = list(models)
    if brain.context_tokens is None and (model := brain.model or next(iter(names), None)) in models:
        brain = replace(brain, context_tokens=context_of(models[model]))
    if brain.model is None:
        if not names:
            logger.warning(f"the brain at {brain.base_url} lists no model; set VOICE_AGENT_BRAIN__MODEL")
            return None
        return replace(brain, model=names[0], label=names[0])
    if names and brain.model not in names:
        logger.warning(
            f"the brain at {brain.base_url} does not list the model {brain.model!r}; it lists {', '.join(names[:8])}"
        )
    return brain


def _endpoint(settings: BrainSettings, base_url: str) -> Brain:
    return Brain(
        label=settings.model or "a model that does not answer yet",
        base_url=base_url,
        model=settings.model,
        api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
        small=False,
        system_prompt=settings.system_prompt or SPOKEN_PROMPT,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        max_sentences=settings.max_sentences,
        context_tokens=settings.context_tokens,
        summarize_share=settings.summarize_share,
        history_messages=HISTORY_MESSAGES,
        timeout_secs=settings.timeout_secs,
    )


async def _ollama(settings: BrainSettings, url: str) -> Brain | None:
    try:
        names = await model_names(f"{url}/v1", "ollama", PROBE_SECS)
    except (httpx.HTTPError, ValueError):
        return None
    if not names:
        logger.warning(f"Ollama runs at {url} but has no model; `ollama pull llama3.2` fetches one")
        return None
    if settings.model and settings.model not in names:
        raise StartError(f"brain.model = {settings.model!r}: Ollama at {url} has only {', '.join(names)}")
    model = settings.model or names[0]
    brain = replace(_endpoint(settings, f"{url}/v1"), model=model, label=f"{model} in Ollama")
    await _warm(brain)
    return (
        brain if brain.context_tokens else replace(brain, context_tokens=await ollama_context(url, model, CHECK_SECS))
    )


async def _warm(brain: Brain, at_once: int = 1) -> None:
    """Let the endpoint load the model and read the prompt before the first caller waits for it.

    Args:
        brain: What to warm.
        at_once: Requests at the same time, so that every slot of a server has read the prompt.
    """
    messages = [{"role": "system", "content": brain.system_prompt}, *brain.opening_messages()]
    request = {
        "model": brain.model,
        "messages": [*messages, {"role": "user", "content": "Good morning."}],
        "max_tokens": 16,
    }
    headers = {"Authorization": f"Bearer {brain.api_key}"}
    try:
        async with httpx.AsyncClient(timeout=WARM_SECS, headers=headers) as client:
            url = f"{brain.base_url}/chat/completions"
            for response in await asyncio.gather(*(client.post(url, json=request) for _ in range(at_once))):
                response.raise_for_status()
    except httpx.HTTPError as error:
        logger.warning(f"{brain.label} could not be warmed: {describe(error)}")


async def _in_process(settings: BrainSettings) -> Brain:
    loop = asyncio.get_running_loop()
    context_tokens = settings.context_tokens or IN_PROCESS_CONTEXT_TOKENS
    try:
        if settings.gguf:
            path = await loop.run_in_executor(None, gguf_path, settings.gguf)
        else:
            path = str(await loop.run_in_executor(None, verified, SMOLLM2))
        server = await LlamaServer.start(
            path,
            threads=settings.threads or default_threads(os.cpu_count() or 1),
            slots=settings.slots,
            context_tokens=context_tokens,
            gpu_layers=settings.gpu_layers,
        )
    except (WeightsError, LlamaServerError) as error:
        raise StartError(str(error)) from error
    brain = replace(_endpoint(settings, server.base_url), api_key=server.api_key, model="local", server=server)
    brain = replace(brain, context_tokens=context_tokens)
    if settings.gguf:
        brain = replace(brain, label=Path(path).name)
    else:
        brain = replace(
            brain,
            label="SmolLM2-135M-Instruct (packaged)",
            small=True,
            system_prompt=settings.system_prompt or SMALL_MODEL_PROMPT,
            temperature=SMALL_MODEL_TEMPERATURE if settings.temperature is None else settings.temperature,
            frequency_penalty=SMALL_MODEL_FREQUENCY_PENALTY,
            max_sentences=settings.max_sentences or SMALL_MODEL_SENTENCES,
            history_messages=SMALL_MODEL_HISTORY,
            summarize_share=None,
            examples=() if settings.system_prompt else SMALL_MODEL_EXAMPLES,
        )
    await _warm(brain, at_once=settings.slots)
    return brain


def default_threads(cores: int) -> int:
    """Half the cores: llama.cpp's threads wait for each other in a spin, and one that shares its core with the calls
    makes all of them several times slower.
    """
    return max(1, cores // 2)


def gguf_path(name: str) -> str:
    """The path of a GGUF: as given, or downloaded from the Hugging Face hub for `OWNER/REPO/FILE.gguf`.

    Raises:
        WeightsError: There is no such file, and it cannot be downloaded.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return str(path)
    parts = name.split("/", GGUF_PARTS - 1)
    if len(parts) < GGUF_PARTS or not name.endswith(".gguf") or not all(parts):
        raise WeightsError(
            f"brain.gguf = {name!r}: no such file; expected the path of a GGUF file, or "
            "OWNER/REPO/FILE.gguf of the Hugging Face hub"
        )
    from huggingface_hub import hf_hub_download

    try:
        return hf_hub_download(f"{parts[0]}/{parts[1]}", parts[2])
    except Exception as error:
        raise WeightsError(
            f"brain.gguf = {name!r}: not a file here, and the hub does not give it: {describe(error)}"
        ) from error
