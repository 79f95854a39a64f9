"""OpenAI's response formats."""

from dataclasses import replace

from engines.protocol import Segment, Transcript
from services.asr.formats import as_srt, as_verbose_json, as_vtt
from tests.services.asr.fake import transcript_of


def two_segments() -> Transcript:
    first = Segment("Hello\nthere", 0.0, 1.25, -0.1, 0.0, 1.0)
    second = Segment("a --> <b> & c", 3661.5, 3662.0, -0.1, 0.0, 1.0)
    return replace(transcript_of("Hello there a b"), segments=(first, second))


def test_srt():
    assert as_srt(two_segments()) == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello there\n\n2\n01:01:01,500 --> 01:01:02,000\na --> <b> & c\n"
    )


def test_vtt_cannot_be_broken_by_words():
    assert as_vtt(two_segments()) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHello there\n\n"
        "01:01:01.500 --> 01:01:02.000\na --&gt; &lt;b&gt; &amp; c\n"
    )


def test_an_engine_without_segments_gives_one_and_silence_none():
    whole = replace(transcript_of("Hello", 2.0), segments=(), words=())
    written = as_verbose_json(whole)
    assert isinstance(written, dict) and [(s["start"], s["end"], s["text"]) for s in written["segments"]] == [
        (0.0, 2.0, "Hello")
    ]
    assert "words" not in written
    assert as_srt(replace(whole, text="")) == ""
    assert as_vtt(replace(whole, text="")) == "WEBVTT\n"
