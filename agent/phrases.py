"""Sentences of the agent as sound made beforehand, so that a fault can be told even where the voice is what failed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from loguru import logger
from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame, TTSTextFrame
from pipecat.utils.text.base_text_aggregator import TextType

from engines.errors import EngineError
from engines.protocol import SpeechOptions, TextToSpeech

MAKE_SECS = 20.0
"""Longest wait for one sentence."""

PIECE_SECS = 0.2


class Phrases:
    """Sound of sentences that are known beforehand, PCM16 mono."""

    def __init__(self, spare: Callable[[], TextToSpeech] | None = None):
        """
        Args:
            spare: Makes a voice that runs in this process, for sentences that the usual one could not say; called on
                a thread.
        """
        self._spare = spare
        self._sounds: dict[str, tuple[bytes, int]] = {}

    def __contains__(self, text: str) -> bool:
        return text in self._sounds

    async def prepare(self, voice: TextToSpeech, texts: Iterable[str]) -> None:
        """Make the sound of these, with the spare voice where the usual one fails. Raises nothing."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._sounds]
        left = [text for text in missing if not await self._make(voice, text)]
        if not left or self._spare is None:
            return
        logger.warning(f"{voice.name} could not say {len(left)} sentences beforehand; another voice says them")
        try:
            spare = await asyncio.get_running_loop().run_in_executor(None, self._spare)
        except EngineError as error:
            logger.error(f"there is no other voice: {error}")
            return
        try:
            for text in left:
                await self._make(spare, text)
        finally:
            await spare.close()

    def frames(self, text: str) -> list[Frame]:
        """What says it, for a transport's output; empty where it could not be made."""
        if text not in self._sounds:
            return []
        pcm, rate = self._sounds[text]
        size = 2 * int(PIECE_SECS * rate)
        pieces = [TTSAudioRawFrame(pcm[at : at + size], rate, 1) for at in range(0, len(pcm), size)]
        # For the captions; the brain does not remember what it did not say.
        words = TTSTextFrame(text, TextType.SENTENCE)
        words.append_to_context = False
        words.will_be_spoken = True
        return [TTSStartedFrame(append_to_context=False), *pieces[:1], words, *pieces[1:], TTSStoppedFrame()]

    async def _make(self, voice: TextToSpeech, text: str) -> bool:
        async def once() -> AsyncIterator[str]:
            yield text

        try:
            async with asyncio.timeout(MAKE_SECS):
                pcm = b"".join([chunk.pcm async for chunk in voice.synthesize(once(), SpeechOptions(live=False))])
        except Exception as error:
            # Whatever it is, another voice is tried, and the agent starts.
            logger.debug(f"{voice.name} could not make a sentence beforehand: {type(error).__name__}: {error}")
            return False
        if pcm:
            self._sounds[text] = (pcm, voice.sample_rate)
        return bool(pcm)
