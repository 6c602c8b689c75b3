"""The default normaliser, script by script: what is another word, and what the same one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechkit.scoring.normalise import normaliser
from speechkit.scoring.score import score

normal = normaliser("unicode")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"),
    [
        ("मेरा नाम राम है", "मेरी नाम राम है", 1 / 4),
        ("น้ำ", "นำ", 1),
        ("அவன் வந்தான்", "அவள் வந்தான்", 1 / 2),
        ("বাংলা ভাষা", "বাংলা ভাষ", 1 / 2),
        ("నేను వెళ్ళాను", "నేను వెళ్ళను", 1 / 2),
        ("ಕನ್ನಡ ಭಾಷೆ", "ಕನನಡ ಭಾಷೆ", 1 / 2),
        ("ਪੰਜਾਬੀ ਹੈ", "ਪਜਾਬੀ ਹੈ", 1 / 2),
        ("മലയാളം വലിയ", "മലയാളം വലയ", 1 / 2),
        ("ගෙදර යමි", "ගදර යමි", 1 / 2),
        ("ދިވެހި ބަސް", "ދވެހި ބަސް", 1 / 2),
        ("ကျွန်တော်", "ကျွန်တေ", 1),
        ("ខ្ញុំ", "ខ្ញុ", 1),
        ("བོད་སྐད", "བད་སྐད", 1 / 2),
        ("한국어 좋다", "한국어 좋아", 1 / 2),
        ("tiếng ma", "tiếng má", 1 / 2),
        ("ọkọ̀ wa", "ọkọ́ wa", 1 / 2),
        ("sınır yok", "sinir yok", 1 / 2),
        ("élève", "eleve", 1),
        ("آب سرد", "اب سرد", 1 / 2),
        ("ma˥ ma˧", "ma˥ ma˥", 1 / 2),
        ("we're here", "were here", 1 / 2),
        ("1.5 km", "15 km", 1 / 2),
        ("1,000 people", "1000 people", 1 / 2),
    ],
)
def test_other_words(reference, hypothesis, wer):
    one = {"text": reference, "pred_text": hypothesis}
    assert score([one]).total.words.rate == wer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tiếng Việt", unicodedata.normalize("NFD", "tiếng việt")),
        ("Ẹ̀kọ́", unicodedata.normalize("NFD", "ẹ̀kọ́")),
        ("한국어", unicodedata.normalize("NFD", "한국어")),
        ("ﾊﾟﾝ ＡＢＣ　１２", "パン abc 12"),
        ("STRASSE Straße", "straße strasse"),
        ("ΣΟΦΟΣ", "σοφος"),
        ("İstanbul Işık", "istanbul ışık"),
        ("I\u0307stanbul", "istanbul"),
        ("مَرْحَبًا", "مرحبا"),
        ("مرحـــبا", "مرحبا"),
        ("ﻣﺮﺣﺒﺎ", "مرحبا"),
        ("آب", "ا\u0653ب"),
        ("می\u200cخواهم", "میخواهم"),
        ("שָׁלוֹם", "שלום"),
        ("מרחב־יה", "מרחב יה"),
        ('צה"ל', "צה״ל"),
        ('ב"הארץ"', "ב הארץ"),
        ("\u202bשלום\u202c \u2066a\u2069", "שלום a"),
        ("ന്\u200d", "ൻ"),
        ("ශ්\u200dරී", "ශ්රී"),
        ("क़लम", "क\u093cलम"),
        ("น\u0e4d\u0e49า น\u0e49\u0e4dา", "น้ำ น้ำ"),
        ("ນ\u0ec9\u0ecdາ", "ນ້ຳ"),
        ("३ बजे, ٣٫٥", "3 बजे 3.5"),
        ("1½ cups", "1 1/2 cups"),
        ("5㎞", "5km"),
        ("don’t ‘stop’ ＇now＇", "don't stop now"),
        ("м’яч м'яч", "мʼяч мʼяч"),
        ("oʻzbek", "o‘zbek"),
        ("rock 'n' roll, the dogs'", "rock n roll the dogs"),
        ("well-known", "well known"),
        ("hel\u00adlo wor\u2060ld \ufeff", "hello world"),
        ("Ինչո՞ւ", "ինչու"),
        ("ሰላም፡ለዓለም።", "ሰላም ለዓለም"),
        ("नमस्ते। दुनिया॥", "नमस्ते दुनिया"),
        ("«Да», — сказал…", "да сказал"),
        ("ok 🙂👍🏽 👨\u200d👩\u200d👧 1️⃣ iPhone™", "ok 1 iphone"),
        ("l´eau ¨ ´", "l'eau"),
        ("東京（とうきょう）[笑] 行く", "東京 行く"),
        ("¿?!… 。、🙂 \u200f", ""),
    ],
)
def test_the_same_words(one, other):
    assert normal(one) == normal(other)
    assert normal(other) == unicodedata.normalize("NFC", normal(other))


def test_what_stays_within_words():
    assert (
        normal("L’homme, col·lecció: O'Neill's 3,5 x·y") == "l'homme col·lecció o'neill's 3,5 x·y"
    )
    assert normal("卡尔·马克思 end.Next 'a' 1. 2") == "卡尔 马克思 end next a 1 2"


def test_every_letter_and_mark_of_unicode_outside_brackets_stays_or_is_known_to_go():
    """Anything dropped is of a block that the docstring names."""
    gone = set()
    for code in range(0x110000):
        char = chr(code)
        if (
            unicodedata.category(char) in ("Lu", "Ll", "Lo", "Mn", "Mc")
            and not normal(f"x{char}")[1:]
        ):
            gone.add(unicodedata.name(char).split()[0])
    assert gone <= {
        *("ARABIC", "HEBREW"),
        *("VARIATION", "MONGOLIAN", "COMBINING", "KHMER", "HANGUL", "HALFWIDTH"),
    }


@pytest.mark.slow
@given(st.text())
def test_spaces_are_single_and_a_second_pass_changes_no_words(text):
    once = normal(text)
    assert once == " ".join(once.split())
    assert len(normal(once).split()) == len(once.split())


@given(st.text(st.characters(categories=("L", "M", "N", "Z"))))
def test_canonically_equivalent_texts_are_one(text):
    forms = {normal(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert forms == {normal(text)}
