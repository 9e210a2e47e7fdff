"""English sentences and their German translations, drawn from a seeded grammar.

"The boy that our old neighbour has invited is tired." – "Der Junge, den unser alter Nachbar eingeladen hat, ist müde."
What a translator has to know:

* **agreement**: gender, number and case show in articles, possessives and adjectives (*ein alter Mann, dem alten Mann,
  zwei alte Männer*), in the noun itself (*den Kindern, dem Jungen*), in pronouns and in relative pronouns;
* **case** by verb (*sieht ihn*, *hilft ihm*), by preposition and by what it means (*im Garten*, *in den Garten*);
* **where verbs stand**: the finite one second, after whatever stands in front (*Heute sieht …*), first in questions, last
  in subordinate clauses (*dass …, weil …*); participles, infinitives and particles at the end (*ruft … an, angerufen*);
* **which auxiliary** makes the perfect (*hat gesehen*, *ist gegangen*), `no` as *kein*, `not` as *nicht* behind objects.

A sentence has exactly one translation. Nouns, verbs and adjectives have one counterpart each, and where English leaves a choice
the words that would need it are missing: no *you*, no past but of *be*, no "must not", *her* for persons only and never
as a possessive. Where German does, the order is fixed: pronouns, time, dative, accusative, *nicht*, place. A reader of the
English sentence alone can hence be right every time. (A pronoun stands after the subject, also where German may turn
both round: *Wann sieht mein Mädchen uns?*)

Test sentences are those whose hash says so, so none occurs in train, whatever the seeds; none occurs twice in a split.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nlp_suite.data.sources import translation_words as lexicon
from nlp_suite.data.sources.translation_clause import (
    HE,
    SHE,
    THEY,
    WE,
    WHAT,
    WHO,
    Clause,
    NounPhrase,
    Phrase,
    Prepositional,
    Pronoun,
    words,
)
from nlp_suite.data.sources.translation_words import ASK, BE, GO, HOPE, KNOW, NOUNS, SAY, Noun, Verb

LENGTHS = range(5, 19)  # English words of a sentence
TEST_PART = 8  # one in so many sentences belongs to test
PRONOUNS = (HE, SHE, WE, THEY)
TENSES = {"present": 8, "perfect": 5, "future": 3, "can": 3, "must": 2, "want": 2}
CONDITION = {t: w for t, w in TENSES.items() if t != "future"}  # of a clause with *if*
OPEN = {t: w for t, w in TENSES.items() if t != "perfect"}  # of what will be if or when
LOCATED = [v for v in lexicon.VERBS if "location" in v.phrases]
LOCATIONS = [preposition for preposition, _ in lexicon.PHRASES["location"]]
TIMES = {  # tense → times that go with it
    "present": ("today", "now", "in the evening"),
    "perfect": ("today",),
    "future": ("today", "tomorrow", "in the evening"),
    "can": ("today", "tomorrow", "now"),
    "must": ("today", "tomorrow", "now"),
    "want": ("today", "tomorrow", "in the evening"),
    "past": ("today",),
}
DETERMINERS = {
    False: {"the": 8, "a": 5, "this": 2, "my": 2, "our": 2},
    True: {"the": 6, "these": 2, "my": 2, "our": 2, "two": 2, "many": 2},
}
UNOWNED = (NOUNS["man"], NOUNS["woman"])  # "my man" would be more than one means
STATE = 0.2  # of clauses that say what somebody or something is like, or where


class Speaker:
    """Draws the parts of one sentence; no noun and no pronoun occurs twice in it."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.used: set[Pronoun | Noun] = set()

    def maybe(self, probability: float) -> bool:
        return self.rng.random() < probability

    def weighted(self, weights: dict[str, int]) -> str:
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def pronoun(self) -> Phrase:
        """A pronoun, or where all are used a person."""
        fits = [p for p in PRONOUNS if p not in self.used]
        if not fits:
            return self.phrase(("person",), definite=True)
        self.used.add(choice := self.rng.choice(fits))
        return choice

    def phrase(self, kinds: tuple[str, ...], definite: bool = False, none: bool = False) -> NounPhrase:
        """Determiner and noun of some kinds (or one of some nouns); `none`: with *no*."""
        allowed = [noun for name, noun in NOUNS.items() if noun.kind in kinds or name in kinds]
        self.used.add(noun := self.rng.choice([noun for noun in allowed if noun not in self.used] or allowed))
        plural = self.maybe(0.25 if noun.kind == "place" else 0.38)
        barred = (("a", "two", "many") if definite else ()) + (("my", "our") if noun in UNOWNED else ())
        choices = {d: w for d, w in DETERMINERS[plural].items() if d not in barred}
        fitting = [a for a in lexicon.FITTING[noun.kind] if (a, noun) != ("young", NOUNS["boy"])]
        adjective = self.rng.choice(fitting) if self.maybe(0.45) else ""
        return NounPhrase("no" if none else self.weighted(choices), noun, plural, adjective)

    def subject(self, kinds: tuple[str, ...], definite: bool = False, place: bool = False) -> Phrase:
        if "person" in kinds and self.maybe(0.3):
            return self.pronoun()
        phrase = self.phrase(kinds, definite)
        return replace(phrase, place=self.prepositional(("location",))) if place and self.maybe(0.12) else phrase

    def prepositional(self, kinds: tuple[str, ...], definite: bool = False) -> Prepositional:
        preposition, nouns = self.rng.choice(lexicon.PHRASES[self.rng.choice(kinds)])
        allowed = tuple(nouns.split())
        if "person" in allowed and self.maybe(0.2):
            return Prepositional(preposition, self.pronoun())
        return Prepositional(preposition, self.phrase(allowed, definite))

    def clause(
        self,
        subject: Phrase | None = None,
        verbs: list[Verb] | None = None,
        tenses: dict[str, int] = TENSES,
        denials: bool = True,
        light: bool = False,
    ) -> Clause:
        """A clause.

        Args:
            subject: its subject; default: one that fits the verb.
            verbs: the verbs to choose from, which fit the subject; default: all that do, or *be*.
            tenses: tense → weight.
            denials: whether *not* and *no* are allowed.
            light: there is neither a time nor a place at the subject.
        """
        kind = subject.noun.kind if isinstance(subject, NounPhrase) else "person"
        fits = verbs or [v for v in lexicon.VERBS if subject is None or kind in v.subjects]
        if not verbs and (not fits or self.maybe(STATE)):
            return self.state(subject, "perfect" in tenses, denials, light)
        verb, tense = self.rng.choice(fits), self.weighted(tenses)
        negated = denials and not subject and tense in ("present", "perfect", "future") and self.maybe(0.2)
        phrased = verb.phrases and not (negated and (verb.dative or verb.accusative))
        share = 1.0 if verb is GO else 0.3 if light else 0.5
        phrase = self.prepositional(verb.phrases, negated) if phrased and self.maybe(share) else None
        subject = subject or self.subject(verb.subjects, negated, place=not (light or phrase))
        time = self.rng.choice(TIMES[tense]) if not light and self.maybe(0.3) else ""
        often = not (time or negated or tense == "want") and self.maybe(0.1)
        none = denials and not (time or negated or often) and tense in ("present", "perfect") and self.maybe(0.2)
        dative = accusative = None
        if verb.dative:
            spoken = self.maybe(0.3)
            dative = self.pronoun() if spoken else self.phrase(verb.dative, negated)
        if verb.accusative:
            spoken = "person" in verb.accusative and self.maybe(0.3)
            accusative = self.pronoun() if spoken else self.phrase(verb.accusative, negated, none)
        return Clause(subject, verb, tense, negated, often, dative, accusative, "", phrase, time)

    def state(self, subject: Phrase | None, past: bool = True, denials: bool = True, light: bool = False) -> Clause:
        """What somebody or something is like, or where."""
        negated = denials and not subject and self.maybe(0.15)
        phrase = self.prepositional(("location",), negated) if not subject and self.maybe(0.4) else None
        kind = self.rng.choice(("person", "animal", "thing", "thing" if phrase else "place"))
        subject = subject or self.subject((kind,), negated, place=not (phrase or light))
        tense = "past" if past and self.maybe(0.3) else "present"
        adjective = ""
        if not phrase:
            kind = subject.noun.kind if isinstance(subject, NounPhrase) else "person"
            before_noun = subject.adjective if isinstance(subject, NounPhrase) else ""
            adjective = self.rng.choice([a for a in lexicon.FITTING[kind] if a != before_noun])
        passing = phrase or adjective == "tired"
        time = self.rng.choice(TIMES[tense]) if passing and not light and self.maybe(0.3) else ""
        often = bool(passing and not (time or negated) and self.maybe(0.2))
        return Clause(subject, BE, tense, negated, often, adjective=adjective, phrase=phrase, time=time)


Pair = tuple[str, str]


def typeset(english: str, german: str, mark: str) -> Pair:
    """Both sentences with a capital and a final mark; a comma stands at its word."""
    english, german = (text[0].upper() + text[1:] + mark for text in (english, german))
    return english, german


def statement(s: Speaker) -> Pair:
    """The subject in front."""
    clause = s.clause()
    return typeset(clause.english(), clause.german("second"), ".")


def fronted(s: Speaker) -> Pair:
    """A time, a place or *perhaps* in front: the verb stays second."""
    clause = s.clause(None, LOCATED, light=True) if s.maybe(0.5) else s.clause(light=True)
    state = clause.verb is BE
    place = clause.phrase if clause.phrase and clause.phrase.preposition in LOCATIONS else None
    if place and s.maybe(0.6) and not (state and (clause.negated or isinstance(clause.subject, Pronoun))):
        front, clause = (place.english(), place.german()), replace(clause, phrase=None)
    elif s.maybe(0.25) or (state and not clause.phrase and clause.adjective != "tired"):
        front = ("perhaps", "vielleicht")
    else:
        time = s.rng.choice(TIMES[clause.tense])
        front = (time, lexicon.TIMES[time])
    turned = state and not (clause.phrase or clause.adjective)  # "Under the tree are two cats."
    clause = replace(clause, often=clause.often and not turned)
    return typeset(words(front[0], clause.english(question=turned)), words(front[1], clause.german("first")), ".")


def yes_or_no(s: Speaker) -> Pair:
    """A question that begins with its verb."""
    clause = s.clause(tenses={**TENSES, "present": 20}, denials=False)
    return typeset(clause.english(question=True), clause.german("first"), "?")


def asked(s: Speaker) -> Pair:
    """A question that begins with *who*, *whom*, *what*, *where*, *why* or *when*."""
    word = s.rng.choice(("who", "whom", "whom", "what", "where", "why", "when"))
    if word == "who":
        clause = s.clause(WHO, lexicon.VERBS, denials=False)
        return typeset(clause.english(), clause.german("second"), "?")
    front = (word, lexicon.QUESTIONS.get(word, ""))
    if word in ("whom", "what"):
        clause, case = without_object(s, "person" if word == "whom" else "thing", denials=False)
        front = (word, (WHO if word == "whom" else WHAT).german(case))
    elif word == "where":
        clause = (
            s.state(None, denials=False, light=True)
            if s.maybe(0.3)
            else s.clause(None, LOCATED, denials=False, light=True)
        )
        clause = replace(clause, phrase=None, adjective="", often=False)
    elif word == "when":
        clause = replace(s.clause(None, lexicon.VERBS, OPEN, denials=False, light=True), often=False)
    else:
        clause = s.clause(denials=False)
    return typeset(words(front[0], clause.english(question=True)), words(front[1], clause.german("first")), "?")


def without_object(s: Speaker, kind: str, **options: Any) -> tuple[Clause, str]:
    """A clause that lacks its object of a kind, and the case that the object would have."""
    direct = [v for v in lexicon.VERBS if kind in v.accusative]
    indirect = [v for v in lexicon.VERBS if kind in v.dative and not v.accusative]
    fits = indirect if indirect and s.maybe(0.5) else direct  # else the dative would be rare
    clause = s.clause(None, fits, **options)
    return (replace(clause, accusative=None), "acc") if clause.accusative else (replace(clause, dative=None), "dat")


def content(s: Speaker) -> Pair:
    """What somebody says, knows, hopes or asks: *dass* or *ob*, and the verb last."""
    verb = s.rng.choice((SAY, KNOW, HOPE, ASK))
    unsure = verb is KNOW and s.maybe(0.5)
    tense = "perfect" if verb in (SAY, ASK) and s.maybe(0.3) else "present"
    main = Clause(s.subject(("person",), definite=unsure), verb, tense, negated=unsure)
    conjunction = "whether" if unsure or verb is ASK else "that"
    clause = s.clause()
    return typeset(
        words(main.english(), conjunction, clause.english()),
        words(main.german("second") + ",", lexicon.CONJUNCTIONS[conjunction], clause.german("last")),
        ".",
    )


def joined(s: Speaker) -> Pair:
    """Two clauses: *weil*, *obwohl*, *wenn*, before or after the main clause, or *aber* between equals."""
    conjunction = s.rng.choice(("because", "although", "if", "but"))
    main = s.clause(tenses=OPEN if conjunction == "if" else TENSES, light=True)
    other = s.clause(tenses=CONDITION if conjunction == "if" else TENSES, light=True)
    if conjunction == "but":
        german = f"{main.german('second')}, aber {other.german('second')}"
        return typeset(f"{main.english()}, but {other.english()}", german, ".")
    english = words(conjunction, other.english())
    german = words(lexicon.CONJUNCTIONS[conjunction], other.german("last"))
    if s.maybe(0.5):
        return typeset(f"{english}, {main.english()}", f"{german}, {main.german('first')}", ".")
    return typeset(f"{main.english()} {english}", f"{main.german('second')}, {german}", ".")


def relative(s: Speaker) -> Pair:
    """A relative clause at the subject: its pronoun has the noun's number and gender, and the case of its own clause."""
    who = s.phrase(("person", "animal", "thing"))
    kind = who.noun.kind
    nominative, accusative, dative = (
        lexicon.lookup_form(lexicon.RELATIVE, case, who.slot) for case in ("nom", "acc", "dat")
    )
    english = ("who", "whom") if kind == "person" else ("that", "that")
    pronoun = Pronoun(english, (nominative, accusative, dative), who.plural)
    options: dict[str, Any] = {"tenses": {"present": 2, "perfect": 2, "can": 1}, "denials": False, "light": True}
    if kind != "thing" and s.maybe(0.5):
        clause = s.clause(pronoun, [v for v in lexicon.VERBS if kind in v.subjects], **options)
        inner = clause.english(), clause.german("last")
    else:
        clause, case = without_object(s, kind, **options)
        inner = words(pronoun.english(case), clause.english()), words(pronoun.german(case), clause.german("last"))
    main = s.clause(replace(who, relative=inner), light=True)
    return typeset(main.english(), main.german("second"), ".")


FORMS = {statement: 20, fronted: 16, yes_or_no: 16, asked: 14, content: 12, joined: 12, relative: 10}


def is_test(english: str) -> bool:
    """Whether a sentence belongs to test."""
    return zlib.crc32(english.encode()) % TEST_PART == 0


def draw(rng: random.Random) -> Pair:
    """A sentence and its translation."""
    (form,) = rng.choices(list(FORMS), list(FORMS.values()))
    return form(Speaker(rng))


def pairs(seed: int, split: str) -> Iterator[Pair]:
    """Endless English–German pairs of a split, each sentence once.

    Args:
        seed: with `split`, decides every pair.
        split: `"train"` or `"test"`: no English sentence occurs in both, whatever the seeds.
    """
    rng, test, seen = random.Random(f"{seed} {split}"), split == "test", set()
    while True:
        english, german = draw(rng)
        if len(english.split()) not in LENGTHS or is_test(english) != test or english in seen:
            continue
        seen.add(english)
        yield english, german
