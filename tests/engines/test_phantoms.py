"""Which texts are taken for what Whisper invents."""

import pytest

from engines.whisper.phantoms import Phantom, phantom_of, plain


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Thank you for watching!"),
        ("en", "THANKS FOR WATCHING"),
        ("en", "Ｔｈａｎｋｓ　ｆｏｒ　ｗａｔｃｈｉｎｇ！"),
        ("en", "Thanks for watching! Bye."),
        ("en", "Subtitles by the Amara.org community"),
        ("en", "Transcribed by https://otter.ai"),
        ("en", "www.mooji.org"),
        ("en", "[BLANK_AUDIO]"),
        ("en", "(upbeat music)"),
        ("en", "*cough*"),
        ("en", "♪♪"),
        ("en", "."),
        ("en", "... ..."),
        ("de", "Untertitel der Amara.org-Community"),
        ("de", "Untertitelung im Auftrag des ZDF für funk, 2017"),
        ("de", "Vielen Dank fürs Zuschauen!"),
        ("fr", "Sous-titres réalisés para la communauté d'Amara.org"),
        ("fr", "Sous-titrage ST' 501"),
        ("fr", "Sous-titrage Société Radio-Canada"),
        ("fr", "Merci d’avoir regardé cette vidéo !"),
        ("es", "Subtítulos realizados por la comunidad de Amara.org"),
        ("es", "¡Suscríbete al canal!"),
        ("it", "Sottotitoli creati dalla comunità Amara.org"),
        ("it", "Sottotitoli e revisione a cura di QTSS"),
        ("pt", "Legendas pela comunidade Amara.org"),
        ("pt", "Obrigado por assistir!"),
        ("nl", "Ondertitels ingediend door de Amara.org gemeenschap"),
        ("nl", "TV GELDERLAND 2021"),
        ("pl", "Napisy stworzone przez społeczność Amara.org"),
        ("pl", "Dziękuję za oglądanie!"),
        ("ru", "Редактор субтитров А.Синецкая Корректор А.Егорова"),
        ("ru", "Субтитры сделал DimaTorzok"),
        ("ru", "Продолжение следует..."),
        ("uk", "Дякую за перегляд!"),
        ("uk", "Субтитри створив DimaTorzok"),
        ("tr", "İzlediğiniz için teşekkürler."),
        ("tr", "Altyazı M.K."),
        ("tr", "ABONE OLMAYI UNUTMAYIN!"),
        ("ja", "ご視聴ありがとうございました。"),
        ("ja", "チャンネル登録、高評価よろしくお願いします。"),
        ("ko", "시청해 주셔서 감사합니다."),
        ("ko", "MBC 뉴스 김성현입니다."),
        ("zh", "字幕由Amara.org社区提供"),
        ("zh", "請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目"),
        ("zh", "中文字幕志愿者 李宗盛"),
        ("zh", "谢谢观看!"),
        ("ar", "ترجمة نانسي قنقر"),
        ("ar", "شُكْرًا للمشاهدة"),
        ("hi", "देखने के लिए धन्यवाद!"),
        ("sv", "Undertexter från Amara.org-gemenskapen"),
        ("sv", "Tack för att ni tittade!"),
        ("da", "Danske tekster af Nicolai Winther"),
        ("no", "Teksting av Nicolai Winther"),
        ("no", "Takk for at du så på!"),
        ("fi", "Kiitos kun katsoit!"),
        ("cs", "Titulky vytvořil JohnyX."),
    ],
)
def test_credits_and_goodbyes_of_videos_are_never_said_to_an_agent(language: str, text: str):
    assert phantom_of(text, language) is Phantom.NEVER_SAID


def test_they_count_in_any_language():
    assert phantom_of("Thanks for watching!", "ko") is Phantom.NEVER_SAID
    assert phantom_of("ご視聴ありがとうございました", "en") is Phantom.NEVER_SAID


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Thank you."),
        ("en", "you"),
        ("en", "Bye!"),
        ("en", "Okay. Thank you. Bye."),
        ("en", "So..."),
        ("en", "Yes."),
        ("de", "Vielen Dank."),
        ("de", "Tschüss!"),
        ("fr", "Merci."),
        ("es", "¡Gracias!"),
        ("it", "Grazie a tutti!"),
        ("pt", "Tchau, tchau!"),
        ("nl", "Dank u wel."),
        ("pl", "Dziękuję."),
        ("ru", "Спасибо."),
        ("uk", "Дякую!"),
        ("tr", "Teşekkür ederim."),
        ("ja", "ありがとうございました。"),
        ("ko", "감사합니다."),
        ("zh", "谢谢大家"),
        ("ar", "شكراً"),
        ("hi", "धन्यवाद"),
        ("sv", "Tack."),
        ("da", "Tak."),
        ("no", "Takk."),
        ("fi", "Kiitos."),
        ("cs", "Děkuji."),
    ],
)
def test_what_people_say_too_is_plausible(language: str, text: str):
    assert phantom_of(text, language) in (Phantom.PLAUSIBLE, Phantom.FAVOURITE)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Thank you for the report."),
        ("en", "Yes, please."),
        ("en", "I was watching television."),
        ("en", "Can you turn the subtitles on?"),
        ("en", "Thanks for watching my dog."),
        ("en", "My flight is at (nine) thirty."),
        ("de", "Untertitel bitte."),
        ("de", "Die Untertitel im Film fehlen."),
        ("fr", "Sous-titres, s'il vous plaît."),
        ("es", "Subtítulos en español, por favor."),
        ("es", "Gracias por ver a mi madre."),
        ("it", "Sottotitoli"),
        ("pt", "Legendas, por favor."),
        ("sv", "Undertexter av, tack."),
        ("da", "Danske tekster, tak."),
        ("fi", "Tekstitys päälle."),
        ("cs", "Titulky nefungují."),
        ("ru", "Спасибо за помощь."),
        ("ja", "ありがとうございます、明日の三時にお願いします。"),
        ("zh", "帮我把字幕打开"),
        ("ko", "자막 켜 주세요"),
    ],
)
def test_what_a_caller_says_is_not_taken_for_one(language: str, text: str):
    assert phantom_of(text, language) is None


def test_a_plausible_answer_of_another_language_is_left_alone():
    assert phantom_of("Tack.", "en") is None


def test_words_are_compared_without_case_width_accents_and_punctuation():
    assert plain("  Ｈéllo,   WORLD!  ") == "hello world"
    assert plain("Spaß") == "spass"
    assert plain("ILIK İstanbul") == "ilik istanbul"
    assert plain("I'm  I’m") == "im im"
    assert plain("... ♪ !") == ""
