"""BART (Lewis et al. 2020): an encoder as RoBERTa's, and a decoder of its own that attends to it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from nlp_suite.pretrained.encoder import AuthorsHead, Encoder
from nlp_suite.registry import MODEL_FAMILIES

OFFSET = 2  # rows at the beginning of both tables of positions that no token uses, beside those of config.json
_BLOCK = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "expand": "fc1",
    "contract": "fc2",
    "norm": "final_layer_norm",
}
_CROSS = {
    "cross query": "encoder_attn.q_proj",
    "cross key": "encoder_attn.k_proj",
    "cross value": "encoder_attn.v_proj",
    "cross output": "encoder_attn.out_proj",
    "cross norm": "encoder_attn_layer_norm",
}


@MODEL_FAMILIES.register()
class Bart(Encoder):
    """The whole model's fields; the properties are those of its encoder."""

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **Encoder.required,
        "scale_embedding": (False, None),
        "normalize_before": (False, None),  # mBART's
        "static_position_embeddings": (False, None),  # Marian's
        "tie_word_embeddings": (True, None),
    }
    prefix: ClassVar[str] = "model."
    class_name: ClassVar[str] = "Bart"
    # It reads the decoder's last token, so that no classifier over the encoder is written with it.
    authors_head: ClassVar[AuthorsHead] = AuthorsHead(
        "classification_head.dense", "classification_head.out_proj", "tanh"
    )
    embedding_names: ClassVar[Mapping[str, str]] = {
        "tokens": "shared",
        "positions": "encoder.embed_positions",
        "norm": "encoder.layernorm_embedding",
    }
    block_names: ClassVar[Mapping[str, str]] = _BLOCK
    special_tokens: ClassVar[tuple[str, str, str, str]] = ("<pad>", "<unk>", "<s>", "</s>")

    d_model: int = Field(1024, ge=1)
    encoder_layers: int = Field(12, ge=1)
    decoder_layers: int = Field(12, ge=1)
    encoder_attention_heads: int = Field(16, ge=1)
    decoder_attention_heads: int = Field(16, ge=1)
    encoder_ffn_dim: int = Field(4096, ge=1)
    decoder_ffn_dim: int = Field(4096, ge=1)
    activation_function: str = "gelu"
    dropout: float = Field(0.1, ge=0, lt=1)
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    activation_dropout: float = Field(0.0, ge=0, lt=1)
    pad_token_id: int = Field(1, ge=0)
    bos_token_id: int = Field(0, ge=0)
    eos_token_id: int = Field(2, ge=0)
    decoder_start_token_id: int = Field(2, ge=0)

    @property
    def features(self) -> int:
        return self.d_model

    @property
    def heads(self) -> int:
        return self.encoder_attention_heads

    @property
    def feed_forward(self) -> int:
        return self.encoder_ffn_dim

    @property
    def feed_forward_activation(self) -> str:
        return self.activation_function

    @property
    def epsilon(self) -> float:
        return 1e-5  # that of PyTorch's layer norm, whatever config.json says

    @property
    def dropout_rates(self) -> tuple[float, float]:
        return self.dropout, self.attention_dropout

    @property
    def reads_pairs(self) -> bool:
        return False

    @property
    def skipped_positions(self) -> int:
        return OFFSET

    @property
    def positions(self) -> int:
        return self.max_position_embeddings

    @property
    def block_order(self) -> list[int]:
        return list(range(self.encoder_layers))

    def block_path(self, block: int) -> str:
        return f"encoder.layers.{block}"

    def module_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super().module_shapes()
        return {**shapes, "positions": (self.max_position_embeddings + OFFSET, self.d_model)}

    def decoder(self) -> "BartDecoder":
        """The other half."""
        return BartDecoder(self)

    @model_validator(mode="after")
    def _begins_with_the_end(self) -> Self:
        if self.decoder_start_token_id != self.eos_token_id:
            raise ValueError(
                f"decoder_start_token_id {self.decoder_start_token_id} is not eos_token_id {self.eos_token_id}, and only such "
                "decoders are computed here"
            )
        if self.d_model % self.decoder_attention_heads:
            raise ValueError(f"{self.decoder_attention_heads} attention heads do not divide {self.d_model} features")
        return self


class BartDecoder:
    """The names, shapes and values of a decoder's weights, as `find_weights` asks for them.

    Args:
        whole: the whole model.
    """

    prefix = "model."
    output_axis = 0

    def __init__(self, whole: Bart):
        self.whole, self.model_type = whole, whole.model_type

    def module_names(self) -> dict[str, str]:
        """Module → what its weights are called, see `Architecture.module_names`."""
        names = {"positions": "decoder.embed_positions", "norm": "decoder.layernorm_embedding"}
        for block in range(self.whole.decoder_layers):
            names |= {
                f"block {block} {key}": f"decoder.layers.{block}.{name}" for key, name in (_BLOCK | _CROSS).items()
            }
        return names

    def module_shapes(self) -> dict[str, tuple[int, ...]]:
        """Module → the shape of its `weight` in the file."""
        wide, hidden = self.whole.d_model, self.whole.decoder_ffn_dim
        shapes = {"positions": (self.whole.max_position_embeddings + OFFSET, wide), "norm": (wide,)}
        for block in range(self.whole.decoder_layers):
            for key in _BLOCK | _CROSS:
                shape = (wide,) if key.endswith("norm") else (wide, wide)
                shapes[f"block {block} {key}"] = {"expand": (hidden, wide), "contract": (wide, hidden)}.get(key, shape)
        return shapes

    def weight_kinds(self, module: str) -> tuple[str, ...]:
        """What a module has: `weight`, or `weight` and `bias`."""
        return ("weight",) if module == "positions" else ("weight", "bias")

    def as_here(self, module: str, array: np.ndarray) -> np.ndarray:
        """A tensor of the file as the network has it."""
        return array[OFFSET:] if module == "positions" else array.T
