"""A GGUF model behind llama.cpp's own OpenAI-compatible server, in this process (xllamacpp)."""

import asyncio
import secrets
from typing import Any

import httpx

START_SECS = 120.0
REUSED_TOKENS = 8
"""Shortest run of tokens that is worth moving."""


class LlamaServerError(Exception):
    """The model cannot be loaded or the server does not start."""


class LlamaServer:
    """llama.cpp's server on a free port of the loopback, behind a key of its own.

    Its requests are batched by llama.cpp; each has a slot, whose context holds one conversation's words only.
    """

    def __init__(self, server: Any, base_url: str, api_key: str, slots: int):
        self._server = server
        self._users = dict.fromkeys(range(slots), 0)
        self.base_url = base_url
        self.api_key = api_key

    @classmethod
    async def start(
        cls, path: str, *, threads: int, slots: int, context_tokens: int, gpu_layers: int = 0
    ) -> "LlamaServer":
        """Load a model.

        Args:
            path: A GGUF file.
            threads: CPU threads that write, for all slots together; twice as many read.
            slots: Answers written at once; more wait.
            context_tokens: Context of one slot.
            gpu_layers: Layers to put on a GPU.

        Raises:
            LlamaServerError: The file cannot be loaded, or the server did not answer in time.
        """
        loop = asyncio.get_running_loop()
        api_key = secrets.token_urlsafe(24)
        try:
            server = await loop.run_in_executor(None, _serve, path, threads, slots, context_tokens, gpu_layers, api_key)
        except Exception as error:
            raise LlamaServerError(f"llama.cpp cannot load {path}: {error}") from error
        started = cls(server, f"{server.listening_address}/v1", api_key, slots)
        await started._until_healthy(server.listening_address)
        return started

    async def _until_healthy(self, address: str) -> None:
        async with httpx.AsyncClient(timeout=2) as client:
            deadline = asyncio.get_running_loop().time() + START_SECS
            while asyncio.get_running_loop().time() < deadline:
                try:
                    if (await client.get(f"{address}/health")).status_code == httpx.codes.OK:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)
        raise LlamaServerError(f"llama.cpp did not become ready at {address} within {START_SECS:.0f} s")

    def take_slot(self) -> int:
        """The slot with the fewest conversations. One that stays in its slot finds its own words still in the cache."""
        slot = min(self._users, key=lambda number: self._users[number])
        self._users[slot] += 1
        return slot

    def release_slot(self, slot: int) -> None:
        """A conversation in this slot has ended."""
        self._users[slot] -= 1

    async def close(self) -> None:
        """Stop the server and give the model back."""
        server, self._server = self._server, None
        if server is not None:
            # The last reference ends the server's threads, which takes a moment.
            await asyncio.get_running_loop().run_in_executor(None, _release, [server])
            del server


def _serve(path: str, threads: int, slots: int, context_tokens: int, gpu_layers: int, api_key: str) -> Any:
    import xllamacpp.xllamacpp as xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [api_key]
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    params.n_parallel = slots
    params.n_ctx = slots * context_tokens
    params.n_gpu_layers = gpu_layers
    params.cpuparams.n_threads = threads
    # Reading is done in long steps, which bear a busy neighbour; writing waits for every thread at every layer.
    params.cpuparams_batch.n_threads = 2 * threads
    params.cpuparams.poll = 0
    params.cpuparams_batch.poll = 0
    # When the oldest words of a conversation are dropped, what follows is moved in the cache, not read again.
    params.n_cache_reuse = REUSED_TOKENS
    params.cache_ram_mib = 0
    params.fit_params = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def _release(servers: list[Any]) -> None:
    servers.clear()
