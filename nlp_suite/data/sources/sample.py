"""Film reviews from a built-in grammar where word order decides the label; needs no data and no network."""

import hashlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.sources import _sentiment_grammar as grammar
from nlp_suite.data.sources._base import Source
from nlp_suite.registry import SOURCES

LABELS = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}


class SampleSettings(ComponentSettings):
    """How many reviews, and how noisy their labels are."""

    name: str = "sample"
    size: int = Field(4000, ge=1, description="training examples")
    test: int = Field(1000, ge=1, description="test examples")
    classes: Literal[2, 3] = Field(2, description="3 adds neutral reviews")
    noise: float = Field(0.0, ge=0, le=0.5, description="probability that a label is replaced by another one")
    seed: int = Field(0, ge=0)


@SOURCES.register(SampleSettings)
class SampleSource(Source):
    """Reviews of a seeded grammar (see `_sentiment_grammar`), whose best possible accuracy is known.

    Word order decides: half of the positive and negative reviews are drawn from pairs of opposite
    label and equal words, so no bag of single words can know more than the toss of a coin about them.

    Attributes:
        bayes_accuracy: accuracy of the best model there can be: `1 - noise`.
        bag_accuracy: accuracy of the best bag of single words there can be: without noise, 3/4 for two classes
            and 5/6 for three (exact: see the grammar's docstring).

    Example:
        >>> source = SampleSource(size=4000, noise=0.1)
        >>> source.bayes_accuracy
        0.9
    """

    Settings = SampleSettings

    def __init__(self, *, on_error: str = "fail", **settings):
        super().__init__(on_error=on_error, **settings)
        s = self.settings
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
        s = self.settings
        count = s.size if split == "train" else s.test
        noise = random.Random(f"{s.seed} {split} noise")
        for text, label in itertools.islice(grammar.reviews(s.seed, split, self.labels), count):
            wrong = noise.choice([other for other in self.labels if other != label])
            yield {"text": text, "label": wrong if noise.random() < s.noise else label}

    def fingerprint(self) -> str:
        return self._hash(hashlib.sha256(Path(grammar.__file__).read_bytes()).hexdigest())
