"""The English–German grammar: its German is right, a sentence has one translation, and all of it can be learnt."""

import itertools
import random
import re
from collections import Counter

import pytest

from nlp_suite.data.sources import translation_clause as c
from nlp_suite.data.sources import translation_grammar as grammar
from nlp_suite.data.sources import translation_words as lexicon
from nlp_suite.data.sources.sample import SampleSource
from nlp_suite.errors import DataError

VERBS = {verb.english[0]: verb for verb in lexicon.VERBS}
CASES = ("nom", "acc", "dat")

# determiner → "nominative, accusative, dative" of masculine; feminine; neuter; plural
DECLENSIONS = {
    "the": "der alte Hund, den alten Hund, dem alten Hund; die alte Katze, die alte Katze, der alten Katze; "
    "das alte Pferd, das alte Pferd, dem alten Pferd; die alten Hunde, die alten Hunde, den alten Hunden",
    "a": "ein alter Hund, einen alten Hund, einem alten Hund; eine alte Katze, eine alte Katze, einer alten Katze; "
    "ein altes Pferd, ein altes Pferd, einem alten Pferd",
    "this": "dieser alte Hund, diesen alten Hund, diesem alten Hund; diese alte Katze, diese alte Katze, "
    "dieser alten Katze; dieses alte Pferd, dieses alte Pferd, diesem alten Pferd",
    "these": "; ; ; diese alten Hunde, diese alten Hunde, diesen alten Hunden",
    "my": "mein alter Hund, meinen alten Hund, meinem alten Hund; meine alte Katze, meine alte Katze, "
    "meiner alten Katze; mein altes Pferd, mein altes Pferd, meinem alten Pferd; meine alten Hunde, meine alten Hunde, "
    "meinen alten Hunden",
    "our": "unser alter Hund, unseren alten Hund, unserem alten Hund; unsere alte Katze, unsere alte Katze, "
    "unserer alten Katze; unser altes Pferd, unser altes Pferd, unserem alten Pferd; unsere alten Hunde, "
    "unsere alten Hunde, unseren alten Hunden",
    "no": "kein alter Hund, keinen alten Hund, keinem alten Hund; keine alte Katze, keine alte Katze, "
    "keiner alten Katze; kein altes Pferd, kein altes Pferd, keinem alten Pferd; keine alten Hunde, keine alten Hunde, "
    "keinen alten Hunden",
    "two": "; ; ; zwei alte Hunde, zwei alte Hunde, zwei alten Hunden",
    "many": "; ; ; viele alte Hunde, viele alte Hunde, vielen alten Hunden",
}
NOUNS = """
    der Mann, dem Mann, die Männer, den Männern|der Junge, dem Jungen, die Jungen, den Jungen
    der Nachbar, dem Nachbarn, die Nachbarn, den Nachbarn|die Frau, der Frau, die Frauen, den Frauen
    die Tante, der Tante, die Tanten, den Tanten|das Kind, dem Kind, die Kinder, den Kindern
    das Mädchen, dem Mädchen, die Mädchen, den Mädchen|der Hund, dem Hund, die Hunde, den Hunden
    die Katze, der Katze, die Katzen, den Katzen|das Pferd, dem Pferd, die Pferde, den Pferden
    der Brief, dem Brief, die Briefe, den Briefen|der Schlüssel, dem Schlüssel, die Schlüssel, den Schlüsseln
    der Apfel, dem Apfel, die Äpfel, den Äpfeln|die Blume, der Blume, die Blumen, den Blumen
    das Buch, dem Buch, die Bücher, den Büchern|das Bild, dem Bild, die Bilder, den Bildern
    der Garten, dem Garten, die Gärten, den Gärten|der Baum, dem Baum, die Bäume, den Bäumen
    die Küche, der Küche, die Küchen, den Küchen|die Straße, der Straße, die Straßen, den Straßen
    das Haus, dem Haus, die Häuser, den Häusern
"""


def phrase(text: str, **more) -> c.Phrase:
    """ "the old men" as a structure."""
    pronouns = {form: p for p in (c.HE, c.SHE, c.WE, c.THEY, c.WHO) for form in p.forms}
    if text in pronouns:
        return pronouns[text]
    determiner, *adjective, noun = text.split()
    (found,) = (n for n in lexicon.NOUNS.values() if noun in n.english)
    return c.NounPhrase(determiner, found, noun == found.english[1], *adjective, **more)


def place(preposition: str, text: str) -> c.Prepositional:
    return c.Prepositional(preposition, phrase(text))


def clause(subject: str, verb: str, tense: str = "present", dative="", accusative="", at=(), **more) -> c.Clause:
    return c.Clause(
        phrase(subject),
        lexicon.BE if verb == "be" else VERBS[verb],
        tense,
        dative=phrase(dative) if dative else None,
        accusative=phrase(accusative) if accusative else None,
        phrase=place(*at) if at else None,
        **more,
    )


@pytest.mark.parametrize("determiner", DECLENSIONS)
def test_declension_with_an_adjective(determiner):
    for slot, forms in zip(("dog", "cat", "horse", "dogs"), DECLENSIONS[determiner].split("; "), strict=False):
        if forms.strip():
            found = [phrase(f"{determiner} old {slot}").german(case) for case in CASES]
            assert found == forms.split(", ")


def test_nouns():
    expected = [entry.strip() for line in NOUNS.strip().splitlines() for entry in line.split("|")]
    found = []
    for noun in lexicon.NOUNS.values():
        forms = [c.NounPhrase("the", noun, plural).german(case) for plural in (False, True) for case in ("nom", "dat")]
        found.append(", ".join(forms))
    assert found == expected


@pytest.mark.parametrize(
    "preposition, text, german",
    [
        ("in", "the garden", "im Garten"),
        ("in", "the old house", "im alten Haus"),
        ("in", "the kitchen", "in der Küche"),
        ("in", "the houses", "in den Häusern"),
        ("in", "a garden", "in einem Garten"),
        ("into", "the garden", "in den Garten"),
        ("into", "the house", "ins Haus"),
        ("into", "my kitchen", "in meine Küche"),
        ("to", "the neighbour", "zum Nachbarn"),
        ("to", "the young girl", "zum jungen Mädchen"),
        ("to", "the aunt", "zur Tante"),
        ("to", "the children", "zu den Kindern"),
        ("to", "him", "zu ihm"),
        ("on", "this street", "auf dieser Straße"),
        ("under", "two big trees", "unter zwei großen Bäumen"),
        ("behind", "the house", "hinter dem Haus"),
        ("next to", "our tree", "neben unserem Baum"),
        ("through", "the garden", "durch den Garten"),
        ("through", "a house", "durch ein Haus"),
        ("with", "her", "mit ihr"),
        ("with", "many dogs", "mit vielen Hunden"),
        ("without", "the boy", "ohne den Jungen"),
        ("without", "them", "ohne sie"),
        ("for", "us", "für uns"),
        ("for", "a man", "für einen Mann"),
    ],
)
def test_prepositions(preposition, text, german):
    assert place(preposition, text).german() == german
    assert place(preposition, text).english() == f"{preposition} {text}"


TIRED = {"adjective": "tired"}
SENTENCES = [  # clause, English statement, German: verb second, first, last
    (
        clause("the old man", "see", accusative="a small dog", time="today"),
        "the old man sees a small dog today",
        "der alte Mann sieht heute einen kleinen Hund",
        "sieht der alte Mann heute einen kleinen Hund",
        "der alte Mann heute einen kleinen Hund sieht",
    ),
    (
        clause("a aunt", "call", accusative="him"),
        "an aunt calls him",
        "eine Tante ruft ihn an",
        "ruft eine Tante ihn an",
        "eine Tante ihn anruft",
    ),
    (
        clause("our neighbours", "invite", "perfect", accusative="the boys"),
        "our neighbours have invited the boys",
        "unsere Nachbarn haben die Jungen eingeladen",
        "haben unsere Nachbarn die Jungen eingeladen",
        "unsere Nachbarn die Jungen eingeladen haben",
    ),
    (
        clause("she", "open", "want", accusative="this letter"),
        "she wants to open this letter",
        "sie will diesen Brief aufmachen",
        "will sie diesen Brief aufmachen",
        "sie diesen Brief aufmachen will",
    ),
    (
        clause("we", "invite", accusative="the woman", negated=True),
        "we do not invite the woman",
        "wir laden die Frau nicht ein",
        "laden wir die Frau nicht ein",
        "wir die Frau nicht einladen",
    ),
    (
        clause("the children", "wake up", "perfect"),
        "the children have woken up",
        "die Kinder sind aufgewacht",
        "sind die Kinder aufgewacht",
        "die Kinder aufgewacht sind",
    ),
    (
        clause("the boy", "go", "perfect", at=("into", "the big house")),
        "the boy has gone into the big house",
        "der Junge ist ins große Haus gegangen",
        "ist der Junge ins große Haus gegangen",
        "der Junge ins große Haus gegangen ist",
    ),
    (
        clause("the cat", "follow", "perfect", dative="her", often=True),
        "the cat has often followed her",
        "die Katze ist ihr oft gefolgt",
        "ist die Katze ihr oft gefolgt",
        "die Katze ihr oft gefolgt ist",
    ),
    (
        clause("they", "help", "must", dative="the tired children", at=("in", "the garden")),
        "they must help the tired children in the garden",
        "sie müssen den müden Kindern im Garten helfen",
        "müssen sie den müden Kindern im Garten helfen",
        "sie den müden Kindern im Garten helfen müssen",
    ),
    (
        clause("my aunt", "give", "future", dative="the boy", accusative="two red apples", time="tomorrow"),
        "my aunt will give the boy two red apples tomorrow",
        "meine Tante wird morgen dem Jungen zwei rote Äpfel geben",
        "wird meine Tante morgen dem Jungen zwei rote Äpfel geben",
        "meine Tante morgen dem Jungen zwei rote Äpfel geben wird",
    ),
    (
        clause("he", "show", dative="them", accusative="no picture"),
        "he shows them no picture",
        "er zeigt ihnen kein Bild",
        "zeigt er ihnen kein Bild",
        "er ihnen kein Bild zeigt",
    ),
    (
        clause("two girls", "read", "can", accusative="many books", time="in the evening"),
        "two girls can read many books in the evening",
        "zwei Mädchen können am Abend viele Bücher lesen",
        "können zwei Mädchen am Abend viele Bücher lesen",
        "zwei Mädchen am Abend viele Bücher lesen können",
    ),
    (
        clause("the dog", "sleep", negated=True, at=("under", "the tree")),
        "the dog does not sleep under the tree",
        "der Hund schläft nicht unter dem Baum",
        "schläft der Hund nicht unter dem Baum",
        "der Hund nicht unter dem Baum schläft",
    ),
    (
        clause("these men", "be", "past", negated=True, time="today", **TIRED),
        "these men were not tired today",
        "diese Männer waren heute nicht müde",
        "waren diese Männer heute nicht müde",
        "diese Männer heute nicht müde waren",
    ),
    (
        clause("the key", "be", at=("in", "the kitchen")),
        "the key is in the kitchen",
        "der Schlüssel ist in der Küche",
        "ist der Schlüssel in der Küche",
        "der Schlüssel in der Küche ist",
    ),
    (
        clause("who", "buy", "perfect", accusative="the beautiful flowers"),
        "who has bought the beautiful flowers",
        "wer hat die schönen Blumen gekauft",
        "hat wer die schönen Blumen gekauft",
        "wer die schönen Blumen gekauft hat",
    ),
]


@pytest.mark.parametrize("made, english, second, first, last", SENTENCES, ids=[s[1] for s in SENTENCES])
def test_clauses(made, english, second, first, last):
    assert made.english() == english
    assert [made.german(verb) for verb in ("second", "first", "last")] == [second, first, last]


@pytest.mark.parametrize(
    "made, english",
    [
        (clause("the man", "see", accusative="them"), "does the man see them"),
        (clause("we", "wake up", "want"), "do we want to wake up"),
        (clause("she", "sing", "want", often=False), "does she want to sing"),
        (clause("they", "read", "perfect", accusative="the book"), "have they read the book"),
        (clause("the dogs", "sleep", negated=True), "do the dogs not sleep"),
        (clause("the boy", "be", often=True, **TIRED), "is the boy often tired"),
    ],
)
def test_english_questions(made, english):
    assert made.english(question=True) == english


def test_relative_pronouns():
    who = ["man", "woman", "child", "children"]
    found = [[lexicon.lookup_form(lexicon.RELATIVE, case, phrase(f"the {w}").slot) for case in CASES] for w in who]
    assert found == [["der", "den", "dem"], ["die", "die", "der"], ["das", "das", "dem"], ["die", "die", "denen"]]
    with_place = phrase("the old man", place=place("in", "the garden"))
    assert with_place.german("dat") == "dem alten Mann im Garten"
    whole = phrase("the boy", relative=("who sleeps", "der schläft"))
    assert (whole.english("nom"), whole.german("acc")) == ("the boy who sleeps", "den Jungen, der schläft,")


@pytest.fixture(scope="module")
def corpus():
    """Pairs of both splits."""
    source = SampleSource(kind="pairs", size=20_000)
    assert SampleSource(kind="pairs").sizes == {"train": 40_000, "test": 1000}
    return {split: [(e["source"], e["target"]) for e in source.examples(split)] for split in source.splits()}


def tokens(text):
    return re.findall(r"\w+|[^\w\s]", text)


def test_sizes_and_no_sentence_twice(corpus):
    assert {split: len(pairs) for split, pairs in corpus.items()} == {"train": 20_000, "test": 1000}
    english = [source for pairs in corpus.values() for source, _ in pairs]
    assert len(set(english)) == len(english)
    other = {e["source"] for e in SampleSource(kind="pairs", seed=1, test=200).examples("test")}
    assert not other & {source for source, _ in corpus["train"]}


def test_one_translation_a_sentence():
    rng, known = random.Random(0), {}
    for _ in range(15_000):
        english, german = grammar.draw(rng)
        assert known.setdefault(english, german) == german, english
    assert len(known) > 10_000


def test_sentences_look_like_sentences(corpus):
    for pair in itertools.chain(*corpus.values()):
        assert 5 <= len(pair[0].split()) <= 18
        for text in pair:
            assert re.fullmatch(r"[A-ZÄÖÜ](?:[\w ]|, )+[.?]", text) and "  " not in text, text
        assert pair[0][-1] == pair[1][-1]
        assert not re.search(r"\b(in dem|in das|zu dem|zu der)\b", pair[1])


def test_german_nouns_are_capitalised_and_nothing_else_inside_a_sentence(corpus):
    nouns = {form for noun in lexicon.NOUNS.values() for form in noun.german}
    nouns |= {f"{form}n" for form in nouns} | {"Abend"}
    inside = {word for _, german in corpus["train"] for word in tokens(german)[1:] if word[0].isupper()}
    assert inside <= nouns


def test_the_verb_of_a_subordinate_clause_is_last(corpus):
    finite = {form for verb in [*lexicon.VERBS] for form in (verb.particle + f for f in verb.german[:2])}
    finite |= {form for _, german in lexicon.AUXILIARIES.values() for form in german} | {"ist", "sind", "war", "waren"}
    count = Counter()
    for _, german in corpus["train"]:
        for conjunction, inner in re.findall(r"\b(dass|ob|weil|obwohl|wenn) ([^,.]+)[,.]", german.lower()):
            assert inner.split()[-1] in finite, german
            count[conjunction] += 1
    assert set(count) == {"dass", "ob", "weil", "obwohl", "wenn"} and min(count.values()) > 150


def test_every_word_is_frequent_enough_to_be_learnt(corpus):
    for side, most in ((0, 180), (1, 250)):
        train = Counter(word for pair in corpus["train"] for word in tokens(pair[side].lower()))
        test = {word for pair in corpus["test"] for word in tokens(pair[side].lower())}
        assert len(train) <= most
        assert not {word for word in test if train[word] < 40}
        cased = Counter(word for pair in corpus["train"] for word in tokens(pair[side]))
        assert not {word for pair in corpus["test"] for word in tokens(pair[side]) if cased[word] < 10}


def test_deterministic_whatever_the_order_of_calls(corpus):
    source = SampleSource(kind="pairs", size=50, test=20)
    test, train = list(source.examples("test")), list(source.examples("train"))
    assert [tuple(e.values()) for e in train] == corpus["train"][:50]
    assert [tuple(e.values()) for e in test] == corpus["test"][:20]
    both = zip(source.examples("train"), source.examples("test"), strict=False)
    assert list(both) == list(zip(train, test, strict=False))
    assert list(SampleSource(kind="pairs", size=50, seed=1).examples("train")) != train


def test_attributes_and_fingerprint():
    source = SampleSource(kind="pairs")
    assert source.optimum == {"exact_match": 1.0}
    assert set(next(source.examples("test"))) == {"source", "target"}
    assert source.fingerprint() == SampleSource(kind="pairs").fingerprint() != SampleSource().fingerprint()
    with pytest.raises(DataError, match="this task needs pairs of sentences"):
        source.best_perplexity("test")
