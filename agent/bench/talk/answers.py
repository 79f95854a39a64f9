"""What the scripted brain says. Each answer is another, and no sentence stands in two of them."""

import re

SHORT = (
    "That is noted, thank you.",
    "Very well, I have that.",
    "Sure, that is no problem.",
    "Good, consider it done.",
    "I see, let me remember that.",
    "All right, that works for me.",
    "Fine, I will look after it.",
)
LONG = (
    "The museum opens at nine in the morning, and it closes at six in the evening. "
    "On Fridays it stays open until ten, and there is music in the courtyard. "
    "Tickets become cheaper in the last two hours of every day.",
    "The ferry leaves the old harbour every forty minutes, and the crossing is rather short. "
    "You can take a bicycle with you if there is room on the lower deck. "
    "In rough weather the captain may decide to wait for a while.",
    "The soup of the house is made with carrots, ginger and a little orange juice. "
    "It simmers for about an hour before the cook adds the cream and the herbs. "
    "Most of our guests order it together with the dark bread.",
    "The garden behind the library was planted by a teacher almost a century ago. "
    "She brought the roses from her home town and watered them by herself. "
    "Today the neighbours share the work and the apples of the autumn.",
    "The mountain path begins beside the chapel and follows the river for a mile. "
    "After the wooden bridge it becomes steep, so good shoes are a must. "
    "From the top you can see both lakes when the sky is clear.",
    "The night train has two sleeping cars and a small restaurant in the middle. "
    "Breakfast is served from six o'clock until shortly before the terminus. "
    "Passengers who like silence should ask for the last car.",
    "The workshop repairs radios, clocks and nearly everything that has a spring. "
    "Its owner learned the trade from her father when she was twelve years old. "
    "She keeps each broken part in a drawer with a handwritten label.",
    "The lighthouse was built on a rock that disappears twice a day under the sea. "
    "For many years a family of five lived there with a goat and a piano. "
    "Since the lamp turns by itself, only birds spend the winter on it.",
)
"""About nine seconds each with the packaged voice: the latest that is said over one begins after three."""

SENTENCE = re.compile(r"(?<=[.!?])\s+")


def normal(sentence: str) -> str:
    """What is compared: its words, without case and punctuation."""
    return " ".join(re.findall(r"[a-z']+", sentence.lower()))


def is_same_answer(one: str, other: str) -> bool:
    """Whether two sentences belong to one answer; a sentence of none of them is taken for a part of any."""
    answers = (_ANSWER_OF.get(normal(one)), _ANSWER_OF.get(normal(other)))
    return None in answers or answers[0] == answers[1]


_ANSWER_OF = {
    normal(sentence): number for number, answer in enumerate((*SHORT, *LONG)) for sentence in SENTENCE.split(answer)
}
