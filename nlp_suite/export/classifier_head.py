"""What a classifier computes of its backbone's features, for formats that say it in the terms of another program."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Layer = tuple[np.ndarray, np.ndarray]
"""Kernel float32 `[in, out]` and bias `[out]` of a dense layer."""


@dataclass(frozen=True)
class ClassifierHead:
    """Pooling over the tokens, dense layers with a ReLU between two, and what the logits mean.

    Attributes:
        pooling: kinds of `SequencePooling`, concatenated.
        layers: the dense layers; empty where the head is something else.
        problem: what the logits mean, as `problem_type` of `transformers` says it.
        labels: a name a logit.
        divisor: what the network's logits are divided by before the softmax.
        scores: of the pooling `attention`: what its score is a product with, `[D]`.
        unsaid: sentences on what of an answer follows from none of this, such as a threshold.
    """

    pooling: Sequence[str]
    layers: Sequence[Layer]
    problem: Literal["single_label_classification", "multi_label_classification", "regression"]
    labels: Sequence[str]
    divisor: float = 1.0
    scores: np.ndarray | None = None
    unsaid: Sequence[str] = field(default_factory=list)

    def divided_layers(self) -> list[Layer]:
        """The layers with the divisor in the last one."""
        if not self.layers:
            return []
        *below, (kernel, bias) = self.layers
        divisor = np.float32(self.divisor)
        return [*below, (kernel / divisor, bias / divisor)]
