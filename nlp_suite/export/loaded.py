"""The signatures of an exported SavedModel as Python functions; needs TensorFlow and TF Text, not Keras."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.config import Experiment, load_recorded
from nlp_suite.errors import ExportError
from nlp_suite.export.staging import check_version
from nlp_suite.native_output import suppress_native_log


class LoadedSignatures:
    """An opened SavedModel.

    Args:
        path: folder with `saved_model.pb`.

    Raises:
        ExportError: it cannot be loaded, or needs ops that are not here.
        DamagedFileError: a file is missing or damaged.
    """

    def __init__(self, path: str | Path):
        check_version(Path(path))
        with suppress_native_log():
            import tensorflow as tf
            import tensorflow_text  # noqa: F401  its ops stand in the graph

        logger = logging.getLogger("absl")
        level = logger.level
        logger.setLevel("ERROR")  # it warns that the graph cannot be trained, which nobody asked for
        try:
            with suppress_native_log():  # SentencePiece's op says that the model normalises nothing
                self._loaded = tf.saved_model.load(str(path))  # kept alive with its tables
        except (tf.errors.OpError, OSError, ValueError, RuntimeError, LookupError) as error:
            raise ExportError(f"{str(path)!r} is no SavedModel that can be loaded: {error}") from None
        finally:
            logger.setLevel(level)
        self._constant = tf.constant
        self.path = path

    def experiment(self) -> Experiment:
        """The resolved config that lies beside the graph."""
        return load_recorded(Path(self.path) / "assets.extra" / "config.yaml")

    def function(self, signature: str) -> Any:
        """A signature as the function that TensorFlow made of it; None of one that does not exist."""
        return self._loaded.signatures.get(signature)

    def module(self) -> Any:
        """All of the loaded model, for a graph that is made of its functions."""
        return self._loaded

    def variables(self) -> list[Any]:
        """The variables that its functions read, each once."""
        found = {
            id(variable): variable for name in self._loaded.signatures for variable in self.function(name).variables
        }
        return list(found.values())

    def inputs(self, signature: str) -> list[str]:
        """Names of a signature's inputs; none of one that does not exist."""
        function = self._loaded.signatures.get(signature)
        return [] if function is None else sorted(function.structured_input_signature[1])

    def outputs(self, signature: str) -> list[str]:
        """Names of a signature's outputs; none of one that does not exist."""
        function = self._loaded.signatures.get(signature)
        return [] if function is None else sorted(function.structured_outputs)

    def output_width(self, signature: str, output: str) -> int:
        """The last size of an output, which does not depend on the inputs."""
        return int(self._loaded.signatures[signature].structured_outputs[output].shape[-1])

    def __call__(self, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        """The answer of a signature; inputs are arrays or lists, strings as bytes."""
        function = self._loaded.signatures[signature]
        return {k: v.numpy() for k, v in function(**{k: self._constant(v) for k, v in inputs.items()}).items()}
