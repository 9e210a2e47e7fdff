"""Adaptive output softmax of a language model: frequent words first, rare words in clusters that few tokens pay for."""

from itertools import pairwise
from typing import Any

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers import chunked_softmax
from nlp_suite.layers.full_softmax import check_table, check_tied, row_initializer
from nlp_suite.layers.inline import product

# Where shapes are static, a tail cluster is computed in chunks of 1/8 of the tokens, as many as needed.
STATIC_CHUNKS = 8


@keras.saving.register_keras_serializable(package="nlp_suite")
class AdaptiveSoftmax(keras.layers.Layer):
    """Features to a distribution over V words whose ids are sorted by frequency, frequent first (Grave et al. 2017).

    With the cutoffs c_0 < c_1 < …, the head is a softmax over the words below c_0 and one entry for each tail cluster;
    cluster i holds the words from c_i up to c_{i+1} (V for the last): p(word) = p_head(cluster i) softmax(x P_i K_i^T +
    b_i). P_i reduces D features to D / factor^(i+1). `loss` and `nll` compute a cluster only for tokens whose target is
    in it.

    Tied, the rows of the embedding table, passed at every call, are the words' vectors in head and clusters, of full
    width; the vectors of the clusters' entries and all biases belong to the layer, and so does one projection of all
    features to the table's width, if they differ.

    At most `chunk_elements` logits exist at a time in `loss` and `nll`, and the gradient is computed with them, see
    `nlp_suite.layers.chunked_softmax`. Matrix products have the compute dtype, the softmax is float32. Second
    derivatives are not defined. Calling the layer is `log_probs`.

    Args:
        vocabulary_size: int, the number V of words.
        cutoffs: ascending ints from 1 to V - 1: where the tail clusters begin.
        factor: number above 0; each cluster has 1/factor of the features of the one before; used where not `tied`.
        tied: bool, whether the words' vectors are passed as `table`.
        embedding_size: int, the width E of the table; used where `tied`.
        chunk_elements: int, maximum number of logits held at a time, of 4 bytes each, but all of a token at least.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ConfigError: cutoffs that do not ascend or are out of range; tied without an embedding size.
        ValueError: a table that is missing, superfluous, or of another shape.

    Example:
        >>> softmax = AdaptiveSoftmax(33_278, cutoffs=[2_000, 10_000])
        >>> softmax.build((None, 200))
        >>> total, nll = softmax.loss(features, targets, weights)  # features [N, 200]
    """

    has_stock_form = True

    def __init__(
        self,
        vocabulary_size,
        cutoffs,
        factor=4,
        tied=False,
        embedding_size=None,
        chunk_elements=chunked_softmax.CHUNK_ELEMENTS,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_tied(tied, embedding_size)
        cutoffs = [int(cutoff) for cutoff in cutoffs]
        ends = [0, *cutoffs, vocabulary_size]
        if not cutoffs or any(low >= high for low, high in pairwise(ends)):
            raise ConfigError(
                f"cutoffs must ascend and lie from 1 to {vocabulary_size - 1} (vocabulary_size - 1): got {cutoffs}"
            )
        self.vocabulary_size = vocabulary_size
        self.cutoffs = cutoffs
        self.factor = factor
        self.tied = tied
        self.embedding_size = embedding_size
        self.chunk_elements = chunk_elements
        self.supports_jit = keras.backend.backend() != "tensorflow"  # XLA requires static shapes, see `_rows`
        self.clusters = list(zip(cutoffs, ends[2:], strict=True))  # first word, first word of the next

    def build(self, features_shape) -> None:
        width = features_shape[-1]
        self.projections: list[Any] = []
        self.kernels: list[Any] = []
        self.biases: list[Any] = []
        inner = self.embedding_size if self.tied else width
        if self.tied and width != inner:
            self.projections.append(self.add_weight(name="projection", shape=(width, inner)))
        rows = len(self.clusters) + (0 if self.tied else self.cutoffs[0])
        self._add_words("head", rows, inner, self.cutoffs[0] + len(self.clusters))
        for i, (low, high) in enumerate(self.clusters):
            if not self.tied:
                inner = max(1, int(width / self.factor ** (i + 1)))
                self.projections.append(self.add_weight(name=f"tail_{i}_projection", shape=(width, inner)))
            self._add_words(f"tail_{i}", 0 if self.tied else high - low, inner, high - low)

    def _add_words(self, name, rows, width, words):
        if rows:
            self.kernels.append(
                self.add_weight(name=f"{name}_kernel", shape=(rows, width), initializer=row_initializer(width))
            )
        self.biases.append(self.add_weight(name=f"{name}_bias", shape=(words,), initializer="zeros"))

    def loss(self, features, targets, weights, table=None, label_smoothing=0.0):
        """Weighted sum of the tokens' negative log-likelihoods.

        Args:
            features: [N, D].
            targets: int32 [N], ids of words.
            weights: float [N], the weight of a token's loss: 0 for padding, whatever its target.
            table: the embedding table [V, E] of a tied softmax.
            label_smoothing: 0; exists because `FullSoftmax` has it.

        Returns:
            The sum, a float32 scalar differentiable in features, weights of the layer and table; and the negative
            log-likelihoods in nats, float32 [N], without gradient.

        Raises:
            ConfigError: label smoothing, which would need the log-probabilities of all words in all clusters.
        """
        if label_smoothing:
            raise ConfigError(
                f"label_smoothing is {label_smoothing}: an adaptive softmax allows 0 only, as the mean over all words"
                " needs every cluster for every token; use a full softmax (no cutoffs)"
            )
        return self._sum(chunked_softmax.cross_entropy, features, targets, ops.cast(weights, "float32"), table)

    def nll(self, features, targets, table=None):
        """Negative log-likelihoods in nats, float32 [N], of features [N, D] and targets [N], without a gradient."""

        def compute(features, kernel, bias, targets, weights, **settings):
            return 0.0, chunked_softmax.negative_log_likelihood(features, kernel, bias, targets, **settings)

        return self._sum(compute, features, targets, ops.ones_like(targets, dtype="float32"), table)[1]

    def _sum(self, compute, features, targets, weights, table):
        """The sums of the results of `compute` for the head, over all tokens, and for each cluster, over its tokens."""
        features, (head, *tails) = self._operands(features, table)
        cluster = sum(ops.cast(targets >= low, "int32") for low in self.cutoffs)  # [N], 0 in the head, 1, 2, …
        # In the head a word stands for itself below the first cutoff, and for its cluster's entry from there on.
        head_targets = ops.where(cluster > 0, self.cutoffs[0] - 1 + cluster, targets)
        total, nll = compute(features, *head[1:], head_targets, weights, **self._settings(head))
        for (low, high), tail in zip(self.clusters, tails, strict=True):
            inside = ops.logical_and(targets >= low, targets < high)  # [N]
            rows, settings = self._rows(inside, self._settings(tail))  # [M]
            inside = ops.take(inside, rows)  # [M]; on JAX the rows of other clusters' tokens come along, of weight 0
            cluster_total, cluster_nll = compute(
                _project(ops.take(features, rows, axis=0), tail[0]),  # [M, D_i]
                *tail[1:],
                ops.where(inside, ops.take(targets, rows) - low, 0),
                ops.where(inside, ops.take(weights, rows), 0.0),
                **settings,
            )
            total = total + cluster_total
            cluster_nll = ops.where(inside, cluster_nll, 0.0)  # [M]
            nll = ops.scatter_update(nll, ops.expand_dims(rows, 1), cluster_nll, reduction="add")  # [N]
        return total, nll

    def _rows(self, inside, settings):
        """The tokens that a cluster computes, those of `inside` [N] among them, and its settings.

        JAX requires static shapes: there the rows are all tokens, sorted so that those inside come first, and chunks of
        one size are computed until all of those are done.
        """
        if keras.backend.backend() != "jax":
            return ops.nonzero(inside)[0], settings
        chunk_rows = max(1, min(settings["chunk_rows"], inside.shape[0] // STATIC_CHUNKS))
        count = ops.sum(ops.cast(inside, "int32"))
        return ops.argsort(ops.logical_not(inside)), {**settings, "chunk_rows": chunk_rows, "count": count}

    def logits(self, features, table=None):
        """Numbers whose softmax is the distribution: [..., D] -> float32 [..., V].

        Of a frequent word it is the head's logit; of another its cluster's, and its log-probability in that cluster.
        """
        features, operands = self._operands(features, table)
        head, *tails = self._logits_by_cluster(features, operands)
        return self._joined(head, tails)

    def log_probs(self, features, table=None):
        """Log-probabilities of all words: [..., D] -> float32 [..., V]."""
        features, operands = self._operands(features, table)
        head, *tails = self._logits_by_cluster(features, operands)
        return self._joined(ops.log_softmax(head), tails)

    def _logits_by_cluster(self, features, operands):
        """Logits of the head and of every cluster."""
        return (
            chunked_softmax.logits(_project(features, projection), ops.cast(kernel, self.compute_dtype), bias)
            for projection, kernel, bias in operands
        )

    def _joined(self, head, tails):
        """The head's numbers of the frequent words; of the others the cluster's, plus log p(word in its cluster)."""
        first = self.cutoffs[0]
        tails = [ops.log_softmax(tail) + head[..., first + i : first + i + 1] for i, tail in enumerate(tails)]
        return ops.concatenate([head[..., :first], *tails], axis=-1)

    def call(self, features, table=None):
        return self.log_probs(features, table)

    def _settings(self, operands):
        words = operands[2].shape[0]  # of the bias
        return {"chunk_rows": max(1, self.chunk_elements // words), "dtype": self.compute_dtype}

    def _operands(self, features, table):
        """Features in the compute dtype, and projection (or None), kernel and bias of the head and of each cluster."""
        if not self.built:
            self.build(features.shape)
        check_table(self, table)
        features = ops.cast(features, self.compute_dtype)
        if not self.tied:
            return features, list(zip([None, *self.projections], self.kernels, self.biases, strict=True))
        if self.projections:
            features = _project(features, self.projections[0])  # [..., E]
        # One split: the gradient of a slice is a table of zeros around it, one for every slice.
        first, *words = ops.split(ops.convert_to_tensor(table), self.cutoffs, axis=0)
        kernels = [ops.concatenate([first, ops.cast(self.kernels[0], first.dtype)], axis=0), *words]
        return features, list(zip([None] * len(kernels), kernels, self.biases, strict=True))

    def compute_output_shape(self, features_shape, table_shape=None):
        return (*features_shape[:-1], self.vocabulary_size)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "cutoffs": self.cutoffs,
            "factor": self.factor,
            "tied": self.tied,
            "embedding_size": self.embedding_size,
            "chunk_elements": self.chunk_elements,
        }


def _project(features, projection):
    if projection is None:
        return features
    return product(features, projection)
