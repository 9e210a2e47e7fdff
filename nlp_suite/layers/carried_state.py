"""State carried from one batch to the next that is not a weight: it is neither saved with the weights nor exported."""

import json

import keras
from keras import ops

from nlp_suite.layers.batch_share import own_rows, with_own_rows


class CarriedState(keras.layers.Layer):
    """A tree of tensors that a network keeps for its next call (truncated back-propagation through time).

    Its variables are in `model.variables` (so Keras's trainers update them, and a training state saves them) but not in
    `model.weights`: weight files and exports do not contain them. There are none until `allocate` is called, as the
    batch size must be known.
    """

    def __init__(self, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self._values, self._structure = [], None
        self.built = True

    def allocate(self, state) -> None:
        """Creates the variables for a state, zero at first.

        Args:
            state: a tree of tensors with the batch in dim 0, such as a backbone's `initial_state`.
        """
        self._values = [
            self.add_weight(shape=leaf.shape, initializer="zeros", dtype=leaf.dtype, trainable=False, name=f"state_{i}")
            for i, leaf in enumerate(keras.tree.flatten(state))
        ]
        self._structure = state_structure(state)

    @property
    def rows(self) -> int:
        """Rows that it is carried by; 0 before it is allocated."""
        return self._values[0].shape[0] if self._values else 0

    def fits(self, rows) -> bool:
        """Whether a batch of so many rows (`None`: unknown) can continue from it."""
        return self.rows > 0 and rows in (None, self.rows)

    @property
    def weights(self):
        return []

    @property
    def non_trainable_weights(self):
        return []

    def save_own_variables(self, store) -> None:
        """Nothing is saved."""

    def load_own_variables(self, store) -> None:
        """Nothing is loaded."""

    def read(self, reset):
        """The state, zero in rows where `reset` bool `[B]` is true."""
        values = []
        for variable in self._values:
            value = own_rows(variable.value)
            in_rows = ops.reshape(reset, (-1, *([1] * (len(value.shape) - 1))))
            values.append(ops.where(in_rows, ops.zeros_like(value), value))
        return keras.tree.pack_sequence_as(json.loads(self._structure), values)

    def write(self, state) -> None:
        """Stores a state for the next call."""
        for variable, value in zip(self._values, keras.tree.flatten(state)):
            variable.assign(with_own_rows(variable.value, ops.stop_gradient(value)))


def state_structure(state) -> str:
    """The structure of a tree of lists and mappings, as JSON (a layer would track a tree that is its attribute)."""
    return json.dumps(keras.tree.map_structure(lambda leaf: 0, state))
