"""XLM-RoBERTa (Conneau et al. 2020): RoBERTa's network, for a hundred languages."""

from typing import ClassVar

from nlp_suite.pretrained.families.roberta import Roberta
from nlp_suite.registry import MODEL_FAMILIES


@MODEL_FAMILIES.register()
class XlmRoberta(Roberta):
    """RoBERTa's fields and names."""

    class_name: ClassVar[str] = "XLMRoberta"
