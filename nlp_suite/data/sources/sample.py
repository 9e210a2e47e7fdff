"""Built-in grammars (film reviews, sentences of known entropy, English with its German) or seasonal series; needs no data."""

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import Example
from nlp_suite.data.sources import seasonal_process, sentence_grammar, sentiment_grammar, translation_grammar
from nlp_suite.data.sources.base import Source
from nlp_suite.data.sources.sample_labels import BY_FORM
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES

LABELS = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}


class SampleSettings(ComponentSettings):
    """How many reviews, sentences or pairs, and how noisy the labels of reviews are."""

    name: str = "sample"
    size: int | None = Field(
        None, ge=1, description="training examples; default: 4,000 reviews, 40,000 sentences or pairs, 40 series"
    )
    test: int | None = Field(
        None, ge=1, description="test examples; default: 1,000 reviews, 5,000 sentences or 1,000 pairs"
    )
    classes: Literal[2, 3] = Field(2, description="of reviews: 3 adds neutral ones")
    noise: float = Field(
        0.0, ge=0, le=0.5, description="of reviews: probability that a label is replaced by another one"
    )
    seed: int = Field(0, ge=0, description="seed of the grammar's draws")


class SampleCorpus(ABC):
    """What one of the grammars makes.

    Args:
        settings: of the source.

    Attributes:
        fields: of its examples: it is the sample of the corpus kinds that have these.
        sizes: examples of train and of test, by default.
        versions: change one when the examples of a seed change; they are part of the fingerprint. (They are SHA-256 sums
            of the files that the grammar was first written in; any other text will do.)
    """

    fields: ClassVar[tuple[str, ...]]
    sizes: ClassVar[tuple[int, int]]
    versions: ClassVar[tuple[str, ...]]

    def __init__(self, settings: SampleSettings):
        self.settings = settings

    @abstractmethod
    def examples(self, split: str) -> Iterator[Example]:
        """Endless examples of a split."""

    @abstractmethod
    def optimum(self) -> dict[str, float]:
        """See `Source.optimum`."""


class SampleReviews(SampleCorpus):
    """Film reviews (see `sentiment_grammar`).

    Word order decides: half of the positive and negative reviews are drawn from pairs of opposite label and equal words, so
    no bag of single words can know more than the toss of a coin about them.
    """

    fields = ("text", "label")
    sizes = (4000, 1000)
    versions = ("fe45c7be07283ff7ddc90e3d5c91951a7fff0df372381744b475c015a64a468e",)

    def examples(self, split: str) -> Iterator[Example]:
        s, labels = self.settings, LABELS[self.settings.classes]
        noise = random.Random(f"{s.seed} {split} noise")
        for text, label in sentiment_grammar.reviews(s.seed, split, labels):
            wrong = noise.choice([other for other in labels if other != label])
            yield {"text": text, "label": wrong if noise.random() < s.noise else label}

    def optimum(self) -> dict[str, float]:
        """Accuracies.

        Returns:
            * `bayes_accuracy`: of the best model there can be: `1 - noise`;
            * `bag_accuracy`: of the best bag of single words there can be: without noise, 3/4 for two classes and 5/6 for
              three (exact: see the grammar's docstring).
        """
        s = self.settings
        # twins: two labels of equal prior, each kept with 1 - noise or reached from the other by the noise
        twins = sentiment_grammar.TWINS * 2 / s.classes
        stays, comes = 1.0 - s.noise, s.noise / (s.classes - 1)
        return {"bayes_accuracy": stays, "bag_accuracy": (1 - twins) * stays + twins * (stays + comes) / 2}


class SampleSentences(SampleCorpus):
    """Sentences of a probabilistic grammar (see `sentence_grammar`), each a document, tokens with a space between them.

    They are drawn independently, so that entropy is exact: short ones occur in train and in test.
    """

    fields = ("text",)
    sizes = (40_000, 5000)
    versions = (
        "f6dfb763faaca96a815526fad113de5e672b2c1a5ea483a31f1d61a53898a39b",
        "47bf93e51ad1b22f683210578e753362b828dc0b681da895bea961a41718a581",
    )

    def examples(self, split: str) -> Iterator[Example]:
        return ({"text": sentence} for sentence in sentence_grammar.sentences(self.settings.seed, split))

    def optimum(self) -> dict[str, float]:
        """Uncertainty of a token, the end of a sentence counted as a token.

        Returns:
            * `entropy`: nats per token, exact;
            * `perplexity`: `exp(entropy)`, which no model is below for long; for a given split see
              `SampleSource.best_perplexity`.
        """
        entropy = sentence_grammar.entropy() / sentence_grammar.mean_length()
        return {"entropy": entropy, "perplexity": math.exp(entropy)}


class SamplePairs(SampleCorpus):
    """English sentences and their German translations (see `translation_grammar`).

    Each has exactly one, a sentence occurs once, and never in both splits.
    """

    fields = ("source", "target")
    sizes = (40_000, 1000)
    versions = (
        "6987f837ed634d42dc479e7fd2188301ae46ad6dc81e2c3ac5dcaeec9163a887",
        "b169e4fd5a0b15ba28de5816c0b718959fd2b86b82a0b0f5e8c28247df00c85b",
        "6631109d3fc4402c01063ca429e0007b93bea5f124a0b51019891fdf8526717e",
    )

    def examples(self, split: str) -> Iterator[Example]:
        pairs = translation_grammar.pairs(self.settings.seed, split)
        return ({"source": english, "target": german} for english, german in pairs)

    def optimum(self) -> dict[str, float]:
        """`exact_match`: the share of translations that the best model there can be gets exactly right: all."""
        return {"exact_match": 1.0}


class SampleSeries(SampleCorpus):
    """Monthly series of a seasonal process (see `seasonal_process`); they are whole, and cut by time."""

    fields = ("series", "start", "frequency", "values")
    sizes = (40, 0)
    versions = (seasonal_process.VERSION,)

    def examples(self, split: str) -> Iterator[Example]:
        return seasonal_process.series(self.settings.seed)

    def optimum(self) -> dict[str, float]:
        """Errors of the best forecast one step ahead: `mae` and `rmse`, see `seasonal_process.best_errors` for others."""
        mae, rmse = seasonal_process.best_errors(1)
        return {"mae": mae, "rmse": rmse}


CORPORA = (SampleReviews, SampleSentences, SamplePairs, SampleSeries)


@SOURCES.register(SampleSettings)
class SampleSource(Source):
    """Examples of a seeded grammar, for which the best possible result is known.

    Which grammar follows from the fields that the corpus kind needs: see `SampleReviews`, `SampleSentences`,
    `SamplePairs` and `SampleSeries`.

    Args:
        **arguments: see `Source`; the settings are those of `SampleSettings`.

    Attributes:
        sizes: split → number of examples.
        optimum: see `optimum` of the corpora.

    Example:
        >>> source = SampleSource(size=4000, noise=0.1)
        >>> source.optimum["bayes_accuracy"]
        0.9
        >>> round(SampleSource(kind="text").optimum["perplexity"], 2)
        9.99
    """

    Settings = SampleSettings
    reads = "built-in grammars"
    field_sets = tuple(corpus.fields for corpus in CORPORA)
    settings: SampleSettings

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        s = self.settings
        self._corpus = next(corpus for corpus in CORPORA if set(corpus.fields) == set(self.kind.fields))(s)
        train, test = self._corpus.sizes
        self.sizes = {"train": s.size or train, **({"test": s.test or test} if test else {})}
        self._label = BY_FORM.get(self.kind.label_form)
        self.optimum = {} if self._label else self._corpus.optimum()

    @classmethod
    def gives(cls, kind: CorpusKind) -> bool:
        """The kinds that have exactly the fields of a grammar's examples."""
        return any(set(fields) == set(kind.fields) for fields in cls.field_sets)

    def splits(self) -> list[str]:
        return list(self.sizes)

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        examples, label = self._corpus.examples(split), self._label
        if label:
            examples = ({**example, "label": label(example["text"], example["label"])} for example in examples)
        return itertools.islice(examples, self.sizes[split])

    def best_perplexity(self, split: str) -> float:
        """Of sentences: perplexity per token of the grammar itself on those of a split, ends counted, exact.

        A split is a finite sample: this differs from `optimum["perplexity"]` by chance, and a model's figure is best held
        against this one.

        Raises:
            DataError: a split that it lacks, or other examples than sentences.
        """
        if "perplexity" not in self.optimum:
            raise DataError(f"the best perplexity is known of sentences only; this task needs {self.kind.wanted}")
        log_prob, tokens = 0.0, 0
        for example in self.examples(split):
            log_prob += sentence_grammar.log_prob(example["text"])
            tokens += len(example["text"].split(" ")) + 1
        return math.exp(-log_prob / tokens)

    def fingerprint(self) -> str:
        return self._hash(list(self._corpus.versions))
