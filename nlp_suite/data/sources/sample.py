"""Built-in grammars: film reviews, sentences of known entropy, or English with its German translation; needs no data."""

import hashlib
import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.sources import (
    pcfg,
    sentence_grammar,
    translation_clause,
    translation_grammar,
    translation_words,
)
from nlp_suite.data.sources import sentiment_grammar as grammar
from nlp_suite.data.sources.base import Source
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES

SIZES = {
    "labelled": (4000, 1000),
    "text": (40_000, 5000),
    "pairs": (40_000, 1000),
}  # kind → examples of train and of test
MODULES = {  # what decides the examples
    "labelled": [grammar],
    "text": [pcfg, sentence_grammar],
    "pairs": [translation_words, translation_clause, translation_grammar],
}
LABELS = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}


class SampleSettings(ComponentSettings):
    """How many reviews, sentences or pairs, and how noisy the labels of reviews are."""

    name: str = "sample"
    size: int | None = Field(
        None, ge=1, description="training examples; default: 4,000 reviews, 40,000 sentences or pairs"
    )
    test: int | None = Field(
        None, ge=1, description="test examples; default: 1,000 reviews, 5,000 sentences or 1,000 pairs"
    )
    classes: Literal[2, 3] = Field(2, description="of reviews: 3 adds neutral ones")
    noise: float = Field(
        0.0, ge=0, le=0.5, description="of reviews: probability that a label is replaced by another one"
    )
    seed: int = Field(0, ge=0, description="seed of the grammar's draws")


@SOURCES.register(SampleSettings)
class SampleSource(Source):
    """Examples of a seeded grammar, for which the best possible result is known.

    `kind="labelled"`: film reviews (see `sentiment_grammar`). Word order decides: half of the positive and negative
    reviews are drawn from pairs of opposite label and equal words, so no bag of single words can know more than the
    toss of a coin about them.

    `kind="text"`: sentences of a probabilistic grammar (see `sentence_grammar`), each a document, tokens with a space
    between them. They are drawn independently, so that entropy is exact: short ones occur in train and in test.

    `kind="pairs"`: English sentences and their German translations (see `translation_grammar`). Each has exactly one, a
    sentence occurs once, and never in both splits.

    Args:
        on_error: takes no effect: the text is valid.
        kind: `"labelled"`, `"text"` or `"pairs"`.
        **settings: the fields of `SampleSettings`.

    Attributes:
        sizes: split → number of examples.
        entropy: of text: nats per token, the end of a sentence counted as a token, exact.
        perplexity: of text: `exp(entropy)`, which no model is below for long; for a given split see `best_perplexity`.
        exact_match: of pairs: the share of translations that the best model there can be gets exactly right: 1.
        bayes_accuracy: of reviews: accuracy of the best model there can be: `1 - noise`.
        bag_accuracy: of reviews: accuracy of the best bag of single words there can be: without noise, 3/4 for two classes
            and 5/6 for three (exact: see the grammar's docstring).

    Example:
        >>> source = SampleSource(size=4000, noise=0.1)
        >>> source.bayes_accuracy
        0.9
        >>> round(SampleSource(kind="text").perplexity, 2)
        9.99
    """

    Settings = SampleSettings

    def __init__(self, *, on_error: str = "fail", kind: str = "labelled", **settings):
        super().__init__(on_error=on_error, kind=kind, **settings)
        s = self.settings
        train, test = SIZES[kind]
        self.sizes = {"train": s.size or train, "test": s.test or test}
        if kind == "text":
            self.entropy = sentence_grammar.entropy() / sentence_grammar.mean_length()
            self.perplexity = math.exp(self.entropy)
            return
        if kind == "pairs":
            self.exact_match = 1.0
            return
        self.labels = LABELS[s.classes]
        self.bayes_accuracy = 1.0 - s.noise
        # twins: two labels of equal prior, each kept with 1 - noise or reached from the other by the noise
        twins = grammar.TWINS * 2 / s.classes
        kept, reached = 1.0 - s.noise, s.noise / (s.classes - 1)
        self.bag_accuracy = (1 - twins) * self.bayes_accuracy + twins * (kept + reached) / 2

    def splits(self) -> list[str]:
        return ["train", "test"]

    def examples(self, split: str) -> Iterator[dict[str, str]]:
        self._check_split(split)
        s, count = self.settings, self.sizes[split]
        if self.kind == "text":
            for sentence in itertools.islice(sentence_grammar.sentences(s.seed, split), count):
                yield {"text": sentence}
            return
        if self.kind == "pairs":
            for english, german in itertools.islice(translation_grammar.pairs(s.seed, split), count):
                yield {"source": english, "target": german}
            return
        noise = random.Random(f"{s.seed} {split} noise")
        for text, label in itertools.islice(grammar.reviews(s.seed, split, self.labels), count):
            wrong = noise.choice([other for other in self.labels if other != label])
            yield {"text": text, "label": wrong if noise.random() < s.noise else label}

    def best_perplexity(self, split: str) -> float:
        """Of text: perplexity per token of the grammar itself on the sentences of a split, ends counted, exact.

        A split is a finite sample: this differs from `perplexity` by chance, and a model's figure is best held
        against this one.

        Raises:
            DataError: a split that there is not, or reviews.
        """
        if self.kind != "text":
            raise DataError(f"the best perplexity is known of kind 'text' only; this source is of kind {self.kind!r}")
        log_prob = tokens = 0
        for example in self.examples(split):
            log_prob += sentence_grammar.log_prob(example["text"])
            tokens += len(example["text"].split(" ")) + 1
        return math.exp(-log_prob / tokens)

    def fingerprint(self) -> str:
        return self._hash([hashlib.sha256(Path(m.__file__).read_bytes()).hexdigest() for m in MODULES[self.kind]])
