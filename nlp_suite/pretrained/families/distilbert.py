"""DistilBERT (Sanh et al. 2019): BERT's blocks without segments, under names of its own."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from nlp_suite.pretrained.encoder import AuthorsHead, Encoder
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class DistilBert(Encoder):
    """DistilBERT's fields and names; its epsilon is not in its config.json."""

    prefix: ClassVar[str] = "distilbert."
    class_name: ClassVar[str] = "DistilBert"
    authors_head: ClassVar[AuthorsHead] = AuthorsHead("pre_classifier", "classifier", "relu")
    embedding_names: ClassVar[Mapping[str, str]] = {
        "tokens": "embeddings.word_embeddings",
        "positions": "embeddings.position_embeddings",
        "norm": "embeddings.LayerNorm",
    }
    block_names: ClassVar[Mapping[str, str]] = {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "output": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "expand": "ffn.lin1",
        "contract": "ffn.lin2",
        "norm": "output_layer_norm",
    }

    dim: int = Field(ge=1)
    n_layers: int = Field(ge=1)
    n_heads: int = Field(ge=1)
    hidden_dim: int = Field(ge=1)
    activation: str = "gelu"
    dropout: float = Field(0.1, ge=0, lt=1)
    attention_dropout: float = Field(0.1, ge=0, lt=1)

    @property
    def features(self) -> int:
        return self.dim

    @property
    def heads(self) -> int:
        return self.n_heads

    @property
    def feed_forward(self) -> int:
        return self.hidden_dim

    @property
    def feed_forward_activation(self) -> str:
        return self.activation

    @property
    def epsilon(self) -> float:
        return 1e-12

    @property
    def dropout_rates(self) -> tuple[float, float]:
        return self.dropout, self.attention_dropout

    @property
    def block_order(self) -> list[int]:
        return list(range(self.n_layers))

    def block_path(self, block: int) -> str:
        return f"transformer.layer.{block}"
