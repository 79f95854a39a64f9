"""Where utterances begin and end, without a model: windows of a tenth of a second, and their probabilities by hand."""

import dataclasses
import random

import pytest

from services.asr.endpointing import Endpointer, EndpointingRules, Event, SpeechStarted, SpeechStopped

RULES = EndpointingRules(
    speech_threshold=0.5,
    silence_threshold=0.3,
    start_secs=0.2,
    stop_secs=0.5,
    preroll_secs=0.3,
    max_secs=5.0,
    window_secs=0.1,
)


def events(probabilities: list[float], rules: EndpointingRules = RULES, *, finish: bool = False) -> list[Event]:
    endpointer = Endpointer(rules)
    found = [event for probability in probabilities for event in endpointer.update(probability)]
    return [_rounded(event) for event in [*found, *(endpointer.finish() if finish else [])]]


def _rounded(event: Event) -> Event:
    times = {name: round(value, 3) for name, value in vars(event).items() if isinstance(value, float)}
    return dataclasses.replace(event, **times)


def test_speech_begins_with_its_preroll_and_ends_after_silence():
    assert events([0.0] * 10 + [0.9] * 10 + [0.0] * 10) == [SpeechStarted(1.0, 0.7), SpeechStopped(2.0, 2.5)]


def test_a_click_is_not_speech():
    assert events([0.0] * 5 + [0.9] + [0.0] * 10) == []


def test_a_short_pause_does_not_end_it():
    assert events([0.9] * 5 + [0.0] * 4 + [0.9] * 5 + [0.0] * 5) == [SpeechStarted(0.0, 0.0), SpeechStopped(1.4, 1.9)]


def test_between_the_thresholds_it_goes_on_as_it_was():
    assert events([0.4] * 20) == []
    assert events([0.9] * 5 + [0.4] * 20) == [SpeechStarted(0.0, 0.0)]


def test_the_preroll_does_not_reach_into_the_last_utterance():
    spoken = events([0.9] * 5 + [0.0] * 6 + [0.9] * 5)
    assert spoken == [SpeechStarted(0.0, 0.0), SpeechStopped(0.5, 1.0), SpeechStarted(1.1, 1.0)]


def test_speech_without_pause_is_cut_and_goes_on():
    found = events([0.9] * 120)
    assert found == [
        SpeechStarted(0.0, 0.0),
        SpeechStopped(5.0, 5.0, cut=True),
        SpeechStarted(5.0, 5.0),
        SpeechStopped(10.0, 10.0, cut=True),
        SpeechStarted(10.0, 10.0),
    ]


def test_late_in_an_utterance_a_short_pause_ends_it():
    assert events([0.9] * 45 + [0.0] + [0.9] * 3)[1] == SpeechStopped(4.5, 4.6)
    assert len(events([0.9] * 30 + [0.0] + [0.9] * 3)) == 1


def test_the_end_of_the_stream_ends_the_utterance():
    assert events([0.9] * 5, finish=True) == [SpeechStarted(0.0, 0.0), SpeechStopped(0.5, 0.5)]
    assert events([0.0] * 5, finish=True) == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_heard_utterances_follow_each_other_and_none_is_too_long(seed: int):
    chance = random.Random(seed)
    heard: list[float] = []
    while len(heard) < 600:
        heard += [chance.choice([0.0, 0.4, 0.9])] * chance.randrange(1, 80)
    endpointer, began, ended = Endpointer(RULES), None, 0.0
    for number, probability in enumerate(heard):
        needed = endpointer.needed_from
        for event in endpointer.update(probability):
            if isinstance(event, SpeechStarted):
                assert began is None and ended <= event.audio_from + 1e-9 and event.audio_from <= event.at
                assert needed <= event.audio_from + 1e-9, "its audio would have been forgotten"
                began = event.audio_from
            else:
                assert began is not None and 0 < event.audio_to - began <= RULES.max_secs + 1e-9
                assert event.at <= event.audio_to <= (number + 1) * RULES.window_secs + 1e-9
                began, ended = None, event.audio_to
