"""RoBERTa (Liu et al. 2019): BERT's layers; its table of positions begins with rows that no token uses."""

from typing import ClassVar

from pydantic import Field

from nlp_suite.pretrained.encoder import AuthorsHead, BertLike
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class Roberta(BertLike):
    """Positions count from the row behind that of the padding's id."""

    prefix: ClassVar[str] = "roberta."
    class_name: ClassVar[str] = "Roberta"
    authors_head: ClassVar[AuthorsHead] = AuthorsHead("classifier.dense", "classifier.out_proj", "tanh")
    special_tokens: ClassVar[tuple[str, str, str, str]] = ("<pad>", "<unk>", "<s>", "</s>")

    pad_token_id: int = Field(1, ge=0)

    @property
    def reads_pairs(self) -> bool:
        return False  # it has two END between the texts

    @property
    def skipped_positions(self) -> int:
        return self.pad_token_id + 1
