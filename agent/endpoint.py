"""What an OpenAI-compatible endpoint tells about itself."""

import asyncio
import ssl
from typing import Any

import httpx

OLLAMA_CONTEXT_TOKENS = 4096
"""What Ollama loads a model with where it is not told otherwise."""

MIN_CONTEXT_TOKENS = 512


def describe(error: BaseException) -> str:
    """An HTTP client's error as words; many of them have no message of their own."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def model_names(base_url: str, api_key: str, timeout_secs: float) -> list[str]:
    """The names of the models that an endpoint lists, as `listed_models` has them."""
    return list(await listed_models(base_url, api_key, timeout_secs))


async def listed_models(base_url: str, api_key: str, timeout_secs: float) -> dict[str, dict[str, Any]]:
    """What an endpoint tells of each of its models, by name; nothing if it does not list them.

    Raises:
        httpx.HTTPError, ValueError: It does not answer, or not as OpenAI's would.
    """
    # Reading the certificates blocks the loop for tens of milliseconds.
    context = await asyncio.to_thread(ssl.create_default_context) if base_url.startswith("https") else False
    async with httpx.AsyncClient(timeout=timeout_secs, verify=context) as client:
        response = await client.get(f"{base_url}/models", headers={"Authorization": f"Bearer {api_key}"})
        if response.status_code == httpx.codes.NOT_FOUND:
            return {}  # Some endpoints do not list their models, and answer all the same.
        response.raise_for_status()
        listed = response.json()
    models = listed.get("data") if isinstance(listed, dict) else None
    return {str(model["id"]): model for model in models or [] if isinstance(model, dict) and "id" in model}


def context_of(model: dict[str, Any]) -> int | None:
    """The context of one answer in tokens, where an endpoint tells it in its list of models, as vLLM (`max_model_len`),
    llama.cpp (`meta.n_ctx`) and several routers do.
    """
    meta = model.get("meta")
    told = [model.get(key) for key in ("max_model_len", "context_length", "max_context_length", "context_window")]
    told.append(meta.get("n_ctx") if isinstance(meta, dict) else None)
    return next((size for size in told if isinstance(size, int) and size >= MIN_CONTEXT_TOKENS), None)


async def ollama_context(url: str, model: str, timeout_secs: float) -> int:
    """The context with which Ollama has loaded a model; it forgets what is beyond without a word."""
    try:
        async with httpx.AsyncClient(timeout=timeout_secs) as client:
            loaded = (await client.get(f"{url}/api/ps")).json()["models"]
        sizes = [entry.get("context_length") for entry in loaded if model in (entry.get("name"), entry.get("model"))]
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        sizes = []
    return next((size for size in sizes if isinstance(size, int) and size >= MIN_CONTEXT_TOKENS), OLLAMA_CONTEXT_TOKENS)
