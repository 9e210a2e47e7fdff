"""Cross-entropy of a softmax over many words, in chunks of tokens: the [N, V] logits never exist at once.

With l = x K^T + b, e = exp(l - max l), s = Σ e and the weight w of a token with target t, the loss Σ w (log s + max l -
l_t) has the gradients dx = w/s e K - w K_t and dK = e^T (w/s x) - w x at row t. What needs the [n, V] matrix `e` of a
chunk is computed while it is there; what needs the targets is [N, D] and computed for all tokens at once. So a word's
logit is made once, and never read again in a backward pass. With label smoothing ε the loss has (1 - ε) l_t + ε mean(l)
for l_t, and the mean logit is x·mean(K) + mean(b): nothing of size [n, V] comes to it. Shapes: N tokens, D features, V
words.
"""

import keras
from keras import ops

from nlp_suite.layers.custom_gradient import custom_gradient

CHUNK_ELEMENTS = 2**23  # logits held at a time: 32 MiB of float32


def cross_entropy(features, kernel, bias, targets, weights, *, chunk_rows, dtype, count=None, label_smoothing=0.0):
    """Weighted sum of negative log-likelihoods, differentiable once.

    Args:
        features: [N, D].
        kernel: [V, D], a row a word.
        bias: [V].
        targets: int32 [N], rows of `kernel`.
        weights: float [N], what a token counts.
        chunk_rows: int, the most tokens whose logits exist at a time.
        dtype: dtype of the matrix products; the softmax is float32.
        count: None, or an int32 scalar: only the first `count` tokens are computed, rounded up to whole chunks.
        label_smoothing: ε, the share of the target's probability that is spread evenly over all V words (Szegedy et al.
            2016): the loss of a token is log Σ exp l - (1 - ε) l_t - ε mean(l).

    Returns:
        The sum, a float32 scalar differentiable in features, kernel, bias and weights, and the negative
        log-likelihoods without smoothing, float32 [N] without gradient; where `count` leaves tokens out, their weight
        must be 0.

    Raises:
        ValueError: label smoothing below 0, or 1 and more.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; allowed: from 0 up to, but not including, 1")
    weights = ops.cast(weights, "float32")
    kept = 1.0 - label_smoothing

    def function(features, kernel, bias, weights):
        x, k = ops.cast(features, dtype), ops.cast(kernel, dtype)
        log_sum, dx, dk, db = _sweep(x, k, bias, weights, chunk_rows, count)
        of_target, own = _target_logits(x, k, bias, targets)
        nll = log_sum - of_target  # [N]
        loss = nll
        wx = ops.expand_dims(weights, 1) * ops.cast(x, "float32")  # [N, D]
        wanted = own  # [N, D], whose product with x is what the loss subtracts from log Σ exp
        if label_smoothing:
            mean, mean_bias = _mean_word(k, bias)  # [D], []
            wanted = kept * own + label_smoothing * mean
            loss = nll + label_smoothing * (of_target - ops.matmul(ops.cast(x, "float32"), mean) - mean_bias)  # [N]
            share = label_smoothing / kernel.shape[0]
            dk = dk - share * ops.sum(wx, axis=0)  # [V, D]
            db = db - share * ops.sum(weights)  # [V]
        dx = dx - ops.expand_dims(weights, 1) * wanted  # [N, D]
        rows = ops.expand_dims(targets, 1)  # [N, 1]
        dk = ops.scatter_update(dk, rows, -kept * wx, reduction="add")  # [V, D]
        db = ops.scatter_update(db, rows, -kept * weights, reduction="add")  # [V]

        def gradient(upstream):
            return (
                ops.cast(upstream[0] * dx, features.dtype),
                ops.cast(upstream[0] * dk, kernel.dtype),
                ops.cast(upstream[0] * db, bias.dtype),
                upstream[0] * loss,
            )

        return (ops.sum(weights * loss), nll), gradient

    total, nll = custom_gradient(function, (features, kernel, bias, weights))
    return total, ops.stop_gradient(nll)


def negative_log_likelihood(features, kernel, bias, targets, *, chunk_rows, dtype, count=None, best=False):
    """The second result of `cross_entropy` alone, [N], without any work for gradients; with `best` a pair.

    The second of the pair is each token's most probable word, int32 [N].
    """
    x, k = ops.cast(features, dtype), ops.cast(kernel, dtype)
    log_sum, *found = _sweep(x, k, bias, None, chunk_rows, count, best)
    nll = log_sum - _target_logits(x, k, bias, targets)[0]
    return (nll, found[0]) if best else nll


def logits(features, kernel, bias):
    """[..., D], [V, D], [V] -> float32 [..., V]"""
    return ops.cast(ops.matmul(features, ops.transpose(kernel)), "float32") + ops.cast(bias, "float32")


def _target_logits(x, kernel, bias, targets):
    """The logit [N] of each token's target, and the target's row of the kernel [N, D]."""
    own = ops.cast(ops.take(kernel, targets, axis=0), "float32")  # [N, D]
    own_bias = ops.cast(ops.take(bias, targets, axis=0), "float32")  # [N]
    product = ops.sum(ops.cast(x, "float32") * own, axis=1)  # [N]
    rounded = ops.cast(ops.cast(product, x.dtype), "float32")  # as in `logits`, or a sure token's loss fell below 0
    return rounded + own_bias, own


def _mean_word(kernel, bias):
    """Mean of the rows of the kernel, float32 [D], and of the biases, a scalar."""
    return ops.mean(ops.cast(kernel, "float32"), axis=0), ops.mean(ops.cast(bias, "float32"))


def _sweep(x, kernel, bias, weights, chunk_rows, count, best=False):
    """Goes through the tokens chunk by chunk.

    Returns:
        log Σ exp of the logits [N], and the parts of the gradients without the targets: of x [N, D], of the kernel
        [V, D], of the bias [V], all float32; without weights, only the first, and with `best` the word with the greatest
        logit, int32 [N].
    """
    length = ops.shape(x)[0]
    chunks = 1 + length // chunk_rows
    rows = 1 + length // chunks  # of a chunk: at most `chunk_rows`, and one where there are no tokens
    turns = chunks if count is None else -(-count // rows)

    def chunked(y):
        y = ops.pad(y, [(0, chunks * rows - length), *[(0, 0)] * (len(y.shape) - 1)])
        return ops.reshape(y, (chunks, rows, *y.shape[1:]))

    xs, ws = chunked(x), None if weights is None else chunked(weights)  # [chunks, rows, D], [chunks, rows]

    def chunk(i):
        scores = logits(xs[i], kernel, bias)  # [rows, V]
        most = ops.max(scores, axis=1, keepdims=True)
        e = ops.exp(scores - most)
        total = ops.sum(e, axis=1)
        log_sum = ops.log(total) + most[:, 0]
        if weights is None:
            return (log_sum, ops.cast(ops.argmax(scores, axis=1), "int32")) if best else (log_sum,), ()
        share = ops.expand_dims(ws[i] / total, 1)  # [rows, 1]
        db = ops.matmul(share[:, 0], e)
        e = ops.cast(e, x.dtype)
        dx = ops.cast(ops.matmul(e, kernel), "float32") * share
        dk = ops.matmul(ops.transpose(e), xs[i] * ops.cast(share, x.dtype))
        return (log_sum, dx), (ops.cast(dk, "float32"), db)

    def turn(i, carry):
        of_rows, sums = carry
        new_rows, parts = chunk(i)
        return (
            tuple(_put(array, i, new) for array, new in zip(of_rows, new_rows, strict=True)),
            tuple(a + b for a, b in zip(sums, parts, strict=True)),
        )

    # The first chunk starts the sums: zeros would be one more pass over a [V, D].
    of_rows, sums = chunk(0)
    of_rows = tuple(_put(ops.zeros((chunks, *ops.shape(y)), y.dtype), 0, y) for y in of_rows)
    of_rows, sums = _loop(turns, turn, (of_rows, sums))
    return *(ops.reshape(y, (chunks * rows, *y.shape[2:]))[:length] for y in of_rows), *sums


def _put(array, i, value):
    return ops.scatter_update(array, ops.reshape(i, (1, 1)), ops.expand_dims(value, 0))


def _loop(turns, body, carry):
    """Turns 1, 2, … of `ops.fori_loop`; one at a time on TensorFlow, for several in flight would hold several chunks."""
    if keras.backend.backend() != "tensorflow":
        return ops.fori_loop(1, turns, body, carry)
    import tensorflow as tf

    return tf.while_loop(
        lambda i, _: i < turns, lambda i, c: (i + 1, body(i, c)), (tf.constant(1), carry), parallel_iterations=1
    )[1]
