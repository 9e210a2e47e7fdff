"""Hints of the script and the language of a text, from the names of its letters and the commonest words of a few languages."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

_SCRIPTS = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana"}
_NO_SCRIPT = {"FULLWIDTH", "HALFWIDTH", "MATHEMATICAL", "MODIFIER", "FEMININE", "MASCULINE", "SUPERSCRIPT", "SUBSCRIPT"}
_LANGUAGE_OF_SCRIPT = {
    "Kana": "ja", "Hangul": "ko", "Han": "zh", "Greek": "el", "Thai": "th", "Hebrew": "he", "Armenian": "hy", "Georgian": "ka",
    "Tamil": "ta", "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Bengali": "bn", "Gujarati": "gu", "Khmer": "km",
    "Lao": "lo", "Sinhala": "si", "Tibetan": "bo", "Ethiopic": "am",
}  # fmt: skip
"""Scripts that one language is nearly always written in; Kana among Han is Japanese."""
_WORDS = {
    "cs": "a aby ale ani bych by co do ho je jeho jsem jsme jsou která které který ještě má mi na není nebo od po pro při se si tak to už ve však za ze že",
    "da": "af at blev da de den det dig du efter ej eller en er et for fra ham han har hun hvad hvor ikke jeg kan med men meget mig noget og om på sig skal som til ud var vi vil være",
    "de": "aber am an auch auf aus bei bin das dass dem den der des die du ein eine einen er es für habe hat ich ihn ihr im in ist ja kann man mein mir mit nach nicht noch sein sich sie sind so über und uns von war was wenn wie wir zu zum zur",
    "en": "a about all an and are as at be been but by can did do for from had has have he her his i if in is it me my not of on or out she so that the their there they this to was we were what which who will with would you your",
    "es": "al como con cuando de del donde el ella en entre era es esta este esto fue ha hay la las le lo los me mi muy más no nos para pero por porque que qué se sin sobre su sus también te tiene todo tu un una y ya yo",
    "fi": "ei en ennen että ette hän häntä he ja jo joka jos kanssa kuin kun me mikä minä minun mitä mutta myös ne niin nyt olen oli on ovat se sen siitä sinä tai tämä te vain voi",
    "fr": "au aux avec ce ces cette d'un dans de des du elle en est et il ils je la le les leur lui ma mais me mes moi mon ne nous on ou où par pas plus pour qu que qui sa se ses son sur te tu un une vos votre vous à été être c'est",
    "hu": "a az egy és hogy nem is ez azt csak de van volt már még meg ha el mint ki kell lehet mi én te ő nagyon vagy sem minden",
    "it": "a al alla anche che chi ci come con da dal dei del della delle di e è era gli ha hanno ho i il in io la le lo loro ma mi mia mio nel nella non più per perché però qui quando questa questo se si sono su sua suo ti tu un una",
    "nl": "aan als bij dan dat de den der deze die dit door een en er ge geen had heb heeft hem het hier hij hoe hun ik in is je kan maar me met mijn naar niet nog nu of om onder ook op te tot u uit uw van voor was wat we wel werd wij zal ze zei zich zijn",
    "pl": "a ale bardzo by być był była co czy dla do go i ich ja jak jako jest jestem już ma mam mi mnie może na nie o od po przez przy się są ta tak to tu tym w ze za że",
    "pt": "a ao aos as com como da das de dele do dos e ela ele em era essa esse está eu foi isso já lhe mais mas me meu minha muito na nas não no nos nós num o os ou para pela pelo por quando que quem se sem ser seu seus sua são só também tem um uma você à é",
    "ro": "a acest aceasta am ar are au ca care ce cu că când da de despre din dar ea ei el este eu fi foarte fost iar în îl la le lui mai mea mi nu o pe pentru sa se sunt și să te tot un unei va",
    "ru": "а без бы был была были в вам вас все вы где да для до его ее если есть еще же за и из или им их к как когда кто ли меня мне мы на не него нет но ну о об он она они от очень по при с свою себя так там то только ты тебя у уже что чтобы это этот я",
    "sv": "alla att av blev bli de den det dig din du där efter eller en ett för från ha hade han har henne hon honom i icke inte jag kan kunde man med men mig min mot mycket ni nu när någon och om oss på sig sin ska som så till under upp ut var vi vill är",
    "tr": "ama ben beni bir biz bu da daha de değil diye en gibi hiç için ile ise kadar ki mi mu ne neden o olan olarak olduğu onu onun sen siz şey şu var ve veya ya yok çok",
    "uk": "але без би був була було в вас ви все від він вона вони де для до є же за з зі й його її і із їх коли мене мені ми на не ні нас нам про по та так там те ти тільки то у хто це що щоб я як який",
}  # fmt: skip
LANGUAGES = tuple(sorted({*_WORDS, *_LANGUAGE_OF_SCRIPT.values()}))
"""Those that `language_of` may name, as ISO 639-1 codes."""
_LANGUAGES_OF_WORD: dict[str, list[str]] = {}
for _language, _listed in _WORDS.items():
    for _word in _listed.split():
        _LANGUAGES_OF_WORD.setdefault(_word, []).append(_language)
_CYRILLIC = ("ru", "uk")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@cache
def _script_of_letter(character: str) -> str | None:
    if not character.isalpha():
        return None
    first = unicodedata.name(character, "").split(" ", 1)[0]
    return None if not first or first in _NO_SCRIPT else _SCRIPTS.get(first, first.capitalize())


def script_of(text: str) -> str | None:
    """The script of most of a text's letters, such as "Latin", "Han", "Kana" or "Cyrillic"; None without letters.

    Example:
        >>> script_of("映画です"), script_of("2 + 2")
        ('Kana', None)
    """
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else None
    counts = Counter(filter(None, map(_script_of_letter, text)))
    if "Kana" in counts and counts["Kana"] + counts["Han"] > counts.total() / 2:
        return "Kana"
    return max(counts, key=lambda script: (counts[script], script), default=None)


def script_of_language(tongue: str) -> str:
    """The script of a language that `language_of` names; a script is its own."""
    if tongue not in LANGUAGES:
        return tongue
    scripts = {language: script for script, language in _LANGUAGE_OF_SCRIPT.items()}
    return scripts.get(tongue, "Cyrillic" if tongue in _CYRILLIC else "Latin")


def language_counts(text: str) -> dict[str, float]:
    """How much speaks for each language: 1 for each of its commonest words, shared among the languages that have it."""
    script = script_of(text)
    if script in _LANGUAGE_OF_SCRIPT:
        return {_LANGUAGE_OF_SCRIPT[script]: float(len(text))}
    counts: dict[str, float] = {}
    for word in set(_WORD.findall(text.lower())):
        for language in (languages := _LANGUAGES_OF_WORD.get(word, ())):
            counts[language] = counts.get(language, 0) + 1 / len(languages)
    return counts


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of a text's language; None where nothing speaks for one, or too little against others.

    Two words of its own must speak for it, and half as much again as for any other.

    Example:
        >>> language_of("Der Film war nicht so gut, aber die Straße ist es."), language_of("OK")
        ('de', None)
    """
    return surest(language_counts(text))


def surest(counts: Mapping[str, float]) -> str | None:
    """The language of which `language_counts`, of one text or the sum of many, leave no doubt; else None."""
    (first, most), (_, second) = sorted([*counts.items(), ("", 0.0), ("", 0.0)], key=lambda item: -item[1])[:2]
    return first if most >= 2 and most >= 1.5 * second else None


def language_of_texts(texts: Iterable[str]) -> str | None:
    """The same of many texts together, such as a column of a table; a few thousand are enough."""
    total: Counter[str] = Counter()
    for text in texts:
        total.update(language_counts(text))
    return surest(total)
