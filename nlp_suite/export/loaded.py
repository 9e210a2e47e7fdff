"""The signatures of an exported SavedModel as Python functions; needs TensorFlow and TF Text, not Keras."""

import logging

import numpy as np


class LoadedSignatures:
    """An opened SavedModel.

    Args:
        path: folder with `saved_model.pb`.
    """

    def __init__(self, path):
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  its ops stand in the graph

        logger = logging.getLogger("absl")
        level = logger.level
        logger.setLevel("ERROR")  # it warns that the graph cannot be trained, which nobody asked for
        try:
            self._loaded = tf.saved_model.load(str(path))  # kept alive with its tables
        finally:
            logger.setLevel(level)
        self._constant = tf.constant
        self.path = path

    def names(self) -> list[str]:
        """The signatures there are."""
        return sorted(self._loaded.signatures)

    def outputs(self, signature: str) -> list[str]:
        """Names of a signature's outputs; none of one that does not exist."""
        function = self._loaded.signatures.get(signature)
        return [] if function is None else sorted(function.structured_outputs)

    def __call__(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """The answer of a signature; inputs are arrays or lists, strings as bytes."""
        function = self._loaded.signatures[signature]
        return {k: v.numpy() for k, v in function(**{k: self._constant(v) for k, v in inputs.items()}).items()}
