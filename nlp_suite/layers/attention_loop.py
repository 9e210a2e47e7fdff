"""The loop of a recurrent decoder that attends in every step, with explicit back-propagation through it.

In step t a state s_t attends to the source's keys k_j and values v_j: query q_t = s_t Q, weights α_t = softmax_j
score(q_t, k_j), context c_t = Σ_j α_tj v_j. With the projected input z_t there are three decoders:

* Bahdanau et al. (2015), A.2: s_t = h_{t-1}; h_t = cell(z_t + c_t C, h_{t-1}). The state before the step attends; there
  is a context cell only.
* Luong et al. (2015), §3.1 and §3.3: s_t = h_t = cell(z_t + a_{t-1} F, h_{t-1}); a_t = tanh(c_t W + h_t W'). The state
  after the step attends; there is a query cell only. The output is the attentional vector a_t, which enters the next
  step (input feeding).
* Sennrich et al. (2017), a conditional cell: s_t = h'_t = cell(z_t, h_{t-1}); h_t = cell'(c_t C, h'_t). There are both:
  a query cell, whose state attends, and a context cell, which reads the context.

The loop keeps states, gates, queries, contexts and weights; unlike those of `bptt`, whose sequences are long, its
gates are not recomputed (measured: the products are most of its time). The energies of additive attention, S times as
large, are. The gradient of every matrix, of the values and of multiplicative keys is one product over all steps. On two
cores a training step takes 1/1.5 of the time with autodiff, and 1/1.2 to 1/1.3 of that of `keras.layers.RNN` over a
cell that attends (tests/benchmarks/attention_decoder.py).

Shapes: B batch, T time, S source, U units, G gates, H heads, A features of a query, C of a context; sequences are
time-major: [T, B, features].
"""

import keras
from keras import ops

from nlp_suite.layers import bptt
from nlp_suite.layers.attention_scores import attention_weights
from nlp_suite.layers.custom_gradient import custom_gradient


def run(score, z, states, weights, parameters=(), *, query_cell=None, context_cell=None, query_size=0):
    """Runs the steps, differentiable (once) in `z`, `states`, `weights` and `parameters`.

    Args:
        score: function of keys and parameters that gives a score, see `attention_scores`.
        z: [T, B, G*U], input projection with its bias: of the query cell, or of the context cell if it is the only one.
        states: tuple of initial states [B, U], the output first.
        weights: dict of tensors:
            `keys`, `values` [B, H, S, C/H] and `score_bias` [B, 1, 1, S] of the source;
            `state_kernel` [U, ...], what the state that attends is multiplied by, side by side: the recurrent kernel of
            the context cell [U, G*U], the query projection Q [U, A] (if any), and W' [U, U] without a context cell;
            `context_kernel`: C [C, G*U], or W [C, U];
            `recurrent_kernel` [U, G*U] of the query cell; `feeding_kernel` F [U, G*U] without a context cell;
            and, where wanted, `state_bias`, `recurrent_bias` and, with both cells, `context_bias`.
        parameters: tuple of tensors for `score`.
        query_cell: None or the `bptt.Recurrence` whose state attends.
        context_cell: None or the one that reads the context; None: there is an attentional vector.
        query_size: A, or 0 where the state itself is the query.

    Returns:
        Outputs [T, B, U] (states, or attentional vectors), contexts [T, B, C], and attention weights [T, B, H, S] in
        the dtype of `z`.
    """
    names, count = list(weights), len(states)

    def function(z, *rest):
        values, parameters = rest[count : count + len(names)], rest[count + len(names) :]
        named = dict(zip(names, values, strict=True))
        return _Steps(query_cell, context_cell, query_size, named, score, parameters).function(z, rest[:count])

    return custom_gradient(function, (z, *states, *weights.values(), *parameters))


class _NoProduct:
    """In place of a `RecurrentProduct`: the gradient through the recurrent kernel is taken later, with the query's."""

    @staticmethod
    def step_back(d_inner):
        return 0.0


class _Steps:
    """The steps that `run` describes, forwards and backwards."""

    def __init__(self, query_cell, context_cell, query_size, weights, score, parameters):
        self.query_cell, self.context_cell, self.input_feeding = query_cell, context_cell, context_cell is None
        self.query_size, self.weights = query_size, weights
        self.score = score(weights["keys"], *parameters)
        self.heads, _, self.value_size = weights["values"].shape[1:]

    def function(self, z, states):
        """The outputs, and the function from their gradients to those of z, states, weights and parameters."""
        initial = (*states, ops.zeros_like(states[0])) if self.input_feeding else tuple(states)
        # The structure of what the backward pass needs of every step; a state that is in `carry` is not kept twice.
        saved = {"context": 0, "alpha": 0, "carry": list(initial)}
        if self.query_size:
            saved["query"] = 0
        if self.query_cell:
            saved["query_gates"] = list(self.query_cell.gates(z[0], z[0]))  # as many as there are
        if self.context_cell:
            saved["context_gates"] = list(self.context_cell.gates(z[0], z[0]))
        if self.query_cell and self.context_cell:
            saved["attending"] = list(states)

        def step(carry, xs):
            carry, emitted = self._step(carry, xs[0])
            return carry, tuple(keras.tree.flatten({name: emitted[name] for name in saved}))

        _, trace = bptt.scan(step, initial, (z,), reverse=False, outputs=len(keras.tree.flatten(saved)))
        saved = keras.tree.pack_sequence_as(saved, trace)  # [T, B, ...] each

        def gradient(upstream):
            return self._gradient(initial, saved, upstream)

        return (saved["carry"][-1 if self.input_feeding else 0], saved["context"], saved["alpha"]), gradient

    def _add_bias(self, x, name):
        return x + self.weights[name] if name in self.weights else x

    def _split_projections(self, projected):
        """The products with `state_kernel`: the context cell's recurrent projection, query, s W'; None if missing."""
        if not self.query_size:
            return (None, None, projected) if self.input_feeding else (projected, None, None)
        cut = self.query_size if self.input_feeding else projected.shape[-1] - self.query_size
        left, right = ops.split(projected, [cut], axis=-1)
        return (None, left, right) if self.input_feeding else (left, right, None)

    def _step(self, carry, z):
        """One step: carry and z -> new carry, and what the backward pass needs, by name."""
        weights, saved = self.weights, {}
        states = carry[:-1] if self.input_feeding else carry
        if self.query_cell:
            read = z + ops.matmul(carry[-1], weights["feeding_kernel"]) if self.input_feeding else z
            inner = self._add_bias(ops.matmul(states[0], weights["recurrent_kernel"]), "recurrent_bias")
            saved["query_gates"] = list(self.query_cell.gates(read, inner))
            states = self.query_cell.update(saved["query_gates"], states)
        saved["attending"] = list(states)
        # One product for all that needs the state: in a loop of small steps the number of ops is the time.
        projected = self._add_bias(ops.matmul(states[0], weights["state_kernel"]), "state_bias")
        inner, query, state_term = self._split_projections(projected)
        saved["query"] = query = query if self.query_size else states[0]
        scores = self.score.scores(ops.expand_dims(query, 1))  # [B, H, 1, S]
        alpha = ops.cast(attention_weights(scores, weights["score_bias"]), query.dtype)
        context = ops.reshape(ops.matmul(alpha, weights["values"]), (-1, self.heads * self.value_size))  # [B, C]
        saved["alpha"], saved["context"] = ops.squeeze(alpha, 2), context
        context_term = ops.matmul(context, weights["context_kernel"])
        if self.input_feeding:
            states = (*states, ops.tanh(context_term + state_term))  # the attentional vector
        else:
            read = self._add_bias(context_term, "context_bias") if self.query_cell else context_term + z
            saved["context_gates"] = list(self.context_cell.gates(read, inner))
            states = self.context_cell.update(saved["context_gates"], states)
        saved["carry"] = list(states)
        return tuple(states), saved

    def _gradient(self, initial, saved, upstream):
        weights, count = self.weights, len(initial) - self.input_feeding
        previous = [bptt.previous_states(i, t, reverse=False) for i, t in zip(initial, saved["carry"], strict=True)]
        xs = {name: saved[name] for name in ("alpha", "query_gates", "context_gates") if name in saved}
        xs["upstream"] = list(upstream)
        if self.input_feeding:
            xs["attentional"], saved["attending"] = saved["carry"][-1], saved["carry"][:count]
        else:
            xs["attending"] = saved.setdefault("attending", previous)
        if self.query_cell:
            xs["previous"] = previous[:count]
        xs["query"] = saved.setdefault("query", saved["attending"][0])
        kernels = ("state_kernel", "context_kernel", "feeding_kernel")
        transposed = {name: ops.transpose(weights[name]) for name in kernels if name in weights}
        transposed["values"] = ops.transpose(weights["values"], (0, 1, 3, 2))  # [B, H, C/H, S]
        product = bptt.RecurrentProduct(weights["recurrent_kernel"]) if self.query_cell else None

        def step_back(carry, step_xs):
            return self._step_back(carry, keras.tree.pack_sequence_as(xs, step_xs), count, transposed, product)

        zeros = (*(ops.zeros_like(i) for i in initial), *self.score.zero_sums())
        outputs = 3 + (0 if self.input_feeding else 1) + (2 if self.query_cell else 0)
        last, emitted = bptt.scan(step_back, zeros, tuple(keras.tree.flatten(xs)), reverse=True, outputs=outputs)
        d_context, d_scores, d_projected, *d_cells = emitted
        d_context_term = self._split_projections(d_projected)[2] if self.input_feeding else d_cells[0]
        d_z = d_cells[-2] if self.query_cell else d_cells[0]
        d_keys, *d_parameters = self.score.collect(xs["query"], d_scores, last[len(initial) :])
        d_context = ops.reshape(d_context, (*ops.shape(d_context)[:2], self.heads, self.value_size))
        d_weights = {
            "keys": lambda: d_keys,
            "values": lambda: ops.matmul(  # [B, H, S, C/H]
                ops.transpose(saved["alpha"], (1, 2, 3, 0)), ops.transpose(d_context, (1, 2, 0, 3))
            ),
            "score_bias": lambda: ops.zeros_like(weights["score_bias"]),
            "state_kernel": lambda: bptt.summed_outer(saved["attending"][0], d_projected),
            "state_bias": lambda: ops.sum(d_projected, axis=(0, 1)),
            "context_kernel": lambda: bptt.summed_outer(saved["context"], d_context_term),
            "context_bias": lambda: ops.sum(d_context_term, axis=(0, 1)),
            "recurrent_kernel": lambda: bptt.summed_outer(previous[0], d_cells[-1]),
            "recurrent_bias": lambda: ops.sum(d_cells[-1], axis=(0, 1)),
            "feeding_kernel": lambda: bptt.summed_outer(previous[-1], d_z),
        }
        return (d_z, *last[:count], *(d_weights[name]() for name in weights), *d_parameters)

    def _step_back(self, carry, xs, count, transposed, product):
        """From the gradients of a step's results (and sums) to those of what it read, which are carried on.

        Emits those that products over all steps need: of the context, the scores, the products with `state_kernel`, the
        context cell's input projection, and the query cell's input and recurrent projections.
        """
        d_states, sums, d_cells = carry[:count], carry[count + self.input_feeding :], ()
        d_output, d_context, d_alpha = xs["upstream"]
        if self.input_feeding:
            d_sum = (carry[count] + d_output) * (1.0 - xs["attentional"] * xs["attentional"])  # [B, U], inside of tanh
            d_context = d_context + ops.matmul(d_sum, transposed["context_kernel"])
            d_inner, d_state_term = (), (d_sum,)
        else:
            d_states = (d_states[0] + d_output, *d_states[1:])
            d_states, emitted = self.context_cell.back(d_states, xs["context_gates"], xs["attending"], _NoProduct)
            d_read, d_inner = self.context_cell.collect(emitted)
            d_context = d_context + ops.matmul(d_read, transposed["context_kernel"])
            d_inner, d_state_term, d_cells = (d_inner,), (), (d_read,)
        by_head = ops.reshape(d_context, (-1, self.heads, 1, self.value_size))
        d_alpha = d_alpha + ops.squeeze(ops.matmul(by_head, transposed["values"]), 2)  # [B, H, S]
        # The gradient of a softmax: α (dα - Σ α dα).
        products = xs["alpha"] * d_alpha
        d_scores = products - xs["alpha"] * ops.sum(products, axis=-1, keepdims=True)
        d_query, sums = self.score.back(xs["query"], d_scores, sums)
        parts = (*d_inner, *((d_query,) if self.query_size else ()), *d_state_term)
        d_projected = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
        d_state = d_states[0] + ops.matmul(d_projected, transposed["state_kernel"])
        d_states = (d_state if self.query_size else d_state + d_query, *d_states[1:])
        d_attentional = ()
        if self.query_cell:
            d_states, emitted = self.query_cell.back(d_states, xs["query_gates"], xs["previous"], product)
            d_z, d_inner = self.query_cell.collect(emitted)
            d_cells = (*d_cells, d_z, d_inner)
            d_attentional = (ops.matmul(d_z, transposed["feeding_kernel"]),) if self.input_feeding else ()
        return (*d_states, *d_attentional, *sums), (d_context, d_scores, d_projected, *d_cells)
