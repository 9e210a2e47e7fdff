"""What `nlp-suite init` has seen of data, and what a task chooses for them: plain data on both sides."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nlp_suite.config import DataSettings
from nlp_suite.data.corpus_stats import figures
from nlp_suite.text.language import language_of, script_of

SAMPLED_TEXTS = 3000  # of every field, at most
SAMPLED_CHARACTERS = 10_000  # of every one of them
UNSPACED = frozenset({"Han", "Kana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
"""Scripts that put no space between words."""
_TOKEN = re.compile(r"[\u3400-\u9fff]|\w+(?:['’]\w+)*|[^\w\s]")  # about what the tokenizer `word` takes for one
_TAG = re.compile(r"</?[A-Za-z][^>]*>")


class Choice(NamedTuple):
    """A value of a config, and why it stands there, for a comment; no comment where the reason is empty."""

    value: Any
    reason: str = ""


Recipe = Mapping[str, Mapping[str, Choice]]
"""Section of a config → key, or several parted by dots → choice."""


def shares(names: Iterable[str | None]) -> dict[str, float]:
    """Name → its share of all names but None, largest first."""
    counts = Counter(name for name in names if name)
    return {name: count / counts.total() for name, count in counts.most_common()}


def unspaced_share(scripts: Mapping[str, float]) -> float:
    """The part of some shares that is of scripts without spaces between words."""
    return sum(share for script, share in scripts.items() if script in UNSPACED)


@dataclass(frozen=True)
class TextsSeen:
    """The texts of one field of the training split; all but the counts are of a random sample.

    Attributes:
        count: texts.
        empty: of them those of nothing but white space.
        characters: of all of them together.
        lengths: `"characters"` and `"tokens"` of a text → its figures: `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
            a token is a word, a punctuation mark, or a Han character.
        scripts: script → share of the texts that are mostly in it, of those with letters, largest first.
        languages: language → its share of the texts whose language can be told, largest first.
        tokens: about how many tokens all texts have together.
        types: different tokens of the sample, in lower case.
        once: those of them that occur once.
        different: 2 where not all texts are equal, else 1; 0 where there are none.
        sampled_tokens: tokens of the sample.
        tags: share of the sampled texts that have HTML tags.
        capitals: share of the letters that are upper case.
        samples: a few texts.
    """

    count: int
    empty: int
    characters: int
    lengths: Mapping[str, Mapping[str, float]]
    scripts: Mapping[str, float]
    languages: Mapping[str, float]
    tokens: int
    types: int
    once: int
    sampled_tokens: int
    different: int
    tags: float
    capitals: float
    samples: tuple[str, ...] = ()

    @property
    def unspaced(self) -> float:
        """Share of the texts that are in scripts without spaces between words."""
        return unspaced_share(self.scripts)


@dataclass(frozen=True)
class Seen:
    """Data as a task's rules see them.

    Attributes:
        kind: name of the corpus kind that they were read as.
        rows: split → its rows; of running text its lines.
        texts: field → what the training texts in it are.
        labels: split → label → its rows; empty where there are no labels.
        repeated: training rows whose text came before.
        shared: split and an earlier one → rows of the first whose text stands in the other, too.
        conflicting: texts that have more than one label.
        remarks: sentences on what else was found.
        report: all that the kind's `inspect` counted.
    """

    kind: str
    rows: Mapping[str, int]
    texts: Mapping[str, TextsSeen]
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    repeated: int = 0
    shared: Mapping[tuple[str, str], int] = field(default_factory=dict)
    conflicting: int = 0
    remarks: tuple[str, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def train_rows(self) -> int:
        """Rows of the training split."""
        return self.rows["train"]

    @property
    def validation_rows(self) -> int:
        """Rows of the validation split, or those that are held out for it."""
        held_out: float = DataSettings.model_fields["validation"].default
        return self.rows.get("validation", round(held_out * self.train_rows))

    @property
    def train_labels(self) -> Mapping[str, int]:
        """Label → its training rows."""
        return self.labels.get("train", {})


class TextSampler:
    """Sees the texts of one field pass by and holds a bounded random sample of them (reservoir sampling)."""

    def __init__(self, seed: str = "texts") -> None:
        self._random = random.Random(seed)
        self._sample: list[tuple[str, int]] = []  # the beginning of a text, and its full length
        self.count = self.empty = self.characters = self.distinct = 0
        self._first: str | None = None

    def add(self, text: str) -> None:
        """Counts a text, and perhaps keeps it."""
        self.count += 1
        self.characters += len(text)
        self.empty += not text or text.isspace()
        if self.distinct < 2 and text != self._first:
            self._first, self.distinct = text, self.distinct + 1
        place = len(self._sample) if self.count <= SAMPLED_TEXTS else int(self._random.random() * self.count)
        if place < SAMPLED_TEXTS:
            entry = (text[:SAMPLED_CHARACTERS], len(text))
            self._sample[place : place + 1] = [entry]

    def seen(self) -> TextsSeen:
        """What is known of all texts that passed."""
        counts: Counter[str] = Counter()
        characters, tokens, upper, lower = [], [], 0, 0
        sample = self._random.sample(self._sample, len(self._sample))  # in another order, as files are often sorted
        for text, length in sample:
            found = _TOKEN.findall(text)
            counts.update(token.lower() for token in found)
            characters.append(length)
            tokens.append(round(len(found) * length / len(text)) if text else 0)
        texts = [text for text, _ in sample if text and not text.isspace()]
        for text in texts[:500]:
            upper, lower = upper + sum(map(str.isupper, text)), lower + sum(map(str.islower, text))
        return TextsSeen(
            count=self.count,
            empty=self.empty,
            characters=self.characters,
            lengths={"characters": figures(characters), "tokens": figures(tokens)},
            scripts=shares(script_of(text[:500]) for text in texts),
            languages=shares(language_of(text[:500]) for text in texts),
            tokens=round(self.characters * sum(tokens) / max(1, sum(characters))),
            types=len(counts),
            once=sum(count == 1 for count in counts.values()),
            sampled_tokens=counts.total(),
            different=self.distinct,
            tags=sum(bool(_TAG.search(text)) for text in texts) / max(1, len(texts)),
            capitals=upper / max(1, upper + lower),
            samples=tuple(texts[:5]),
        )


class Passing:
    """Examples as they are, counted, each of whose texts the samplers see; iterated once.

    Attributes:
        count: examples that passed.
    """

    def __init__(self, examples: Iterable[Mapping[str, Any]], samplers: Mapping[str, TextSampler]):
        self._examples, self._samplers = examples, samplers
        self.count = 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for example in self._examples:
            self.count += 1
            for name, sampler in self._samplers.items():
                sampler.add(example[name])
            yield example


def _label_counts(facts: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Label → rows of a split; None where labels are numbers, of which figures are reported."""
    labels = facts.get("labels")
    return labels if labels and all(isinstance(count, int) for count in labels.values()) else None


def seen_of(kind: str, report: Mapping[str, Any], rows: Mapping[str, int], samplers: Mapping[str, TextSampler]) -> Seen:
    """What the report of a corpus kind's `inspect` and the samplers of its training texts know together."""
    rows = {split: report["splits"][split].get("lines", count) for split, count in rows.items()}
    repeats = report.get("duplicates", {})
    repeats = repeats if "within" in repeats else repeats.get("pairs", {})
    shared = {(pair["split"], pair["also_in"]): pair["rows"] for pair in repeats.get("across", ())}
    return Seen(
        kind=kind,
        rows=rows,
        texts={field: sampler.seen() for field, sampler in samplers.items()},
        labels={split: counts for split, facts in report["splits"].items() if (counts := _label_counts(facts))},
        repeated=repeats.get("within", {}).get("train", 0),
        shared=shared,
        conflicting=report.get("duplicates", {}).get("conflicting", 0),
        report=report,
    )
