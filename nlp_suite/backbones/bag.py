"""Bag of words and hashed n-grams: averaged embeddings (Joulin et al. 2016, fastText), optionally a feed-forward net."""

from typing import ClassVar

import keras
import numpy as np
from keras import ops

from nlp_suite.backbones.base import Backbone
from nlp_suite.layers.inline import apply
from nlp_suite.layers.ngrams import ngram_ids
from nlp_suite.layers.type_dropout import TypeDropout
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import BagSettings


@BACKBONES.register(BagSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class BagBackbone(Backbone):
    """Average of word and n-gram embeddings, `[B, T]` → `[B, 1, D]`: word order counts within an n-gram only.

    The n-grams are hashed from token ids, so they belong to the embedding: `embed` puts their vectors behind those of the
    words, and `encode` averages whatever it is given.

    Args:
        vocabulary_size: number of token ids V, or None, see `Backbone`: then there are no n-grams either.
        ngrams: longest n-gram.
        ngram_buckets: rows of the table that all n-grams of two words and more share through a hash.
        average: `"mean"` divides the sum by the number of words and n-grams, `"sqrt"` by its root, so that a long text
            may be surer of itself, and `"l2"` by the root of the summed squares of the weights that `naive_bayes` or
            `idf` gives (without them the same as `"sqrt"`), so that every text has length 1, as with TF-IDF.
        naive_bayes: multiply every vector by a fixed weight, the n-gram's log-count ratio between the classes of the
            training split (Wang & Manning 2012), so that what tells nothing stays quiet; see `learn_prior`.
        idf: multiply every vector by a fixed weight, the rarity of the n-gram among the texts of the training split, which
            speaks for no class; see `learn_prior`. Not together with `naive_bayes`.
        hidden: units of feed-forward layers above the average; D is the last, or the embedding size.
        dropout: rate on the average and after every feed-forward layer.
        activation: of the feed-forward layers.
        kwargs: those of `Backbone`.
    """

    returns_sequence = False
    # near 0: an n-gram that training never met must not add noise to a text that has it
    embeddings_initializer: ClassVar = {"class_name": "RandomUniform", "config": {"minval": -1e-3, "maxval": 1e-3}}

    def __init__(
        self,
        vocabulary_size,
        ngrams=2,
        ngram_buckets=2**18,
        average="mean",
        naive_bayes=False,
        idf=False,
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
            "naive_bayes": naive_bayes,
            "idf": idf,
            "hidden": list(hidden),
            "dropout": dropout,
            "activation": activation,
        }
        self._need_tokens(naive_bayes=naive_bayes, idf=idf)
        self.orders, self.ngram_buckets = range(2, ngrams + 1), ngram_buckets
        self.power = 1.0 if average == "mean" else 0.5
        self.scales_weights = average == "l2"
        self.table = None
        if ngrams > 1 and self.embedding is not None:
            self.table = self._table(ngram_buckets)
            self.drop_ngrams = TypeDropout(self.settings["type_dropout"], ngram_buckets, dtype=self.dtype_policy)
        self.priors = []  # of words and of n-grams: one number a row
        if naive_bayes or idf:
            for table in (self.embedding, self.table):
                if table is not None:
                    rows = table.input_dim
                    self.priors.append(
                        keras.layers.Embedding(rows, 1, "ones", trainable=False, dtype=self.dtype_policy)
                    )
        self.dense = [keras.layers.Dense(n, activation=activation, dtype=self.dtype_policy) for n in hidden]
        self.drops = [keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in range(len(hidden) + 1)]

    @property
    def output_size(self):
        return self.dense[-1].units if self.dense else self.embedding_size

    def build_encoder(self) -> None:
        size = self.embedding_size
        for table in (self.table, *self.priors):
            if table is not None:
                table.build((None, None))
        for layer in self.dense:
            layer.build((None, size))
            size = layer.units

    def stack(self):
        tables = [table for table in (self.embedding, self.table) if table is not None]
        return [tables, *([layer] for layer in self.dense)]

    def ids(self, tokens):
        """Rows of the word table and of the n-gram table that a text uses, int32 `[B, T]` each; 0 is none."""
        return [tokens, *(ngram_ids(tokens, order, self.ngram_buckets) for order in self.orders)]

    def learn_prior(self, batches, classes: int) -> None:
        """Sets the fixed weights from counts of the texts that contain an n-gram.

        With `naive_bayes` the largest |log-count ratio| of a class against the others, of counts plus one. Of a text with any
        number of labels, each of them is a class against the texts that lack it. With `idf` ln((1 + N) / (1 + n)) + 1 for an n-gram
        in n of N texts, and 0 for one in none.

        Args:
            batches: iterable of token ids `[B, T]`, and label ids `[B]` or 0 and 1 for every label `[B, C]`, NumPy.
            classes: number of classes C.
        """
        idf, texts = self.settings["idf"], 0
        classes = 1 if idf else classes  # of all texts
        sizes = [prior.input_dim for prior in self.priors]
        counts = [np.zeros((classes, size)) for size in sizes]  # [C, rows]
        others = [np.zeros((classes, size)) for size in sizes]  # of texts that lack a label, where they have several
        for tokens, labels in batches:
            texts += len(tokens)
            labels = np.zeros(len(tokens)) if idf else labels
            words, *ngrams = (ops.convert_to_numpy(ids) for ids in self.ids(ops.convert_to_tensor(tokens)))
            for count, other, ids in zip(counts, others, (words, np.concatenate(ngrams, axis=1) if ngrams else None)):
                for label in range(classes):
                    has = labels == label if labels.ndim == 1 else labels[:, label] > 0
                    _count(count[label], ids[has])
                    if labels.ndim > 1:
                        _count(other[label], ids[~has])
        for prior, count, other in zip(self.priors, counts, others):
            count[:, 0] = other[:, 0] = 0.0  # padding
            weights = _rarity(count[0], texts) if idf else _log_count_ratio(count + 1, other)
            prior.embeddings.assign(weights[:, None].astype("float32"))

    def _weights(self, ids):
        """The fixed weights `[B, T, 1]` of all words and n-grams; none where there are no counts.

        With `"l2"` those of a text are scaled to a mean square of 1: divided by the root of their number, as with `"sqrt"`,
        the sum is then divided by the root of the sum of their squares.
        """
        weights = [self.priors[min(order, 1)](rows) for order, rows in enumerate(ids) if self.priors]
        if not weights or not self.scales_weights:
            return weights
        masks = [ops.cast(ops.not_equal(rows, 0), "float32") for rows in ids]  # [B, T]
        squares = [ops.square(ops.cast(w[..., 0], "float32")) * mask for w, mask in zip(weights, masks)]  # [B, T]
        count, total = (sum(ops.sum(part, axis=1) for part in parts) for parts in (masks, squares))  # [B]
        scale = ops.sqrt(count / ops.maximum(total, 1e-6))[:, None, None]
        return [w * ops.cast(scale, w.dtype) for w in weights]

    def _lookups(self, tokens):
        """Vectors `[B, T, E]` and mask `[B, T]` of the words, then of the n-grams of every length."""
        rows = self.ids(self._with_word_dropout(tokens))
        weights = self._weights(rows)
        for order, ids in enumerate(rows):
            table, drop = (self.table, self.drop_ngrams) if order else (self.embedding, self.drop_types)
            vectors = apply(drop, table(ids), ids)  # [B, T, E]
            yield vectors * weights[order] if weights else vectors, ops.not_equal(ids, 0)

    def embed(self, tokens):
        """Vectors `[B, T · ngrams, E]` of the words, then of the n-grams of every length; see `Backbone.embed`."""
        return ops.concatenate([vectors for vectors, _ in self._lookups(tokens)], axis=1)

    def embedding_mask(self, tokens):
        return ops.concatenate([ops.not_equal(ids, 0) for ids in self.ids(tokens)], axis=1)

    def call(self, tokens, state=None, training=None):
        # as `encode` of `embed`, but holding the vectors of one length at a time
        inputs = (self.encoder_input(vectors, mask, state, training) for vectors, mask in self._lookups(tokens))
        return self._average(inputs, training)

    def encode(self, x, mask, *, state=None, training=False):
        return self._average([self.encoder_input(x, mask, state, training)], training), None

    def _average(self, inputs, training):
        """The average `[B, 1, D]` of all pairs of vectors `[B, T, E]` and mask `[B, T]`, and the layers above it."""
        total = count = 0.0
        for vectors, mask in inputs:
            is_token = ops.cast(ops.expand_dims(mask, -1), "float32")  # [B, T, 1]
            total = total + ops.sum(ops.cast(vectors, "float32") * is_token, axis=1)
            count = count + ops.sum(is_token, axis=1)
        x = ops.cast(total / count**self.power, self.compute_dtype)  # [B, E]
        x = self.drops[0](x, training=training)
        for layer, drop in zip(self.dense, self.drops[1:]):
            x = drop(layer(x), training=training)
        return ops.expand_dims(x, 1)  # [B, 1, D]

    def output_mask(self, mask):
        return mask[:, :1]


def _count(counts, ids) -> None:
    """Adds to the counts `[rows]` in how many of some texts `[B, T]` every row occurs."""
    present = [np.unique(row) for row in ids]
    if present:
        rows, times = np.unique(np.concatenate(present), return_counts=True)
        counts[rows] += times


def _rarity(counts, texts: int):
    """Smoothed inverse document frequency `[rows]` of rows that occur in so many of all texts; 0 where in none."""
    return np.where(counts > 0, np.log((1 + texts) / (1 + counts)) + 1, 0)


def _log_count_ratio(count, other):
    """Largest |log-count ratio| `[rows]` over the classes, of counts `[C, rows]` in a class, and beside it where that is known."""
    rest = 1 + other if other.any() else count.sum(axis=0) - count
    ratio = np.log(count / count.sum(axis=1, keepdims=True)) - np.log(rest / rest.sum(axis=1, keepdims=True))
    return np.abs(ratio).max(axis=0)
