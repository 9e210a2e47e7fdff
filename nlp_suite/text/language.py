"""Which scripts and, as far as a few function words tell, which languages texts are in: hints for people, no classifier."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

UNSPACED = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
"""Scripts that put no space between words."""

_NAMES = {"Cjk": "Han", "Ideographic": "Han"}  # how Unicode's character names call a script otherwise than people do
_ONE_LANGUAGE = {  # scripts that, as a rule, are written in one language
    "Greek": "Greek",
    "Hebrew": "Hebrew",
    "Thai": "Thai",
    "Lao": "Lao",
    "Khmer": "Khmer",
    "Myanmar": "Burmese",
    "Tibetan": "Tibetan",
    "Hangul": "Korean",
    "Hiragana": "Japanese",
    "Katakana": "Japanese",
    "Georgian": "Georgian",
    "Armenian": "Armenian",
    "Tamil": "Tamil",
    "Telugu": "Telugu",
    "Bengali": "Bengali",
}
_FUNCTION_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "English": "the and of a to is that it was for with this not are have you i be on he she at they we what my do in",
        "German": "der die das und ist nicht ich ein eine zu den mit es auf sie dem wir er hat war im sich auch dass in",
        "French": "a le la les des et est un une que il je ne pas dans pour qui sur vous elle du en ce nous avec au tu",
        "Spanish": "a el la los las que y es no un una por con se su para lo del está como pero más en de yo qué muy",
        "Italian": "a il la che di è non un una per sono mi si ha con lo gli della ma questo io tom più del le i",
        "Portuguese": "a o os as que e é não um uma de em do da para com se eu ele você isso mais por no na ao",
        "Dutch": "de het een en van is niet dat ik je hij ze op te zijn met voor er maar wat heeft dit in was",
        "Swedish": "och att det är en som på inte jag han av för med den till har de ett du vi hon om var",
        "Danish": "og at det er en som på ikke jeg han af for med den til har de et du vi hun om var",
        "Polish": "a nie się jest w i na to że z do co jak jestem był ma tom czy są dla tego po od ale",
        "Czech": "a je se na to v že s z do jsem ale byl jak by si tom co pro jsme tak má po",
        "Finnish": "on ja ei se hän että en oli olen tämä minä mutta kuin ovat minun tom ole sinä joka mitä",
        "Hungarian": "a az és nem hogy egy van is ez tom én volt meg csak ha mint de el ki mi",
        "Turkish": "bir ve bu ne da de için tom mi o ben çok var değil ile daha gibi en mı ama",
        "Esperanto": "la kaj estas mi ne ke li en al de ĝi ŝi vi por oni ili tomo kun tio kiu estis",
        "Russian": "и в не на я что он с это как по но она мы у меня его за то так же из был",
        "Ukrainian": "і в не на я що він з це як та але вона ми у мене його за то так є до був",
    }.items()
}
_SHARED = Counter(word for words in _FUNCTION_WORDS.values() for word in words)  # by how many of these languages


@cache
def script_of(character: str) -> str | None:
    """The script of a letter, as the first word of its Unicode name has it; None for what is no letter.

    Example:
        >>> script_of("ß"), script_of("語"), script_of("!")
        ('Latin', 'Han', None)
    """
    if unicodedata.category(character)[0] != "L":
        return None
    name = unicodedata.name(character, "").split(" ")[0].split("-")[0].capitalize()
    return _NAMES.get(name, name) or None


def scripts(texts: Iterable[str]) -> dict[str, float]:
    """The scripts of some texts, each with its share of their letters, largest first."""
    characters: Counter[str] = Counter()
    for text in texts:
        characters.update(text)
    counts: Counter[str] = Counter()
    for character, count in characters.items():
        if script := script_of(character):
            counts[script] += count
    total = counts.total()
    return {script: count / total for script, count in counts.most_common()}


def language_of(text: str) -> str | None:
    """The language of a text, by its script or by the function words that it has; None where neither tells.

    Example:
        >>> language_of("Das ist nicht der Hund."), language_of("이것은 개입니다"), language_of("42")
        ('German', 'Korean', None)
    """
    shares = scripts([text])
    if not shares:
        return None
    if {"Hiragana", "Katakana"} & set(shares):
        return "Japanese"
    script = next(iter(shares))
    if script == "Han":
        return "Chinese"
    if script in _ONE_LANGUAGE:
        return _ONE_LANGUAGE[script]
    words = "".join(c if c.isalpha() else " " for c in text.lower()).split()
    found = {
        language: sum(1 / _SHARED[word] for word in words if word in known)
        for language, known in _FUNCTION_WORDS.items()
    }
    (best, count), (_, second) = sorted(found.items(), key=lambda item: -item[1])[:2]
    return best if count > second else None


def languages(texts: Iterable[str]) -> dict[str, float]:
    """The languages of some texts, each with its share of the texts for which one can be told, largest first."""
    counts = Counter(language for text in texts if (language := language_of(text)))
    total = counts.total()
    return {language: count / total for language, count in counts.most_common()}
