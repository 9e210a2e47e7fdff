"""Output softmax of a language model over the whole vocabulary, its loss computed in chunks of tokens."""

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers import chunked_softmax
from nlp_suite.layers.inline import product


@keras.saving.register_keras_serializable(package="nlp_suite")
class FullSoftmax(keras.layers.Layer):
    """Features to a distribution over V words: softmax(x K^T + b).

    Tied (Press & Wolf 2017), K is the embedding table, passed at every call, and only the bias belongs to the layer;
    where features and embedding differ in width, so does a linear projection without bias between them.

    At most `chunk_elements` logits exist at a time in `loss` and `nll`, and the gradient is computed with them, see
    `nlp_suite.layers.chunked_softmax`. Matrix products have the compute dtype, the softmax is float32. Second
    derivatives are not defined. Calling the layer is `log_probs`.

    Args:
        vocabulary_size: int, the number V of words.
        tied: bool, whether K is passed as `table`.
        embedding_size: int, the width E of the table; used where `tied`.
        bias_is_trained: bool, whether the bias is one of the trainable weights.
        chunk_elements: int, maximum number of logits held at a time, of 4 bytes each, but all of a token at least.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ConfigError: tied without an embedding size.
        ValueError: a table that is missing, superfluous, or of another shape.

    Example:
        >>> softmax = FullSoftmax(10_000)
        >>> softmax.build((None, 200))
        >>> total, nll = softmax.loss(features, targets, weights)  # features [N, 200]
    """

    has_stock_form = True

    def __init__(
        self,
        vocabulary_size,
        tied=False,
        embedding_size=None,
        chunk_elements=chunked_softmax.CHUNK_ELEMENTS,
        bias_is_trained=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_tied(tied, embedding_size)
        self.vocabulary_size = vocabulary_size
        self.tied = tied
        self.embedding_size = embedding_size
        self.chunk_elements = chunk_elements
        self.bias_is_trained = bias_is_trained

    def build(self, features_shape) -> None:
        width = features_shape[-1]
        self.projection = None
        if not self.tied:
            self.kernel = self.add_weight(
                name="kernel", shape=(self.vocabulary_size, width), initializer=row_initializer(width)
            )
        elif width != self.embedding_size:
            self.projection = self.add_weight(name="projection", shape=(width, self.embedding_size))
        self.bias = self.add_weight(
            name="bias", shape=(self.vocabulary_size,), initializer="zeros", trainable=self.bias_is_trained
        )

    def loss(self, features, targets, weights, table=None, label_smoothing=0.0):
        """Weighted sum of the tokens' negative log-likelihoods.

        Args:
            features: [N, D].
            targets: int32 [N], ids of words.
            weights: float [N], the weight of a token's loss: 0 for padding, whatever its target.
            table: the embedding table [V, E] of a tied softmax.
            label_smoothing: share of the target's probability that is spread evenly over all words, from 0 to below 1.

        Returns:
            The sum, a float32 scalar differentiable in features, weights of the layer and table; and the negative
            log-likelihoods in nats, without smoothing, float32 [N], without gradient.
        """
        features, kernel = self._operands(features, table)
        return chunked_softmax.cross_entropy(
            features, kernel, self.bias, targets, weights, label_smoothing=label_smoothing, **self._settings
        )

    def nll(self, features, targets, table=None, best=False):
        """Negative log-likelihoods in nats, float32 [N], of features [N, D] and targets [N], without a gradient.

        With `best` a pair: these, and the most probable word at each token, int32 [N], for the accuracy.
        """
        features, kernel = self._operands(features, table)
        return chunked_softmax.negative_log_likelihood(
            features, kernel, self.bias, targets, best=best, **self._settings
        )

    def logits(self, features, table=None):
        """What the softmax is taken of: [..., D] -> float32 [..., V]."""
        features, kernel = self._operands(features, table)
        return chunked_softmax.logits(features, ops.cast(kernel, self.compute_dtype), self.bias)

    def log_probs(self, features, table=None):
        """Log-probabilities of all words: [..., D] -> float32 [..., V]."""
        return ops.log_softmax(self.logits(features, table))

    def call(self, features, table=None):
        return self.log_probs(features, table)

    @property
    def _settings(self):
        return {"chunk_rows": max(1, self.chunk_elements // self.vocabulary_size), "dtype": self.compute_dtype}

    def _operands(self, features, table):
        """Features in the compute dtype and the width of the kernel, and the kernel [V, D] or [V, E]."""
        if not self.built:
            self.build(features.shape)
        check_table(self, table)
        features = ops.cast(features, self.compute_dtype)
        if not self.tied:
            return features, self.kernel
        if self.projection is not None:
            features = product(features, self.projection)  # [..., E]
        return features, table

    def compute_output_shape(self, features_shape, table_shape=None):
        return (*features_shape[:-1], self.vocabulary_size)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "tied": self.tied,
            "embedding_size": self.embedding_size,
            "chunk_elements": self.chunk_elements,
            "bias_is_trained": self.bias_is_trained,
        }


def row_initializer(width):
    """For a kernel [V, width], a row for each word: variance 1 / width, so that logits start at the features' scale."""
    return keras.initializers.RandomNormal(stddev=width**-0.5)


def check_tied(tied, embedding_size) -> None:
    """Raises ConfigError where a tied layer does not know the width of its table."""
    if tied and not embedding_size:
        raise ConfigError(
            f"a tied softmax needs embedding_size, the width of the table, above 0: got {embedding_size!r}"
        )


def check_table(layer, table) -> None:
    """Raises ValueError where a layer's `table` does not fit its settings."""
    shape = (layer.vocabulary_size, layer.embedding_size)
    if not layer.tied and table is not None:
        raise ValueError(f"{layer.name} is not tied and takes no table: got one of shape {tuple(table.shape)}")
    if layer.tied and (table is None or tuple(table.shape) != shape):
        got = "None" if table is None else f"one of shape {tuple(table.shape)}"
        raise ValueError(f"{layer.name} is tied and needs a table of shape {shape}: got {got}")
