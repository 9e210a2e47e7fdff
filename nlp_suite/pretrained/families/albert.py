"""ALBERT (Lan et al. 2020): narrow embeddings, and blocks whose weights several depths share."""

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from nlp_suite.pretrained.encoder import AuthorsHead, BertLike
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class Albert(BertLike):
    """BERT's fields, with the width of the embeddings and the groups of blocks; other names in the blocks."""

    prefix: ClassVar[str] = "albert."
    class_name: ClassVar[str] = "Albert"
    authors_head: ClassVar[AuthorsHead] = AuthorsHead("albert.pooler", "classifier", "tanh")
    special_tokens: ClassVar[tuple[str, str, str, str]] = ("<pad>", "<unk>", "[CLS]", "[SEP]")
    embedding_names: ClassVar[Mapping[str, str]] = {
        **BertLike.embedding_names,
        "projection": "encoder.embedding_hidden_mapping_in",
    }
    block_names: ClassVar[Mapping[str, str]] = {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
        "output": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "expand": "ffn",
        "contract": "ffn_output",
        "norm": "full_layer_layer_norm",
    }

    embedding_size: int = Field(128, ge=1)
    num_hidden_groups: int = Field(1, ge=1)
    inner_group_num: int = Field(1, ge=1)
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = Field(0.0, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.0, ge=0, lt=1)

    @property
    def embedding_features(self) -> int:
        return self.embedding_size

    @property
    def block_order(self) -> list[int]:
        """Every group as often as its share of the depth says, all of its blocks each time."""
        times, inner = self.num_hidden_layers // self.num_hidden_groups, self.inner_group_num
        groups = [group for group in range(self.num_hidden_groups) for _ in range(times)]
        return [group * inner + block for group in groups for block in range(inner)]

    def block_path(self, block: int) -> str:
        group, inner = divmod(block, self.inner_group_num)
        return f"encoder.albert_layer_groups.{group}.albert_layers.{inner}"

    @model_validator(mode="after")
    def _groups_share_the_depth(self) -> Self:
        if self.num_hidden_layers % self.num_hidden_groups:
            raise ValueError(
                f"num_hidden_groups {self.num_hidden_groups} does not divide num_hidden_layers {self.num_hidden_layers}"
            )
        return self
