"""Bag of words and hashed n-grams: averaged embeddings (Joulin et al. 2016, fastText), optionally a feed-forward net."""

from typing import Literal

import keras
from keras import ops
from pydantic import Field

from nlp_suite.backbones._base import Backbone, BackboneSettings
from nlp_suite.layers.ngrams import ngram_ids
from nlp_suite.registry import BACKBONES


class BagSettings(BackboneSettings):
    """Settings of the bag of n-grams."""

    embedding_size: int = Field(8, ge=1)
    ngrams: int = Field(2, ge=1, le=5, description="longest n-gram; 1 sees single words only")
    ngram_buckets: int = Field(2**18, ge=16, le=2**22, description="rows of the hashed table that longer n-grams share")
    average: Literal["mean", "sqrt"] = Field("mean", description="divide the sum by the count n, or by √n")
    hidden: list[int] = Field([], description="units of feed-forward layers above the average")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on the average and after every feed-forward layer")
    activation: str = "relu"


@BACKBONES.register(BagSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class BagBackbone(Backbone):
    """Average of word and n-gram embeddings, `[B, T]` → `[B, 1, D]`: word order counts within an n-gram only.

    Args:
        vocabulary_size: number of token ids V.
        ngrams: longest n-gram.
        ngram_buckets: rows of the table that all n-grams of two words and more share through a hash.
        average: `"mean"` divides the sum by the number of words and n-grams, `"sqrt"` by its root, so that a long text
            may be surer of itself.
        hidden: units of feed-forward layers above the average; D is the last, or the embedding size.
        dropout: rate on the average and after every feed-forward layer.
        activation: of the feed-forward layers.
        kwargs: those of `Backbone`.
    """

    # near 0: an n-gram that training never met must not add noise to a text that has it
    embeddings_initializer = keras.initializers.RandomUniform(-1e-3, 1e-3)

    def __init__(
        self,
        vocabulary_size,
        ngrams=2,
        ngram_buckets=2**18,
        average="mean",
        hidden=(),
        dropout=0.0,
        activation="relu",
        **kwargs,
    ):
        super().__init__(vocabulary_size, **kwargs)
        self.settings |= {
            "ngrams": ngrams,
            "ngram_buckets": ngram_buckets,
            "average": average,
            "hidden": list(hidden),
            "dropout": dropout,
            "activation": activation,
        }
        self.orders, self.ngram_buckets = range(2, ngrams + 1), ngram_buckets
        self.power = 1.0 if average == "mean" else 0.5
        self.table = None
        if ngrams > 1:
            self.table = self._table(ngram_buckets)
        self.dense = [keras.layers.Dense(n, activation=activation, dtype=self.dtype_policy) for n in hidden]
        self.drops = [keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in range(len(hidden) + 1)]
        self.output_size = hidden[-1] if hidden else self.embedding_size

    def build_encoder(self):
        size = self.embedding_size
        if self.table is not None:
            self.table.build((None, None))
        for layer in self.dense:
            layer.build((None, size))
            size = layer.units

    def _sum(self, vectors, ids):
        """Sum of the vectors `[B, T, E]` whose id is not 0, and how many those are: `[B, E]`, `[B, 1]`."""
        there = ops.cast(ops.expand_dims(ops.not_equal(ids, 0), -1), vectors.dtype)  # [B, T, 1]
        return ops.sum(vectors * there, axis=1), ops.sum(there, axis=1)

    def call(self, tokens):
        total, count = self._sum(self.embed(tokens), tokens)
        for order in self.orders:
            ids = ngram_ids(tokens, order, self.ngram_buckets)  # [B, T]
            more, number = self._sum(self.drop_features(self.drop_words(self.table(ids))), ids)
            total, count = total + more, count + number
        x = self.drops[0](total / count**self.power)  # [B, E]
        for layer, drop in zip(self.dense, self.drops[1:]):
            x = drop(layer(x))
        return ops.expand_dims(x, 1)  # [B, 1, D]

    def output_mask(self, tokens):
        return ops.not_equal(tokens[:, :1], 0)
