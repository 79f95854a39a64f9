"""Frames of our own, beside Pipecat's."""

from dataclasses import dataclass

from pipecat.frames.frames import DataFrame


@dataclass
class NothingHeardFrame(DataFrame):
    """What was said between two pauses had no words in it, or they could not be transcribed.

    A transcript says so by itself where there is one; those who wait for it would otherwise wait in vain.
    """
