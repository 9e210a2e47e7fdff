"""Simple (Elman) recurrent layer with explicit back-propagation through time.

Drop-in for `keras.layers.SimpleRNN`: same arguments, configuration, weights and values.
"""

import keras

from nlp_suite.layers.bptt import DERIVATIVES
from nlp_suite.layers.recurrent import ExplicitBPTT


class _Recurrence:
    """h' = a(z + h R); the gradient of the sum is that of h' times a'."""

    emits = 1

    def __init__(self, activation):
        self.activation = activation

    def gates(self, z, inner):
        return (self.activation(z + inner),)

    def update(self, gates, previous):
        return gates

    def back(self, grads, gates, previous, product):
        d_sum = grads[0] * DERIVATIVES[self.activation](gates[0])  # [B, U]
        return (product.step_back(d_sum),), (d_sum,)

    def collect(self, emitted):
        return emitted * 2


@keras.saving.register_keras_serializable(package="nlp_suite")
class SimpleRNN(ExplicitBPTT, keras.layers.SimpleRNN):
    """Fully connected recurrence on its own output, h_t = a(x_t W + h_{t-1} R + b), after Elman (1990).

    Arguments, configuration, weights and values are those of `keras.layers.SimpleRNN` (a `.weights.h5` of one loads
    into the other); only the computation differs, see `nlp_suite.layers.bptt`. `.cell` does single steps with the same
    weights. Second derivatives are not defined.

    Args:
        units: int, the width U of the output.
        *args: further arguments of `keras.layers.SimpleRNN`.
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
        ValueError: as `keras.layers.SimpleRNN`.

    Example:
        >>> SimpleRNN(4, return_sequences=True)(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    def recurrence(self):
        return _Recurrence(self.cell.activation)
