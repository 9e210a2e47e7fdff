"""Requests with the answers that are expected: what the self-check compares and the warm-up file is made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One request to one signature.

    Attributes:
        signature: its name.
        inputs: input name → array, or list of bytes; dim 0 is the batch.
        outputs: output name → expected array or list (of lists) of bytes; may leave outputs out.
    """

    signature: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    def rows(self, rows: slice) -> "Case":
        """The case with some rows of its batch only."""
        return Case(
            self.signature,
            {name: value[rows] for name, value in self.inputs.items()},
            {name: value[rows] for name, value in self.outputs.items()},
        )


def tensor_proto(values: Any) -> Any:
    """A TensorProto of an array, or of (nested lists of) bytes."""
    import tensorflow as tf

    return tf.make_tensor_proto(values if isinstance(values, np.ndarray) else np.array(values, dtype=object))
