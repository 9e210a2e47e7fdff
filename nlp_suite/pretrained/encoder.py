"""What a pretrained encoder is: BERT and what is built like it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from nlp_suite.pretrained.architecture import Architecture, UsualFields

TABLES = ("tokens", "positions", "segments")  # modules without a bias


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


class Encoder(Architecture):
    """A Transformer encoder with learned positions and post-norm blocks, as BERT is.

    A subclass has the fields, the properties that tell what they mean, and the names of the weights.

    Attributes:
        embedding_names: module of the network below the blocks → what its weights are called.
        class_name: what the classes of `transformers` begin with.
        authors_head: their classifier.
        special_tokens: what PAD, UNKNOWN, START and END are usually called.
    """

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **Architecture.required,
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "pruned_heads": ({}, None),
    }
    embedding_names: ClassVar[Mapping[str, str]]
    class_name: ClassVar[str]
    authors_head: ClassVar[AuthorsHead]
    special_tokens: ClassVar[tuple[str, str, str, str]] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")

    max_position_embeddings: int = Field(ge=1)
    pad_token_id: int = Field(0, ge=0)

    @property
    def has_projection(self) -> bool:
        """Whether the embeddings are projected to D features; where E is not D, they are."""
        return "projection" in self.embedding_names

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
        return self.max_position_embeddings - self.skipped_positions

    def names_beside_blocks(self) -> Mapping[str, str]:
        return self.embedding_names

    def module_shapes(self) -> dict[str, tuple[int, ...]]:
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

    def weight_kinds(self, module: str) -> tuple[str, ...]:
        return ("weight",) if module in TABLES else ("weight", "bias")

    def as_here(self, module: str, array: np.ndarray) -> np.ndarray:
        if module == "positions":
            return array[self.skipped_positions :]
        return array if module in TABLES else array.T  # Keras has kernels the other way round

    @model_validator(mode="after")
    def _heads_divide_the_features(self) -> Self:
        if self.features % self.heads:
            raise ValueError(f"{self.heads} attention heads do not divide {self.features} features")
        return self


class BertLike(UsualFields, Encoder):
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

    hidden_act: str = "gelu"
    layer_norm_eps: float = Field(1e-12, gt=0)
    type_vocab_size: int = Field(2, ge=1)
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)

    @property
    def epsilon(self) -> float:
        return self.layer_norm_eps

    @property
    def dropout_rates(self) -> tuple[float, float]:
        return self.hidden_dropout_prob, self.attention_probs_dropout_prob

    @property
    def segments(self) -> int:
        return self.type_vocab_size

    def block_path(self, block: int) -> str:
        return f"encoder.layer.{block}"
