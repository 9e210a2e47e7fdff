"""Which tensors of a folder are the weights of a network: all of them are there, and as config.json says."""

from collections.abc import Collection, Mapping
from typing import Protocol

from nlp_suite.errors import ConfigError

_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}  # of models saved before 2019


class NamedWeights(Protocol):
    """What `find_weights` asks of an architecture, or of a half of one, see `Architecture`."""

    @property
    def model_type(self) -> str:
        """The family."""

    @property
    def prefix(self) -> str:
        """What the names of weights may begin with."""

    @property
    def output_axis(self) -> int:
        """The axis of a kernel in the file that a bias beside it has."""

    def module_names(self) -> dict[str, str]:
        """Module → what its weights are called."""

    def module_shapes(self) -> dict[str, tuple[int, ...]]:
        """Module → the shape of its `weight` in the file."""

    def weight_kinds(self, module: str) -> tuple[str, ...]:
        """What a module has."""


def find_weights(
    architecture: NamedWeights, shapes: Mapping[str, tuple[int, ...]], where: str, without: Collection[str] = ()
) -> dict[tuple[str, str], str]:
    """The names of a network's weights among the tensors of a folder.

    Args:
        architecture: of the network, or of a half of it.
        shapes: the shape of every tensor there.
        where: the folder, for messages.
        without: modules that the network does without.

    Returns:
        Module of the network and `weight` or `bias` → name of the tensor.

    Raises:
        ConfigError: weights are missing, or have another shape than config.json says.
    """
    found: dict[tuple[str, str], str] = {}
    missing, wrong = list[str](), list[str]()
    right = architecture.module_shapes()
    for module, name in architecture.module_names().items():
        for kind in () if module in without else architecture.weight_kinds(module):
            shape = right[module] if kind == "weight" else (right[module][architecture.output_axis],)
            tensor = _present(f"{name}.{kind}", architecture.prefix, shapes)
            if tensor is None:
                missing.append(f"{name}.{kind}")
            elif shapes[tensor] != shape:
                wrong.append(f"{tensor} has {shapes[tensor]}, config.json says {shape}")
            else:
                found[module, kind] = tensor
    if missing:
        raise ConfigError(
            f"{where}: {len(missing)} of {len(missing) + len(wrong) + len(found)} weights of a {architecture.model_type} model are "
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
