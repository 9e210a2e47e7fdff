"""BERT (Devlin et al. 2019), and what has its layout, such as MiniLM, BGE and E5."""

from typing import ClassVar

from nlp_suite.pretrained.encoder import AuthorsHead, BertLike
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class Bert(BertLike):
    """BERT's fields and names as they are."""

    prefix: ClassVar[str] = "bert."
    class_name: ClassVar[str] = "Bert"
    authors_head: ClassVar[AuthorsHead] = AuthorsHead("bert.pooler.dense", "classifier", "tanh")
