"""Scaled dot-product attention of many heads as two batched matrix products, with a written-out gradient.

Queries, keys and values stand head by head, `[B, H, T, d]`: so they are the operands of a batched matrix product as they
lie in memory, and a cache of keys and values is never transposed.
"""

import keras
from keras import ops

from nlp_suite.layers.custom_gradient import custom_gradient
from nlp_suite.layers.dropout import keep_mask


def attention_bias(visible, dtype="float32"):
    """What is added to scores: 0 where bool `visible` is true, else so much below that the weight is 0; float32.

    Args:
        visible: bool, any shape that broadcasts with scores `[B, H, T, S]`.
        dtype: the compute dtype.
    """
    return ops.where(visible, 0.0, -6e4 if dtype == "float16" else -1e9)


def dot_product_attention(query, key, value, bias, drop=None, training=None):
    """softmax(q Kᵀ / √d + bias) V (Vaswani et al. 2017, equation 1); the softmax is float32.

    In training the gradient is written out: of what has the size of the scores it keeps the weights alone.

    Args:
        query: `[B, H, T, d]`.
        key: `[B, H, S, d]`.
        value: `[B, H, S, d]`.
        bias: float, broadcasts with `[B, H, T, S]`, without gradient; see `attention_bias`. None: everything is seen.
        drop: a `keras.layers.Dropout` of the weights, or None.
        training: whether a gradient will be taken; without, the gradient is automatic, and right as well.

    Returns:
        `[B, H, T, d]`, and the weights before dropout, float32 `[B, H, T, S]`, which have no gradient in training.

    Example:
        >>> mixed, weights = dot_product_attention(q, k, v, attention_bias(mask[:, None, None, :]))
    """
    scale = query.shape[-1] ** -0.5

    def normalised(scores):
        scores = ops.cast(scores, "float32")
        return ops.softmax(scores if bias is None else scores + ops.cast(bias, "float32"), axis=-1)

    def weigh(query, key):
        return normalised(ops.matmul(query * scale, _turned(key)))  # [B, H, T, S]

    if not training or isinstance(query, keras.KerasTensor):
        # Scaled behind the product: before it, TensorFlow's graph optimiser makes of product, bias and a key that is the
        # same in all steps of a loop something that never runs, and the loop's results are empty.
        weights = normalised(ops.matmul(query, _turned(key)) * scale)
        kept = ops.cast(weights, query.dtype)
        return ops.matmul(kept if drop is None else drop(kept), value), weights

    keep = None  # [B, H, T, S], 0 where a weight is dropped
    if drop is not None and drop.rate:
        keep = keep_mask(drop, (*ops.shape(query)[:3], ops.shape(key)[2]), query.dtype)

    def function(query, key, value):
        weights = weigh(query, key)
        kept = ops.cast(weights, query.dtype)
        if keep is not None:
            kept = kept * keep
        mixed = ops.matmul(kept, value)

        def gradient(upstream):
            up = upstream[0]  # [B, H, T, d]
            change = ops.matmul(up, _turned(value))  # [B, H, T, S]
            if keep is not None:
                change = change * keep
            # Σ_s weight · change, where a weight's share of the output is known already
            total = ops.sum(
                ops.cast(up, "float32") * ops.cast(mixed, "float32"), axis=-1, keepdims=True
            )  # [B, H, T, 1]
            change = ops.cast(weights * (ops.cast(change, "float32") - total), query.dtype)  # of the scores
            return (
                ops.matmul(change, key) * scale,
                ops.matmul(_turned(change), query * scale),
                ops.matmul(_turned(kept), up),
            )

        return (mixed, ops.cast(weights, mixed.dtype)), gradient

    mixed, weights = custom_gradient(function, (query, key, value))
    return mixed, ops.cast(ops.stop_gradient(weights), "float32")


def _turned(x):
    return ops.transpose(x, (0, 1, 3, 2))
