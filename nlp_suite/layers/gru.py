"""Gated recurrent unit layer with explicit back-propagation through time.

Drop-in for `keras.layers.GRU`: same arguments, configuration, weights and values.
"""

import keras
from keras import ops

from nlp_suite.layers.bptt import DERIVATIVES
from nlp_suite.layers.recurrent import ExplicitBPTT


class _Recurrence:
    """The step and the gradient of a GRU whose reset gate comes after the matrix product; gates in the order u, r, n.

    u, r = s(z + q) and n = a(z + r q) with q = h R + b, and h' = u h + (1 - u) n. With dh the gradient of h', that of
    n's sum is dn = dh (1 - u) a', u has dh (h - n), r has dn q, q's last third dn r, and h itself dh u.
    """

    emits = 2

    def __init__(self, units, activation, recurrent_activation):
        self.units = units
        self.activation = activation
        self.recurrent_activation = recurrent_activation

    def gates(self, z, inner):
        z_ur, z_n = ops.split(z, [2 * self.units], axis=-1)
        q_ur, q_n = ops.split(inner, [2 * self.units], axis=-1)
        ur = self.recurrent_activation(z_ur + q_ur)  # [..., 2*U]
        return ur, self.activation(z_n + ops.split(ur, 2, axis=-1)[1] * q_n), q_n

    def update(self, gates, previous):
        ur, n, _ = gates
        return (n + ops.split(ur, 2, axis=-1)[0] * (previous[0] - n),)

    def back(self, grads, gates, previous, product):
        ur, n, q = gates
        u, r = ops.split(ur, 2, axis=-1)
        dh = grads[0]
        d_n = dh * (1.0 - u) * DERIVATIVES[self.activation](n)
        d_ur = ops.concatenate([dh * (previous[0] - n), d_n * q], axis=-1) * DERIVATIVES[self.recurrent_activation](ur)
        d_inner = ops.concatenate([d_ur, d_n * r], axis=-1)  # [B, 3*U]
        return (product.step_back(d_inner) + dh * u,), (d_inner, d_n)

    def collect(self, emitted):
        d_inner, d_n = emitted
        return ops.concatenate([ops.split(d_inner, [2 * self.units], axis=-1)[0], d_n], axis=-1), d_inner


@keras.saving.register_keras_serializable(package="nlp_suite")
class GRU(ExplicitBPTT, keras.layers.GRU):
    """Gated recurrent unit of Cho et al. (2014), by default in cuDNN's form with the reset gate after the product.

    u, r = s(x_t W + b + h_{t-1} R + b'), n = a(x_t W + b + r (h_{t-1} R + b')), h_t = u h_{t-1} + (1 - u) n, each gate
    with separate columns of W, R, b and b'.

    Arguments, configuration, weights and values are those of `keras.layers.GRU` (a `.weights.h5` of one loads into the
    other); only the computation differs, see `nlp_suite.layers.bptt`. `reset_after=False` runs Keras's loop. On
    TensorFlow with a GPU, Keras's cuDNN path runs where the mask is right-padded and `use_cudnn` is not False. `.cell`
    does single steps with the same weights. Second derivatives are not defined.

    Args:
        units: int, the width U of the output.
        *args: further arguments of `keras.layers.GRU`.
        **kwargs: likewise, and `recurrent_weight_dropout`, see `ExplicitBPTT`.

    Call arguments:
        sequences: [B, T, E].
        initial_state: None (zeros) or list of one [B, U].
        mask: None or bool [B, T]. A False step, wherever it is, keeps the state; its output is the last output before
            it, or 0 with `zero_output_for_mask=True` (set by `keras.layers.Bidirectional`) and where there is none.
        training: bool, whether dropout is on.

    Returns:
        [B, U], or [B, T, U] with `return_sequences`; then the state [B, U] with `return_state`.

    Raises:
        ValueError: as `keras.layers.GRU`.

    Example:
        >>> GRU(4, return_sequences=True)(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    gate_order = (0, 1, 2)  # Keras: z (here u), r, h (here n)

    def supports_explicit_loop(self):
        return self.cell.reset_after and super().supports_explicit_loop()

    def biases(self):
        return (None, None) if self.cell.bias is None else (self.cell.bias[0], self.cell.bias[1])

    def recurrence(self):
        return _Recurrence(self.cell.units, self.cell.activation, self.cell.recurrent_activation)
