"""Noun phrases and clauses as structures that say themselves in English and in German."""

from dataclasses import dataclass

from nlp_suite.data.sources.translation_words import (
    ADJECTIVES,
    AUXILIARIES,
    BE,
    CONTRACTIONS,
    PREPOSITIONS,
    TIMES,
    Noun,
    Verb,
    adjective,
    determiner,
)


def words(*parts: str) -> str:
    """The parts that are not empty, with a space between them."""
    return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Pronoun:
    """A pronoun: `he him`, `er ihn ihm`."""

    forms: tuple[str, str]
    german_forms: tuple[str, str, str]
    plural: bool = False

    def english(self, case: str) -> str:
        return self.forms[case != "nom"]

    def german(self, case: str) -> str:
        return self.german_forms[("nom", "acc", "dat").index(case)]


HE = Pronoun(("he", "him"), ("er", "ihn", "ihm"))
SHE = Pronoun(("she", "her"), ("sie", "sie", "ihr"))
WE = Pronoun(("we", "us"), ("wir", "uns", "uns"), plural=True)
THEY = Pronoun(("they", "them"), ("sie", "sie", "ihnen"), plural=True)
WHO = Pronoun(("who", "whom"), ("wer", "wen", "wem"))
WHAT = Pronoun(("what", "what"), ("was", "was", "was"))


@dataclass(frozen=True)
class NounPhrase:
    """Determiner, adjective, noun, and a phrase of place or a relative clause (its English, its German) after it."""

    determiner: str
    noun: Noun
    plural: bool = False
    adjective: str = ""
    place: "Prepositional | None" = None
    relative: tuple[str, str] = ("", "")

    @property
    def slot(self) -> str:
        return "pl" if self.plural else self.noun.gender

    def english(self, case: str) -> str:
        core = words(self.adjective, self.noun.english[self.plural])
        article = "an" if self.determiner == "a" and core[0] in "aeiou" else self.determiner
        return words(article, core, self.place.english() if self.place else "", self.relative[0])

    def german(self, case: str) -> str:
        article, strong = determiner(self.determiner, case, self.slot)
        inflected = adjective(self.adjective, case, self.slot, strong) if self.adjective else ""
        phrase = words(article, inflected, self.noun.form(case, self.plural), self.place.german() if self.place else "")
        return f"{phrase}, {self.relative[1]}," if self.relative[1] else phrase


Phrase = Pronoun | NounPhrase


@dataclass(frozen=True)
class Prepositional:
    """A preposition and what it governs."""

    preposition: str
    phrase: Phrase

    def english(self) -> str:
        return words(self.preposition, self.phrase.english("acc"))

    def german(self) -> str:
        preposition, case = PREPOSITIONS[self.preposition]
        whole = words(preposition, self.phrase.german(case))
        for full, short in CONTRACTIONS.items():
            if whole.startswith(full):
                return short + whole.removeprefix(full)
        return whole


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, when and where. What stands elsewhere (in front, or asked for) is left out of it.

    `tense` is `present`, `perfect`, `future`, `can`, `must` or `want`; with *be* `present` or `past`.
    """

    subject: Phrase
    verb: Verb
    tense: str = "present"
    negated: bool = False
    often: bool = False
    dative: Phrase | None = None
    accusative: Phrase | None = None
    adjective: str = ""  # a predicate, with *be*
    phrase: Prepositional | None = None
    time: str = ""

    def english(self, question: bool = False) -> str:
        """Subject, verb and the rest; as a question the auxiliary comes first."""
        auxiliary, verb = self._english_verb(question)
        subject = self.subject.english("nom")
        return words(
            *((auxiliary, subject) if question else (subject, auxiliary)),
            "not" if self.negated else "",
            "often" if self.often else "",
            verb,
            self.dative.english("dat") if self.dative else "",
            self.accusative.english("acc") if self.accusative else "",
            self.adjective,
            self.phrase.english() if self.phrase else "",
            self.time,
        )

    def _english_verb(self, question: bool) -> tuple[str, str]:
        many = self.subject.plural
        base, singular, participle = self.verb.english
        if self.verb is BE:
            return {"present": ("is", "are"), "past": ("was", "were")}[self.tense][many], ""
        do = "do" if many else "does"
        if self.tense == "present":
            return (do, base) if question or self.negated else ("", base if many else singular)
        if self.tense == "want" and question:
            return do, f"want to {base}"
        return AUXILIARIES[self.tense][0][many], participle if self.tense == "perfect" else base

    def german(self, verb: str) -> str:
        """The clause with its finite verb `"second"` (after the subject), `"first"` or `"last"`.

        Between subject and end stand pronouns, time, dative, accusative, *nicht*, predicate or phrase, in this order.
        """
        finite, end = self._german_verb(last=verb == "last")
        subject = self.subject.german("nom")
        objects = [(o, case) for o, case in ((self.dative, "dat"), (self.accusative, "acc")) if o]
        middle = [
            *(o.german(case) for o, case in objects if isinstance(o, Pronoun)),
            TIMES[self.time] if self.time else "",
            "oft" if self.often else "",
            *(o.german(case) for o, case in objects if isinstance(o, NounPhrase)),
            "nicht" if self.negated else "",
            ADJECTIVES[self.adjective] if self.adjective else "",
            self.phrase.german() if self.phrase else "",
        ]
        if verb == "last":
            return words(subject, *middle, end, finite)
        return words(*((finite, subject) if verb == "first" else (subject, finite)), *middle, end)

    def _german_verb(self, last: bool) -> tuple[str, str]:
        many = self.subject.plural
        if self.verb is BE:
            return {"present": ("ist", "sind"), "past": ("war", "waren")}[self.tense][many], ""
        if self.tense == "present":
            finite, particle = self.verb.german[many], self.verb.particle
            return (particle + finite, "") if last else (finite, particle)
        if self.tense == "perfect":
            auxiliary = ("ist", "sind") if self.verb.sein else AUXILIARIES["perfect"][1]
            return auxiliary[many], self.verb.german[2]
        return AUXILIARIES[self.tense][1][many], self.verb.infinitive
