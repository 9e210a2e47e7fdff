"""Llama (Touvron et al. 2023), and what has its layout, such as SmolLM2."""

from typing import ClassVar

from nlp_suite.pretrained.decoder import LlamaLike
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class Llama(LlamaLike):
    """Llama's fields and names as they are."""

    attention_bias: bool = False
    mlp_bias: bool = False

    _of_attention: ClassVar[tuple[str, ...]] = ("query", "key", "value", "output")

    def has_bias(self, name: str) -> bool:
        return self.attention_bias if name in self._of_attention else self.mlp_bias
