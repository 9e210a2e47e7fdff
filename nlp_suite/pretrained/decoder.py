"""What a pretrained decoder is: a causal Transformer of pre-norm blocks, such as GPT-2 and Llama."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from nlp_suite.pretrained.architecture import Architecture, UsualFields
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.registry import MODEL_FAMILIES

TABLES = ("tokens", "positions", "head")  # modules whose rows are looked up, or compared with the features
ROPE_KINDS = ("default", "linear", "llama3")


class Decoder(Architecture):
    """A causal Transformer of pre-norm blocks, with a norm behind the last one.

    A subclass has the fields, the properties that tell what they mean, and the names of the weights.

    Attributes:
        outer_names: module of the network that is in no block → what its weights are called.
        norm_kind: `"layer"`, `"rms"`, or `"rms_plus_one"`, whose weights are what a gain has above 1.
        has_gate: whether the hidden layer of the feed-forward network is multiplied by another one.
        scales_embeddings: whether embeddings are multiplied by √D.
    """

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {**Architecture.required, "add_cross_attention": (False,)}
    outer_names: ClassVar[Mapping[str, str]]
    norm_kind: ClassVar[str]
    has_gate: ClassVar[bool]
    scales_embeddings: ClassVar[bool] = False

    tie_word_embeddings: bool = True

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values, each of which several heads of queries share."""
        return self.heads

    @property
    def head_features(self) -> int:
        """Features d of a head."""
        return self.features // self.heads

    @property
    def rotary_frequencies(self) -> list[float] | None:
        """Radians a position of each pair of features of a head; None: positions are a table that is added."""
        return None

    @property
    def embedding_dropout(self) -> float:
        """The rate on the embeddings."""
        return self.dropout_rates[0]

    def names_beside_blocks(self) -> Mapping[str, str]:
        untied = () if self.tie_word_embeddings else ("head",)
        return {key: name for key, name in self.outer_names.items() if key != "head" or key in untied}

    def module_shapes(self) -> dict[str, tuple[int, ...]]:
        wide, hidden = self.features, self.feed_forward
        queries, keys = self.heads * self.head_features, self.key_value_heads * self.head_features
        shapes: dict[str, tuple[int, ...]] = {
            "tokens": (self.vocab_size, wide),
            "positions": (self.positions, wide),
            "norm": (wide,),
            "head": (self.vocab_size, wide),
        }
        of_block: dict[str, tuple[int, ...]] = {
            "attention_norm": (wide,),
            "query": (queries, wide),
            "key": (keys, wide),
            "value": (keys, wide),
            "output": (wide, queries),
            "norm": (wide,),
            "gate": (hidden, wide),
            "expand": (hidden, wide),
            "contract": (wide, hidden),
        }
        shapes |= {f"block {block} {key}": shape for block in set(self.block_order) for key, shape in of_block.items()}
        return {name: shape for name, shape in shapes.items() if name in self.module_names()}

    def weight_kinds(self, module: str) -> tuple[str, ...]:
        name = module.rsplit(" ", 1)[-1]
        has_bias = self.norm_kind == "layer" if name.endswith("norm") else name not in TABLES and self.has_bias(name)
        return ("weight", "bias") if has_bias else ("weight",)

    def has_bias(self, name: str) -> bool:
        """Whether a kernel of a block, such as `query`, has a bias beside it."""
        return False

    def as_here(self, module: str, array: np.ndarray) -> np.ndarray:
        return array if module in TABLES else array.T  # Keras has kernels the other way round

    @model_validator(mode="after")
    def _heads_share(self) -> Self:
        if self.heads % self.key_value_heads:
            raise ValueError(f"{self.key_value_heads} heads of keys and values do not divide {self.heads} heads")
        return self


def is_decoder(folder: PretrainedFolder) -> bool:
    """Whether a folder holds a causal model of a family that is known."""
    name = folder.model_type.replace("-", "_")
    return name in MODEL_FAMILIES.names() and issubclass(MODEL_FAMILIES.get(name), Decoder)


class LlamaLike(UsualFields, Decoder):
    """The fields and names of Llama, which Qwen2 and Gemma have, too: rotary positions, RMS norms, a gate."""

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {**Decoder.required, "partial_rotary_factor": (None, 1, 1.0)}
    prefix: ClassVar[str] = "model."
    outer_names: ClassVar[Mapping[str, str]] = {"tokens": "embed_tokens", "norm": "norm", "head": "lm_head"}
    block_names: ClassVar[Mapping[str, str]] = {
        "attention_norm": "input_layernorm",
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "output": "self_attn.o_proj",
        "norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "expand": "mlp.up_proj",
        "contract": "mlp.down_proj",
    }
    norm_kind: ClassVar[str] = "rms"
    has_gate: ClassVar[bool] = True

    num_key_value_heads: int | None = Field(None, ge=1)
    head_dim: int | None = Field(None, ge=2)
    max_position_embeddings: int = Field(2048, ge=1)
    hidden_act: str = "silu"
    rms_norm_eps: float = Field(1e-6, gt=0)
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    tie_word_embeddings: bool = False
    rope_theta: float = Field(10_000.0, gt=0)
    rope_scaling: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_spelling_of_rotation(cls, values: Any) -> Any:
        """`rope_parameters`, as config.json has it since transformers 5, in the fields that it had before."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if given := values.pop("rope_parameters", None):
            scaling = dict(given)
            theta = scaling.pop("rope_theta", None)
            if theta is not None:
                values["rope_theta"] = theta
            values["rope_scaling"] = scaling
        if _rope_kind_of(values.get("rope_scaling")) == "default":
            values["rope_scaling"] = None
        return values

    @model_validator(mode="before")
    @classmethod
    def _numbers_in_place_of_none(cls, values: Any) -> Any:
        """What is left out as the number that it means, so that equal networks have equal settings."""
        heads, width = (
            (values.get(key) for key in ("num_attention_heads", "hidden_size")) if isinstance(values, dict) else (0, 0)
        )
        if not isinstance(heads, int) or not isinstance(width, int) or heads < 1:
            return values
        values = dict(values)
        if values.get("num_key_value_heads") is None:
            values["num_key_value_heads"] = heads
        if values.get("head_dim", cls.model_fields["head_dim"].default) is None:
            values["head_dim"] = width // heads
        return values

    @classmethod
    def fields(cls) -> list[str]:
        return [*super().fields(), "rope_parameters"]

    @model_validator(mode="after")
    def _rotation_is_known(self) -> Self:
        scaling = self.rope_scaling or {}
        kind = self._rope_kind
        if kind not in ROPE_KINDS:
            raise ValueError(
                f"rope_scaling of the kind {kind!r} is not computed here (allowed: {', '.join(ROPE_KINDS)})"
            )
        if scaling.get("partial_rotary_factor", 1) != 1:
            raise ValueError(f"partial_rotary_factor is {scaling['partial_rotary_factor']}, where 1 is computed here")
        wanted = {"linear": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor")}.get(kind, ())
        if missing := [key for key in wanted if not isinstance(scaling.get(key), int | float) or scaling[key] <= 0]:
            raise ValueError(f"rope_scaling of the kind {kind} needs {' and '.join(missing)}, above 0")
        if kind == "llama3" and scaling["high_freq_factor"] <= scaling["low_freq_factor"]:
            raise ValueError("rope_scaling: high_freq_factor must be above low_freq_factor")
        if self.head_features % 2:
            raise ValueError(f"rotary positions need heads of an even number of features, got {self.head_features}")
        return self

    @property
    def key_value_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_features(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def epsilon(self) -> float:
        return self.rms_norm_eps

    @property
    def dropout_rates(self) -> tuple[float, float]:
        return 0.0, self.attention_dropout

    @property
    def positions(self) -> int:
        return self.max_position_embeddings

    def block_path(self, block: int) -> str:
        return f"layers.{block}"

    @property
    def _rope_kind(self) -> str:
        return _rope_kind_of(self.rope_scaling)

    @property
    def rotary_frequencies(self) -> list[float]:
        """θ^(−2i/d), stretched as `rope_scaling` says: all alike, or (Llama 3.1) the slow ones."""
        size, scaling = self.head_features, self.rope_scaling or {}
        frequencies = [self.rope_theta ** (-2 * i / size) for i in range(size // 2)]
        if self._rope_kind == "default":
            return frequencies
        factor = scaling["factor"]
        if self._rope_kind == "linear":
            return [frequency / factor for frequency in frequencies]
        length = scaling.get("original_max_position_embeddings", self.max_position_embeddings)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]

        def stretched(frequency: float) -> Any:
            turns = length * frequency / (2 * math.pi)  # within the length that the model was first trained on
            kept = min(1.0, max(0.0, (turns - low) / (high - low)))
            return (1 - kept) * frequency / factor + kept * frequency

        return [stretched(frequency) for frequency in frequencies]


def _rope_kind_of(scaling: Any) -> str:
    """How rotations are stretched; `"default"`: not at all."""
    return str(scaling.get("rope_type", scaling.get("type", "default"))) if isinstance(scaling, dict) else "default"
