"""GPT-2 (Radford et al. 2019): learned positions, layer norms, and queries, keys and values in one matrix."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from nlp_suite.pretrained.decoder import TABLES, Decoder
from nlp_suite.registry import MODEL_FAMILIES

_FUSED = ("query", "key", "value")


@MODEL_FAMILIES.register()
class Gpt2(Decoder):
    """GPT-2's fields and names; its kernels lie as Keras's do."""

    required: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **Decoder.required,
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "tie_word_embeddings": (True,),
    }
    prefix: ClassVar[str] = "transformer."
    outer_names: ClassVar[Mapping[str, str]] = {"tokens": "wte", "positions": "wpe", "norm": "ln_f"}
    block_names: ClassVar[Mapping[str, str]] = {
        "attention_norm": "ln_1",
        **dict.fromkeys(_FUSED, "attn.c_attn"),
        "output": "attn.c_proj",
        "norm": "ln_2",
        "expand": "mlp.c_fc",
        "contract": "mlp.c_proj",
    }
    norm_kind: ClassVar[str] = "layer"
    has_gate: ClassVar[bool] = False
    output_axis: ClassVar[int] = -1

    n_embd: int = Field(ge=1)
    n_layer: int = Field(ge=1)
    n_head: int = Field(ge=1)
    n_inner: int | None = Field(None, ge=1)
    n_positions: int = Field(1024, ge=1)
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = Field(1e-5, gt=0)
    resid_pdrop: float = Field(0.1, ge=0, lt=1)
    embd_pdrop: float = Field(0.1, ge=0, lt=1)
    attn_pdrop: float = Field(0.1, ge=0, lt=1)

    @property
    def features(self) -> int:
        return self.n_embd

    @property
    def heads(self) -> int:
        return self.n_head

    @property
    def feed_forward(self) -> int:
        return self.n_inner or 4 * self.n_embd

    @property
    def feed_forward_activation(self) -> str:
        return self.activation_function

    @property
    def epsilon(self) -> float:
        return self.layer_norm_epsilon

    @property
    def dropout_rates(self) -> tuple[float, float]:
        return self.resid_pdrop, self.attn_pdrop

    @property
    def embedding_dropout(self) -> float:
        return self.embd_pdrop

    @property
    def positions(self) -> int:
        return self.n_positions

    @property
    def block_order(self) -> list[int]:
        return list(range(self.n_layer))

    def block_path(self, block: int) -> str:
        return f"h.{block}"

    def module_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super().module_shapes()
        for module, shape in shapes.items():
            if module not in TABLES:
                fused = module.rsplit(" ", 1)[-1] in _FUSED
                shapes[module] = (self.n_embd, 3 * self.n_embd) if fused else shape[::-1]
        return shapes

    def has_bias(self, name: str) -> bool:
        return True

    def as_here(self, module: str, array: np.ndarray) -> np.ndarray:
        name = module.rsplit(" ", 1)[-1]
        return np.split(array, 3, axis=-1)[_FUSED.index(name)] if name in _FUSED else array
