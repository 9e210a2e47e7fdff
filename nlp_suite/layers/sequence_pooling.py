"""From a sequence of features to one vector: first, last, mean, max or attention pooling, or several of them concatenated."""

import keras
from keras import ops

from nlp_suite.errors import ConfigError

POOLINGS = ("first", "last", "mean", "max", "attention")


@keras.saving.register_keras_serializable("nlp_suite")
class SequencePooling(keras.layers.Layer):
    """Pools `[B, T, D]` over the tokens, without padding.

    Args:
        kinds: any of `"first"` (features of the first token), `"last"` (features of the last token; with `bidirectional`, the backward half is taken at the
            first token, where that direction ends), `"mean"`, `"max"`, `"attention"` (softmax of one learned score
            per token; Lin et al. 2017 with one hop); several are concatenated.
        bidirectional: whether the second half of D runs backwards.

    Call arguments: `x` `[B, T, D]`, `mask` bool `[B, T]`, true at one token of a row at least. Returns
    `[B, D · len(kinds)]`; padding never changes it.

    Raises:
        ConfigError: no kind, or an unknown one.
    """

    def __init__(self, kinds=("mean",), bidirectional=False, **kwargs):
        super().__init__(**kwargs)
        self.kinds, self.bidirectional = list(kinds), bidirectional
        self.supports_masking = True
        if not self.kinds or not set(self.kinds) <= set(POOLINGS):
            raise ConfigError(f"pooling {self.kinds}: give one or more of {', '.join(POOLINGS)}")
        self.score = (
            keras.layers.Dense(1, use_bias=False, dtype=self.dtype_policy) if "attention" in self.kinds else None
        )

    def build(self, input_shape) -> None:
        if self.score is not None:
            self.score.build(input_shape)

    def call(self, x, mask):
        pool = {
            "first": lambda x, mask: x[:, 0],
            "last": self._last,
            "mean": self._mean,
            "max": self._max,
            "attention": self._attention,
        }
        pooled = [pool[kind](x, mask) for kind in self.kinds]
        return pooled[0] if len(pooled) == 1 else ops.concatenate(pooled, axis=-1)

    def _mean(self, x, mask):
        weights = ops.cast(ops.expand_dims(mask, -1), x.dtype)  # [B, T, 1]
        total = ops.sum(ops.cast(x * weights, "float32"), axis=1)
        return ops.cast(total / ops.sum(ops.cast(weights, "float32"), axis=1), x.dtype)

    def _max(self, x, mask):
        return ops.max(ops.where(ops.expand_dims(mask, -1), x, -6e4), axis=1)  # near the lowest float16

    def _last(self, x, mask):
        count = ops.cumsum(ops.cast(mask, "int32"), axis=1)  # [B, T] tokens up to here
        is_last = ops.logical_and(mask, ops.equal(count, ops.max(count, axis=1, keepdims=True)))
        last = ops.sum(x * ops.cast(ops.expand_dims(is_last, -1), x.dtype), axis=1)  # [B, D]
        if not self.bidirectional:
            return last
        is_first = ops.logical_and(mask, ops.equal(count, 1))
        first = ops.sum(x * ops.cast(ops.expand_dims(is_first, -1), x.dtype), axis=1)  # [B, D]
        half = x.shape[-1] // 2
        return ops.concatenate([last[:, :half], first[:, half:]], axis=-1)

    def _attention(self, x, mask):
        scores = ops.where(ops.expand_dims(mask, -1), ops.cast(self.score(x), "float32"), -1e9)  # [B, T, 1]
        return ops.sum(x * ops.cast(ops.softmax(scores, axis=1), x.dtype), axis=1)

    def compute_mask(self, *args, **kwargs) -> None:
        return None  # no time axis is left

    def compute_output_spec(self, x, mask=None):
        return keras.KerasTensor((x.shape[0], x.shape[-1] * len(self.kinds)), dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "kinds": self.kinds, "bidirectional": self.bidirectional}
