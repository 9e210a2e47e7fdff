"""Cross-entropy of a softmax over many words, in chunks of tokens: the [N, V] logits never exist at once.

With l = x K^T + b, e = exp(l - max l), s = Σ e and the weight w of a token with target t, the loss Σ w (log s + max l -
l_t) has the gradients dx = w/s e K - w K_t and dK = e^T (w/s x) - w x at row t. What needs the [n, V] matrix `e` of a
chunk is computed while it exists, in the forward pass; what needs the targets is [N, D] and computed for all tokens at
once. So a logit is computed once, and no backward pass reads it again. With label smoothing ε the loss has (1 - ε) l_t
+ ε mean(l) in place of l_t, and the mean logit is x·mean(K) + mean(b), which adds nothing of size [n, V]. Shapes: N
tokens, D features, V words.
"""

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers.batch_share import devices_of_batch
from nlp_suite.layers.custom_gradient import custom_gradient
from nlp_suite.layers.inline import is_symbolic, product

CHUNK_ELEMENTS = 2**23  # logits held at a time: 32 MiB of float32


def cross_entropy(features, kernel, bias, targets, weights, *, chunk_rows, dtype, count=None, label_smoothing=0.0):
    """Weighted sum of negative log-likelihoods, differentiable once.

    Args:
        features: [N, D].
        kernel: [V, D], a row for each word.
        bias: [V].
        targets: int32 [N], rows of `kernel`.
        weights: float [N], the weight of a token's loss.
        chunk_rows: int, maximum number of tokens whose logits exist at a time.
        dtype: dtype of the matrix products; the softmax is float32.
        count: None, or an int32 scalar: only the first `count` tokens are computed, rounded up to whole chunks.
        label_smoothing: ε, the share of the target's probability that is spread evenly over all V words (Szegedy et al.
            2016): the loss of a token is log Σ exp l - (1 - ε) l_t - ε mean(l).

    Returns:
        The sum, a float32 scalar differentiable in features, kernel, bias and weights, and the negative
        log-likelihoods without smoothing, float32 [N] without gradient; where `count` leaves tokens out, their weight
        must be 0.

    Raises:
        ConfigError: label smoothing below 0, or 1 and more.
    """
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing is {label_smoothing}; allowed: from 0 up to, but not including, 1")
    weights = ops.cast(weights, "float32")
    target_share = 1.0 - label_smoothing

    def function(features, kernel, bias, weights):
        x, k = ops.cast(features, dtype), ops.cast(kernel, dtype)
        log_sum, dx, dk, db = _over_chunks(x, k, bias, weights, chunk_rows, count)
        target_logits, target_rows = _target_logits(x, k, bias, targets)
        nll = log_sum - target_logits  # [N]
        loss = nll
        wx = ops.expand_dims(weights, 1) * ops.cast(x, "float32")  # [N, D]
        subtracted = target_rows  # [N, D], whose product with x is what the loss subtracts from log Σ exp
        if label_smoothing:
            mean, mean_bias = _mean_word(k, bias)  # [D], []
            subtracted = target_share * target_rows + label_smoothing * mean
            loss = nll + label_smoothing * (target_logits - ops.matmul(ops.cast(x, "float32"), mean) - mean_bias)  # [N]
            word_share = label_smoothing / kernel.shape[0]
            dk = dk - word_share * ops.sum(wx, axis=0)  # [V, D]
            db = db - word_share * ops.sum(weights)  # [V]
        dx = dx - ops.expand_dims(weights, 1) * subtracted  # [N, D]
        rows = ops.expand_dims(targets, 1)  # [N, 1]
        dk = ops.scatter_update(dk, rows, -target_share * wx, reduction="add")  # [V, D]
        db = ops.scatter_update(db, rows, -target_share * weights, reduction="add")  # [V]

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
    """The second result of `cross_entropy` alone, [N], without any work for gradients.

    With `best` a pair: these, and the most probable word at each token, int32 [N].
    """
    x, k = ops.cast(features, dtype), ops.cast(kernel, dtype)
    log_sum, *best_words = _over_chunks(x, k, bias, None, chunk_rows, count, best)
    nll = log_sum - _target_logits(x, k, bias, targets)[0]
    return (nll, *best_words) if best else nll


def logits(features, kernel, bias):
    """[..., D], [V, D], [V] -> float32 [..., V]."""
    if is_symbolic(features):
        return ops.cast(product(features, ops.transpose(kernel), bias), "float32")
    return ops.cast(ops.matmul(features, ops.transpose(kernel)), "float32") + ops.cast(bias, "float32")


def _target_logits(x, kernel, bias, targets):
    """The logit [N] of each token's target, and the target's row of the kernel [N, D]."""
    rows = ops.cast(ops.take(kernel, targets, axis=0), "float32")  # [N, D]
    biases = ops.cast(ops.take(bias, targets, axis=0), "float32")  # [N]
    product = ops.sum(ops.cast(x, "float32") * rows, axis=1)  # [N]
    rounded = ops.cast(
        ops.cast(product, x.dtype), "float32"
    )  # as in `logits`, or a sure token's loss could be negative
    return rounded + biases, rows


def _mean_word(kernel, bias):
    """Mean of the rows of the kernel, float32 [D], and of the biases, a scalar."""
    return ops.mean(ops.cast(kernel, "float32"), axis=0), ops.mean(ops.cast(bias, "float32"))


def _over_chunks(x, kernel, bias, weights, chunk_rows, count, best=False):
    """What needs all logits, computed chunk by chunk.

    Where devices share the batch, each computes the chunks of its own tokens, and the gradients are summed once: a chunk of the
    whole batch would be gathered on every device, and computed there.

    Returns:
        log Σ exp of the logits [N], and the gradients as if no token had a target: of x [N, D], of the kernel [V, D],
        of the bias [V], all float32. Without weights only the first, and with `best` the word with the largest logit,
        int32 [N].
    """
    shares = 1 if count is not None else devices_of_batch()
    if shares == 1 or x.shape[0] % shares:
        per_token, sums = _chunks(x, kernel, bias, weights, chunk_rows, count, best)
        return *per_token, *sums
    own = [None if y is None else ops.reshape(y, (shares, -1, *y.shape[1:])) for y in (x, weights)]
    per_token, sums = ops.vectorized_map(
        lambda own: _chunks(own[0], kernel, bias, own[1], chunk_rows, None, best), tuple(own)
    )
    return *(ops.reshape(y, (-1, *y.shape[2:])) for y in per_token), *(ops.sum(y, axis=0) for y in sums)


def _chunks(x, kernel, bias, weights, chunk_rows, count, best):
    """What `_over_chunks` returns of the tokens, and its sums, on one device."""
    length = ops.shape(x)[0]
    chunks = 1 + length // chunk_rows
    # So many that chunks · rows > length: one padded row at least, so that a batch without tokens has a chunk, too. As
    # chunks > length / chunk_rows, rows is at most `chunk_rows`.
    rows = 1 + length // chunks
    turns = chunks if count is None else -(-count // rows)

    def chunked(y):
        y = ops.pad(y, [(0, chunks * rows - length), *[(0, 0)] * (len(y.shape) - 1)])
        return ops.reshape(y, (chunks, rows, *y.shape[1:]))

    xs, ws = chunked(x), None if weights is None else chunked(weights)  # [chunks, rows, D], [chunks, rows]

    def chunk(i):
        scores = logits(xs[i], kernel, bias)  # [rows, V]
        largest = ops.max(scores, axis=1, keepdims=True)
        e = ops.exp(scores - largest)
        total = ops.sum(e, axis=1)
        log_sum = ops.log(total) + largest[:, 0]
        if weights is None:
            return (log_sum, ops.cast(ops.argmax(scores, axis=1), "int32")) if best else (log_sum,), ()
        # w/s goes to the small factors, so that no further [rows, V] matrix is made of e.
        scale = ops.expand_dims(ws[i] / total, 1)  # [rows, 1]
        db = ops.matmul(scale[:, 0], e)
        e = ops.cast(e, x.dtype)
        dx = ops.cast(ops.matmul(e, kernel), "float32") * scale
        dk = ops.matmul(ops.transpose(e), xs[i] * ops.cast(scale, x.dtype))
        return (log_sum, dx), (ops.cast(dk, "float32"), db)

    def turn(i, carry):
        per_token, sums = carry
        chunk_per_token, chunk_sums = chunk(i)
        return (
            tuple(_put(array, i, new) for array, new in zip(per_token, chunk_per_token, strict=True)),
            tuple(a + b for a, b in zip(sums, chunk_sums, strict=True)),
        )

    # The first chunk starts the sums: zeros would be one more pass over a [V, D].
    per_token, sums = chunk(0)
    per_token = tuple(_put(ops.zeros((chunks, *ops.shape(y)), y.dtype), 0, y) for y in per_token)
    per_token, sums = _loop(turns, turn, (per_token, sums))
    return tuple(ops.reshape(y, (chunks * rows, *y.shape[2:]))[:length] for y in per_token), sums


def _put(array, i, value):
    return ops.scatter_update(array, ops.reshape(i, (1, 1)), ops.expand_dims(value, 0))


def _loop(turns, body, carry):
    """Turns 1, 2, … of `ops.fori_loop`; one at a time on TensorFlow, as parallel ones would hold a chunk each."""
    if keras.backend.backend() != "tensorflow":
        return ops.fori_loop(1, turns, body, carry)
    import tensorflow as tf

    return tf.while_loop(
        lambda i, _: i < turns, lambda i, c: (i + 1, body(i, c)), (tf.constant(1), carry), parallel_iterations=1
    )[1]
