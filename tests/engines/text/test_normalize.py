"""What a brain writes, as a speaker would say it."""

import random
import string
import time

import pytest

from engines.text import normalize


def said(text: str) -> str:
    return " ".join(word.spoken for word in normalize(text) if word.spoken)


NUMBERS = {
    "I have 5 apples.": "I have five apples.",
    "1,234 pears": "one thousand two hundred and thirty-four pears",
    "1,000,000 and 2,000,005": "one million and two million and five",
    "3.14, -5 and 0.05": "three point one four, minus five and zero point zero five",
    ".5 or +3": "zero point five or plus three",
    "It is −7.": "It is minus seven.",
    "the 1st, 2nd, 23rd and 100th": "the first, second, twenty-third and one hundredth",
    "1/2 or 3/4 of it": "one half or three quarters of it",
    "½ a cup, 1 1/2 cups": "one half a cup, one and a half cups",
    "8/10 and 5/5": "eight out of ten and five out of five",
    "5-10 pages": "five to ten pages",
    "5–10 pages": "five to ten pages",
    "5 - 10 pages": "five to ten pages",
    "10 - 3 = 7": "ten minus three equals seven",
    "50%, 5-10%, 20 %": "fifty percent, five to ten percent, twenty percent",
    "2.5% of it": "two point five percent of it",
    "50/50 odds, 1,000s of them": "fifty fifty odds, one thousands of them",
    "he is 5'10\" tall": "he is five foot ten tall",
    "No.1 of the 2nd-best": "number one of the second best",
    "ISBN 978-3-16-148410-0": "ISBN nine seven eight, three, one six, one four eight four one zero, zero",
    "192.168.0.1:80": "one nine two dot one six eight dot zero dot one, port eight zero",
    "x**2 and H₂O": "x to the power of two and H two O",
    "agent 007": "agent zero zero seven",
    "card 4111 1111 1111 1111": "card four one one one, one one one one, one one one one, one one one one",
    "1234567890123456": "one two three four five six seven eight nine zero one two three four five six",
    "6.02e23": "six point zero two times ten to the power of twenty-three",
    "version 3.11": "version three point one one",
    "v2.0 and 1.2.3": "version two point zero and one point two point three",
    "a ratio of 16:9": "a ratio of sixteen to nine",
    "#5 and No. 5": "number five and number five",
    "2x as fast, 10k users": "two times as fast, ten thousand users",
    "a 24-hour day": "a twenty-four hour day",
    "~5 of <10 and >=3": "about five of less than ten and at least three",
    "COVID-19 and F-16": "COVID nineteen and F sixteen",
    "GPT-4o, B2B, H2O, 4K": "GPT four o, B two B, H two O, four K",
    "a '5' in quotes": "a five in quotes",
}  # fmt: skip
PHONES = {
    "555-123-4567": "five five five, one two three, four five six seven",
    "(555) 123-4567.": "five five five, one two three, four five six seven.",
    "Call 555 123 4567 now": "Call five five five, one two three, four five six seven now",
    "+1 555 123 4567": "plus one, five five five, one two three, four five six seven",
    "+44 20 7946 0958": "plus four four, two zero, seven nine four six, zero nine five eight",
    "1-800-555-0199": "one, eight zero zero, five five five, zero one nine nine",
    "020 7946 0958": "zero two zero, seven nine four six, zero nine five eight",
    "555-0123": "five five five, zero one two three",
}
DATES = {
    "2026-11-24": "November twenty-fourth, twenty twenty-six",
    "11/24/2026": "November twenty-fourth, twenty twenty-six",
    "24/11/2026": "November twenty-fourth, twenty twenty-six",
    "24.11.2026": "November twenty-fourth, twenty twenty-six",
    "Nov 24, 2026": "November twenty-fourth, twenty twenty-six",
    "Nov. 24": "November twenty-fourth",
    "November 24th, 2026.": "November twenty-fourth, twenty twenty-six.",
    "24 November 2026": "twenty-fourth of November, twenty twenty-six",
    "the 5th of May": "the fifth of May",
    "May 5 and June 2026": "May fifth and June twenty twenty-six",
    "You may 5 times": "You may five times",
    "in 1984, 1905 and 2001": "in nineteen eighty-four, nineteen oh five and two thousand and one",
    "in 1500 but 1500 men": "in fifteen hundred but one thousand five hundred men",
    "the 1990s and the '80s": "the nineteen nineties and the eighties",
    "1939-1945 and 1914–18": "nineteen thirty-nine to nineteen forty-five and nineteen fourteen to nineteen eighteen",
    "3:30pm": "three thirty PM",
    "3:30 p.m. today": "three thirty PM today",
    "15:45 or 9:05 am": "fifteen forty-five or nine oh five AM",
    "at 10:00": "at ten o'clock",
    "9am to 5 pm": "nine AM to five PM",
    "3-5pm and 9:00-17:30": "three to five PM and nine o'clock to seventeen thirty",
    "2026-11-24T15:45:00Z": "November twenty-fourth, twenty twenty-six, fifteen forty-five",
    "World War II": "World War two",
    "Henry VIII and Louis XIV": "Henry the eighth and Louis the fourteenth",
    "Chapter IV, and I go": "Chapter four, and I go",
    "I think I did, MIX it": "I think I did, MIX it",
}
MONEY = {
    "$5 or $1": "five dollars or one dollar",
    "$5.50": "five dollars and fifty cents",
    "$0.99": "ninety-nine cents",
    "$1,000.00": "one thousand dollars",
    "€1,234.56": "one thousand two hundred and thirty-four euros and fifty-six cents",
    "1.234,56 €": "one thousand two hundred and thirty-four euros and fifty-six cents",
    "£3m and $2bn": "three million pounds and two billion dollars",
    "$3.5 million": "three point five million dollars",
    "5 USD, EUR 20": "five US dollars, twenty euros",
    "20€": "twenty euros",
    "$5-$10 and $5-10": "five to ten dollars and five to ten dollars",
    "-$20": "minus twenty dollars",
    "$20/month": "twenty dollars per month",
    "¥500": "five hundred yen",
    "£1.01": "one pound and one pence",
}
UNITS = {
    "100 km/h": "one hundred kilometers per hour",
    "100km/h": "one hundred kilometers per hour",
    "1 km and 5 km": "one kilometer and five kilometers",
    "20°C, -4 °F": "twenty degrees Celsius, minus four degrees Fahrenheit",
    "90° left": "ninety degrees left",
    "16 GB, 5kg, 6 ft": "sixteen gigabytes, five kilograms, six feet",
    "5-10 km": "five to ten kilometers",
    "30 m²": "thirty square meters",
    "9.8 m/s²": "nine point eight meters per second squared",
    "60 mph.": "sixty miles per hour.",
    "wait 5 min. more": "wait five minutes more",
    "5 in a row, 3 A": "five in a row, three A",
}
ABBREVIATIONS = {
    "Dr. Smith and Mrs. Jones": "Doctor Smith and Missus Jones",
    "e.g. this, i.e. that": "for example this, that is that",
    "fruit, etc.": "fruit, et cetera.",
    "cats vs. dogs, cats vs dogs": "cats versus dogs, cats versus dogs",
    "approx. five": "approximately five",
    "No. 5, but no. Really no.": "number five, but no. Really no.",
    "St. John on Main St. and": "Saint John on Main Street and",
    "NASA and the BBC": "NASA and the BBC",
    "the U.S. and AT&T": "the US and AT and T",
    "a Ph.D. in it": "a PhD in it",
    "Fig. 3, p. 5": "figure three, page five",
    "w/o it, and/or, 24/7": "without it, and or, twenty-four seven",
    "et al. say": "et al say",
}
WEB = {
    "https://www.example.com": "example dot com",
    "see example.com/docs.": "see example dot com slash docs.",
    "https://example.com/a/very/long/path/that/nobody/hears?x=1&y=2": "example dot com",
    "(http://my-site.org)": "my dash site dot org,",
    "http://localhost:7860": "localhost, port seven eight six zero",
    "john.doe@example.com": "john dot doe at example dot com",
    "<https://example.com>": "example dot com",
    "/usr/local/bin": "slash usr slash local slash bin",
    "src/app/main.py": "src slash app slash main dot py",
    "README.md and Node.js": "README dot md and Node dot js",
    "#NewYork by @ada_l": "hashtag New York by at ada l",
    "end.Start": "end. Start",
    "he/she": "he slash she",
}
MARKUP = {
    "# A heading": "A heading",
    "**Bold**, *it*, __b__ and _em_.": "Bold, it, b and em.",
    "~~gone~~ `code`": "gone code",
    "call `my_func()` now": "call my func now",
    "see [the page](http://a.b/c?d) now": "see the page now",
    'see [it](http://a.b "the title of it") now': "see it now",
    "![a cat](cat.png)": "a cat",
    "- item": "item",
    "* item": "item",
    "- [x] done": "done",
    "> quoted": "quoted",
    "```python": "",
    "---": "",
    "|---|:--:|": "",
    "| a | b |": "a, b,",
    "<b>Hi</b> there": "Hi there",
    'a <a href="x" class="y z">link</a> here': "a link here",
    "one<br>two": "one, two",
    "&lt;b&gt; &amp; &quot;c&quot;": "b and c",
    "a < b and c > d": "a less than b and c greater than d",
}
SYMBOLS = {
    "2 + 2 = 4": "two plus two equals four",
    "3 × 4 ≠ 5": "three times four is not equal to five",
    "5*3": "five times three",
    "x² + y³": "x squared plus y cubed",
    "C++ and C#": "C plus plus and C sharp",
    "Hello 😀 world 🎉!": "Hello world!",
    "👍🏽👨‍👩‍👧 ok 🇫🇷": "ok",
    "5️⃣ left": "five left",
    ":) fine <3": "fine",
    "Wait!!! What?!?!": "Wait! What?",
    "Well... no…": "Well... no...",
    "“Yes,” she said": "Yes, she said",
    "it’s ‘fine’": "it's fine",
    "a—b – c -- d": "a, b, c, d",
    "This (an aside) is it (end).": "This, an aside, is it, end.",
    "zero\u200bwidth and\u00a0hard": "zerowidth and hard",
    "bell\x07 \x00": "bell",
    "𝗯𝗼𝗹𝗱 and ｆｕｌｌ": "bold and full",
    "20 & up": "twenty and up",
    "well-known": "well-known",
    "don't rock 'n' roll": "don't rock n roll",
    "Привет мир, naïve café": "Привет мир, naïve café",
    "नमस्ते दुनिया": "नमस्ते दुनिया",
    "你好": "你好",
    "می\u200cخواهم": "می\u200cخواهم",
    "Acme™ & Co®": "Acme and Co",
}
ALL = NUMBERS | PHONES | DATES | MONEY | UNITS | ABBREVIATIONS | WEB | MARKUP | SYMBOLS


@pytest.mark.parametrize(("text", "expected"), ALL.items(), ids=repr)
def test_it_is_said_as_a_person_would(text: str, expected: str):
    assert said(text) == expected


@pytest.mark.parametrize("text", ALL, ids=repr)
def test_the_words_as_they_were_written_are_all_there(text: str):
    assert " ".join(word.source for word in normalize(text)) == " ".join(text.split())


@pytest.mark.parametrize("text", ALL, ids=repr)
def test_what_is_said_is_said_the_same_again(text: str):
    assert said(said(text)).rstrip(".") == said(text).rstrip(".")


def test_only_what_is_said_together_is_one():
    assert [(word.source, word.spoken) for word in normalize("On Nov 24, 2026 I paid $5 😀.")] == [
        ("On", "On"),
        ("Nov 24, 2026", "November twenty-fourth, twenty twenty-six"),
        ("I", "I"),
        ("paid", "paid"),
        ("$5", "five dollars."),
        ("😀.", ""),
    ]


def test_ordinary_prose_stays_as_it_is():
    text = "It was the best of times, it was the worst of times; we had everything before us. Had we nothing? Oh, no!"
    assert said(text) == text


def test_tags_that_the_model_knows_are_left():
    assert said("Well [laugh] yes [sigh].") == "Well laugh yes sigh."
    words = normalize("Well [laugh] yes [sigh].", tags=("[laugh]", "[sigh]"))
    assert " ".join(word.spoken for word in words) == "Well [laugh] yes [sigh]."


def hostile() -> dict[str, str]:
    size, chance = 100_000, random.Random(0)
    units = ("a", "!", ".", "1", "1 ", "<a ", "[", "](", "[a]( ", "`", "a.", "a@", "http://", "x.com/", "- ", "1-",
             "1,", "1.1", "&amp;", "&", "😀", "\u200b", "\u0301", "(", "$1 ", "+1 ", "555 ", "\\", "|a", "a'", "1:",
             "Nov 1 ", "Dr. ", "... ", "MMMCMXCIX", "War II ", "a1", "\ud800", "_a", '<a =" ', "#a ")  # fmt: skip
    texts = {repr(unit): unit * (size // len(unit)) for unit in units}
    texts["printable"] = "".join(chance.choices(string.printable, k=size))
    texts["any"] = "".join(chr(chance.randrange(0x20, 0xD7FF)) for _ in range(size))
    texts["numbers"] = " ".join(str(chance.randrange(10**7)) for _ in range(size // 8))
    return texts


@pytest.mark.parametrize(("name", "text"), hostile().items(), ids=lambda value: value if len(value) < 20 else "")
def test_hostile_text_takes_no_long_time_and_loses_no_word(name: str, text: str):
    begin = time.process_time()
    words = normalize(text)
    assert time.process_time() - begin < 3.0, "100 kB take 0.1 to 0.8 s where nothing else runs"
    assert " ".join(word.source for word in words) == " ".join(text.split())


def test_no_letter_of_ordinary_words_is_lost_in_random_prose():
    chance = random.Random(1)
    for _ in range(300):
        words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9))) for _ in range(12)]
        text = " ".join(word + chance.choice(["", "", ",", "!", ")", "**", " 😀", " 5", "..."]) for word in words)
        heard = said(text)
        assert [word for word in words if word not in heard] == []
