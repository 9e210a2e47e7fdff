"""Adam in one operation a variable: TensorFlow's own fused kernel under Keras's optimiser."""

from typing import Any

import keras

from nlp_suite.training.optimizer_mixin import OptimizerMixin


class FusedAdam(OptimizerMixin):
    """Mixin for `keras.optimizers.Adam` and `AdamW`: the same update by one kernel instead of a dozen on TensorFlow.

    Keras writes Adam (Kingma & Ba 2015) as a dozen operations, each of which reads and writes arrays as large as the
    variable; that is bound by memory, not by arithmetic. `ResourceApplyAdam` goes through them once. The result differs
    by rounding only. What the kernel is not for stays Keras's: other backends, AMSGrad, sparse gradients, variables that
    are not float32.

    Example:
        >>> fused(keras.optimizers.Adam)(learning_rate=1e-3)
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable; see Keras."""
        from tensorflow import IndexedSlices

        if self.amsgrad or isinstance(gradient, IndexedSlices) or variable.dtype != "float32":
            super().update_step(gradient, variable, learning_rate)
            return
        from tensorflow import cast, float32, raw_ops

        index = self._get_variable_index(variable)
        step = cast(self.iterations + 1, float32)
        raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=cast(learning_rate, float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=cast(gradient, float32),
            use_locking=False,
        )


def _handle(variable: Any) -> Any:
    """TensorFlow's resource of a variable, Keras's or its own."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def can_be_fused(optimizer: type[Any]) -> bool:
    """Whether `FusedAdam` is for an optimiser class, on the backend that Keras runs on."""
    return keras.backend.backend() == "tensorflow" and optimizer in (keras.optimizers.Adam, keras.optimizers.AdamW)


def fused(optimizer: type[Any]) -> type[Any]:
    """The optimiser class with the fused kernel, or as it is where there is none for it."""
    return (
        type(optimizer.__name__, (FusedAdam, optimizer), {"__module__": __name__})
        if can_be_fused(optimizer)
        else optimizer
    )
