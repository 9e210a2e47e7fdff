"""How a query scores the positions of a source: additive or multiplicative, each with its written-out gradient.

A score is made from a source's keys and the learned parameters, and serves any number of queries: `scores` those of a
complete target or of a single step. `back` and `collect` are for `attention_loop`, which goes back through the steps
one by one: `back` gives what a step needs at once, and sums over steps; `collect` gives what can wait until all steps
are known and then costs one product. Shapes: B batch, T time, S source, A query features, H heads.
"""

from keras import ops

from nlp_suite.layers.inline import is_symbolic, product, reshaped


def split_heads(x, heads):
    """[B, T, H*d] -> [B, H, T, d]."""
    if heads == 1:
        return ops.expand_dims(x, 1)
    by_head = reshaped(x, (-1, ops.shape(x)[1], heads, x.shape[-1] // heads))
    return ops.transpose(by_head, (0, 2, 1, 3))


def join_heads(x):
    """[B, H, T, d] -> [B, T, H*d]."""
    if x.shape[1] == 1:
        return ops.squeeze(x, 1)
    return reshaped(ops.transpose(x, (0, 2, 1, 3)), (-1, ops.shape(x)[2], x.shape[1] * x.shape[3]))


def softmax_bias(mask):
    """Bool [B, S] -> float32 [B, 1, 1, S] to add to scores: 0 at tokens, so low at padding that the softmax gives 0."""
    return ops.expand_dims(ops.cast(ops.where(mask, 0.0, -1e9), "float32"), (1, 2))


def attention_weights(scores, bias):
    """Softmax in float32 over the last axis of scores [B, H, T, S]; in a row without tokens all weights are equal."""
    return ops.softmax(ops.cast(scores, "float32") + bias, axis=-1)


class Additive:
    """v^T tanh(query + key), one head.

    Args:
        keys: [B, S, A].
        v: [A].
    """

    def __init__(self, keys, v):
        self.keys, self.v = keys, v

    def _energies(self, q):
        return ops.tanh(ops.expand_dims(q, 2) + ops.expand_dims(self.keys, 1))  # [B, T, S, A]

    def scores(self, q):
        """[B, T, A] -> [B, 1, T, S]."""
        size = self.v.shape[0]
        if is_symbolic(q):
            return ops.expand_dims(ops.squeeze(product(self._energies(q), ops.expand_dims(self.v, 1)), -1), 1)
        flat = ops.matmul(ops.reshape(self._energies(q), (-1, size)), ops.expand_dims(self.v, 1))  # [B*T*S, 1]
        return ops.reshape(flat, (-1, 1, ops.shape(q)[1], ops.shape(self.keys)[1]))

    def zero_sums(self):
        """The sums over steps before the first: of squared energies [B, S, A] and of the gradient [1, A] of v."""
        return ops.zeros_like(self.keys), ops.zeros_like(ops.expand_dims(self.v, 0))

    def back(self, q, d_scores, sums):
        """One step: query [B, A] and gradient [B, 1, S] of its scores -> that of the query [B, A], the new sums.

        With e = tanh(q + k) and d the gradient of a score, q + k has the gradient d v (1 - e²), k that summed over
        steps and q summed over the source: v (Σ d - Σ d e²). v has Σ d e.
        """
        e = ops.tanh(ops.expand_dims(q, 1) + self.keys)  # [B, S, A]
        d = ops.reshape(d_scores, (-1, ops.shape(self.keys)[1], 1))  # [B, S, 1]
        squares = e * e * d  # [B, S, A]
        d_q = self.v * (ops.sum(d, axis=1) - ops.sum(squares, axis=1))  # [B, A]
        d_v = ops.matmul(ops.reshape(d, (1, -1)), ops.reshape(e, (-1, self.v.shape[0])))  # [1, A]
        return d_q, (sums[0] + squares, sums[1] + d_v)

    def collect(self, q, d_scores, sums):
        """Gradients of the keys and of v from queries [T, B, A], gradients [T, B, 1, S] of scores, and the sums."""
        d = ops.expand_dims(ops.squeeze(ops.sum(d_scores, axis=0), 1), -1)  # [B, S, 1]
        return self.v * (d - sums[0]), sums[1][0]


class Multiplicative:
    """query · key in each of H heads.

    Args:
        keys: [B, H, A/H, S], scaled.
    """

    def __init__(self, keys):
        self.keys, self.heads = keys, keys.shape[1]
        self._keys_t = None

    def scores(self, q):
        """[B, T, A] -> [B, H, T, S]."""
        return ops.matmul(split_heads(q, self.heads), self.keys)

    def zero_sums(self):
        """There are no sums over steps; transposes the keys for `back`."""
        self._keys_t = ops.transpose(self.keys, (0, 1, 3, 2))  # [B, H, S, A/H]
        return ()

    def back(self, q, d_scores, sums):
        """One step: query [B, A] and gradient [B, H, S] of its scores -> that of the query [B, A], the sums (none)."""
        d_q = ops.matmul(ops.expand_dims(d_scores, 2), self._keys_t)  # [B, H, 1, A/H]
        return ops.reshape(d_q, (-1, q.shape[-1])), sums

    def collect(self, q, d_scores, sums):
        """The gradient of the keys from queries [T, B, A] and gradients [T, B, H, S] of scores."""
        q = split_heads(ops.transpose(q, (1, 0, 2)), self.heads)  # [B, H, T, A/H]
        return (ops.matmul(ops.transpose(q, (0, 1, 3, 2)), ops.transpose(d_scores, (1, 2, 0, 3))),)
