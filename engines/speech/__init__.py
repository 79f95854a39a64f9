"""What is mended in synthesised speech: silence at its edges, babble after its end, its loudness."""

from engines.speech.ending import TrailingCut
from engines.speech.leading import LeadingTrim, trim_leading_silence
from engines.speech.loudness import Leveller, LevelMemory
from engines.speech.watch import EndLimits, EndWatch, Stop

__all__ = [
    "EndLimits",
    "EndWatch",
    "LeadingTrim",
    "LevelMemory",
    "Leveller",
    "Stop",
    "TrailingCut",
    "trim_leading_silence",
]
