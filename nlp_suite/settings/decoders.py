"""What a config may say of the decoders; their classes are in `nlp_suite/backbones/decoders`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nlp_suite.config import ChosenByName, Component, ComponentSettings
from nlp_suite.registry import ATTENTIONS
from nlp_suite.settings.attentions import MAX_SIZE, heads_for
from nlp_suite.settings.transformer import TransformerBlocksSettings

AttentionComponent = Annotated[Component, ChosenByName(ATTENTIONS, "bahdanau")]


class DecoderSettings(ComponentSettings):
    """Settings that every decoder has."""

    embedding_size: int | None = Field(
        None, ge=1, le=MAX_SIZE, description="features E of a target embedding; default: the backbone's"
    )

    def shape_mismatch(self, embedding_size: int, memory_size: int) -> str:
        """What does not fit target embeddings of E and a backbone of D features, beginning with a key; else empty."""
        return ""


class RecurrentDecoderSettings(DecoderSettings):
    """Settings of the recurrent decoders."""

    units: int = Field(256, ge=1, le=MAX_SIZE, description="units of a layer")
    layers: int = Field(1, ge=1, le=1000, description="recurrent layers on top of one another")
    attention: AttentionComponent = Field("bahdanau", description="how the source is looked at")
    input_feeding: bool = Field(
        True, description="the attention's context enters the steps; false: it only enters the features (fastest)"
    )
    conditional: bool = Field(False, description="two cells a step with the attention between them (Nematus)")
    bridge: Literal["mean", "last", "zero"] = Field(
        "mean", description="what the first state is made from: the source's mean, its last features, or nothing"
    )
    embedding_dropout: float = Field(
        0.0, ge=0, lt=1, description="rate of target embedding features dropped, the same at every token of a row"
    )
    context_dropout: float = Field(0.0, ge=0, lt=1, description="rate on the encoded source")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate after every layer, the same at every step")
    layer_norm: bool = Field(False, description="layer norm after every layer")
    residual: bool = Field(False, description="add a layer's input to its output where sizes agree")
    readout: Literal["deep", "none"] | None = Field(
        None,
        description="deep: tanh(W [state; context; embedding]); default: none where there is an attentional vector",
    )
    readout_size: int | None = Field(
        None, ge=1, le=MAX_SIZE, description="features of a deep readout; default: embedding_size"
    )

    @model_validator(mode="after")
    def _conditional_needs_a_context(self) -> Self:
        if self.conditional and not self.input_feeding:
            raise ValueError("conditional decoders read the context in every step: input_feeding must be true")
        return self

    def shape_mismatch(self, embedding_size: int, memory_size: int) -> str:
        mismatch: str = self.attention.shape_mismatch(self.units, memory_size)
        return mismatch and f"attention.{mismatch}"


class PresetDecoderSettings(DecoderSettings):
    """Settings of the decoder of a pretrained encoder-decoder; its weights come with the backbone's (`backbone.init_from`)."""

    architecture: dict[str, Any] | None = Field(
        None, description="the fields of the model's config.json; always those of backbone.architecture"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="rate on embeddings and in every block; default: the model's"
    )
    attention_dropout: float | None = Field(
        None, ge=0, lt=1, description="rate on the attention weights; default: the model's"
    )


class TransformerDecoderSettings(TransformerBlocksSettings, DecoderSettings):
    """Settings of the Transformer decoder; its features are the target embedding's E."""

    max_length: int = Field(
        256, ge=1, le=2**20, description="rows of the learned position table; tokens that a step sees, the newest ones"
    )

    def shape_mismatch(self, embedding_size: int, memory_size: int) -> str:
        if embedding_size % self.heads:
            return (
                f"heads {self.heads} does not divide the {embedding_size} features of a target embedding "
                f"(embedding_size); allowed: {heads_for(embedding_size)}"
            )
        if odd := self.odd_features(embedding_size):
            which = "a head" if self.positions == "rotary" else "a target embedding"
            return (
                f"positions {self.positions} needs an even number of features of {which}, not {odd}; allowed: learned"
            )
        return ""
