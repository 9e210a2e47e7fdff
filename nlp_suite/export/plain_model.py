"""A network, or a part of one, as a functional model of stock Keras layers and `keras.ops` only."""

from collections.abc import Sequence
from typing import Any

from nlp_suite.errors import ExportError
from nlp_suite.export.parts import Part, network_part


def plain_model(model: Any, part: Part | None = None, named: bool = False) -> Any:
    """A functional model of stock Keras layers and operations with the weights of `model`.

    Args:
        model: built.
        part: what of it; default: token ids int32 `[B, T]` → what it computes.
        named: whether one input or one output is a dict, too.

    Returns:
        A model of one tensor, or of a dict of them where the part has several inputs; the same of its outputs.

    Raises:
        ExportError: naming the layers or operations that stock Keras lacks.
    """
    import keras

    part = part or network_part(model)
    weighted = [layer for layer in model._flatten_layers() if _own_weights(layer)]
    if weighted:
        names = _names(weighted)
        raise ExportError(f"stock Keras cannot express {names}: its weights lie in no stock Keras layer")
    inputs = {name: keras.Input(sizes, dtype=dtype, name=name) for name, (sizes, dtype) in part.inputs.items()}
    try:
        outputs = part.call(inputs)
        ends = [each if named or len(each) > 1 else next(iter(each.values())) for each in (inputs, outputs)]
        plain = keras.Model(*ends, name=model.name if not part.name else f"{model.name}_{part.name}")
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise ExportError(f"{type(model).__name__} cannot be written with stock Keras layers: {error}") from error
    foreign = [part for part in [*plain.operations, *plain._flatten_layers()] if not _is_stock(part)]
    if foreign:
        raise ExportError(f"stock Keras cannot express {_names(foreign)}")
    return plain


def _own_weights(layer: Any) -> bool:
    return bool(not _is_stock(layer) and layer._trainable_variables and not getattr(layer, "has_stock_form", False))


def _is_stock(part: Any) -> bool:
    return type(part).__module__.split(".")[0] == "keras"


def _names(parts: Sequence[Any]) -> str:
    return ", ".join(sorted({f"{type(part).__name__} (layer {part.name!r})" for part in parts}))
