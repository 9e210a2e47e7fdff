"""Explicit back-propagation through time, shared by SimpleRNN, LSTM and GRU.

Automatic differentiation of a recurrent loop keeps every intermediate result of every step and adds up the weight
gradient step by step. Here the loop keeps its states only. The backward pass recomputes the gates of all steps with one
matrix product, goes back through the steps with the written-out gradient of a single one, and takes the weight gradient
as one product over all steps.

What a layer computes is a `Recurrence`; everything else here is common to the three layers and to the TensorFlow, JAX
and PyTorch backends. Shapes: B batch, T time, U units, G gates; sequences are time-major here: [T, B, features].
"""

from typing import Protocol

import keras
from keras import ops

from nlp_suite.layers.custom_gradient import custom_gradient
from nlp_suite.layers.serving_graph import is_serving_graph

# Derivatives of activations, as functions of the activation's *output*: that is what the loop has.
DERIVATIVES = {
    keras.activations.tanh: lambda y: 1.0 - y * y,
    keras.activations.sigmoid: lambda y: y * (1.0 - y),
    keras.activations.relu: lambda y: ops.cast(y > 0, y.dtype),
    keras.activations.hard_sigmoid: lambda y: ops.cast(ops.logical_and(y > 0, y < 1), y.dtype) / 6.0,
    keras.activations.linear: ops.ones_like,
}

UNROLL = 4  # steps in a turn of TensorFlow's loop: a turn costs as much as several of a step's operations


class Recurrence(Protocol):
    """The maths of one layer: a step in two parts, and the gradient of the second.

    States are tuples of [B, U], the output first. `z` [B, G*U] is the input projection, `inner` [B, G*U] the recurrent
    projection of the previous output.

    Attributes:
        emits: int, the number of tensors that `back` emits.
    """

    emits: int

    def gates(self, z, inner) -> None:
        """Returns a tuple of [B, n*U] with the activations; also called for all steps at once, [T, B, n*U]."""

    def update(self, gates, previous) -> None:
        """Returns the tuple of new states."""

    def back(self, grads, gates, previous, product) -> None:
        """Returns the gradients of the previous states from those of the new ones, and what to emit: a tuple."""

    def collect(self, emitted) -> None:
        """Returns the gradients [T, B, G*U] of `z` and of `inner` from what `back` emitted at all steps."""


class RecurrentProduct:
    """The product of the previous output and the recurrent kernel, with variational dropout on the output.

    Args:
        kernel: [U, G*U].
        masks: None, or [G, B, U]: one scaled dropout mask a gate, the same at all steps.
    """

    def __init__(self, kernel, masks=None):
        self.units = kernel.shape[0]
        self.gates = kernel.shape[1] // self.units
        self.kernel = kernel
        self.masks = masks
        if masks is None:
            self.kernel_t = ops.transpose(kernel)  # [G*U, U]
        else:
            by_gate = ops.reshape(kernel, (self.units, self.gates, self.units))
            self.kernel_by_gate = ops.transpose(by_gate, (1, 0, 2))  # [G, U, U]
            self.kernel_by_gate_t = ops.transpose(by_gate, (1, 2, 0))  # [G, U, U]

    def step(self, h):
        """[B, U] -> [B, G*U]."""
        if self.masks is None:
            return ops.matmul(h, self.kernel)
        by_gate = ops.matmul(ops.expand_dims(h, 0) * self.masks, self.kernel_by_gate)  # [G, B, U]
        return ops.reshape(ops.transpose(by_gate, (1, 0, 2)), (-1, self.gates * self.units))

    def step_back(self, d_inner):
        """[B, G*U] -> [B, U], the transpose of `step`."""
        if self.masks is None:
            return ops.matmul(d_inner, self.kernel_t)
        by_gate = ops.transpose(ops.reshape(d_inner, (-1, self.gates, self.units)), (1, 0, 2))  # [G, B, U]
        return ops.sum(ops.matmul(by_gate, self.kernel_by_gate_t) * self.masks, axis=0)

    def all_steps(self, h):
        """[T, B, U] -> [T, B, G*U] as one product (one a gate with dropout)."""
        if self.masks is None:
            return dense(h, self.kernel)
        kernels = ops.split(self.kernel, self.gates, axis=1)
        return ops.concatenate([dense(h * self.masks[g], kernels[g]) for g in range(self.gates)], axis=-1)

    def kernel_gradient(self, h, d_inner):
        """The gradient [U, G*U] of the kernel from h [T, B, U] and d_inner [T, B, G*U]."""
        if self.masks is None:
            return summed_outer(h, d_inner)
        parts = ops.split(d_inner, self.gates, axis=-1)
        return ops.concatenate([summed_outer(h * self.masks[g], parts[g]) for g in range(self.gates)], axis=-1)


def summed_outer(x, y):
    """Outer products summed over all steps and rows: [T, B, E], [T, B, F] -> [E, F]."""
    if keras.backend.backend() != "tensorflow":
        return ops.tensordot(x, y, axes=((0, 1), (0, 1)))
    x, y = ops.reshape(x, (-1, x.shape[-1])), ops.reshape(y, (-1, y.shape[-1]))
    return ops.matmul(ops.transpose(x), y)


def dense(x, kernel):
    """[T, B, E] x [E, F] -> [T, B, F] as one matrix product.

    On TensorFlow steps and rows are one dim for it, as it would multiply step by step otherwise. JAX would gather the rows of all
    devices for that, so that each computed all of them.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.matmul(x, kernel)
    shape = ops.shape(x)
    return ops.reshape(
        ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel),
        (shape[0], shape[1], kernel.shape[-1]),
    )


def run(
    recurrence,
    z,
    kernel,
    states,
    *,
    bias=None,
    mask=None,
    dropout_masks=None,
    reverse=False,
    sequences=True,
):
    """Runs a recurrence over time, differentiable (once) in z, kernel, bias and states.

    Args:
        recurrence: a `Recurrence`.
        z: [T, B, G*U], input projection with its bias.
        kernel: [U, G*U], recurrent kernel.
        states: tuple of initial states [B, U], the output first.
        bias: None or [G*U], added to the recurrent projection.
        mask: None or [T, B, 1], 1 at steps that count, in the dtype of z. Other steps leave the states unchanged.
        dropout_masks: None or [G, B, U], see `RecurrentProduct`.
        reverse: bool. Start at the last step.
        sequences: bool. Whether the outputs of all steps are wanted.

    Returns:
        The outputs [T, B, U] in the order of z (None without `sequences`), and the tuple of last states [B, U].
    """
    options = {"bias": bias, "mask": mask, "dropout_masks": dropout_masks}
    names = [name for name, value in options.items() if value is not None]
    count = len(states)

    def function(z, kernel, *rest):
        states, optional = rest[:count], dict(zip(names, rest[count:], strict=True))
        bias, mask = optional.get("bias"), optional.get("mask")
        product = RecurrentProduct(kernel, optional.get("dropout_masks"))
        masks = () if mask is None else (mask,)

        def step(carry, xs):
            inner = product.step(carry[0])  # [B, G*U]
            gates = recurrence.gates(xs[0], inner if bias is None else inner + bias)
            new = _where_unmasked(xs[1:], recurrence.update(gates, carry), carry)
            # Of the outputs those after the step, which are the result; of the other states those before, for `back`.
            return new, (new[0], *carry[1:])

        last, (outputs, *inner_states) = scan(step, states, (z, *masks), reverse, outputs=count)

        def gradient(upstream):
            d_outputs, d_last = (upstream[:1], upstream[1:]) if sequences else ((), upstream)
            previous = previous_states(states[0], outputs, reverse)  # [T, B, U]
            inner = product.all_steps(previous)  # [T, B, G*U]
            gates = recurrence.gates(z, inner if bias is None else inner + bias)

            def step_back(carry, xs):
                if sequences:
                    carry, xs = (carry[0] + xs[0], *carry[1:]), xs[1:]
                step_mask, xs = xs[: len(masks)], xs[len(masks) :]
                new, emitted = recurrence.back(carry, xs[: len(gates)], xs[len(gates) :], product)
                return _where_unmasked(step_mask, new, carry), emitted

            xs = (*d_outputs, *masks, *gates, previous, *inner_states)
            d_states, emitted = scan(step_back, d_last, xs, not reverse, outputs=recurrence.emits)
            d_z, d_inner = recurrence.collect(emitted)
            if mask is not None:
                # Masked steps emit numbers, too. SimpleRNN and LSTM emit one tensor for both: it is multiplied once.
                d_z, d_inner = (d_z * mask,) * 2 if d_z is d_inner else (d_z * mask, d_inner * mask)
            d_optional = {name: ops.zeros_like(value) for name, value in optional.items()}
            if bias is not None:
                d_optional["bias"] = ops.sum(d_inner, axis=(0, 1))
            return (
                d_z,
                product.kernel_gradient(previous, d_inner),
                *d_states,
                *d_optional.values(),
            )

        return ((outputs,) if sequences else ()) + tuple(last), gradient

    outputs = custom_gradient(function, (z, kernel, *states, *(options[name] for name in names)))
    return (outputs[0], outputs[1:]) if sequences else (None, outputs)


def _where_unmasked(mask, new, old):
    """`new` where the mask [B, 1] is 1 and `old` elsewhere; `mask` is a tuple of one or none."""
    if not mask:
        return tuple(new)
    counts = ops.cast(mask[0], "bool")
    return tuple(ops.where(counts, n, o) for n, o in zip(new, old, strict=True))


def previous_states(initial, trace, reverse):
    """The state [T, B, U] before each step, from the initial state [B, U] and the states after the steps."""
    initial = ops.expand_dims(initial, 0)
    return ops.concatenate([trace[1:], initial] if reverse else [initial, trace[:-1]], axis=0)


def scan(step, carry, xs, reverse, outputs):
    """Runs `step(carry, xs_t) -> carry, ys_t` over axis 0 of the tensors of `xs`.

    Args:
        step: function of two tuples of tensors that returns two tuples of tensors.
        carry: tuple of initial tensors [B, ...].
        xs: tuple of tensors [T, B, ...].
        reverse: bool. Start at the last step.
        outputs: int. The number of ys; they have the dtype of the carry.

    Returns:
        The last carry, and the tuple of ys stacked to [T, B, ...] in the order of `xs`.
    """
    if keras.backend.backend() == "tensorflow":
        return _scan_tensorflow(step, carry, xs, reverse, outputs)
    return ops.scan(step, tuple(carry), xs, reverse=reverse)


def _scan_tensorflow(step, carry, xs, reverse, outputs):
    """`scan` for TensorFlow, where `ops.scan` requires ys shaped like the carry and keeps the carry in arrays.

    A turn of the first loop does `UNROLL` steps; a second loop does those that are left. Slices of `xs` are views; a
    `TensorArray` would copy them.
    """
    import tensorflow as tf

    length = tf.shape(xs[0])[0]

    def loop(steps, start, carry, arrays):
        def body(i, carry, arrays):
            first = length - i - steps if reverse else i
            slices = [_views(x, first, steps) for x in xs]
            for offset in reversed(range(steps)) if reverse else range(steps):
                carry, ys = step(carry, tuple(views[offset] for views in slices))
                arrays = tuple(array.write(first + offset, y) for array, y in zip(arrays, ys, strict=True))
            return i + steps, tuple(carry), arrays

        any_batch = tuple(tf.TensorShape([None]).concatenate(c.shape[1:]) for c in carry)
        return tf.while_loop(
            lambda i, *_: i + steps <= length,
            body,
            (start, carry, arrays),
            shape_invariants=(
                tf.TensorShape([]),
                any_batch,
                tuple(tf.TensorShape(None) for _ in arrays),
            ),
            parallel_iterations=1,
        )

    carry = tuple(tf.convert_to_tensor(c) for c in carry)
    arrays = tuple(tf.TensorArray(carry[0].dtype, size=length) for _ in range(outputs))
    done, carry, arrays = loop(UNROLL, tf.constant(0), carry, arrays)
    _, carry, arrays = loop(1, done, carry, arrays)
    stacked = tuple(array.stack() for array in arrays)
    for y in stacked:
        y.set_shape(xs[0].shape[:2].concatenate(y.shape[2:]))
    return carry, stacked


def _views(x, first, steps):
    """x[first], x[first + 1], …, so many of them: by two ops where XLA, which must know all sizes, need not compile it."""
    import tensorflow as tf

    if is_serving_graph():
        return tf.unstack(x[first : first + steps], steps)
    return [x[first + offset] for offset in range(steps)]
