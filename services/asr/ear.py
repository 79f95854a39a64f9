"""Server endpointing: the service hears by itself where utterances begin and end."""

import itertools

from configs.settings import AsrServiceSettings
from engines.errors import EngineBusy
from engines.protocol import TranscriptionOptions
from engines.vad import WINDOW, WINDOW_SECS, SileroVad, VadStream
from services.asr.endpointing import Endpointer, EndpointingRules, Event, SpeechStarted
from services.asr.intake import ENGINE_RATE, Intake
from services.asr.messages import Start
from services.asr.session import Works
from services.asr.utterance import UtteranceWork

BYTES = 2
GAP_SECS = 1.0
"""Besides `stop_secs`, time without audio that ends an utterance: a network may hold audio back for some while."""


def rules_of(settings: AsrServiceSettings) -> EndpointingRules:
    """The rules of endpointing by the settings."""
    return EndpointingRules(
        speech_threshold=settings.speech_threshold,
        silence_threshold=settings.silence_threshold,
        start_secs=settings.start_secs,
        stop_secs=settings.stop_secs,
        preroll_secs=settings.preroll_secs,
        max_secs=settings.max_utterance_secs,
        window_secs=WINDOW_SECS,
    )


class Ear:
    """Cuts the audio of one connection into utterances. Implements `services.asr.session.Audience`."""

    def __init__(self, start: Start, options: TranscriptionOptions, works: Works, vad: SileroVad):
        """
        Args:
            start: The client's first message.
            options: Of every utterance.
            works: Where the utterances go.
            vad: Says where there is speech.
        """
        self._works = works
        self._options = options
        self._with_partials = start.partials
        self._vad = vad
        self._stream = VadStream()
        self._intake = Intake(start.sample_rate)
        rules = rules_of(works.service.settings)
        self._endpointer = Endpointer(rules)
        self._stop_secs = rules.stop_secs
        self._sample_rate = start.sample_rate
        self._last_secs = 0.0
        self._ids = itertools.count(1)
        self._work: UtteranceWork | None = None
        self._kept = bytearray()
        self._kept_from = 0
        self._heard_to = 0

    @property
    def longest_gap_secs(self) -> float | None:
        """For how long the client may now send no audio before `pause`; None while nobody speaks.

        One that sends long messages sends them as far apart.
        """
        return self._last_secs + self._stop_secs + GAP_SECS if self._endpointer.speaking else None

    async def hear(self, pcm: bytes) -> None:
        """See `Audience.hear`.

        Raises:
            Refusal: There is half a sample in it.
        """
        self._last_secs = len(pcm) / BYTES / self._sample_rate
        await self._hear(self._intake.feed(pcm))

    async def finish(self) -> None:
        """See `Audience.finish`: what is being said now is complete."""
        await self._hear(self._intake.finish())
        self._stop()

    async def pause(self) -> None:
        """The audio has stopped coming: what is being said is complete. More may come, and is heard."""
        await self._hear(b"")
        self._stop()

    def cancel(self, utterance_id: str) -> None:
        """Drop an utterance. What is still being said of it, up to its end, is passed over."""
        self._works.drop(utterance_id)
        if self._work is not None and self._work.id == utterance_id:
            self._work = None

    def _stop(self) -> None:
        for event in self._endpointer.finish():
            self._follow(event)

    async def _hear(self, pcm: bytes) -> None:
        self._kept += pcm
        try:
            probabilities = await self._vad.hear(self._stream, pcm)
        except EngineBusy:
            # The samples are kept, and heard with those that come next.
            return
        for probability in probabilities:
            self._heard_to += WINDOW
            for event in self._endpointer.update(probability):
                self._follow(event)
        if self._endpointer.speaking:
            spoken = self._take_until(self._heard_to)
            if self._work is not None:
                self._work.feed(spoken)
        else:
            self._take_until(round(self._endpointer.needed_from * ENGINE_RATE))

    def _follow(self, event: Event) -> None:
        if isinstance(event, SpeechStarted):
            utterance_id = f"speech-{next(self._ids)}"
            self._works.say({"type": "speech_started", "id": utterance_id, "at": round(event.at, 3)})
            self._take_until(round(event.audio_from * ENGINE_RATE))
            self._work = self._works.begin(utterance_id, self._options, partials=self._with_partials)
            return
        spoken = self._take_until(round(event.audio_to * ENGINE_RATE))
        work, self._work = self._work, None
        if work is None:
            # The client has cancelled it.
            return
        self._works.say({"type": "speech_stopped", "id": work.id, "at": round(event.at, 3), "cut": event.cut})
        work.feed(spoken)
        self._works.end(work)

    def _take_until(self, sample: int) -> bytes:
        """The kept audio before a sample, counted from the start of the stream. It is kept no longer."""
        length = max(0, sample - self._kept_from) * BYTES
        taken = bytes(self._kept[:length])
        del self._kept[:length]
        self._kept_from += len(taken) // BYTES
        return taken
