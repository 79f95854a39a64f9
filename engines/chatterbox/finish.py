"""From what the vocoder gives to what is heard: silence and babble cut, loudness evened, words placed, the mark put in.

This runs on a thread of its own, beside the one that keeps the models busy.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from loguru import logger

from engines.chatterbox.speaker import Speaker, Utterance
from engines.errors import EngineError, EngineFailed
from engines.protocol import Mark, SpeechChunk
from engines.speech import LeadingTrim, Leveller, LevelMemory, TrailingCut
from engines.text import MarkPlanner, Sentence, spoken_length

SAMPLE_RATE = 24_000


@dataclass(frozen=True)
class Mending:
    """What is mended in the sound; each may be turned off.

    Attributes:
        trim_silence: Silence before the first sound of a sentence is cut, and after its last one is as long as a pause.
        cut_babble: Sound after the end of a sentence is cut.
        level_loudness: Sentences and voices are brought to one loudness.
    """

    trim_silence: bool = True
    cut_babble: bool = True
    level_loudness: bool = True


class SentenceSound:
    """The sound of one sentence, piece by piece."""

    def __init__(self, sentence: Sentence, start: int, mending: Mending):
        """
        Args:
            sentence: What is said.
            start: First sample, counted from the beginning of the stream.
            mending: What is mended.
        """
        letters = spoken_length(sentence.spoken)
        self._sentence = sentence
        self._leading = LeadingTrim(SAMPLE_RATE) if mending.trim_silence else None
        cuts = mending.trim_silence or mending.cut_babble
        self._trailing = (
            TrailingCut(SAMPLE_RATE, letters=letters, trim=mending.trim_silence, babble=mending.cut_babble)
            if cuts
            else None
        )
        self._marks = MarkPlanner(sentence, start, sample_rate=SAMPLE_RATE)

    @property
    def is_over(self) -> bool:
        """Whether nothing that follows will be heard."""
        return self._trailing is not None and self._trailing.over

    def push(self, audio: np.ndarray, *, last: bool) -> np.ndarray:
        """Take the next piece, give what is to be heard of it and of what was held back."""
        if self._leading is not None:
            audio = self._leading.push(audio)
            if last:
                audio = np.concatenate([audio, self._leading.finish()])
        if self._trailing is not None:
            audio = self._trailing.push(audio)
            if last:
                audio = np.concatenate([audio, self._trailing.finish(self._sentence.pause_secs)])
        return audio

    def place(self, samples: int, *, expected: int | None, last: bool) -> tuple[Mark, ...]:
        """The words that begin in the next samples."""
        if expected is not None and self._leading is not None:
            expected = max(samples, expected - self._leading.cut)
        return self._marks.advance(samples, expected=expected, last=last)


@dataclass
class StreamSound:
    """The sound of one stream, across its sentences."""

    mending: Mending
    leveller: Leveller | None = None
    watermark: Any = None
    sentence: SentenceSound | None = None
    placed: int = 0
    """Samples that went into the watermark."""

    given: int = 0
    """Samples that came out of it."""

    marks: deque[Mark] = field(default_factory=deque)
    """Words that begin behind what was given."""

    def push(self, utterance: Utterance, audio: np.ndarray, *, expected: int | None, last: bool) -> np.ndarray:
        """Take the next piece of a sentence; give it as it is to be heard."""
        if self.sentence is None:
            self.sentence = SentenceSound(utterance.sentence, self.placed, self.mending)
            if self.leveller is not None:
                self.leveller.new_sentence()
        audio = self.sentence.push(audio, last=last)
        self.marks.extend(self.sentence.place(len(audio), expected=expected, last=last))
        self.placed += len(audio)
        if last:
            self.sentence = None
        return self.leveller.push(audio) if self.leveller is not None else audio

    def chunk(self, audio: np.ndarray, *, final: bool) -> SpeechChunk:
        """What is heard next, with the words that begin in it."""
        self.given += len(audio)
        marks = []
        while self.marks and (final or self.marks[0].start < self.given):
            marks.append(self.marks.popleft())
        return SpeechChunk((np.clip(audio, -1.0, 1.0) * 32767.0).astype("<i2").tobytes(), tuple(marks))


@dataclass(frozen=True)
class Piece:
    """Sound of one stream from the vocoder, or its end.

    Attributes:
        speaker: The stream.
        utterance: The sentence; None at the end of the stream.
        audio: float32, shape (samples,), 24 kHz.
        expected: Samples that the whole sentence will have, where that is known.
        last: Whether it is the sentence's last.
    """

    speaker: Speaker
    utterance: Utterance | None
    audio: np.ndarray
    expected: int | None = None
    last: bool = False


class Finisher:
    """Takes pieces from the worker and tells them to the streams, on its own thread. Never waits for a listener."""

    def __init__(
        self,
        mending: Mending,
        *,
        watermarker: Any | None,
        clock: Callable[[], float],
        on_over: Callable[[Utterance], None],
        on_failure: Callable[[Speaker, EngineError], None],
    ):
        """
        Args:
            mending: What is mended.
            watermarker: `engines.chatterbox.watermark.Watermarker`; None puts no mark in.
            clock: Seconds, for what the listeners have left.
            on_over: Told of a sentence whose speech is over although the model goes on.
            on_failure: Told of a stream that failed here.
        """
        self._mending = mending
        self._watermarker = watermarker
        self._clock = clock
        self._on_over = on_over
        self._on_failure = on_failure
        self._levels = LevelMemory() if mending.level_loudness else None
        self._queue: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        self.busy_secs = 0.0
        self._thread = threading.Thread(target=self._work, name="chatterbox-finish", daemon=True)
        self._thread.start()

    def open(self, voice: str) -> StreamSound:
        """The sound of a new stream."""
        leveller = Leveller(SAMPLE_RATE, voice=voice, memory=self._levels) if self._levels is not None else None
        watermark = self._watermarker.open() if self._watermarker is not None else None
        return StreamSound(self._mending, leveller, watermark)

    def put(self, piece: Piece) -> None:
        """Take a piece; those of one stream in their order. The worker bounds how much comes."""
        self._queue.put(piece)

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join(timeout=5)

    def _work(self) -> None:
        waiting: deque[Piece] = deque()
        while True:
            piece = self._queue.get()
            if piece is None:
                return
            waiting.append(piece)
            closing = False
            while not self._queue.empty():
                if (following := self._queue.get()) is None:
                    # What came before the end is still given: the worker has forgotten those streams, nobody else
                    # would tell them anything.
                    closing = True
                    break
                waiting.append(following)
            while waiting:
                began_at = self._clock()
                self._finish_safely(_one_of_each(waiting))
                self.busy_secs += self._clock() - began_at
            if closing:
                return

    def _finish_safely(self, pieces: list[Piece]) -> None:
        try:
            self._finish(pieces)
        except Exception as error:
            # The thread goes on, or every stream would wait for ever.
            logger.error(f"the sound of {len(pieces)} streams could not be finished: {type(error).__name__}: {error}")
            for piece in pieces:
                self._fail(piece.speaker, error)

    def _finish(self, pieces: list[Piece]) -> None:
        mended = [(piece, audio) for piece in pieces if (audio := self._mend(piece)) is not None]
        if not mended:
            return
        for piece, audio in self._mark(mended):
            self._give(piece, audio)

    def _mend(self, piece: Piece) -> np.ndarray | None:
        speaker, utterance = piece.speaker, piece.utterance
        if speaker.cancelled or utterance is None:
            return None if speaker.cancelled else piece.audio
        sound: StreamSound = speaker.sound
        try:
            audio = sound.push(utterance, piece.audio, expected=piece.expected, last=piece.last)
        except Exception as error:
            self._fail(speaker, error)
            return None
        if not piece.last and sound.sentence is not None and sound.sentence.is_over:
            self._on_over(utterance)
        return audio

    def _mark(self, mended: list[tuple[Piece, np.ndarray]]) -> list[tuple[Piece, np.ndarray]]:
        """Put the watermark into all of them at once; where that fails, one by one, so that only the guilty fails."""
        if self._watermarker is None:
            return mended
        try:
            return self._marked(mended)
        except Exception as error:
            if len(mended) == 1:
                self._fail(mended[0][0].speaker, error)
                return []
            logger.error(f"a batch of {len(mended)} could not be watermarked: {type(error).__name__}: {error}")
            return [marked for item in mended for marked in self._mark([item])]

    def _marked(self, mended: list[tuple[Piece, np.ndarray]]) -> list[tuple[Piece, np.ndarray]]:
        assert self._watermarker is not None
        states = [piece.speaker.sound.watermark for piece, _ in mended]
        finals = [piece.utterance is None for piece, _ in mended]
        marked = self._watermarker.apply(states, [audio for _, audio in mended], finals)
        return [(piece, audio) for (piece, _), audio in zip(mended, marked, strict=True)]

    def _give(self, piece: Piece, audio: np.ndarray) -> None:
        speaker, final = piece.speaker, piece.utterance is None
        chunk = speaker.sound.chunk(audio, final=final)
        speaker.finished_samples += len(piece.audio)
        if speaker.cancelled:
            return
        if chunk.pcm or chunk.marks:
            if chunk.pcm:
                speaker.listener.receive(len(audio) / SAMPLE_RATE, self._clock())
            speaker.tell(chunk)
        if final:
            speaker.tell(None)

    def _fail(self, speaker: Speaker, error: Exception) -> None:
        failure = error if isinstance(error, EngineError) else EngineFailed(f"the sound failed: {type(error).__name__}")
        failure.__cause__ = None if failure is error else error
        if not speaker.cancelled:
            # Told here and at once: of a stream whose last sound has come this far the worker knows nothing any more,
            # and what follows this piece must not pass for the whole.
            speaker.cancelled = True
            speaker.tell(failure)
        self._on_failure(speaker, failure)


def _one_of_each(waiting: deque[Piece]) -> list[Piece]:
    """The first piece of each stream; those behind it stay."""
    taken: dict[int, Piece] = {}
    left: list[Piece] = []
    for piece in waiting:
        if id(piece.speaker) in taken:
            left.append(piece)
        else:
            taken[id(piece.speaker)] = piece
    waiting.clear()
    waiting.extend(left)
    return list(taken.values())
