"""Many callers, one model: what is heard together is what would be heard alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from engines.errors import EngineBusy, EngineOvertaken
from engines.protocol import Transcript, TranscriptionOptions
from engines.whisper import WhisperEngine
from engines.whisper.backend import Decoded
from engines.whisper.features import Spectrograms
from engines.whisper.gates import Gates
from engines.whisper.passes import Passes, Piece, Request

RATE = 16_000


def cuts(recordings: dict[str, bytes]) -> list[bytes]:
    """Pieces of real speech, of many lengths."""
    found = []
    for pcm in recordings.values():
        for start_secs in (0.0, 0.7, 1.9):
            for secs in (0.9, 2.3, 4.1, 9.0):
                piece = pcm[int(start_secs * RATE) * 2 : int((start_secs + secs) * RATE) * 2]
                if len(piece) == int(secs * RATE) * 2:
                    found.append(piece)
    return found


@pytest.fixture
async def small() -> AsyncIterator[WhisperEngine]:
    engine = WhisperEngine(max_batch=4, max_queue=4)
    yield engine
    await engine.close()


async def test_batched_transcripts_equal_those_of_single_requests(whisper: WhisperEngine, recordings: dict[str, bytes]):
    pieces = cuts(recordings)[::2]
    alone = [await whisper.transcribe(pcm) for pcm in pieces]
    together = await asyncio.gather(*(whisper.transcribe(pcm) for pcm in pieces))
    assert [item.text for item in together] == [item.text for item in alone]
    assert [item.gate for item in together] == [item.gate for item in alone]
    assert [round(item.avg_logprob, 2) for item in together] == [round(item.avg_logprob, 2) for item in alone]
    assert all(item.batch_size == 1 for item in alone)
    assert max(item.batch_size for item in together) > 4


async def test_requests_of_different_kinds_share_no_batch_and_are_all_right(
    whisper: WhisperEngine, recordings: dict[str, bytes]
):
    pcm = recordings["librivox-0880.wav"]
    kinds = [
        TranscriptionOptions(),
        TranscriptionOptions(beam_size=3),
        TranscriptionOptions(timestamps=True),
        TranscriptionOptions(word_timestamps=True),
        TranscriptionOptions(hotwords="ill-disposed"),
        TranscriptionOptions(prompt="Sense and Sensibility, by Jane Austen."),
    ]
    alone = [await whisper.transcribe(pcm, kind) for kind in kinds]
    together = await asyncio.gather(*(whisper.transcribe(pcm, kind) for kind in kinds * 2))
    assert [item.text for item in together] == [item.text for item in alone] * 2
    assert [item.words for item in together] == [item.words for item in alone] * 2


async def test_the_parts_of_the_time_are_told(whisper: WhisperEngine, recordings: dict[str, bytes]):
    heard = await asyncio.gather(*(whisper.transcribe(recordings["librivox-0880.wav"]) for _ in range(3)))
    for item in heard:
        assert item.features_secs > 0 and item.encode_secs > 0 and item.decode_secs > 0
        assert item.encode_secs + item.decode_secs <= item.compute_secs
        assert item.passes == 1
    assert all(item.queue_secs >= 0 for item in heard)


async def test_a_crowd_gets_a_typed_error_at_once_and_the_others_their_words(
    small: WhisperEngine, recordings: dict[str, bytes]
):
    pcm = recordings["librivox-0880.wav"]
    results = await asyncio.gather(*(small.transcribe(pcm) for _ in range(30)), return_exceptions=True)
    words = {item.text for item in results if isinstance(item, Transcript)}
    refused = [item for item in results if isinstance(item, EngineBusy)]
    assert len(words) == 1 and len(refused) >= 20
    assert len(refused) + sum(isinstance(item, Transcript) for item in results) == 30
    assert (await small.transcribe(pcm)).text in words


async def test_a_partial_gives_way_to_the_final_of_its_utterance(small: WhisperEngine, recordings: dict[str, bytes]):
    pcm = recordings["librivox-0880.wav"]
    busy = asyncio.create_task(small.transcribe(pcm))
    await asyncio.sleep(0.02)
    partial = TranscriptionOptions(partial=True, stream="caller")
    early = asyncio.create_task(small.transcribe(pcm[: 2 * RATE], partial))
    await asyncio.sleep(0)
    final = asyncio.create_task(small.transcribe(pcm, replace(partial, partial=False)))
    with pytest.raises(EngineOvertaken):
        await early
    assert (await final).text == (await busy).text


async def test_an_utterance_asked_for_early_is_transcribed_once(whisper: WhisperEngine, recordings: dict[str, bytes]):
    pcm = recordings["librivox-0880.wav"]
    early = TranscriptionOptions(partial=True, stream="caller")
    guess = asyncio.create_task(whisper.transcribe(pcm, early))
    await asyncio.sleep(0.02)
    final = await whisper.transcribe(pcm, replace(early, partial=False))
    assert final is await guess


async def test_cancelling_drops_what_has_not_begun(small: WhisperEngine, recordings: dict[str, bytes]):
    pcm = recordings["librivox-0880.wav"]
    busy = asyncio.create_task(small.transcribe(pcm))
    await asyncio.sleep(0.02)
    waiting = asyncio.create_task(small.transcribe(pcm))
    await asyncio.sleep(0)
    assert small.queue_size == 1 and not small.has_room
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert small.queue_size == 0 and small.has_room
    assert (await busy).text


async def test_live_speech_does_not_wait_for_a_long_recording(whisper: WhisperEngine, recordings: dict[str, bytes]):
    long = asyncio.create_task(whisper.transcribe((recordings["jfk.flac"] + recordings["librivox-0870.wav"]) * 6))
    done: list[str] = []
    long.add_done_callback(lambda _: done.append("long"))
    await asyncio.sleep(0.3)
    for _ in range(3):
        heard = await whisper.transcribe(recordings["librivox-0880.wav"])
        done.append("live")
        # It shared no batch with the pieces of the recording.
        assert heard.batch_size == 1
    assert (await long).text.count("country") >= 10
    assert done == ["live", "live", "live", "long"]


class RunsOn:
    """A backend whose decoder never ends: it writes as much as the batch allows, and grows surer of itself."""

    name, is_multilingual, n_mels = "made", False, 80

    def __init__(self, engine: WhisperEngine):
        self.tokenizer = engine._backend.tokenizer

    def encode(self, features: np.ndarray) -> np.ndarray:
        return features

    def generate(self, encoded: np.ndarray, prompts: list[list[int]], options) -> list[Decoded]:
        count = options.max_new_tokens
        return [Decoded(list(range(1000, 1000 + count)), -20.0, 0.1) for _ in prompts]


def test_a_neighbour_that_may_write_more_changes_nothing(whisper: WhisperEngine):
    passes = Passes(RunsOn(whisper), whisper._prompts, Spectrograms(80), Gates())  # pyright: ignore[reportArgumentType]
    request = Request("en", (), 1, (0.0,), timestamps=False, word_timestamps=False)
    sound = np.random.default_rng(0).normal(0, 0.1, 8 * RATE).astype(np.float32)

    def piece(secs: float) -> Piece:
        return Piece(sound[: int(secs * RATE)], request, 10.0, 0.0)

    alone, short, long = piece(1), piece(1), piece(8)
    passes.run([alone])
    passes.run([short, long])
    assert alone.hypotheses[0] == short.hypotheses[0]
    assert alone.hypotheses[0].verdict.gate == "loop"


async def test_one_quiet_word_in_a_long_silence_is_not_silence(whisper: WhisperEngine, recordings: dict[str, bytes]):
    word = np.frombuffer(recordings["sphinx-goforward.wav"], "<i2").astype(np.float32)
    quiet = np.concatenate([word * 0.035, np.zeros(2 * RATE, np.float32)])
    assert (await whisper.transcribe(quiet.astype("<i2").tobytes())).gate != "silence"
