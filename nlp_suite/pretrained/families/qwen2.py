"""Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's blocks with biases on queries, keys and values."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from nlp_suite.pretrained.decoder import LlamaLike
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class Qwen2(LlamaLike):
    """Llama's fields and names; layers that see a window of the newest tokens only are refused."""

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {**LlamaLike.required, "use_sliding_window": (False,)}

    layer_types: list[str] | None = None

    @model_validator(mode="after")
    def _every_layer_sees_all(self) -> Self:
        if strange := set(self.layer_types or ()) - {"full_attention"}:
            raise ValueError(f"layer_types has {', '.join(sorted(strange))}, which is not computed here")
        return self

    def has_bias(self, name: str) -> bool:
        return name in ("query", "key", "value")
