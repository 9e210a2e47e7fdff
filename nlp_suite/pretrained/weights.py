"""Which tensors of a folder are the weights of an encoder: all of them are there, and as config.json says."""

from collections.abc import Mapping

from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.encoder import Encoder

TABLES = ("tokens", "positions", "segments")  # modules without a bias
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}  # of models saved before 2019


def find_weights(encoder: Encoder, shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[tuple[str, str], str]:
    """The names of an encoder's weights among the tensors of a folder.

    Args:
        encoder: the architecture.
        shapes: the shape of every tensor there.
        where: the folder, for messages.

    Returns:
        Module of the network and `weight` or `bias` → name of the tensor.

    Raises:
        ConfigError: weights are missing, or have another shape than config.json says.
    """
    found: dict[tuple[str, str], str] = {}
    missing, wrong = list[str](), list[str]()
    right = encoder.module_shapes()
    for module, name in encoder.module_names().items():
        for kind in ("weight",) if module in TABLES else ("weight", "bias"):
            shape = right[module] if kind == "weight" else right[module][:1]
            tensor = _present(f"{name}.{kind}", encoder.prefix, shapes)
            if tensor is None:
                missing.append(f"{name}.{kind}")
            elif shapes[tensor] != shape:
                wrong.append(f"{tensor} has {shapes[tensor]}, config.json says {shape}")
            else:
                found[module, kind] = tensor
    if missing:
        raise ConfigError(
            f"{where}: {len(missing)} of {len(missing) + len(wrong) + len(found)} weights of a {encoder.model_type} model are "
            f"missing: {_listed(missing)}"
        )
    if wrong:
        raise ConfigError(f"{where}: weights of other shapes than config.json says: {_listed(wrong)}")
    return found


def _present(name: str, prefix: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The tensor of that name, with or without the prefix, or as it was called earlier."""
    names = [name, *(name.replace(new, old) for new, old in _OLD_NAMES.items() if name.endswith(new))]
    return next((full for one in names for full in (one, prefix + one) if full in shapes), None)


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - 4} more" if len(items) > 4 else ""
    return ", ".join(items[:4]) + more
