"""What a pretrained network is: the fields of its config.json that decide its numbers, and the names of its weights."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from nlp_suite.config_base import Settings, in_one_line
from nlp_suite.errors import ConfigError, UnknownNameError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.pretrained.kerashub import huggingface_fields
from nlp_suite.registry import MODEL_FAMILIES

ACTIVATIONS = {  # as config.json calls them → Keras's name, or `gelu_tanh`: GELU by a hyperbolic tangent
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


ENCODER_DECODERS = ("mbart", "t5", "mt5", "marian", "m2m_100", "pegasus")  # some config.json do not say so


class Architecture(Settings):
    """A pretrained Transformer: an `Encoder` or a `Decoder`; a family says what it calls its fields and weights.

    The fields are those of the family's config.json that the network needs. What another field would change and the
    network cannot do is refused, see `required`.

    Attributes:
        required: field of config.json → the values of it under which the network has the model's numbers.
        prefix: what the names of weights may begin with, as where a model with a head was saved.
        block_names: module of a block → what its weights are called, without the block's own name.
        output_axis: the axis of a kernel in the file that a bias beside it has.

    Example:
        >>> architecture = read_architecture({"model_type": "bert", "hidden_size": 384, …}, "config.json")
        >>> architecture.features, architecture.block_order
        (384, [0, 1, 2, 3, 4, 5])
    """

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {"quantization_config": (None,)}
    prefix: ClassVar[str]
    block_names: ClassVar[Mapping[str, str]]
    output_axis: ClassVar[int] = 0

    model_type: str
    vocab_size: int = Field(ge=1)

    @classmethod
    def fields(cls) -> list[str]:
        """The fields of config.json that are read."""
        return list(cls.model_fields)

    @property
    @abstractmethod
    def features(self) -> int:
        """Features D of a block."""

    @property
    def embedding_features(self) -> int:
        """Features E of the embeddings."""
        return self.features

    @property
    @abstractmethod
    def heads(self) -> int:
        """Attention heads."""

    @property
    @abstractmethod
    def feed_forward(self) -> int:
        """Units of the hidden layer of a block's feed-forward network."""

    @property
    @abstractmethod
    def feed_forward_activation(self) -> str:
        """The activation of the feed-forward network, one of `ACTIVATIONS`."""

    @property
    @abstractmethod
    def epsilon(self) -> float:
        """What norms add to the variance."""

    @property
    @abstractmethod
    def dropout_rates(self) -> tuple[float, float]:
        """The rate on features, and that on attention weights."""

    @property
    @abstractmethod
    def positions(self) -> int:
        """Tokens that a text may have."""

    @property
    def reads_pairs(self) -> bool:
        """Whether it may read two texts as START text END text_b END."""
        return True

    @property
    @abstractmethod
    def block_order(self) -> list[int]:
        """The block at every depth, from the bottom; a block that several depths share stands there several times."""

    @abstractmethod
    def block_path(self, block: int) -> str:
        """What the names of a block's weights begin with."""

    @abstractmethod
    def names_beside_blocks(self) -> Mapping[str, str]:
        """Module of the network that is in no block → what its weights are called."""

    def module_names(self) -> dict[str, str]:
        """Module of the network (`tokens`, `block 0 query`, …) → what its weights are called, without `prefix`."""
        names = dict(self.names_beside_blocks())
        for block in sorted(set(self.block_order)):
            path = self.block_path(block)
            names |= {f"block {block} {key}": f"{path}.{name}" for key, name in self.block_names.items()}
        return names

    @abstractmethod
    def module_shapes(self) -> dict[str, tuple[int, ...]]:
        """Module of the network → the shape of its `weight` in the file."""

    @abstractmethod
    def weight_kinds(self, module: str) -> tuple[str, ...]:
        """What a module has: `weight`, or `weight` and `bias`."""

    @abstractmethod
    def as_here(self, module: str, array: np.ndarray) -> np.ndarray:
        """A tensor of the file, a weight or a bias, as the module of the network has it."""

    @model_validator(mode="after")
    def _network_can_be_made(self) -> Self:
        activation = self.feed_forward_activation
        if activation not in ACTIVATIONS:
            raise ValueError(f"the activation {activation!r} is not computed here (allowed: {', '.join(ACTIVATIONS)})")
        if self.positions < 2:
            raise ValueError(f"{self.positions} positions are too few for a text")
        return self


class UsualFields(Architecture):
    """The sizes of a network by the names that most families give them in config.json."""

    hidden_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    hidden_act: str

    @property
    def features(self) -> int:
        return self.hidden_size

    @property
    def heads(self) -> int:
        return self.num_attention_heads

    @property
    def feed_forward(self) -> int:
        return self.intermediate_size

    @property
    def feed_forward_activation(self) -> str:
        return self.hidden_act

    @property
    def block_order(self) -> list[int]:
        return list(range(self.num_hidden_layers))


def read_architecture(config: Mapping[str, Any], where: str) -> Architecture:
    """The network that a config.json describes.

    Args:
        config: its content, or an architecture that was read before.
        where: what messages begin with.

    Raises:
        ConfigError: a family that is not known, with the list of those that are; fields that are missing or wrong; or
            a network whose numbers would not be those of the model.
    """
    model_type = config.get("model_type")
    known = model_type in MODEL_FAMILIES.names()
    if model_type in ENCODER_DECODERS or (config.get("is_encoder_decoder") and not known):
        raise ConfigError(
            f"{where}: {model_type} is an encoder with a decoder of its own, of which only bart is known; a backbone preset is one of "
            f"{', '.join(MODEL_FAMILIES.names())}"
        )
    try:
        family: type[Architecture] = MODEL_FAMILIES.get(str(model_type))
    except UnknownNameError as error:
        raise ConfigError(f"{where}: {error}") from None
    for field, right in family.required.items():
        if field in config and config[field] not in right:
            allowed = " or ".join(map(repr, right))
            raise ConfigError(
                f"{where}: {field} is {config[field]!r}, which the network of {model_type} here does not have (allowed: {allowed})"
            )
    fields = {key: value for key, value in config.items() if key in family.fields()}
    try:
        return family.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{where}: {in_one_line(error)}") from None


def architecture_of(folder: PretrainedFolder) -> Architecture:
    """The network of a pretrained model's folder.

    Raises:
        ConfigError: see `read_architecture`.
    """
    where = f"{folder.path}/config.json"
    if folder.layout == "kerashub":
        return read_architecture(huggingface_fields(folder.model_type, folder.config["config"], where), where)
    return read_architecture(folder.config, where)
