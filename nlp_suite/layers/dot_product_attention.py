"""Scaled dot-product attention of many heads as two batched matrix products, with a written-out gradient.

Queries, keys and values are stored head by head, `[B, H, T, d]`: so they are the operands of a batched matrix product
as they lie in memory, and a cache of keys and values is never transposed.
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

    In training the gradient is written out: of the tensors as large as the scores only the weights are kept.

    Args:
        query: `[B, H, T, d]`.
        key: `[B, H, S, d]`.
        value: `[B, H, S, d]`.
        bias: float, broadcasts with `[B, H, T, S]`, without gradient; see `attention_bias`. None: all is visible.
        drop: a `keras.layers.Dropout` of the weights, or None.
        training: whether a gradient will be taken; if not, an automatic gradient is right as well, only slower.

    Returns:
        `[B, H, T, d]`, and the weights before dropout, float32 `[B, H, T, S]`, which have no gradient in training.

    Example:
        >>> output, weights = dot_product_attention(q, k, v, attention_bias(mask[:, None, None, :]))
    """
    scale = query.shape[-1] ** -0.5

    def normalised(scores):
        scores = ops.cast(scores, "float32")
        return ops.softmax(scores if bias is None else scores + ops.cast(bias, "float32"), axis=-1)

    if not training or isinstance(query, keras.KerasTensor):
        # Scaled after the product: if before, TensorFlow's graph optimiser turns product, bias and a key that is the
        # same in all steps of a loop into something that never runs, and the loop's results are empty.
        weights = normalised(ops.matmul(query, _transposed(key)) * scale)
        used = ops.cast(weights, query.dtype)
        return ops.matmul(used if drop is None else drop(used), value), weights

    keep = None  # [B, H, T, S], 0 where a weight is dropped
    if drop is not None and drop.rate:
        keep = keep_mask(drop, (*ops.shape(query)[:3], ops.shape(key)[2]), query.dtype)

    def function(query, key, value):
        weights = normalised(ops.matmul(query * scale, _transposed(key)))  # [B, H, T, S]
        used = ops.cast(weights, query.dtype)
        if keep is not None:
            used = used * keep
        output = ops.matmul(used, value)

        def gradient(upstream):
            d_output = upstream[0]  # [B, H, T, d]
            d_weights = ops.matmul(d_output, _transposed(value))  # [B, H, T, S]
            if keep is not None:
                d_weights = d_weights * keep
            # Σ_s weight · d_weight of the softmax's gradient, which is output · d_output: [.., d] in place of [.., S].
            total = ops.sum(ops.cast(d_output, "float32") * ops.cast(output, "float32"), axis=-1, keepdims=True)
            d_scores = ops.cast(weights * (ops.cast(d_weights, "float32") - total), query.dtype)
            return (
                ops.matmul(d_scores, key) * scale,
                ops.matmul(_transposed(d_scores), query * scale),
                ops.matmul(_transposed(used), d_output),
            )

        return (output, ops.cast(weights, output.dtype)), gradient

    output, weights = custom_gradient(function, (query, key, value))
    return output, ops.cast(ops.stop_gradient(weights), "float32")


def _transposed(x):
    return ops.transpose(x, (0, 1, 3, 2))
