"""Hints of scripts and languages: right or silent, never loud and wrong."""

import pytest

from nlp_suite.text.language import LANGUAGES, language_of, language_of_texts, script_of, script_of_language

SENTENCES = {
    "cs": "To je dobrý film, ale není pro mě, protože se mi nelíbí ta hudba a jsem unavený.",
    "da": "Det er en god film, men jeg kan ikke lide den, og musikken er noget for sig.",
    "de": "Der Film war nicht so gut, aber die Straße ist es.",
    "el": "Η ταινία ήταν καλή",
    "en": "The film was not that good, but the street is what I like about it.",
    "es": "El perro no está en la casa, pero muy cerca de la calle.",
    "fi": "Tämä on hyvä elokuva mutta en ole varma että se on minun.",
    "fr": "Ce film n'est pas mauvais, mais je ne sais pas où il se trouve.",
    "he": "הסרט היה טוב",
    "hu": "Ez egy nagyon jó film, de nem tudom, hogy miért van itt.",
    "it": "Questo film è molto bello, ma non per me perché sono stanco.",
    "ja": "映画は良かったです",
    "ko": "영화가 좋았어요",
    "nl": "Het is een mooie dag en ik ga naar huis omdat het niet regent.",
    "pl": "To jest bardzo dobry film, ale nie dla mnie.",
    "pt": "Este filme é muito bom, mas não para mim.",
    "ro": "Acest film este foarte bun, dar nu pentru mine.",
    "ru": "Эта книга очень хорошая, но я не понимаю, что это.",
    "sv": "Det är en bra film men jag vill inte se den för att jag är trött.",
    "th": "ภาพยนตร์ดี",
    "tr": "Bu film çok iyi ama benim için değil.",
    "uk": "Ця книга дуже гарна, але я не розумію, що це.",
    "zh": "电影很好看",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_of_every_language(language):
    assert language_of(SENTENCES[language]) == language and language in LANGUAGES
    assert script_of_language(language) == script_of(SENTENCES[language])


@pytest.mark.parametrize(
    "text", ["", "OK", "2 + 2", "Boston", "In Paris", "the", "xyzzy plugh", "\ud800 \x00", "مرحبا بكم"]
)
def test_what_tells_nothing_is_not_guessed(text):
    assert language_of(text) is None


def test_scripts():
    texts = ["Straße", "Москва", "東京", "東京タワー", "한국어", "مرحبا", "हिन्दी", "Ａ", "1 + 1 = 2", ""]
    expected = ["Latin", "Cyrillic", "Han", "Kana", "Hangul", "Arabic", "Devanagari", None, None, None]
    assert [script_of(text) for text in texts] == expected


def test_many_short_texts_tell_together_what_none_tells_alone():
    texts = ["Die Katze", "ein Hund", "nicht hier", "das Haus", "OK"]
    assert {language_of(text) for text in texts} == {None} and language_of_texts(texts) == "de"
