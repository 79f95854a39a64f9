"""Sounds of somebody who listens: "mhm", "yeah", "right". They ask for nothing, and stop nobody."""

from difflib import SequenceMatcher

from processors.endings import spoken_words


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


BACKCHANNELS = _words(
    "mhm mmhm mm mmm hm hmm huh uh uhm um umm ah aha ha haha hah heh oh ooh wow yeah yep yup yes ya right okay ok "
    "alright sure really nice good great cool true exactly indeed absolutely see"
)
PHRASES = _phrases(
    "mm hmm|mm hm|mm mm|uh huh|uh uh|i see|i know|got it|oh okay|oh ok|oh yeah|oh really|all right|"
    "of course|makes sense|that's right|that's true|oh i see|okay got it|very good|very nice|sounds good|"
    "oh wow|oh nice|thank you"
)


MOST_WORDS = 4
TRAILING_OFF = 2
"""Words that trail off so soon are a murmur that was taken for them."""

COMMANDS = _words("wait no stop hold sorry what hello help hey excuse pardon why how who where when")
"""But for these."""

ECHO_SHARE = 0.7
"""So much of what was heard stands, in order, in what was being said."""

ECHO_WORDS = 2


def is_backchannel(text: str) -> bool:
    """Whether the words are only a sign of listening. No words at all are one, too."""
    words = spoken_words(text)
    if not words:
        return True
    if len(words) <= TRAILING_OFF and text.rstrip().endswith(("...", "…")):
        return COMMANDS.isdisjoint(words)
    if len(words) > MOST_WORDS:
        return False
    joined = " ".join(words)
    return joined in PHRASES or all(word in BACKCHANNELS for word in words)


def is_echo(heard: str, said: str) -> bool:
    """Whether what was heard is what the agent itself was saying, come back through the caller's microphone.

    Args:
        heard: Words understood while the agent spoke.
        said: What it said lately, and was about to say.
    """
    mine, theirs = spoken_words(said), spoken_words(heard)
    if len(theirs) < ECHO_WORDS or not mine:
        return False
    matcher = SequenceMatcher(None, mine, theirs, autojunk=False)
    common = sum(block.size for block in matcher.get_matching_blocks())
    longest = matcher.find_longest_match().size
    return common / len(theirs) >= ECHO_SHARE and longest >= min(ECHO_WORDS, len(theirs))
