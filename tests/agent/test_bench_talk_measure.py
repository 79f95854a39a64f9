"""Verdicts on made-up timelines: exact, without sound or clock."""

from typing import Any

import pytest

from agent.bench.talk.measure import Heard, Verdict, judge, talks
from agent.bench.talk.script import Turn
from transports.caller_audio import Burst

UNTIL = 20.0


def heard(expect: str, first: float, last: float, *bursts: tuple[float, float], **more: Any) -> Heard:
    turn = Turn("question", (), "", None, frozenset(expect.split(", ")))
    return Heard(turn, first, last, [Burst(*burst) for burst in bursts], **{"until": UNTIL, **more})


def test_an_answer_is_timed_from_the_last_sample_to_its_first():
    verdict = judge(heard("answer", 1.0, 3.0, (4.2, 6.0)))
    assert verdict.voice_to_voice_secs == pytest.approx(1.2)
    assert verdict == Verdict(verdict.voice_to_voice_secs, True, False, stalled=False)
    assert verdict.faults == []


def test_an_answer_after_more_than_a_second_and_a_half_is_a_stall():
    assert judge(heard("answer", 1.0, 3.0, (4.5, 6.0))).stalled is False
    assert judge(heard("answer", 1.0, 3.0, (4.51, 6.0))).stalled is True


def test_no_answer_is_a_stall_as_long_as_was_waited():
    verdict = judge(heard("answer", 1.0, 3.0, until=9.0))
    assert (verdict.voice_to_voice_secs, verdict.answered, verdict.stalled) == (6.0, False, True)


def test_sound_that_begins_in_a_pause_of_the_sentence_cuts_it_off():
    # The rest of the sentence silences the bot; the answer to the whole is the one that is timed.
    verdict = judge(heard("answer", 1.0, 5.0, (2.5, 3.4), (6.0, 8.0)))
    assert verdict.cut_off is True
    assert verdict.voice_to_voice_secs == pytest.approx(1.0)
    assert verdict.faults == ["cut_off"]


def test_a_bot_that_cuts_in_and_talks_on_owes_no_second_answer():
    verdict = judge(heard("answer", 1.0, 5.0, (2.5, 9.0)))
    assert verdict == Verdict(cut_off=True)


def test_sound_at_the_last_sample_is_no_cut_off():
    verdict = judge(heard("answer", 1.0, 3.0, (3.0, 5.0)))
    assert (verdict.cut_off, verdict.voice_to_voice_secs) == (False, 0.0)


def test_a_turn_said_in_silence_tells_nothing_where_the_bot_was_talking():
    verdict = judge(heard("answer", 1.0, 3.0, (0.2, 2.0), (4.0, 5.0)))
    assert verdict.void and verdict.stalled is None and verdict.cut_off is None


def test_a_bot_that_goes_on_was_not_interrupted():
    # Sentences with a quarter of a second between them.
    verdict = judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 3.6), (3.85, 7.0), until=5.4))
    assert verdict == Verdict(false_interruption=False)


@pytest.mark.parametrize(("resumed", "expected"), [(4.4, False), (4.6, True)])
def test_an_answer_that_pauses_must_go_on_within_a_second(resumed: float, expected: bool):
    found = judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 3.5), (resumed, 9.0), until=6.0))
    assert found.false_interruption is expected


def test_an_answer_that_breaks_off_for_good_is_a_false_interruption():
    assert judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 3.3), until=5.4)).false_interruption is True


def test_silence_that_began_before_the_sound_counts_from_the_sound():
    # The bot was between two sentences, and never said the second.
    assert judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 2.8), until=5.4)).false_interruption is True
    assert judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 2.8), (3.9, 9.0), until=5.4)).false_interruption is False


def test_an_answer_that_ends_long_after_the_sound_has_ended_by_itself():
    assert judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 4.5), until=6.0)).false_interruption is False


def test_another_answer_in_its_place_is_a_false_interruption_however_quick():
    found = judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 3.3), (4.1, 9.0), until=5.4, replaced=True))
    assert found.false_interruption is True


def test_an_answer_of_unknown_length_broke_off_only_if_the_server_says_so():
    cut = heard("keeps_speaking", 3.0, 3.4, (1.0, 3.3), until=5.4, told=True)
    assert judge(cut).false_interruption is True
    assert judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 3.3), until=5.4, told=False)).void
    assert judge(heard("stops", 3.0, 3.5, (1.0, 3.4), told=False)).void
    assert judge(heard("stops", 3.0, 3.5, (1.0, 4.4), told=False)).missed_interruption is True


def test_a_sound_over_an_answer_that_was_over_tells_nothing():
    assert judge(heard("keeps_speaking", 3.0, 3.4, (1.0, 2.4))).void
    assert judge(heard("stops", 3.0, 3.4, (1.0, 2.4))).void


def test_an_interruption_is_timed_from_its_first_sample_to_the_last_sound():
    verdict = judge(heard("stops", 3.0, 3.5, (1.0, 3.4)))
    assert verdict.silence_secs == pytest.approx(0.4)
    assert verdict.missed_interruption is False


def test_a_bot_in_a_pause_that_stays_silent_was_silenced_at_once():
    assert judge(heard("stops", 3.0, 3.5, (1.0, 2.8))).silence_secs == 0.0


def test_an_interruption_that_takes_more_than_a_second_is_missed():
    assert judge(heard("stops", 3.0, 3.5, (1.0, 4.0))).missed_interruption is False
    verdict = judge(heard("stops, answer", 3.0, 3.5, (1.0, 4.1), (6.0, 7.0)))
    assert verdict.missed_interruption is True
    assert verdict.silence_secs == pytest.approx(1.1)
    assert verdict.voice_to_voice_secs is None


def test_a_bot_that_never_stops_is_counted_as_long_as_it_was_heard():
    verdict = judge(heard("stops", 3.0, 3.5, (1.0, 9.0), until=5.0))
    assert (verdict.missed_interruption, verdict.silence_secs) == (True, 2.0)


def test_the_answer_to_an_interruption_is_the_next_talk():
    verdict = judge(heard("stops, answer", 3.0, 5.0, (1.0, 3.4), (6.1, 8.0)))
    assert verdict.voice_to_voice_secs == pytest.approx(1.1)
    assert (verdict.missed_interruption, verdict.cut_off, verdict.stalled) == (False, False, False)


def test_a_bot_that_stops_and_begins_anew_in_the_middle_of_it_cuts_it_off():
    verdict = judge(heard("stops, answer", 3.0, 6.0, (1.0, 3.4), (4.5, 5.0), (7.0, 8.0)))
    assert verdict.cut_off is True
    assert verdict.voice_to_voice_secs == pytest.approx(1.0)


def test_a_sound_in_silence_wants_silence():
    assert judge(heard("silence", 3.0, 3.4, until=6.4)).false_answer is False
    assert judge(heard("silence", 3.0, 3.4, (5.0, 6.0), until=6.4)).false_answer is True
    assert judge(heard("silence", 3.0, 3.4, (6.5, 7.0), until=6.4)).false_answer is False


def test_a_turn_that_this_machine_could_not_send_in_time_tells_nothing():
    late = heard("answer", 1.0, 3.0, (4.2, 6.0), late_secs=0.3)
    assert judge(late) == Verdict(void="this caller was late in sending")
    assert judge(heard("answer", 1.0, 3.0, (4.2, 6.0), late_secs=0.1)).stalled is False


def test_short_silences_do_not_end_a_talk():
    assert talks([Burst(1, 2), Burst(2.49, 3), Burst(3.5, 4)]) == [Burst(1, 3), Burst(3.5, 4)]
