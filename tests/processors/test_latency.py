"""Where the time of an answer went, as callers and operators read it."""

import json

import pytest

from processors.latency import Stages, Timeline, TurnLatency, stages_of

ONE_AFTER_THE_OTHER = Timeline(
    vad_ms=(0, 200), stt_ms=(80, 350), turn_ms=(200, 400), llm_ms=(400, 650), tts_ms=(650, 690)
)


def test_each_stage_counts_from_where_those_before_it_had_ended():
    stages = stages_of(ONE_AFTER_THE_OTHER, 700)
    assert stages == Stages(vad_ms=200, stt_ms=150, turn_ms=50, llm_ms=250, tts_ms=50)


def test_an_early_transcript_adds_nothing_to_the_pause():
    timeline = Timeline(vad_ms=(0, 200), stt_ms=(80, 170), turn_ms=(200, 260), llm_ms=(260, 500), tts_ms=(500, 540))
    assert stages_of(timeline, 550) == Stages(vad_ms=200, stt_ms=0, turn_ms=60, llm_ms=240, tts_ms=50)


def test_an_answer_thought_of_ahead_of_the_decision_adds_only_what_the_decision_did_not_hide():
    hidden = Timeline(vad_ms=(0, 200), stt_ms=(80, 170), turn_ms=(200, 900), llm_ms=(170, 500), tts_ms=(500, 560))
    assert stages_of(hidden, 910) == Stages(vad_ms=200, stt_ms=0, turn_ms=700, llm_ms=0, tts_ms=10)
    partly = Timeline(vad_ms=(0, 200), stt_ms=(80, 170), turn_ms=(200, 300), llm_ms=(170, 500), tts_ms=(500, 560))
    assert stages_of(partly, 570) == Stages(vad_ms=200, stt_ms=0, turn_ms=100, llm_ms=200, tts_ms=70)


def test_a_stage_that_was_not_seen_is_unknown_and_its_time_goes_to_the_next():
    timeline = Timeline(vad_ms=(0, 200), turn_ms=(200, 400), llm_ms=(400, 650), tts_ms=(650, 690))
    assert stages_of(timeline, 700) == Stages(vad_ms=200, turn_ms=200, llm_ms=250, tts_ms=50)
    assert stages_of(Timeline(), 700) == Stages()


@pytest.mark.parametrize("whole_ms", [100.0, 333.3, 700.1, 12_345.6])
def test_stages_sum_to_the_whole_however_long_it_was(whole_ms: float):
    parts = [value for value in vars(stages_of(ONE_AFTER_THE_OTHER, whole_ms)).values() if value is not None]
    assert len(parts) == 5
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(whole_ms, abs=0.05)


def test_a_turn_goes_over_the_data_channel_as_json():
    turn = TurnLatency(1, 706.0, Stages(vad_ms=200.0), Timeline(vad_ms=(0.0, 200.0)), spoke_until=1_800_000_000.0)
    unknown = {"turn_ms": None, "stt_ms": None, "llm_ms": None, "tts_ms": None}
    assert json.loads(json.dumps(turn.as_dict())) == {
        "turn": 1,
        "voice_to_voice_ms": 706.0,
        "stages": {"vad_ms": 200.0, **unknown},
        "timeline": {"vad_ms": [0.0, 200.0], **unknown},
    }
