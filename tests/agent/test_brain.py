"""What answers: an endpoint, Ollama, a GGUF file, or the packaged model."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, AuthenticationError

from agent.brain import SPOKEN_PROMPT, Brain, gguf_path, open_brain, with_model
from agent.endpoint import model_names
from agent.errors import StartError
from configs.settings import BrainSettings
from engines.errors import WeightsError
from engines.weights import SMOLLM2, verified
from tests.agent.conftest import DEAD, Endpoint


def settings(**given: Any) -> BrainSettings:
    return BrainSettings.model_validate({"ollama_url": None, **given})


async def test_an_endpoint_is_used_with_the_first_model_it_lists(endpoint: Endpoint):
    brain = await open_brain(settings(base_url=f"{endpoint.url}/v1/"))
    assert (brain.base_url, brain.model) == (f"{endpoint.url}/v1", "first-model")
    assert brain.label == "first-model" and not brain.small and brain.server is None
    assert brain.system_prompt == SPOKEN_PROMPT


async def test_an_endpoint_is_used_with_the_model_of_the_settings(endpoint: Endpoint):
    brain = await open_brain(
        settings(base_url=f"{endpoint.url}/v1", model="second-model", api_key="sk-secret", system_prompt="Be brief.")
    )
    assert brain.model == "second-model" and "second-model" in brain.label
    assert brain.system_prompt == "Be brief."
    assert endpoint.keys == ["Bearer sk-secret"]
    assert "sk-secret" not in brain.label


async def test_a_model_that_the_endpoint_does_not_list_is_asked_all_the_same(endpoint: Endpoint):
    brain = await open_brain(settings(base_url=f"{endpoint.url}/v1", model="other"))
    assert brain.model == "other"


async def test_an_endpoint_that_is_down_is_no_reason_not_to_start():
    brain = await open_brain(settings(base_url=f"{DEAD}/v1"))
    assert brain.model is None and brain.base_url == f"{DEAD}/v1"
    assert DEAD not in brain.label
    assert await with_model(brain) is None


async def test_an_endpoint_that_comes_up_later_is_found(endpoint: Endpoint):
    endpoint.models_status = 503
    brain = await open_brain(settings(base_url=f"{endpoint.url}/v1"))
    assert brain.model is None
    endpoint.models_status = 200
    found = await with_model(brain)
    assert found is not None and found.model == "first-model"


async def test_an_endpoint_without_a_list_of_models_is_used_with_the_named_one(endpoint: Endpoint):
    endpoint.models_status = 404
    assert (await open_brain(settings(base_url=f"{endpoint.url}/v1", model="mine"))).model == "mine"
    assert await model_names(f"{endpoint.url}/v1", "none", 1) == []


async def test_an_endpoint_that_has_no_model_yet_is_not_there(endpoint: Endpoint):
    endpoint.models = []
    brain = await open_brain(settings(base_url=f"{endpoint.url}/v1"))
    assert brain.model is None


async def test_a_page_that_is_no_endpoint_is_not_there(endpoint: Endpoint):
    brain = await open_brain(settings(base_url=endpoint.url))
    assert brain.model is None


async def test_an_ollama_on_this_machine_is_used_and_warmed(endpoint: Endpoint):
    brain = await open_brain(settings(ollama_url=endpoint.url))
    assert (brain.base_url, brain.model) == (f"{endpoint.url}/v1", "first-model")
    assert brain.label == "first-model in Ollama" and not brain.small
    (warming,) = endpoint.requests
    assert warming["model"] == "first-model" and warming["messages"][0]["role"] == "system"


async def test_of_an_ollama_the_model_of_the_settings_is_used(endpoint: Endpoint):
    assert (await open_brain(settings(ollama_url=endpoint.url, model="second-model"))).model == "second-model"


async def test_a_model_that_ollama_does_not_have_stops_the_start_with_those_it_has(endpoint: Endpoint):
    with pytest.raises(StartError, match=r"brain\.model = 'third-model'.*first-model, second-model"):
        await open_brain(settings(ollama_url=endpoint.url, model="third-model"))


async def test_an_ollama_that_cannot_be_warmed_is_used_all_the_same(endpoint: Endpoint):
    endpoint.chat_status = 500
    assert (await open_brain(settings(ollama_url=endpoint.url))).model == "first-model"


@pytest.mark.parametrize("ollama", ["empty", "not running"])
async def test_without_an_ollama_that_has_a_model_the_packaged_model_answers(endpoint: Endpoint, ollama: str):
    endpoint.models = []
    brain = await open_brain(settings(ollama_url=endpoint.url if ollama == "empty" else DEAD, slots=1))
    try:
        assert brain.small and brain.server is not None
    finally:
        await brain.close()


async def answer(brain: Brain, question: str) -> str:
    assert brain.model is not None
    async with AsyncOpenAI(api_key=brain.api_key, base_url=brain.base_url) as client:
        completion = await client.chat.completions.create(
            model=brain.model,
            messages=[
                {"role": "system", "content": brain.system_prompt},
                *brain.opening_messages(),  # pyright: ignore[reportArgumentType]
                {"role": "user", "content": question},
            ],
            temperature=0,
            max_tokens=24,
        )
    return completion.choices[0].message.content or ""


async def test_the_packaged_model_answers_behind_its_key_and_is_gone_when_closed():
    brain = await open_brain(settings())
    try:
        assert brain.small and "SmolLM2" in brain.label
        assert brain.base_url.startswith("http://127.0.0.1:")
        questions = ("What is the capital of France?", "What is the capital of Japan?")
        france, japan = await asyncio.gather(*(answer(brain, question) for question in questions))
        assert "Paris" in france and "Tokyo" in japan
        async with AsyncOpenAI(api_key="wrong", base_url=brain.base_url, max_retries=0) as stranger:
            with pytest.raises(AuthenticationError):
                await stranger.chat.completions.create(model="local", messages=[{"role": "user", "content": "Hi"}])
        async with httpx.AsyncClient() as stranger:
            response = await stranger.post(f"{brain.base_url}/chat/completions", json={"messages": []})
            assert response.status_code == 401
    finally:
        await brain.close()
    with pytest.raises(httpx.ConnectError):
        await model_names(brain.base_url, brain.api_key, 2)
    await brain.close()


async def test_a_gguf_file_is_used_as_it_is():
    path = verified(SMOLLM2)
    brain = await open_brain(settings(gguf=str(path), ollama_url=DEAD, slots=1, max_tokens=16))
    try:
        assert brain.label == path.name and not brain.small and brain.examples == ()
        assert await answer(brain, "Hello.")
    finally:
        await brain.close()


async def test_a_file_that_is_no_model_stops_the_start_with_its_name(tmp_path: Path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(StartError, match=r"broken\.gguf"):
        await open_brain(settings(gguf=str(path)))


@pytest.mark.parametrize(
    "name", ["gone.gguf", "/no/such/file.gguf", "owner/model.gguf", "owner/repo/", "owner/repo/file.bin", "//x.gguf"]
)
def test_a_name_that_is_neither_a_file_nor_of_the_hub_is_refused_with_what_was_expected(name: str):
    with pytest.raises(WeightsError, match="OWNER/REPO/FILE.gguf") as caught:
        gguf_path(name)
    assert repr(name) in str(caught.value)


def test_a_gguf_is_found_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model.gguf").touch()
    assert gguf_path("~/model.gguf") == str(tmp_path / "model.gguf")
