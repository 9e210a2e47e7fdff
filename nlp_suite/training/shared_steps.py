"""Steps of training and of validation that several devices of one process share, on TensorFlow.

The variables lie on the first device, as those of a training on one device do, and so does all that reads or writes them.
In a step each device gets a copy of them and its rows of the batch, and computes outputs and, afterwards, gradients; the first
one computes the loss of all outputs, sums the gradients and calls the optimiser once. So clipping, accumulation, averages and
metrics see what they see on one device, and the state of a training belongs to no number of devices.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from nlp_suite.layers.batch_share import share
from nlp_suite.layers.carried_state import CarriedState


def share_steps(model: Any, devices: Sequence[str]) -> None:
    """Gives a compiled model such steps.

    What the model adds to the loss (`add_loss`) is summed over the devices, see `Task.loss`.

    Args:
        model: whose trainer is TensorFlow's; it calls the steps with `(inputs, targets, weights)`, whose rows the devices can share
            equally.
        devices: names of TensorFlow's devices.

    Example:
        >>> share_steps(model, ["gpu:0", "gpu:1"])
    """
    steps = _SharedSteps(model, devices)
    model.train_step, model.test_step = steps.train, steps.test


class _SharedSteps:
    def __init__(self, model: Any, devices: Sequence[str]):
        self._model, self._devices = model, devices
        self._carried = {
            id(variable)
            for layer in model._flatten_layers()
            if isinstance(layer, CarriedState)
            for variable in layer.variables
        }

    def train(self, data: Any) -> Any:
        """A step of training; what it returns Keras shows."""
        model, parts = self._model, self._parts(data[0], training=True)
        outputs = [(part.output, part.added) for part in parts]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(keras.tree.flatten(outputs))
            output, loss = self._joined(data, outputs, training=True)
            scaled = model.optimizer.scale_loss(loss)
        upstream = tape.gradient(scaled, outputs)
        gradients = [part.gradients(own) for part, own in zip(parts, upstream)]
        model.optimizer.apply([_sum(of_variable) for of_variable in zip(*gradients)], model.trainable_variables)
        return self._logs(data, output, loss)

    def test(self, data: Any) -> Any:
        """A step of validation."""
        outputs = [(part.output, part.added) for part in self._parts(data[0], training=False)]
        return self._logs(data, *self._joined(data, outputs, training=False))

    def _parts(self, inputs: Any, training: bool) -> list["_Part"]:
        """Calls the model on every device, and gives it the seeds and the carried state that it has then."""
        number = len(self._devices)
        parts = []
        for n, device in enumerate(self._devices):
            own = keras.tree.map_structure(lambda array, n=n: tf.split(array, number)[n], inputs)
            parts.append(_Part(self._model, own, device, (n, number), training))
        for variable in self._model.non_trainable_variables:
            if any(part.changed(variable) for part in parts):
                values = [part.scope.get_current_value(variable) for part in parts]
                if id(variable) in self._carried:
                    variable.assign(tf.concat([tf.split(value, number)[n] for n, value in enumerate(values)], axis=0))
                else:  # a generator of random numbers, which all have used alike
                    variable.assign(values[0])
        return parts

    def _joined(self, data: Any, outputs: Sequence[Any], training: bool) -> tuple[Any, Any]:
        """The model's output for all rows, and the loss."""
        output = keras.tree.map_structure(lambda *own: tf.concat(own, axis=0), *(output for output, _ in outputs))
        loss = tf.add_n([tf.zeros(()), *(tf.cast(loss, tf.float32) for _, added in outputs for loss in added)])
        if self._model._compile_loss is not None:
            inputs, targets, weights = data
            loss += self._model._compute_loss(inputs, targets, output, weights, training=training)
        return output, loss

    def _logs(self, data: Any, output: Any, loss: Any) -> Any:
        inputs, targets, weights = data
        self._model._loss_tracker.update_state(loss, sample_weight=tf.shape(weights)[0])
        return self._model.compute_metrics(inputs, targets, output, sample_weight=weights)


class _Part:
    """What one device computes: `output`, the losses `added`, and in `scope` the variables as they are afterwards."""

    def __init__(self, model: Any, inputs: Any, device: str, part: tuple[int, int], training: bool):
        self._device = device
        with tf.device(device), tf.GradientTape(watch_accessed_variables=False) as self._tape:
            self._given = {id(variable): tf.identity(variable.value) for variable in model.variables}
            self._trained = [self._given[id(variable)] for variable in model.trainable_variables]
            if training:
                self._tape.watch(self._trained)
            mapping = [(variable, self._given[id(variable)]) for variable in model.variables]
            with share(*part), keras.StatelessScope(mapping, collect_losses=True) as self.scope:
                self.output = model(inputs, training=training)
                self.added = list(model.losses)

    def changed(self, variable: Any) -> bool:
        return self.scope.get_current_value(variable) is not self._given[id(variable)]

    def gradients(self, upstream: Any) -> list[Any]:
        """Those of the trained variables, None where there is none, from those of output and added losses."""
        pairs = zip(*map(keras.tree.flatten, ((self.output, self.added), upstream)))
        values, given = zip(*((value, gradient) for value, gradient in pairs if gradient is not None))
        with tf.device(self._device):
            found: list[Any] = self._tape.gradient(values, self._trained, given)
            return found


def _sum(gradients: Sequence[Any]) -> Any:
    """The sum of the devices' gradients of a variable, sparse if all of them are."""
    found = [gradient for gradient in gradients if gradient is not None]
    if not found:
        return None
    if all(isinstance(gradient, tf.IndexedSlices) for gradient in found):
        values, indices = (tf.concat(parts, axis=0) for parts in zip(*((g.values, g.indices) for g in found)))
        return tf.IndexedSlices(values, indices, found[0].dense_shape)
    return tf.add_n([tf.convert_to_tensor(gradient) for gradient in found])
