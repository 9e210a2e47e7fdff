"""State that goes from one batch to the next and is no weight: it is neither saved with the weights nor exported."""

import json

import keras
from keras import ops


class CarriedState(keras.layers.Layer):
    """A tree of tensors that a network hands to itself in the next call (truncated back-propagation through time).

    Its variables are in `model.variables` (so Keras's trainers thread them through, and a training state keeps them)
    but not in `model.weights`: files of weights and exports know nothing of it.

    It is empty until `allocate` is called, which needs the batch size.
    """

    def __init__(self, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self._values, self._structure = [], None
        self.built = True

    def allocate(self, state) -> None:
        """Makes room for a state, zero at first.

        Args:
            state: a tree of tensors with the batch in dim 0, as of a backbone's `initial_state`.
        """
        self._values = [
            self.add_weight(shape=leaf.shape, initializer="zeros", dtype=leaf.dtype, trainable=False, name=f"state_{i}")
            for i, leaf in enumerate(keras.tree.flatten(state))
        ]
        self._structure = state_structure(state)

    def fits(self, rows) -> bool:
        """Whether a batch of so many rows (`None`: unknown) can go on from it."""
        return bool(self._values) and rows in (None, self._values[0].shape[0])

    @property
    def weights(self):
        return []

    @property
    def non_trainable_weights(self):
        return []

    def save_own_variables(self, store):
        """Nothing is saved."""

    def load_own_variables(self, store):
        """Nothing is loaded."""

    def read(self, reset):
        """The state, zero for rows where `reset` bool `[B]` is true."""
        values = []
        for value in self._values:
            starts = ops.reshape(reset, (-1, *([1] * (len(value.shape) - 1))))
            values.append(ops.where(starts, ops.zeros_like(value.value), value.value))
        return keras.tree.pack_sequence_as(json.loads(self._structure), values)

    def write(self, state):
        """Keeps a state for the next call."""
        for variable, value in zip(self._values, keras.tree.flatten(state)):
            variable.assign(ops.stop_gradient(value))


def state_structure(state) -> str:
    """The shape of a tree of lists and mappings, as JSON (a layer would track a tree that is its attribute)."""
    return json.dumps(keras.tree.map_structure(lambda leaf: 0, state))
