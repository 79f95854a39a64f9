"""What the gates keep and what they remove, by the text and its evidence alone."""

from dataclasses import replace

import pytest

from engines.whisper.gates import Evidence, Gates, Verdict, compression_ratio, judge

SURE = Evidence(
    text="I would like to change my flight.",
    tokens=tuple(range(8)),
    language="en",
    avg_logprob=-0.3,
    no_speech_prob=0.02,
    compression_ratio=0.9,
    audio_secs=2.0,
    level_dbfs=-25.0,
)
KEPT = Verdict(keep=True)

HINDI = (
    "मैं आपसे यह पूछना चाहता था कि क्या आप मेरी उड़ान का समय बदल सकते हैं क्योंकि मुझे कल सुबह दिल्ली पहुँचना है और "
    "मेरी गाड़ी अब तक नहीं आई है इसलिए मैं सोच रहा था कि दोपहर की उड़ान मेरे लिए ज़्यादा अच्छी रहेगी"
)


def said(text: str, language: str = "en", **evidence) -> Evidence:
    """Evidence of a text, a token for each two letters, that the model was sure of."""
    tokens = tuple(hash(text[at : at + 2]) % 50_000 for at in range(0, len(text), 2))
    return replace(SURE, text=text, language=language, tokens=tokens, **evidence)


def test_what_the_model_is_sure_of_is_kept():
    assert judge(SURE, Gates()) == KEPT


@pytest.mark.parametrize("level", [-55.1, -80.0, float("-inf")])
def test_silence_is_removed_whatever_was_written(level: float):
    assert judge(replace(SURE, level_dbfs=level), Gates()) == Verdict(False, "silence")


def test_no_speech_takes_a_poor_result_too():
    unsure = replace(SURE, no_speech_prob=0.9, avg_logprob=-1.5)
    assert judge(unsure, Gates()) == Verdict(False, "no_speech")
    assert judge(replace(SURE, no_speech_prob=0.9), Gates()).keep
    assert judge(replace(SURE, avg_logprob=-1.5), Gates()) == Verdict(True, doubtful=True)


def test_much_doubt_is_no_speech_even_below_both_thresholds():
    assert judge(replace(SURE, no_speech_prob=0.5, avg_logprob=-1.9), Gates()) == Verdict(False, "no_speech")
    assert judge(replace(SURE, no_speech_prob=0.1, avg_logprob=-1.9), Gates()) == Verdict(True, doubtful=True)


def test_a_few_words_in_a_long_utterance_are_doubted():
    assert judge(said("He might have been", audio_secs=11.0), Gates()) == Verdict(True, doubtful=True)
    assert judge(said("Yes.", audio_secs=3.0), Gates()) == KEPT


def test_an_empty_text_needs_no_gate_and_is_looked_at_again_where_there_may_be_speech():
    assert judge(said(" "), Gates()) == Verdict(False, doubtful=True)
    assert judge(replace(said(" "), no_speech_prob=0.5), Gates()) == Verdict(False)
    assert judge(replace(said(" "), level_dbfs=-53.0), Gates()) == Verdict(False)
    assert judge(said(" "), Gates.off()) == Verdict(False)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I'm I'm I'm I'm", "en"),
        ("I'm, I'm, I'm, I'm", "en"),
        ("Beep Beep Beep", "en"),
        ("you you you", "en"),
        ("the the the the the", "en"),
        ("I'm not sure. I'm not sure. I'm not sure. I'm not sure.", "en"),
        ("I'm going to be a bad person, I'm going to be a bad person, I'm going to be a bad person", "en"),
        ("and then I I I I I I I I I I I I", "en"),
        ("no " * 20, "en"),
        ("one two " * 12, "en"),
        ("Я не знаю, Я не знаю, Я не знаю, Я не знаю", "ru"),
        ("字幕字幕字幕字幕字幕", "zh"),
        ("ありがとうございますありがとうございますありがとうございます", "ja"),
        ("aaaaaaaaaaaaaaaaaaaa", "en"),
        ("กกกกกกกกกกกกกกกกกกกก", "th"),
    ],
)
def test_loops_are_removed_and_tried_again(text: str, language: str):
    assert judge(said(text, language), Gates()) == Verdict(False, "loop", doubtful=True)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("No no no.", "en"),
        ("No, no, no, no, no!", "en"),
        ("Bye bye.", "en"),
        ("Bye-bye, bye-bye.", "en"),
        ("Ha ha ha", "en"),
        ("Hahahahaha", "en"),
        ("Twenty, twenty, twenty-four.", "en"),
        ("Five five five one two", "en"),
        ("5 5 5 1 2 0 0 0 0", "en"),
        ("Zero zero zero zero one zero zero zero", "en"),
        ("555-555-5555", "en"),
        ("It was very, very, very good.", "en"),
        ("I, I, I want to, to book a table for two.", "en"),
        ("Thank you, thank you, thank you.", "en"),
        ("Come on, come on!", "en"),
        ("Hello? Hello? Hello?", "en"),
        ("Nein, nein, nein!", "de"),
        ("Genau, genau, genau.", "de"),
        ("Non non non", "fr"),
        ("да-да-да", "ru"),
        ("はいはいはい", "ja"),
        ("そうそうそう", "ja"),
        ("对对对", "zh"),
        ("哈哈哈哈", "zh"),
        ("네 네 네", "ko"),
        ("हाँ हाँ हाँ", "hi"),
        ("A B C, A B D", "en"),
    ],
)
def test_honest_repetition_is_kept(text: str, language: str):
    assert judge(said(text, language), Gates()) == KEPT


def test_a_loop_at_the_end_of_a_sentence_is_tried_again_and_the_sentence_is_kept():
    text = "I would like to book a table for four people tonight at the the the the the"
    assert judge(said(text), Gates()) == Verdict(True, doubtful=True)


def test_tokens_show_a_loop_that_the_words_hide():
    looping = replace(SURE, text="Somewords", tokens=(7, 8) * 12)
    assert judge(looping, Gates()) == Verdict(False, "loop", doubtful=True)


def test_a_decoder_that_had_to_be_stopped_is_doubted_and_where_it_was_unsure_removed():
    assert judge(replace(SURE, hit_token_limit=True), Gates()) == Verdict(True, doubtful=True)
    unsure = replace(SURE, hit_token_limit=True, avg_logprob=-1.2)
    assert judge(unsure, Gates()) == Verdict(False, "loop", doubtful=True)


def test_a_high_compression_ratio_is_a_loop():
    text = "We will go there and we will see. " * 6
    assert judge(said(text, compression_ratio=5.0), Gates(loops=False)) == Verdict(False, "loop", doubtful=True)


def test_honest_text_in_a_script_of_three_bytes_a_letter_is_no_loop():
    assert compression_ratio(HINDI) < 1.9
    assert judge(said(HINDI, "hi", compression_ratio=2.9), Gates()) == KEPT


@pytest.mark.parametrize("text", ["Thanks for watching!", "Subtitles by the Amara.org community", "[Music]", "..."])
def test_what_nobody_says_is_removed_however_sure_the_model_is(text: str):
    verdict = judge(said(text, avg_logprob=-0.1, no_speech_prob=0.0), Gates())
    assert (verdict.keep, verdict.gate) == (False, "phantom")


@pytest.mark.parametrize("text", ["you", "Okay.", "Bye.", "Yes."])
def test_what_people_say_too_is_removed_only_with_evidence(text: str):
    gates = Gates()
    assert judge(said(text), gates).keep
    assert judge(said(text, no_speech_prob=0.64, avg_logprob=-0.63), gates).keep, (
        "as measured on a synthesized yes in noise"
    )
    assert judge(said(text, no_speech_prob=0.3, avg_logprob=-0.9), gates).keep
    assert judge(said(text, no_speech_prob=0.8, avg_logprob=-0.6), gates).gate == "phantom"
    assert judge(said(text, no_speech_prob=0.5, avg_logprob=-1.2), gates).gate == "phantom"
    assert judge(said(text, level_dbfs=gates.phantom_dbfs - 0.1), gates).gate == "phantom"


def test_thanks_are_what_whisper_invents_most():
    assert judge(said("Thank you.", no_speech_prob=0.37, avg_logprob=-0.16), Gates()).keep
    assert judge(said("Thank you.", no_speech_prob=0.47, avg_logprob=-0.48), Gates()).gate == "phantom"
    assert judge(said("Thank you, bye.", no_speech_prob=0.47, avg_logprob=-0.48), Gates()).gate == "phantom"
    assert judge(said("Thank you for your help.", no_speech_prob=0.47, avg_logprob=-0.48), Gates()).keep


def test_a_phantom_over_what_may_be_speech_is_tried_again():
    assert judge(said("Thanks for watching!", no_speech_prob=0.01), Gates()).doubtful
    assert not judge(said("Thanks for watching!", no_speech_prob=0.85), Gates()).doubtful


@pytest.mark.parametrize("text", ["you you you you", "Thanks for watching!", "no " * 50, "a"])
def test_open_gates_keep_everything(text: str):
    noise = said(
        text, avg_logprob=-5.0, no_speech_prob=1.0, compression_ratio=9.0, level_dbfs=-90.0, hit_token_limit=True
    )
    assert judge(noise, Gates.off()) == KEPT
