"""Many callers, one model: what is heard together is what would be heard alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from engines.errors import EngineBusy, EngineOvertaken
from engines.protocol import Transcript, TranscriptionOptions
from engines.whisper import WhisperEngine

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
    assert heard[2].queue_secs > heard[0].queue_secs


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
