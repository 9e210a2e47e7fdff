"""Long short-term memory layer with explicit back-propagation through time.

Drop-in for `keras.layers.LSTM`: same arguments, configuration, weights and values.
"""

import keras
from keras import ops

from nlp_suite.layers.bptt import DERIVATIVES
from nlp_suite.layers.recurrent import ExplicitBPTT


class _Recurrence:
    """The LSTM's step and its gradient, with the gates in the order o, i, f, g.

    o, i, f = s(z + h R), g = a(z + h R), c' = f c + i g, h' = o a(c'). With dh and dc the gradients of h' and c', first
    dc += dh o a'; then the gates have the gradients dh a(c'), dc g, dc c, dc i, and c has dc f.
    """

    emits = 1

    def __init__(self, units, activation, recurrent_activation):
        self.units = units
        self.activation = activation
        self.recurrent_activation = recurrent_activation

    def gates(self, z, inner):
        oif, g = ops.split(z + inner, [3 * self.units], axis=-1)
        return self.recurrent_activation(oif), self.activation(g)

    def _cell(self, gates, c):
        o, i, f = ops.split(gates[0], 3, axis=-1)  # [B, U] each
        new = f * c + i * gates[1]
        return o, i, f, new, self.activation(new)

    def update(self, gates, previous):
        o, _, _, c, a = self._cell(gates, previous[1])
        return o * a, c

    def back(self, grads, gates, previous, product):
        oif, g = gates
        o, i, f, _, a = self._cell(gates, previous[1])
        dh, dc = grads
        dc = dc + dh * o * DERIVATIVES[self.activation](a)
        d_oif = ops.concatenate([dh * a, dc * g, dc * previous[1]], axis=-1) * DERIVATIVES[self.recurrent_activation](
            oif
        )
        d_sums = ops.concatenate([d_oif, dc * i * DERIVATIVES[self.activation](g)], axis=-1)  # [B, 4*U]
        return (product.step_back(d_sums), dc * f), (d_sums,)

    def collect(self, emitted):
        return emitted * 2


@keras.saving.register_keras_serializable(package="nlp_suite")
class LSTM(ExplicitBPTT, keras.layers.LSTM):
    """Long short-term memory of Hochreiter and Schmidhuber (1997) with forget gates (Gers et al., 2000).

    i, f, o = s(x_t W + h_{t-1} R + b), g = a(x_t W + h_{t-1} R + b), c_t = f c_{t-1} + i g, h_t = o a(c_t), each gate
    with separate columns of W, R and b.

    Arguments, configuration, weights and values are those of `keras.layers.LSTM` (a `.weights.h5` of one loads into the
    other); only the computation differs, see `nlp_suite.layers.bptt`. On TensorFlow with a GPU, Keras's cuDNN path runs
    where the mask is right-padded and `use_cudnn` is not False. `.cell` does single steps with the same weights. Second
    derivatives are not defined.

    Args:
        units: int, the width U of the output.
        *args: further arguments of `keras.layers.LSTM`.
        **kwargs: likewise, and `recurrent_weight_dropout`, see `ExplicitBPTT`.

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

    def recurrence(self):
        return _Recurrence(self.cell.units, self.cell.activation, self.cell.recurrent_activation)
