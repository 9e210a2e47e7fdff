"""What a config may say of the attentions; their classes are in `nlp_suite/layers/attentions`."""

import math
from typing import Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings

MAX_SIZE = 2**16  # features or units of a layer: one of that size squared takes 16 GiB
Score = Literal["dot", "general", "concat"]


def heads_for(*sizes: int) -> str:
    """All numbers of heads that divide the sizes, for a message."""
    divisor = math.gcd(*sizes)
    return ", ".join(str(heads) for heads in range(1, divisor + 1) if divisor % heads == 0)


class AttentionSettings(ComponentSettings):
    """Settings that every attention has: none."""

    def shape_mismatch(self, query_size: int, memory_size: int) -> str:
        """What does not fit a decoder of so many units and a backbone of so many features; it begins with a key."""
        return ""


class BahdanauSettings(AttentionSettings):
    """Settings of additive attention."""

    units: int | None = Field(
        None, ge=1, le=MAX_SIZE, description="units of the hidden layer; default: features of a query"
    )


class LuongSettings(AttentionSettings):
    """Settings of Luong's attention."""

    score: Score = Field("general", description="dot: query · memory, general: query · W memory, concat: additive")
    units: int | None = Field(
        None, ge=1, le=MAX_SIZE, description="hidden units of concat; default: features of a query"
    )

    def shape_mismatch(self, query_size: int, memory_size: int) -> str:
        if self.score != "dot" or query_size == memory_size:
            return ""
        return (
            f"score dot compares the decoder's {query_size} units with the backbone's {memory_size} features, which "
            f"must be equal; allowed: general, concat, or {memory_size} units"
        )


class ScaledDotSettings(AttentionSettings):
    """Settings of scaled dot-product attention."""

    heads: int = Field(4, ge=1, le=MAX_SIZE, description="heads; each gets an equal share of the features")

    def shape_mismatch(self, query_size: int, memory_size: int) -> str:
        if query_size % self.heads == memory_size % self.heads == 0:
            return ""
        return (
            f"heads {self.heads} does not divide the decoder's {query_size} units and the backbone's {memory_size} "
            f"features; allowed: {heads_for(query_size, memory_size)}"
        )
