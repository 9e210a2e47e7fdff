"""The loop of a recurrent decoder whose steps depend on what attention found: explicit back-propagation through it.

A step is one of three:

* before (Bahdanau et al. 2015): ask with the previous state; the context enters the cell.
* between (conditional cell, Sennrich et al. 2017): a first cell reads the input; ask with its state; the context enters
  a second cell.
* after (Luong et al. 2015, §3.3): the cell reads the input and the attentional vector before; ask with its state;
  attentional vector = tanh(W context + W' state).

The loop keeps states, gates, queries, contexts and weights; unlike those of `bptt`, whose sequences are long, its gates
are not recomputed (measured: the products are most of its time). The energies of additive attention, S times as large,
are. The gradient of every matrix, of the values and of multiplicative keys is one product over all steps. Shapes: B
batch, T time, S source, U units, G gates, H heads, A features of a query, C of a context; sequences are time-major:
[T, B, features]. On two cores a training step takes 1/1.5 of the time with autodiff, and 1/1.2 to 1/1.3 of that of
`keras.layers.RNN` over a cell that attends (tests/benchmarks/attention_decoder.py).
"""

import keras
from keras import ops

from nlp_suite.layers import bptt
from nlp_suite.layers.attention_scores import weights_of
from nlp_suite.layers.custom_gradient import custom_gradient


def run(score, z, states, weights, parameters=(), *, first=None, second=None, query_size=0):
    """Runs the steps, differentiable (once) in `z`, `states`, `weights` and `parameters`.

    Args:
        score: function of keys and parameters that gives a score, see `attention_scores`.
        z: [T, B, G*U], input projection with its bias: of `first`, or of `second` where there is no `first`.
        states: tuple of initial states [B, U], the output first.
        weights: dict of tensors:
            `keys`, `values` [B, H, S, C/H] and `bias` [B, 1, 1, S] of the source;
            `side` [U, ...], what the state that asks is multiplied by: the recurrent kernel of `second`, or else
            nothing; the projection [U, A] of the query, or nothing; without `second` W' [U, U]; next to each other;
            `context` [C, G*U] (to `second`) or W [C, U];
            `first` [U, G*U], the recurrent kernel of `first`; without `second` also `fed` [U, G*U], what the
            attentional vector before is multiplied by; and, where wanted, `side_bias`, `first_bias` and, with both cells,
            `context_bias`.
        parameters: tuple of tensors for `score`.
        first: None or the `bptt.Recurrence` before attention.
        second: None or the one after it; None: the attentional vector.
        query_size: A, or 0 where the state itself is the query.

    Returns:
        Outputs [T, B, U] (states, or attentional vectors), contexts [T, B, C], and attention weights [T, B, H, S] in
        the dtype of `z`.
    """
    names, count = list(weights), len(states)

    def function(z, *rest):
        given, parameters = rest[count : count + len(names)], rest[count + len(names) :]
        steps = _Steps(first, second, query_size, dict(zip(names, given, strict=True)), score, parameters)
        return steps.function(z, rest[:count])

    return custom_gradient(function, (z, *states, *weights.values(), *parameters))


class _Later:
    """Stands for a `RecurrentProduct` where the gradient of the state waits for that of the query."""

    @staticmethod
    def step_back(d_inner):
        return 0.0


class _Steps:
    """The steps that `run` describes, forwards and backwards."""

    def __init__(self, first, second, query_size, weights, score, parameters):
        self.first, self.second, self.feeds = first, second, second is None
        self.query_size, self.weights = query_size, weights
        self.score = score(weights["keys"], *parameters)
        self.heads, _, self.value_size = weights["values"].shape[1:]

    def function(self, z, states):
        """The outputs, and the function from their gradients to those of z, states, weights and parameters."""
        initial = (*states, ops.zeros_like(states[0])) if self.feeds else tuple(states)
        kept = {"context": 0, "alpha": 0, "carry": list(initial)}
        if self.query_size:
            kept["query"] = 0
        if self.first:
            kept["first"] = list(self.first.gates(z[0], z[0]))  # as many as there are
        if self.second:
            kept["second"] = list(self.second.gates(z[0], z[0]))
        if self.first and self.second:
            kept["asking"] = list(states)

        def step(carry, xs):
            carry, emitted = self._step(carry, xs[0])
            return carry, tuple(keras.tree.flatten({name: emitted[name] for name in kept}))

        _, trace = bptt.scan(step, initial, (z,), reverse=False, outputs=len(keras.tree.flatten(kept)))
        kept = keras.tree.pack_sequence_as(kept, trace)  # [T, B, ...] each

        def gradient(upstream):
            return self._gradient(initial, kept, upstream)

        return (kept["carry"][-1 if self.feeds else 0], kept["context"], kept["alpha"]), gradient

    def _plus(self, x, bias):
        return x + self.weights[bias] if bias in self.weights else x

    def _split_side(self, side):
        """Inner projection of `second`, query, and W' state, of which there are some; the others None."""
        if not self.query_size:
            return (None, None, side) if self.feeds else (side, None, None)
        cut = self.query_size if self.feeds else side.shape[-1] - self.query_size
        left, right = ops.split(side, [cut], axis=-1)
        return (None, left, right) if self.feeds else (left, right, None)

    def _step(self, carry, z):
        """One step: carry and z -> new carry, and what backward wants to know, by name."""
        states, weights, kept = carry[:-1] if self.feeds else carry, self.weights, {}
        if self.first:
            read = z + ops.matmul(carry[-1], weights["fed"]) if self.feeds else z
            inner = self._plus(ops.matmul(states[0], weights["first"]), "first_bias")
            kept["first"] = list(self.first.gates(read, inner))
            states = self.first.update(kept["first"], states)
        kept["asking"] = list(states)
        inner, query, own = self._split_side(self._plus(ops.matmul(states[0], weights["side"]), "side_bias"))
        kept["query"] = query = query if self.query_size else states[0]
        scores = self.score.scores(ops.expand_dims(query, 1))  # [B, H, 1, S]
        alpha = ops.cast(weights_of(scores, weights["bias"]), query.dtype)
        context = ops.reshape(ops.matmul(alpha, weights["values"]), (-1, self.heads * self.value_size))  # [B, C]
        kept["alpha"], kept["context"] = ops.squeeze(alpha, 2), context
        read = ops.matmul(context, weights["context"])
        if self.feeds:
            states = (*states, ops.tanh(read + own))
        else:
            read = self._plus(read, "context_bias") if self.first else read + z
            kept["second"] = list(self.second.gates(read, inner))
            states = self.second.update(kept["second"], states)
        kept["carry"] = list(states)
        return tuple(states), kept

    def _gradient(self, initial, kept, upstream):
        weights, count = self.weights, len(initial) - self.feeds
        before = [bptt._previous(i, t, reverse=False) for i, t in zip(initial, kept["carry"], strict=True)]
        known = {name: kept[name] for name in ("alpha", "first", "second") if name in kept}
        known["upstream"] = list(upstream)
        if self.feeds:
            known["fed"], kept["asking"] = kept["carry"][-1], kept["carry"][:count]
        else:
            known["asking"] = kept.setdefault("asking", before)
        if self.first:
            known["before"] = before[:count]
        known["query"] = kept.setdefault("query", kept["asking"][0])
        backwards = {name: ops.transpose(weights[name]) for name in ("side", "context", "fed") if name in weights}
        backwards["values"] = ops.transpose(weights["values"], (0, 1, 3, 2))  # [B, H, C/H, S]
        product = bptt.RecurrentProduct(weights["first"]) if self.first else None

        def step_back(carry, xs):
            return self._step_back(carry, keras.tree.pack_sequence_as(known, xs), count, backwards, product)

        zeros = (*(ops.zeros_like(i) for i in initial), *self.score.nothing())
        outputs = 3 + (0 if self.feeds else 1) + (2 if self.first else 0)
        last, emitted = bptt.scan(step_back, zeros, tuple(keras.tree.flatten(known)), reverse=True, outputs=outputs)
        d_context, d_scores, d_side, *cells = emitted
        d_read = self._split_side(d_side)[2] if self.feeds else cells[0]
        d_z = cells[-2] if self.first else cells[0]
        d_keys, *d_parameters = self.score.collect(known["query"], d_scores, last[len(initial) :])
        d_context = ops.reshape(d_context, (*ops.shape(d_context)[:2], self.heads, self.value_size))
        d = {
            "keys": lambda: d_keys,
            "values": lambda: ops.matmul(  # [B, H, S, C/H]
                ops.transpose(kept["alpha"], (1, 2, 3, 0)), ops.transpose(d_context, (1, 2, 0, 3))
            ),
            "bias": lambda: ops.zeros_like(weights["bias"]),
            "side": lambda: bptt._outer(kept["asking"][0], d_side),
            "side_bias": lambda: ops.sum(d_side, axis=(0, 1)),
            "context": lambda: bptt._outer(kept["context"], d_read),
            "context_bias": lambda: ops.sum(d_read, axis=(0, 1)),
            "first": lambda: bptt._outer(before[0], cells[-1]),
            "first_bias": lambda: ops.sum(cells[-1], axis=(0, 1)),
            "fed": lambda: bptt._outer(before[-1], d_z),
        }
        return (d_z, *last[:count], *(d[name]() for name in weights), *d_parameters)

    def _step_back(self, carry, known, count, backwards, product):
        """From the gradients of what a step carried on (and sums) to those of what it began with; emits the rest."""
        d_states, sums, cells = carry[:count], carry[count + self.feeds :], ()
        d_output, d_context, d_alpha = known["upstream"]
        if self.feeds:
            d_own = (carry[count] + d_output) * (1.0 - known["fed"] * known["fed"])  # [B, U]
            d_context = d_context + ops.matmul(d_own, backwards["context"])
            side = ((), (d_own,))
        else:
            d_states = (d_states[0] + d_output, *d_states[1:])
            d_states, emitted = self.second.back(d_states, known["second"], known["asking"], _Later)
            d_z, d_inner = self.second.collect(emitted)
            d_context = d_context + ops.matmul(d_z, backwards["context"])
            side, cells = ((d_inner,), ()), (d_z,)
        mixed = ops.reshape(d_context, (-1, self.heads, 1, self.value_size))
        d_alpha = d_alpha + ops.squeeze(ops.matmul(mixed, backwards["values"]), 2)  # [B, H, S]
        products = known["alpha"] * d_alpha
        d_scores = products - known["alpha"] * ops.sum(products, axis=-1, keepdims=True)
        d_query, sums = self.score.back(known["query"], d_scores, sums)
        side = (*side[0], *((d_query,) if self.query_size else ()), *side[1])
        d_side = side[0] if len(side) == 1 else ops.concatenate(side, axis=-1)
        d_state = d_states[0] + ops.matmul(d_side, backwards["side"])
        d_states = (d_state if self.query_size else d_state + d_query, *d_states[1:])
        d_fed = ()
        if self.first:
            d_states, emitted = self.first.back(d_states, known["first"], known["before"], product)
            d_z, d_inner = self.first.collect(emitted)
            cells = (*cells, d_z, d_inner)
            d_fed = (ops.matmul(d_z, backwards["fed"]),) if self.feeds else ()
        return (*d_states, *d_fed, *sums), (d_context, d_scores, d_side, *cells)
