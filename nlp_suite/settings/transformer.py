"""What a config may say of Transformer blocks, of a backbone or of a decoder."""

from typing import Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.settings.activations import ActivationName
from nlp_suite.settings.attentions import MAX_SIZE


class TransformerBlocksSettings(ComponentSettings):
    """Settings that the Transformer backbone and the Transformer decoder have in common."""

    layers: int = Field(2, ge=1, le=1000, description="blocks on top of one another")
    heads: int = Field(4, ge=1, le=MAX_SIZE, description="attention heads; they share the features out")
    feed_forward: int = Field(512, ge=1, le=MAX_SIZE, description="units of the hidden feed-forward layer")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="rate on the input, after attention, and inside and after the feed-forward net"
    )
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="rate on the attention weights")
    activation: ActivationName = Field("relu", description="Keras name, of the feed-forward layer")
    norm: Literal["pre", "post"] = Field("pre", description="layer norm before or after every sub-layer")
    positions: Literal["sinusoidal", "learned", "rotary"] = Field(
        "sinusoidal", description="how a token's place enters"
    )

    def odd_features(self, features: int) -> int | None:
        """The number of features that positions pair up, a head's or all, where it is odd; None where they fit."""
        paired = features // self.heads if self.positions == "rotary" else features
        return paired if self.positions != "learned" and paired % 2 else None
