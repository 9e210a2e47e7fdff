"""What a pretrained encoder is: the fields of its config.json that decide its numbers, and the names of its weights."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from nlp_suite.config_base import Settings, in_one_line
from nlp_suite.errors import ConfigError, UnknownNameError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.pretrained.kerashub import huggingface_fields
from nlp_suite.registry import ENCODER_FAMILIES

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


@dataclass(frozen=True)
class AuthorsHead:
    """The classifier of a family's authors: two dense layers over the features of the first token.

    Attributes:
        inner: the full name of the first, `[D, D]`.
        outer: that of the second, `[C, D]`.
        activation: between them.
    """

    inner: str
    outer: str
    activation: Literal["tanh", "relu"]


class Encoder(Settings):
    """A Transformer encoder with learned positions and post-norm blocks, as BERT is; a family says what it calls them.

    The fields are those of the family's config.json that the network needs. What another field would change and the
    network cannot do is refused, see `required`.

    A subclass has the fields, the properties that tell what they mean, and the names of the weights.

    Attributes:
        required: field of config.json → the values of it under which the network has the model's numbers.
        prefix: what the names of weights may begin with, as where a model with a head was saved.
        embedding_names: module of the network below the blocks → what its weights are called.
        block_names: the same of a block, without the block's own name.
        class_name: what the classes of `transformers` begin with.
        authors_head: their classifier.
        special_tokens: what PAD, UNKNOWN, START and END are usually called.

    Example:
        >>> architecture = read_architecture({"model_type": "bert", "hidden_size": 384, …})
        >>> architecture.features, architecture.block_order
        (384, [0, 1, 2, 3, 4, 5])
    """

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "pruned_heads": ({}, None),
        "quantization_config": (None,),
    }
    prefix: ClassVar[str]
    embedding_names: ClassVar[Mapping[str, str]]
    block_names: ClassVar[Mapping[str, str]]
    class_name: ClassVar[str]
    authors_head: ClassVar[AuthorsHead]
    special_tokens: ClassVar[tuple[str, str, str, str]] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")

    model_type: str
    vocab_size: int = Field(ge=1)
    max_position_embeddings: int = Field(ge=1)
    pad_token_id: int = Field(0, ge=0)

    @property
    @abstractmethod
    def features(self) -> int:
        """Features D of a block."""

    @property
    def embedding_features(self) -> int:
        """Features E of the embeddings."""
        return self.features

    @property
    def has_projection(self) -> bool:
        """Whether the embeddings are projected to D features; where E is not D, they are."""
        return "projection" in self.embedding_names

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
        """What layer norms add to the variance."""

    @property
    @abstractmethod
    def dropout_rates(self) -> tuple[float, float]:
        """The rate on features, and that on attention weights."""

    @property
    def segments(self) -> int:
        """Rows of the table of segments; 0: there is none."""
        return 0

    @property
    def skipped_positions(self) -> int:
        """Rows at the beginning of the table of positions that no token uses."""
        return 0

    @property
    def positions(self) -> int:
        """Tokens that a text may have."""
        return self.max_position_embeddings - self.skipped_positions

    @property
    def reads_pairs(self) -> bool:
        """Whether the model was trained on two texts as START text END text_b END."""
        return True

    @property
    @abstractmethod
    def block_order(self) -> list[int]:
        """The block at every depth, from the bottom; a block that several depths share stands there several times."""

    @abstractmethod
    def block_path(self, block: int) -> str:
        """What the names of a block's weights begin with."""

    def module_names(self) -> dict[str, str]:
        """Module of the network (`tokens`, `block 0 query`, …) → what its weights are called, without `prefix`."""
        names = dict(self.embedding_names)
        for block in sorted(set(self.block_order)):
            path = self.block_path(block)
            names |= {f"block {block} {key}": f"{path}.{name}" for key, name in self.block_names.items()}
        return names

    def module_shapes(self) -> dict[str, tuple[int, ...]]:
        """Module of the network → the shape of its `weight`; its `bias`, if it has one, has the first number of it."""
        narrow, wide, hidden = self.embedding_features, self.features, self.feed_forward
        kinds: dict[str, tuple[int, ...]] = {
            "tokens": (self.vocab_size, narrow),
            "positions": (self.max_position_embeddings, narrow),
            "segments": (self.segments, narrow),
            "norm": (narrow,),
            "projection": (wide, narrow),
        }
        of_block: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("query", "key", "value", "output"), (wide, wide)),
            **dict.fromkeys(("attention_norm", "norm"), (wide,)),
            "expand": (hidden, wide),
            "contract": (wide, hidden),
        }
        blocks = {f"block {block} {key}": shape for block in set(self.block_order) for key, shape in of_block.items()}
        return {name: shape for name, shape in {**kinds, **blocks}.items() if name in self.module_names()}

    @model_validator(mode="after")
    def _network_can_be_made(self) -> Self:
        activation = self.feed_forward_activation
        if activation not in ACTIVATIONS:
            raise ValueError(f"the activation {activation!r} is not computed here (allowed: {', '.join(ACTIVATIONS)})")
        if self.features % self.heads:
            raise ValueError(f"{self.heads} attention heads do not divide {self.features} features")
        if self.positions < 2:
            raise ValueError(f"max_position_embeddings {self.max_position_embeddings} leaves no position for a text")
        return self


class BertLike(Encoder):
    """The fields of BERT's config.json, which RoBERTa and ALBERT have, too."""

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **Encoder.required,
        "position_embedding_type": ("absolute",),
    }
    embedding_names: ClassVar[Mapping[str, str]] = {
        "tokens": "embeddings.word_embeddings",
        "positions": "embeddings.position_embeddings",
        "segments": "embeddings.token_type_embeddings",
        "norm": "embeddings.LayerNorm",
    }
    block_names: ClassVar[Mapping[str, str]] = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "expand": "intermediate.dense",
        "contract": "output.dense",
        "norm": "output.LayerNorm",
    }

    hidden_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    hidden_act: str = "gelu"
    layer_norm_eps: float = Field(1e-12, gt=0)
    type_vocab_size: int = Field(2, ge=1)
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)

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
    def epsilon(self) -> float:
        return self.layer_norm_eps

    @property
    def dropout_rates(self) -> tuple[float, float]:
        return self.hidden_dropout_prob, self.attention_probs_dropout_prob

    @property
    def segments(self) -> int:
        return self.type_vocab_size

    @property
    def block_order(self) -> list[int]:
        return list(range(self.num_hidden_layers))

    def block_path(self, block: int) -> str:
        return f"encoder.layer.{block}"


def read_architecture(config: Mapping[str, Any], where: str) -> Encoder:
    """The encoder that a config.json describes.

    Args:
        config: its content, or an architecture that was read before.
        where: what messages begin with.

    Raises:
        ConfigError: a family that is not known, with the list of those that are; fields that are missing or wrong; or
            a network whose numbers would not be those of the model.
    """
    model_type = config.get("model_type")
    try:
        family: type[Encoder] = ENCODER_FAMILIES.get(str(model_type))
    except UnknownNameError as error:
        raise ConfigError(f"{where}: {error}") from None
    for field, right in family.required.items():
        if field in config and config[field] not in right:
            allowed = " or ".join(map(repr, right))
            raise ConfigError(
                f"{where}: {field} is {config[field]!r}, which the network of {model_type} here does not have (allowed: {allowed})"
            )
    fields = {key: value for key, value in config.items() if key in family.model_fields}
    try:
        return family.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{where}: {in_one_line(error)}") from None


def architecture_of(folder: PretrainedFolder) -> Encoder:
    """The encoder of a pretrained model's folder.

    Raises:
        ConfigError: see `read_architecture`.
    """
    where = f"{folder.path}/config.json"
    if folder.layout == "kerashub":
        return read_architecture(huggingface_fields(folder.model_type, folder.config["config"], where), where)
    return read_architecture(folder.config, where)
