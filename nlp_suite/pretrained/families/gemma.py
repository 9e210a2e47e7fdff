"""Gemma (Gemma Team 2024), the first version: Llama's blocks with embeddings times √D, gains above 1, and GELU in the gate."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from nlp_suite.pretrained.decoder import LlamaLike
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class Gemma(LlamaLike):
    """Llama's names; `gelu` means the GELU by a hyperbolic tangent, with which the model was trained."""

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **LlamaLike.required,
        "use_bidirectional_attention": (None, False),
    }
    norm_kind: ClassVar[str] = "rms_plus_one"
    scales_embeddings: ClassVar[bool] = True

    head_dim: int | None = Field(256, ge=2)
    max_position_embeddings: int = Field(8192, ge=1)
    hidden_act: str = "gelu_pytorch_tanh"
    hidden_activation: str | None = None
    attention_bias: bool = False
    tie_word_embeddings: bool = True

    @model_validator(mode="after")
    def _output_is_tied(self) -> Self:
        if not self.tie_word_embeddings:
            raise ValueError("tie_word_embeddings is False, which no Gemma has")
        return self

    @property
    def feed_forward_activation(self) -> str:
        given = self.hidden_activation or self.hidden_act
        return "gelu_pytorch_tanh" if given == "gelu" else given

    def has_bias(self, name: str) -> bool:
        return self.attention_bias and name in ("query", "key", "value", "output")
