"""One .keras file of stock Keras layers and keras.ops only, token ids in and logits out: loads without this package."""

from pathlib import Path
from typing import Any

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import ExporterSettings, ExportResult
from nlp_suite.export.formats.keras_file import KerasFileExporter, write_keras_file
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run


@EXPORTERS.register(ExporterSettings)
class KerasPlainExporter(KerasFileExporter):
    """A functional model: token ids int32 `[B, T]` → logits `[B, C]`, the numbers of the network, padding included.

    Our layers are written out as the stock layers and operations that they are made of; recurrent layers become
    Keras's own. What they cannot express is refused by name. Proved in a process where this package cannot be imported.
    """

    def export(self, run: Run, to: Path) -> ExportResult:
        return write_keras_file(run, to, plain_model, with_package=False)


def plain_model(model: Any) -> Any:
    """A functional model of stock Keras layers and operations with the weights of `model`.

    Args:
        model: built; token ids int32 `[B, T]` → `[B, C]`.

    Raises:
        ExportError: naming the layers or operations that stock Keras lacks.
    """
    import keras

    weighted = [layer for layer in model._flatten_layers() if not _is_stock(layer) and layer._trainable_variables]
    if weighted:
        names = ", ".join(sorted({_describe(layer) for layer in weighted}))
        raise ExportError(f"stock Keras cannot express {names}: its weights lie in no stock Keras layer")
    tokens = keras.Input((None,), dtype="int32", name="tokens")  # [B, T]
    try:
        plain = keras.Model(tokens, model.call(tokens), name=model.name)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise ExportError(f"{type(model).__name__} cannot be written with stock Keras layers: {error}") from error
    foreign = {_describe(part) for part in [*plain.operations, *plain._flatten_layers()] if not _is_stock(part)}
    if foreign:
        raise ExportError(f"stock Keras cannot express {', '.join(sorted(foreign))}")
    return plain


def _is_stock(part: Any) -> bool:
    return type(part).__module__.split(".")[0] == "keras"


def _describe(part: Any) -> str:
    return f"{type(part).__name__} (layer {part.name!r})"
