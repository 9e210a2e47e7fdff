"""English-like sentences of a probabilistic grammar whose entropy is known exactly.

"when the young birds near the mill rest , clara thinks that the sailors who follow the dog are happy ." What a model has to
know beyond neighbouring words:

* **agreement** in number of a verb with its subject, across adjectives, prepositional phrases ("the dog near the bridges
  barks") and relative clauses ("the sailor whom the birds see laughs"), to any depth;
* **who does what**: people laugh and say, animals bark and graze, and the noun nearest to the verb is often another one;
* **what is open**: a sentence that begins with "when" has one comma without "and", "but" or "so" after it.

Choices among words are skewed: the word of rank r has a weight of 1 / r.

Every sentence has exactly one derivation (a test counts them), hence the entropy of sentences is that of derivations:

* a noun has a phrase of place or a relative clause or neither, never both, and nouns of places have neither;
* a phrase of place belongs to the noun or the intransitive verb directly before it;
* "both A and B" is closed by its "and"; clauses are joined with commas, which stand nowhere else;
* a verb has one kind of complement, and no word is of two parts of speech.

Recursion has no bound, as cutting it off would change the entropy; its probabilities keep almost all sentences short.
"""

import random
from collections.abc import Iterator, Sequence

from nlp_suite.data.sources import pcfg
from nlp_suite.data.sources.pcfg import Grammar, Rules

NUMBERS, BEINGS = ("sg", "pl"), ("person", "animal")
WORDS = {  # part of speech → words; of pairs the first is for one, the second for many
    "noun person": (
        "sailor/sailors girl/girls farmer/farmers king/kings captain/captains teacher/teachers baker/bakers "
        "queen/queens doctor/doctors boy/boys painter/painters shepherd/shepherds poet/poets soldier/soldiers "
        "nurse/nurses pilot/pilots"
    ),
    "noun animal": (
        "dog/dogs bird/birds cat/cats horse/horses fox/foxes rabbit/rabbits bear/bears goat/goats "
        "donkey/donkeys wolf/wolves swan/swans hen/hens"
    ),
    "noun place": (
        "house/houses river/rivers garden/gardens bridge/bridges tower/towers mill/mills lake/lakes barn/barns "
        "church/churches market/markets tree/trees wall/walls"
    ),
    "intransitive person": (
        "sings/sing laughs/laugh sleeps/sleep dances/dance works/work waits/wait whistles/whistle smiles/smile "
        "argues/argue prays/pray"
    ),
    "intransitive animal": (
        "runs/run barks/bark hides/hide jumps/jump rests/rest swims/swim grazes/graze howls/howl drinks/drink "
        "trembles/tremble"
    ),
    "transitive": (
        "sees/see likes/like follows/follow hears/hear watches/watch finds/find helps/help fears/fear "
        "remembers/remember feeds/feed meets/meet leaves/leave"
    ),
    "clausal": "says/say thinks/think knows/know believes/believe hopes/hope doubts/doubt",
    "be": "is/are",
    "determiner": "the/the this/these every/some one/two my/many",
    "state person": "happy tired proud angry lonely brave",
    "state animal": "hungry wild asleep quick afraid tame",
    "adjective": "old young little tall quiet strange clever big poor gentle white friendly",
    "adverb": "often never always sometimes quietly gladly seldom soon",
    "preposition": "near behind beside beyond under by",
    "name": "anna peter clara tom maria jack ella paul",
    "opening": "today here tonight now perhaps meanwhile",
    "conjunction": "and but so",
    "subordinator": "when because while if although",
}


def rules(words: dict[str, str] = WORDS) -> Rules:
    """The rules; nonterminals are written in capitals, such as `NP.sg.person`."""
    made: dict[str, Sequence[tuple[float, tuple[str, ...]]]] = {}
    for part_of_speech, entries in words.items():
        forms = [entry.split("/") for entry in entries.split()]
        weighted = [(1 / rank, form) for rank, form in enumerate(forms, 1)]
        name = part_of_speech.upper().replace(" ", ".")
        if len(forms[0]) == 1:
            made[name] = [(weight, (form[0],)) for weight, form in weighted]
        else:
            for place, number in enumerate(NUMBERS):
                made[f"{name}.{number}"] = [(weight, (form[place],)) for weight, form in weighted]

    made["S"] = [(1, ("TEXT", "."))]
    made["TEXT"] = [
        (0.66, ("CLAUSE",)),
        (0.14, ("OPENING", "CLAUSE")),
        (0.10, ("CLAUSE", ",", "CONJUNCTION", "TEXT")),
        (0.10, ("SUBORDINATOR", "CLAUSE", ",", "CLAUSE")),
    ]
    shares = {("sg", "person"): 0.36, ("pl", "person"): 0.22, ("sg", "animal"): 0.24, ("pl", "animal"): 0.18}
    made["CLAUSE"] = [(p, (f"NP.{n}.{b}", f"VP.{n}.{b}")) for (n, b), p in shares.items()]
    made["OBJECT"] = [(p, (f"NP.{n}.{b}",)) for (n, b), p in shares.items()]
    made["GAPPED"] = [(p, (f"NP.{n}.{b}", f"TRANSITIVE.{n}")) for (n, b), p in shares.items()]
    made["PLACE"] = [(p, ("PREPOSITION", f"DETERMINER.{n}", f"NOUN.PLACE.{n}")) for n, p in (("sg", 0.6), ("pl", 0.4))]
    for being in BEINGS:
        made[f"BOTH.{being}"] = [(p, (f"NP.{n}.{b}",)) for (n, b), p in shares.items() if b == being]
        for number in NUMBERS:
            made |= _phrases(number, being)
    return made


def _phrases(number: str, being: str) -> Rules:
    """Noun and verb phrases of one number, of people or of animals."""
    kind = f"{number}.{being}"
    nouns = (f"DETERMINER.{number}", f"NOMINAL.{kind}")
    noun_phrase = [(0.74, nouns), (0.13, (*nouns, "PLACE")), (0.13, (*nouns, f"RELATIVE.{kind}"))]
    verb_phrase = [
        (0.28, (f"INTRANSITIVE.{being.upper()}.{number}",)),
        (0.08, ("ADVERB", f"INTRANSITIVE.{being.upper()}.{number}")),
        (0.09, (f"INTRANSITIVE.{being.upper()}.{number}", "PLACE")),
        (0.29, (f"TRANSITIVE.{number}", "OBJECT")),
        (0.06, ("ADVERB", f"TRANSITIVE.{number}", "OBJECT")),
        (0.12, (f"BE.{number}", f"STATE.{being.upper()}")),
    ]
    if being == "person":
        verb_phrase.append((0.08, (f"CLAUSAL.{number}", "that", "CLAUSE")))
        if number == "sg":
            noun_phrase.append((0.25, ("NAME",)))
    if number == "pl":
        noun_phrase.append((0.05, ("both", f"BOTH.{being}", "and", f"BOTH.{being}")))
    subject, obj = ("who", "whom") if being == "person" else ("which", "which")
    return {
        f"NP.{kind}": noun_phrase,
        f"NOMINAL.{kind}": [(0.75, (f"NOUN.{being.upper()}.{number}",)), (0.25, ("ADJECTIVE", f"NOMINAL.{kind}"))],
        f"VP.{kind}": verb_phrase,
        f"RELATIVE.{kind}": [(0.6, (subject, f"VP.{kind}")), (0.4, (obj, "GAPPED"))],
    }


GRAMMAR = Grammar(rules(), "S")


def sentences(seed: int, split: str) -> Iterator[str]:
    """Endless sentences of a split, drawn independently; short ones occur again, in other splits too.

    Args:
        seed: with `split`, decides every sentence.
        split: such as `"train"`.

    Example:
        >>> next(sentences(0, "train"))
        'today the soldiers pray under this bridge .'
    """
    return pcfg.sentences(GRAMMAR, random.Random(f"{seed} {split} sentences"))


def entropy() -> float:
    """Entropy of a sentence in nats, exact: the solution of the grammar's linear equations."""
    return GRAMMAR.entropy()


def mean_length() -> float:
    """Mean number of tokens of a sentence, its end (END) counted, exact."""
    return GRAMMAR.mean_tokens() + 1


def log_prob(sentence: str) -> float:
    """Exact log-probability of a sentence in nats; minus infinity for what is none.

    Example:
        >>> round(log_prob("the birds swim ."), 2), log_prob("the birds swims .")
        (-9.48, -inf)
    """
    return GRAMMAR.log_prob(sentence.split(" "))
