"""NT-ASGD (Merity et al. 2018): weights averaged over all steps since the monitored metric stopped getting better."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from nlp_suite.training.callbacks import Logs, better
from nlp_suite.training.optimizer_mixin import OptimizerMixin


class AveragedIterates(OptimizerMixin):
    """Mixin before a Keras optimiser class: the moving average that `use_ema=True` keeps becomes an arithmetic mean.

    Until `start_average` the average equals the weights. From then on it is (w_T + w_{T+1} + … + w_t) / (t − T + 1), w_T
    being the weights at the start and every update, not every accumulated batch, counting once (Polyak & Juditsky 1992).

    Attributes:
        averaged: variable, the number of weights in the mean, 0 before the start; one of the optimiser's variables, so
            that it lies in the training state.
    """

    def build(self, variables: Sequence[Any]) -> None:
        if not self.built:
            super().build(variables)
            self.averaged = self.add_variable(
                (), "zeros", dtype="int", aggregation="only_first_replica", name="averaged"
            )

    def start_average(self) -> None:
        """Begins the mean with the weights as they are."""
        self.copy_weights()
        self.averaged.assign(1)

    def copy_weights(self) -> None:
        """Makes the average equal to the weights."""
        for variable, average in zip(self._trainable_variables, self._model_variables_moving_average):
            average.assign(ops.copy(variable.value))  # JAX wants no buffer to be two variables'

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[Any]) -> None:
        steps = self.gradient_accumulation_steps or 1
        updated = ops.equal((self._iterations + 1) % steps, 0)
        started = ops.greater(self.averaged, 0)
        share = ops.cast(updated, "float32") / ops.cast(self.averaged + 1, "float32")  # of the new weights in the mean
        share = ops.where(started, share, 1.0)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average):
            new = ops.cast(share, average.dtype)
            average.assign(average * (1 - new) + variable * new)
        self.averaged.assign_add(ops.cast(ops.logical_and(updated, started), self.averaged.dtype))


class StartAverage(keras.callbacks.Callback):
    """Starts the average of an optimiser with `AveragedIterates` by the non-monotonic criterion.

    At the end of a checkpoint interval: once more than `intervals` of them went before it and its value is no better than
    the best of those before the last `intervals` (Merity et al. 2018, Algorithm 1).

    Args:
        intervals: the paper's n.
        monitor: metric; mode: `"min"` or `"max"`.

    Attributes:
        monitored: values of the checkpoint intervals so far, up to the start.
    """

    def __init__(self, intervals: int, monitor: str, mode: str):
        super().__init__()
        self._intervals, self._monitor, self._mode = intervals, monitor, mode
        self.monitored: list[float] = []

    @property
    def _optimizer(self) -> Any:
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    def _started(self) -> bool:
        return int(ops.convert_to_numpy(self._optimizer.averaged)) > 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not self._started():
            self._optimizer.copy_weights()  # a first interval may end before the first update

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self._started():
            return
        value, earlier = float(logs[self._monitor]), self.monitored[: -self._intervals]
        choose = min if self._mode == "min" else max
        if earlier and not better(value, choose(earlier), self._mode):
            self._optimizer.start_average()
        self.monitored = [*self.monitored, value]
