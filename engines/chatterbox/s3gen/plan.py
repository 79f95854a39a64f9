"""Sizes that runs are padded to: few enough that each has its CUDA graphs, close enough that little is padding."""

from collections.abc import Iterable
from dataclasses import dataclass

from engines.chatterbox.s3gen.stream import FRAMES_PER_TOKEN

USUAL_TOKENS = 448
"""The largest batch has rows of this length; of longer ones there are fewer, since attention grows with the square."""

USUAL_FRAMES = 112
"""Frames of a window in the largest batch: a second of speech, its context and what is held back, and some room."""

FRAME_BUCKETS = (32, 48, 64, 80, 96, 112, 160, 224, 320, 480, 720, 1080, 1600)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The sizes that a job is padded to; jobs of one run are padded to the largest of each."""

    tokens: int
    """Prompt and speech tokens; 0 for a job that has nothing to speak yet and goes with any other."""
    frames: int
    """Mel frames that go through the vocoder."""

    def with_other(self, other: "Bucket") -> "Bucket":
        """What holds both."""
        return Bucket(max(self.tokens, other.tokens), max(self.frames, other.frames))


NOTHING = Bucket(0, 0)


class Plan:
    """The buckets of a decoder."""

    def __init__(self, max_batch: int, max_prompt: int, max_tokens: int):
        """For batches of at most `max_batch` jobs, each with so many tokens of prompt and of speech."""
        self.max_batch = max_batch
        self.max_length = _up(max_prompt + max_tokens, 32)
        self.batches = (*(1 << power for power in range(max_batch.bit_length()) if 1 << power < max_batch), max_batch)
        self.tokens = _token_buckets(self.max_length)
        most = FRAMES_PER_TOKEN * max_tokens
        self.frames = (*(frames for frames in FRAME_BUCKETS if frames < most), max(most, FRAMES_PER_TOKEN))

    def bucket(self, tokens: int, frames: int) -> Bucket:
        """The smallest bucket that holds so many tokens, with the prompt, and frames."""
        return Bucket(_holding(self.tokens, tokens), _holding(self.frames, frames))

    def batch(self, jobs: int) -> int:
        """The smallest batch that holds so many jobs."""
        return _holding(self.batches, jobs)

    def largest(self, bucket: Bucket) -> int:
        """The most jobs of a bucket, one of `batches`."""
        by_tokens = self.max_batch * USUAL_TOKENS**2 // max(bucket.tokens, 1) ** 2
        by_frames = self.max_batch * USUAL_FRAMES // max(bucket.frames, 1)
        most = max(1, min(by_tokens, by_frames))
        return max(batch for batch in self.batches if batch <= most)

    def flow_shapes(self) -> list[tuple[int, int]]:
        """All (rows, tokens) that the flow can be run with."""
        return _shapes(self.batches, ((tokens, self.largest(Bucket(tokens, 0))) for tokens in self.tokens))

    def vocoder_shapes(self) -> list[tuple[int, int]]:
        """All (rows, frames) that the vocoder can be run with."""
        return _shapes(self.batches, ((frames, self.largest(Bucket(0, frames))) for frames in self.frames))


def _shapes(batches: tuple[int, ...], sizes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(batch, size) for size, most in sizes for batch in batches if batch <= most]


def _token_buckets(most: int) -> tuple[int, ...]:
    """Steps of an eighth and less, in whole multiples of 16, which attention's kernels like."""
    sizes = [min(64, most)]
    while sizes[-1] < most:
        sizes.append(min(most, sizes[-1] + max(32, sizes[-1] // 8 // 16 * 16)))
    return tuple(sizes)


def _holding(buckets: tuple[int, ...], size: int) -> int:
    return next(bucket for bucket in buckets if bucket >= size)


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
