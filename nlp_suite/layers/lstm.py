"""Long short-term memory layer with explicit back-propagation through time.

Drop-in for `keras.layers.LSTM`: same arguments, configuration, weights and values.
"""

import keras
from keras import ops

from nlp_suite.layers.bptt import SLOPES
from nlp_suite.layers.recurrent import ExplicitBPTT


class _Recurrence:
    """The LSTM's step and its gradient, with the gates in the order o, i, f, g.

    o, i, f = s(z + h R), g = a(z + h R), c' = f c + i g, h' = o a(c'). With dh and dc the gradients of h' and c',
    dc += dh o a'(c'); then d(o, i, f, g) = (dh, dc, dc, dc) times `gates`, and the gradient of c is dc f.
    """

    def __init__(self, units, activation, recurrent_activation):
        self.units = units
        self.activation = activation
        self.recurrent_activation = recurrent_activation

    def _gates(self, z, inner):
        sums = z + inner  # [..., 4*U]
        return ops.split(sums, [3 * self.units], axis=-1)

    def step(self, z, inner, states):
        oif, g = self._gates(z, inner)
        o, i, f = ops.split(self.recurrent_activation(oif), 3, axis=-1)  # [B, U] each
        c = f * states[1] + i * self.activation(g)
        return o * self.activation(c), c

    def linearise(self, z, inner, previous, states):
        oif, g = self._gates(z, inner)
        oif, g = self.recurrent_activation(oif), self.activation(g)
        o, i, f = ops.split(oif, 3, axis=-1)  # [T, B, U] each
        a = self.activation(states[1])
        factors = ops.concatenate([a, g, previous[1]], axis=-1)  # [T, B, 3*U]
        gates = ops.concatenate(
            [factors * SLOPES[self.recurrent_activation](oif), i * SLOPES[self.activation](g)], axis=-1
        )  # [T, B, 4*U]
        return (gates, o * SLOPES[self.activation](a), f), ()

    def back(self, grads, coefficients, product):
        gates, through, f = coefficients
        dh, dc = grads
        dc = dc + dh * through
        d_sums = ops.concatenate([dh, dc, dc, dc], axis=-1) * gates  # [B, 4*U]
        return (product.step_back(d_sums), dc * f), d_sums

    def collect(self, emitted, coefficients, more):
        return emitted, emitted


@keras.saving.register_keras_serializable(package="nlp_suite")
class LSTM(ExplicitBPTT, keras.layers.LSTM):
    """Long short-term memory of Hochreiter and Schmidhuber (1997) with forget gates (Gers et al., 2000).

    i, f, o = s(x_t W + h_{t-1} R + b), g = a(x_t W + h_{t-1} R + b), c_t = f c_{t-1} + i g, h_t = o a(c_t), each gate
    with its own columns of W, R and b.

    Arguments, configuration, weights and values are those of `keras.layers.LSTM` (a `.weights.h5` of one loads into the
    other); only the computation differs, see `nlp_suite.layers.bptt`. On TensorFlow with a GPU, Keras's cuDNN path runs
    where the mask is right-padded and `use_cudnn` is not False. `.cell` does single steps with the same weights. Second
    derivatives are not defined.

    Args:
        units: int, the width U of the output.
        *args: further arguments of `keras.layers.LSTM`.
        **kwargs: likewise.

    Call arguments:
        sequences: [B, T, E].
        initial_state: None (zeros) or list of h and c, [B, U] each.
        mask: None or bool [B, T]. A False step, wherever it is, keeps the states; its output is the last output before
            it, or 0 with `zero_output_for_mask=True` (set by `keras.layers.Bidirectional`) and where there is none.
        training: bool, whether dropout is on.

    Returns:
        [B, U], or [B, T, U] with `return_sequences`; then h and c, [B, U] each, with `return_state`.

    Raises:
        ValueError: as `keras.layers.LSTM`.

    Example:
        >>> LSTM(4, return_sequences=True)(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    gate_order = (3, 0, 1, 2)  # Keras: i, f, g, o

    def _recurrence(self):
        return _Recurrence(self.cell.units, self.cell.activation, self.cell.recurrent_activation)
