"""Dynamic evaluation: the weights take a step of gradient descent after every segment that was predicted."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

SMALLEST_SHARE = 0.1  # of the mean root mean square, added to that of every weight: rare words' would divide by 0


class Adapting(keras.Model):
    """A language model that Keras trains without its dropout; it keeps what the last batch cost.

    Args:
        network: `LanguageModel`.
        rows: of the batches.
        length: of their windows.
    """

    def __init__(self, network: Any, rows: int, length: int):
        super().__init__()
        self.network = network
        self.nll = self.add_weight(shape=(rows, length), initializer="zeros", trainable=False, dtype="float32")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        loss, nll = self.network.loss_without_dropout(inputs)
        self.add_loss(loss)
        self.nll.assign(nll)
        return nll

    def learn(self, optimizer: keras.optimizers.Optimizer) -> "Adapting":
        """Prepares `train_on_batch`."""
        self.compile(optimizer, jit_compile=False if keras.backend.backend() == "tensorflow" else "auto")
        return self


class SquaredGradients(keras.optimizers.Optimizer):
    """Changes no weight: adds up the squares of the gradients."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0)

    def build(self, variables: Sequence[Any]) -> None:
        if not self.built:
            super().build(variables)
            self.squares = [self.add_variable_from_reference(variable, name="squares") for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        square = self.squares[self._get_variable_index(variable)]
        self.assign_add(square, ops.square(ops.cast(ops.convert_to_tensor(gradient), square.dtype)))

    def root_mean(self) -> list[NDArray]:
        """Root of the mean square of every weight's gradient."""
        steps = max(int(ops.convert_to_numpy(self.iterations)), 1)
        return [np.sqrt(ops.convert_to_numpy(square) / steps) for square in self.squares]


class DynamicSteps(keras.optimizers.Optimizer):
    """Steps of `DynamicSettings`.

    Args:
        scales: root mean squares of the gradients by variable, see `SquaredGradients`; None: plain gradient descent.

    Attributes:
        starts: the trained weights, from which it began.
    """

    def __init__(self, scales: Sequence[NDArray] | None):
        super().__init__(learning_rate=0.0)
        self._given = scales

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self.starts = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
        self._starts = [self._constant(start) for start in self.starts]
        one = np.ones((), "float32")
        scales, self._shares = [one] * len(self.starts), [one] * len(self.starts)
        if self._given is not None:
            mean = sum(float(scale.sum(dtype="float64")) for scale in self._given) / sum(s.size for s in self._given)
            mean = mean or 1.0  # no gradient at all
            scales = [1 / (scale + SMALLEST_SHARE * mean) for scale in self._given]
            self._shares = [scale / mean for scale in self._given]
        self._scales = [self._constant(scale) for scale in scales]
        self._pulls = [self._constant(share) for share in self._shares]

    def _constant(self, value: NDArray) -> Any:
        variable = self.add_variable(value.shape, dtype="float32", name="constant")
        variable.assign(value.copy())  # JAX may take the array itself, and gives its memory away at every step
        return variable

    def begin(self, learning_rate: float | None, decay: float | None) -> None:
        """Back to the trained weights, with other settings; None is 0."""
        for variable, start in zip(self._trainable_variables, self.starts):
            variable.assign(start.copy())
        for pull, share in zip(self._pulls, self._shares):
            pull.assign(np.minimum((decay or 0.0) * share, 1))
        self.learning_rate = learning_rate or 0.0

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        gradient = ops.cast(ops.convert_to_tensor(gradient), "float32") * self._scales[index]
        pull = self._pulls[index] * (self._starts[index] - ops.cast(variable, "float32"))
        self.assign_add(variable, ops.cast(pull - ops.cast(learning_rate, "float32") * gradient, variable.dtype))
