"""A seeded grammar of film reviews in which word order, not the choice of words, decides the label.

A review is one opinion sentence, often with a neutral sentence before or after it. The rules a reader would apply:

* a negator (`not`, `never`, `hardly`) turns its own clause round: "the plot was not dull" is positive;
* of two clauses in contrast (`but`, `yet`, `although`, `even though`), the one that concedes (before `but` or `yet`,
  after `although`) does not count: "the acting was dull but the plot was great" is positive;
* with `and`, both clauses agree;
* only with three classes: clauses of opposite polarity joined by `while` are neutral.

Two kinds of opinion are drawn as **twins**: a positive and a negative sentence of exactly the same words and marks,
one of which is then taken by the toss of a coin.

* contrast: "the plot was good but the acting was dull" / "the acting was dull but the plot was good", and with an
  ellipsis "the plot was not good but the acting was" / "the plot was good but the acting was not";
* scope: "the plot was not dull and the acting was great" / "the plot was dull and the acting was not great".

A model that sees only which words occur, and how often, gives twins the same answer, so on the share of twins
(`TWINS`) it is right half the time, whatever it has learnt. The remaining kinds have bags that occur with one label
only. Hence the best accuracy of any bag of single words is exactly `1 - TWINS / 2` on positive and negative reviews.

Training and test share no sentence: each opinion, without its opening and with its twin, and each neutral sentence
belongs to one side by a hash of its bag of words.
"""

import random
import re
import zlib
from collections.abc import Callable, Iterator

# name of a kind of opinion: its share among positive and negative reviews
SHARES = {"contrast": 0.30, "ellipsis": 0.10, "scope": 0.10, "agreement": 0.20, "single": 0.30}
TWINS = SHARES["contrast"] + SHARES["ellipsis"] + SHARES["scope"]
NEGATED = 0.3  # of clauses that may be negated
TEST_PART = 5  # one in so many sentences belongs to test


def _list(words: str) -> list[str]:
    return words.split()


SINGULAR = _list("plot story acting script dialogue ending music pacing humour cast")
PLURAL = _list("characters jokes effects costumes songs")
GOOD = _list("good great brilliant gripping clever funny fresh superb convincing beautiful memorable touching")
BAD = _list("bad dull dreadful wooden clumsy stale awful tedious predictable lifeless sloppy shallow")
GOOD_VERBS = _list("moved impressed charmed delighted")
BAD_VERBS = _list("bored annoyed disappointed irritated")
WHOM = _list("me us everyone")
NEGATORS = _list("not never hardly")
DEGREES = _list("really truly particularly especially")
ENDS = _list("overall throughout tonight")
OPENINGS = ["I thought that", "we felt that", "honestly ,", "for me ,", "in my view ,", "I must say that"]
CONTRASTS = [  # {k}: the clause that concedes, {d}: the clause that decides
    "{k} but {d}",
    "{k} , but {d}",
    "{k} , yet {d}",
    "although {k} , {d}",
    "even though {k} , {d}",
    "{d} although {k}",
    "{d} , even though {k}",
]
ELLIPSES = [CONTRASTS[0], CONTRASTS[1], CONTRASTS[2]]  # an ellipsis comes after what it repeats
NEUTRAL = (
    "I|we|my sister|a friend of mine|my neighbour|two of us",
    "saw|watched|rented|caught|streamed",
    "it|this film|this one|the picture",
    "on Monday|on a rainy Sunday|last night|last winter|in April|two years ago|after work",
    "at home|at the cinema|at a festival|on a plane|on a small screen|in a crowded room",
    "with my brother|with my parents|with the whole class|with two friends|by chance",
)


class Clause:
    """One statement about one subject, whose polarity is that of its words, turned round if negated."""

    def __init__(self, rng: random.Random, positive: bool, subject: str, negator: str | None, verbs: bool = True):
        self.subject = f"{rng.choice(('the', 'its'))} {subject}"
        self.be = "were" if subject in PLURAL else "was"
        self.negator = negator
        good = positive == (negator is None)
        if verbs and negator != "not" and rng.random() < 0.2:
            self.before, self.after = "", f"{rng.choice(GOOD_VERBS if good else BAD_VERBS)} {rng.choice(WHOM)}"
        else:
            degree = rng.choice(DEGREES) if rng.random() < 0.3 else ""
            self.before, self.after = self.be, f"{degree} {rng.choice(GOOD if good else BAD)}"
        if rng.random() < 0.25:
            self.after += f" {rng.choice(ENDS)}"

    def words(self, negator: str | None) -> str:
        """The clause with this negator, whatever its own."""
        return f"{self.subject} {self.before} {negator or ''} {self.after}"

    def __str__(self) -> str:
        return self.words(self.negator)


def _subjects(rng: random.Random) -> list[str]:
    return rng.sample(SINGULAR + PLURAL, 2)


def _negator(rng: random.Random) -> str | None:
    return rng.choice(NEGATORS) if rng.random() < NEGATED else None


def contrast(rng: random.Random) -> tuple[str, str]:
    """Twins: which of two opposite clauses decides."""
    one, other = _subjects(rng)
    good, bad = Clause(rng, True, one, _negator(rng)), Clause(rng, False, other, _negator(rng))
    form = rng.choice(CONTRASTS)
    return form.format(k=bad, d=good), form.format(k=good, d=bad)


def ellipsis(rng: random.Random) -> tuple[str, str]:
    """Twins: which of two clauses about the same quality has the negator."""
    one, other = _subjects(rng)
    praise, negator = rng.random() < 0.5, rng.choice(NEGATORS)
    first = Clause(rng, praise, one, None, verbs=False)
    second = f"the {other} {'were' if other in PLURAL else 'was'}"
    form = rng.choice(ELLIPSES)
    holds = form.format(k=first.words(negator), d=second)
    fails = form.format(k=first, d=f"{second} {negator}")
    return (holds, fails) if praise else (fails, holds)


def scope(rng: random.Random) -> tuple[str, str]:
    """Twins: which of two clauses with opposite words has the negator."""
    one, other = _subjects(rng)
    negator = rng.choice(NEGATORS)
    praise, blame = Clause(rng, True, one, None, negator != "not"), Clause(rng, False, other, None, negator != "not")
    first, second = (praise, blame) if rng.random() < 0.5 else (blame, praise)

    def join(negated: Clause) -> str:
        return " and ".join(clause.words(negator if clause is negated else None) for clause in (first, second))

    return join(negated=blame), join(negated=praise)


def agreement(rng: random.Random, positive: bool) -> str:
    """Two clauses that agree; both negated or none."""
    negators = [rng.choice(NEGATORS), rng.choice(NEGATORS)] if rng.random() < NEGATED else [None, None]
    return " and ".join(str(Clause(rng, positive, s, n)) for s, n in zip(_subjects(rng), negators, strict=True))


def single(rng: random.Random, positive: bool) -> str:
    """One clause."""
    return str(Clause(rng, positive, rng.choice(SINGULAR + PLURAL), _negator(rng)))


def undecided(rng: random.Random) -> str:
    """Two opposite clauses side by side: neutral."""
    one, other = _subjects(rng)
    clauses = [Clause(rng, True, one, _negator(rng)), Clause(rng, False, other, _negator(rng))]
    rng.shuffle(clauses)
    return f"{clauses[0]} while {clauses[1]}"


def opinion(rng: random.Random, kind: str, label: str) -> str:
    """The words of an opinion, single spaces between them."""
    if label == "neutral":
        text = undecided(rng)
    elif kind in ("contrast", "ellipsis", "scope"):
        twins = {"contrast": contrast, "ellipsis": ellipsis, "scope": scope}[kind](rng)
        text = twins[label == "negative"]
    else:
        text = {"agreement": agreement, "single": single}[kind](rng, label == "positive")
    return " ".join(text.split())


def bag(text: str) -> tuple[str, ...]:
    """Words and marks of a text in lower case, sorted: all that a bag of single words can see."""
    return tuple(sorted(re.findall(r"\w+|[^\w\s]", text.lower())))


def is_test(words: str) -> bool:
    """Whether a sentence belongs to test; twins have one bag, so they stand on one side."""
    return zlib.crc32(" ".join(bag(words)).encode()) % TEST_PART == 0


def _typeset(words: str) -> str:
    sentence = words.replace(" ,", ",") + "."
    return sentence[0].upper() + sentence[1:]


def reviews(seed: int, split: str, labels: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Endless `(text, label)` pairs of a split; labels are equally probable.

    Args:
        seed: with `split`, decides every review.
        split: `"train"` or `"test"`: no sentence occurs in both, whatever the seeds.
        labels: some of `"negative"`, `"neutral"`, `"positive"`.
    """
    rng = random.Random(f"{seed} {split}")
    test = split == "test"

    def drawn(draw: Callable[[], str]) -> str:
        while is_test(words := draw()) != test:
            pass
        return words

    def neutral() -> str:
        return " ".join(rng.choice(phrases.split("|")) for phrases in NEUTRAL)

    while True:
        label = rng.choice(labels)
        (kind,) = rng.choices(list(SHARES), list(SHARES.values()))
        words = drawn(lambda: opinion(rng, kind, label))  # noqa: B023 (called at once)
        if rng.random() < 0.4:
            words = f"{rng.choice(OPENINGS)} {words}"
        sentences = [_typeset(words)]
        place = rng.random()
        if place < 0.4:
            sentences.insert(0 if place < 0.2 else 1, _typeset(drawn(neutral)))
        yield " ".join(sentences), label
