"""The caller's ears and clocks on made signals: no network, no sleep."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from transports.caller_audio import RATE, Burst, Listener, NoSpeech, read_speech, speech_bounds
from transports.caller_measure import (
    Spoken,
    answer_end,
    cut_in,
    find_answer,
    talked_over_until,
    was_interrupted,
)
from transports.caller_recording import HEARD, MAX_SECS, SENT, Tape
from transports.caller_transcript import Talk, Transcript

FRAME = 960


def tone(secs: float, level: float = 0.3, rate: int = RATE) -> np.ndarray:
    return (level * 32767 * np.sin(2 * np.pi * 330 * np.arange(round(secs * rate)) / rate)).astype(np.int16)


def silence(secs: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(secs * rate), np.int16)


def noise(samples: int, rms_dbfs: float) -> np.ndarray:
    return (np.random.default_rng(7).normal(0, 32768 * 10 ** (rms_dbfs / 20), samples)).astype(np.int16)


class TestSpeechBounds:
    @pytest.mark.parametrize("rate", [16_000, 48_000])
    @pytest.mark.parametrize("noise_dbfs", [None, -60.0, -40.0])
    def test_ends_are_exact_in_noise(self, rate: int, noise_dbfs: float | None) -> None:
        parts = [silence(0.4, rate), tone(0.5, rate=rate), silence(0.7, rate), tone(0.3, rate=rate), silence(0.6, rate)]
        pcm = np.concatenate(parts)
        if noise_dbfs is not None:
            pcm = pcm + noise(len(pcm), noise_dbfs)
        first, last = speech_bounds(pcm, rate)
        assert first / rate == pytest.approx(0.4, abs=0.010)
        assert last / rate == pytest.approx(1.9, abs=0.010)

    def test_short_utterance_in_long_silence(self) -> None:
        pcm = np.concatenate([silence(10), tone(0.2), silence(10)])
        first, last = speech_bounds(pcm, RATE)
        assert (first / RATE, last / RATE) == (pytest.approx(10, abs=0.01), pytest.approx(10.2, abs=0.01))

    def test_a_click_is_not_speech_but_a_final_plosive_is(self) -> None:
        click, plosive = tone(0.004, 0.9), tone(0.015)
        pcm = np.concatenate(
            [silence(0.3), click, silence(0.7), tone(0.5), silence(0.08), plosive, silence(0.6), click]
        )
        first, last = speech_bounds(pcm, RATE)
        assert first / RATE == pytest.approx(1.004, abs=0.01)
        assert last / RATE == pytest.approx(1.599, abs=0.01)

    @pytest.mark.parametrize(
        "pcm", [silence(0), silence(0.005), silence(2), noise(RATE, -30.0), tone(1, 0.001)], ids=lambda p: str(len(p))
    )
    def test_no_speech(self, pcm: np.ndarray) -> None:
        with pytest.raises(NoSpeech):
            speech_bounds(pcm, RATE)


def test_a_stereo_file_at_another_rate_becomes_48_khz_mono(tmp_path: Path) -> None:
    pcm = np.concatenate([silence(0.5, 44_100), tone(1, rate=44_100), silence(0.5, 44_100)])
    soundfile.write(tmp_path / "two.flac", np.stack([pcm, pcm // 2], axis=1), 44_100)
    speech = read_speech(tmp_path / "two.flac")
    assert speech.pcm.ndim == 1 and speech.pcm.dtype == np.int16
    assert len(speech.pcm) == pytest.approx(2 * RATE, abs=2)
    assert (speech.first / RATE, speech.last / RATE) == (pytest.approx(0.5, abs=0.01), pytest.approx(1.5, abs=0.01))
    assert np.abs(speech.pcm.astype(int)).max() == pytest.approx(0.3 * 0.75 * 32767, rel=0.02)


def listen(listener: Listener, pcm: np.ndarray, arrivals: list[float]) -> list[tuple[float, int]]:
    """Feed 20 ms frames; where each was heard, and how much of it."""
    heard = []
    for index, arrival in enumerate(arrivals):
        start, kept = listener.hear(arrival, pcm[index * FRAME : (index + 1) * FRAME])
        heard.append((start, len(kept)))
    return heard


def steady(count: int, start: float = 0.0) -> list[float]:
    return [start + index * 0.02 for index in range(count)]


class TestListener:
    def test_speech_is_found_to_the_sample(self) -> None:
        pcm = np.concatenate([silence(0.507), tone(0.4), silence(0.493)])
        listener = Listener()
        listen(listener, pcm, steady(70, start=100.0))
        (burst,) = listener.bursts
        assert burst.start == pytest.approx(100.507, abs=0.001)
        assert burst.end == pytest.approx(100.907, abs=0.001)

    def test_comfort_noise_and_clicks_are_silence(self) -> None:
        pcm = noise(RATE, -60.0)
        pcm[24_000:24_480] += tone(0.01)
        listener = Listener()
        listen(listener, pcm, steady(50))
        assert listener.bursts == []
        assert listener.last_audible == float("-inf")

    def test_a_gap_between_words_joins_and_a_longer_one_parts(self) -> None:
        pcm = np.concatenate([tone(0.2), silence(0.16), tone(0.2), silence(0.3), tone(0.2), silence(0.04)])
        listener = Listener()
        listen(listener, pcm, steady(len(pcm) // FRAME))
        assert [(round(b.start, 2), round(b.end, 2)) for b in listener.bursts] == [(0.0, 0.56), (0.86, 1.06)]

    def test_a_late_frame_delays_the_speech_behind_it_until_silence_makes_up(self) -> None:
        pcm = np.concatenate([tone(0.1), silence(0.2), tone(0.1)])
        arrivals = steady(20)
        arrivals[2] = arrivals[3] = 0.1
        heard = listen(Listener(), pcm, arrivals)
        assert [start for start, _ in heard[:5]] == pytest.approx([0.0, 0.02, 0.10, 0.12, 0.14])
        # 60 ms behind: three silent frames are left out, and then all is heard as it arrives.
        assert [kept for _, kept in heard[5:9]] == [0, 0, 0, FRAME]
        assert [start for start, _ in heard[8:]] == pytest.approx(arrivals[8:])

    def test_a_burst_of_frames_is_heard_one_after_the_other(self) -> None:
        listener = Listener()
        heard = listen(listener, tone(0.2), [5.0] * 10)
        assert [start for start, _ in heard] == pytest.approx([5.0 + 0.02 * index for index in range(10)])
        assert listener.bursts[0].end == pytest.approx(5.2, abs=0.001)

    def test_arrival_jitter_does_not_hide_the_start(self) -> None:
        jitter = np.random.default_rng(3).uniform(0, 0.006, 20)
        listener = Listener()
        listen(listener, tone(0.4), [at + late for at, late in zip(steady(20), jitter, strict=True)])
        assert len(listener.bursts) == 1
        assert listener.bursts[0].start < 0.008


class TestTape:
    def test_two_channels_on_one_clock(self) -> None:
        tape = Tape(origin=50.0)
        tape.place(SENT, 50.0, np.full(480, 1, np.int16))
        tape.place(HEARD, 50.005, np.full(480, 2, np.int16))
        rows = tape.take()
        assert rows.shape == (720, 2)
        assert rows[:, SENT].tolist() == [1] * 480 + [0] * 240
        assert rows[:, HEARD].tolist() == [0] * 240 + [2] * 480

    def test_taking_goes_on_where_it_ended_and_is_not_rewritten(self) -> None:
        tape = Tape(origin=0.0)
        tape.place(SENT, 0.0, np.full(48, 1, np.int16))
        assert len(tape.take(0.01)) == 480
        tape.place(SENT, 0.005, np.full(480, 3, np.int16))
        assert tape.take()[:, SENT].tolist() == [3] * 240
        assert len(tape.take(0.02)) == 960 - 720
        assert len(tape.take(0.001)) == 0

    def test_what_was_before_the_start_is_left_out(self) -> None:
        tape = Tape(origin=1.0)
        tape.place(HEARD, 0.99, np.arange(960, dtype=np.int16))
        assert tape.take()[:, HEARD].tolist() == list(range(480, 960))

    def test_it_ends_at_the_limit(self) -> None:
        tape = Tape(origin=0.0, max_secs=0.01)
        tape.place(SENT, 0.005, np.ones(480, np.int16))
        tape.place(SENT, 9.0, np.ones(480, np.int16))
        assert tape.truncated
        assert len(tape.take(20.0)) == 480
        assert MAX_SECS == 600


SPOKEN = Spoken(started=10.0, first=10.2, last=12.0)


class TestWhichAnswerCounts:
    def test_the_first_sound_after_the_end_of_speech(self) -> None:
        bursts = [Burst(3.0, 5.0), Burst(12.7, 13.0), Burst(13.4, 14.0)]
        assert find_answer(SPOKEN, bursts, [Talk(2.9, 5.1), Talk(12.65)]) is bursts[1]
        assert find_answer(SPOKEN, bursts[:1], [Talk(2.9, 5.1)]) is None
        assert answer_end(bursts[1], bursts, float("inf")) == 14.0
        assert not cut_in(SPOKEN, bursts, [Talk(2.9, 5.1), Talk(12.65)])

    def test_an_answer_in_a_pause_that_is_interrupted_does_not_count(self) -> None:
        bursts, talks = [Burst(11.0, 11.3), Burst(12.8, 13.5)], [Talk(10.95, 11.25), Talk(12.75)]
        assert cut_in(SPOKEN, bursts, talks) and cut_in(SPOKEN, bursts, [])
        assert find_answer(SPOKEN, bursts, talks) is bursts[1]

    def test_a_sentence_gap_of_an_answer_that_runs_on_is_no_start(self) -> None:
        bursts = [Burst(11.0, 12.4), Burst(12.7, 13.4), Burst(14.5, 15.0)]
        assert find_answer(SPOKEN, bursts, [Talk(10.95)]) is None
        assert find_answer(SPOKEN, bursts, [Talk(10.95, 13.45)]) is bursts[2]
        quiet_at_the_end_of_speech = [Burst(11.0, 11.9), Burst(12.2, 13.4)]
        assert find_answer(SPOKEN, quiet_at_the_end_of_speech, [Talk(10.95)]) is None
        assert find_answer(SPOKEN, bursts, []) is bursts[1]

    def test_talking_over_an_answer(self) -> None:
        bursts, talks = [Burst(8.0, 9.5), Burst(9.8, 10.6), Burst(12.6, 13.5)], [Talk(7.95, 10.58), Talk(12.55)]
        until = talked_over_until(SPOKEN, bursts[2], talks)
        assert until == 10.58
        assert answer_end(bursts[0], bursts, until) == 10.6
        assert talked_over_until(SPOKEN, bursts[2], []) == 12.6
        assert was_interrupted(bursts[0], 10.6, [10.5])
        # It may hold its sound first, and say only then that it is interrupted.
        assert was_interrupted(bursts[0], 9.5, [11.2])
        assert not was_interrupted(bursts[0], 9.5, [11.4])


def rtvi(kind: str, /, **data: object) -> dict[str, object]:
    return {"label": "rtvi-ai", "type": kind, "data": data}


def output(text: str, status: str, segment: int | None = 1, spoken: str = "", **more: object) -> dict[str, object]:
    progress = {"accumulated_text": spoken, "remaining_text": text[len(spoken) :]}
    data = {"text": text, "spoken_status": status, "spoken_progress": progress, "output_type": "sentence"}
    data |= {"will_be_spoken": True} | ({} if segment is None else {"segment_id": segment})
    return rtvi("bot-output", **data | more)


class TestTranscript:
    def test_doubled_output_is_one_reply(self) -> None:
        transcript = Transcript()
        transcript.begin_turn()
        transcript.end_of_speech(1.0)
        for message in (
            rtvi("user-input", text="Hello", final=False, input_type="transcription"),
            rtvi("user-input", text="Hello there.", final=True, input_type="transcription"),
            rtvi("user-transcription", text="Hello there.", final=True),
            output("Good day.", "new", 1),
            output("How are you?", "new", 2),
            rtvi("bot-started-speaking"),
            output("Good", "in-progress", 1, "Good", output_type="word"),
            output("Good day.", "in-progress", 1, "Good"),
            output("Good day.", "completed", 1, "Good day."),
            output("How are you?", "completed", 2, "How are you?"),
            output("x = 1", "new", 3, will_be_spoken=False),
            rtvi("bot-tts-text", text="Good day."),
        ):
            transcript.receive(message, 2.0)
        (words,) = transcript.turns
        assert words.heard_text() == "Hello there."
        assert words.reply_text(interrupted=False) == "Good day. How are you?"

    def test_without_segment_ids_the_text_tells(self) -> None:
        transcript = Transcript()
        transcript.begin_turn()
        transcript.receive(output("Yes.", "new", None), 1.0)
        transcript.receive(output("Yes.", "completed", None), 2.0)
        assert transcript.turns[0].reply_text(False) == "Yes."

    def test_an_interrupted_answer_ends_where_it_was_cut(self) -> None:
        transcript = Transcript()
        transcript.begin_turn()
        transcript.end_of_speech(1.0)
        transcript.receive(rtvi("bot-started-speaking"), 2.0)
        transcript.receive(output("One two three.", "in-progress", 1, "One two"), 2.5)
        transcript.receive(output("Four five.", "new", 2), 2.5)
        transcript.begin_turn()
        transcript.receive(output("Six seven.", "new", 3), 2.7)
        transcript.receive(rtvi("bot-interrupted"), 3.0)
        transcript.receive(rtvi("bot-stopped-speaking"), 3.0)
        transcript.end_of_speech(3.5)
        transcript.receive(output("Sorry?", "new", 4), 4.0)
        first, second = transcript.turns
        assert first.reply_text(interrupted=True) == "One two"
        assert first.reply_text(interrupted=False) == "One two three."
        assert second.reply_text(interrupted=False) == "Sorry?"
        assert transcript.interruptions == [3.0]

    def test_without_word_times_the_sentence_that_was_cut_off_is_whole(self) -> None:
        transcript = Transcript()
        transcript.begin_turn()
        for number, text in enumerate(["One.", "Two.", "Three."]):
            transcript.receive(output(text, "new", number), 1.0)
        assert transcript.turns[0].reply_text(interrupted=False) == "One. Two. Three."
        assert transcript.turns[0].reply_text(interrupted=True) == "One."
        transcript.receive(output("One.", "completed", 0, "One."), 2.0)
        assert transcript.turns[0].reply_text(interrupted=True) == "One. Two."
        assert transcript.turns[0].reply_text(interrupted=False) == "One."

    def test_with_word_times_a_sentence_of_which_no_word_was_spoken_is_left_out(self) -> None:
        transcript = Transcript()
        transcript.begin_turn()
        transcript.receive(output("One two.", "in-progress", 1, "One"), 1.0)
        transcript.receive(output("Three.", "new", 2), 1.5)
        transcript.receive(output("One two.", "completed", 1, "One two."), 2.0)
        assert transcript.turns[0].reply_text(interrupted=True) == "One two."

    @pytest.mark.parametrize("speech_end", [1.8, 2.5])
    def test_an_answer_that_cut_in_gives_way_to_the_one_that_counts(self, speech_end: float) -> None:
        transcript = Transcript()
        transcript.begin_turn()
        transcript.receive(rtvi("bot-started-speaking"), 1.0)
        transcript.receive(output("Pardon?", "new", 1), 1.1)
        if speech_end < 2.0:
            transcript.end_of_speech(speech_end)
        transcript.receive(rtvi("bot-stopped-speaking"), 2.0)
        assert transcript.turns[0].reply_text(False) == "Pardon?"
        if speech_end > 2.0:
            transcript.end_of_speech(speech_end)
        transcript.receive(output("Of course.", "new", 2), 3.0)
        transcript.receive(output("Pardon?", "completed", 1), 3.0)
        assert transcript.turns[0].reply_text(False) == "Of course."

    def test_a_greeting_is_no_reply(self) -> None:
        transcript = Transcript()
        transcript.receive(output("Welcome.", "new", 1), 0.1)
        transcript.begin_turn()
        transcript.receive(output("Welcome.", "completed", 1, "Welcome."), 0.2)
        assert transcript.turns[0].reply_text(False) == ""

    def test_server_messages(self) -> None:
        transcript = Transcript()
        transcript.receive(rtvi("server-message", type="call", call_id="abc"), 0.0)
        transcript.begin_turn()
        stages = {"vad_ms": 200, "turn_ms": 50, "stt_ms": 120, "llm_ms": 180, "tts_ms": 40, "other": 1}
        transcript.receive(rtvi("server-message", type="latency", turn=1, voice_to_voice_ms=700, stages=stages), 0.0)
        transcript.receive(rtvi("server-message", type="problem", kind="stt", message="STT was slow."), 0.0)
        transcript.receive(rtvi("error", error="boom", fatal=True), 0.0)
        transcript.receive(rtvi("server-message", type="call-ending", reason="idle", message="Bye"), 0.0)
        transcript.receive({"type": "signalling", "message": {"type": "peerLeft"}}, 0.0)
        transcript.receive({"type": "server-message", "data": "just text"}, 0.0)
        assert transcript.call_id == "abc"
        assert transcript.turns[0].stages == {key: stages[key] for key in stages if key != "other"}
        assert transcript.problems == ["STT was slow.", "boom"]
        assert transcript.ending == "idle" and transcript.peer_left
