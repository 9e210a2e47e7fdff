"""What a config may say of the backbones; their classes are in `nlp_suite/backbones`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.activations import ActivationName
from nlp_suite.settings.attentions import MAX_SIZE
from nlp_suite.settings.transformer import TransformerBlocksSettings

if TYPE_CHECKING:
    from nlp_suite.config import TrainingSettings

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]


class BackboneSettings(ComponentSettings):
    """Settings that every backbone has, and what they tell of the network before there is one.

    Attributes:
        causal_overrides: the settings of a task that must not see the future. Those that are true or false are required,
            the others are defaults; empty for a backbone that is always causal, None for one that cannot be.
        context_key: the setting that `context_limit` is; None where no setting is.
    """

    causal_overrides: ClassVar[Mapping[str, Any] | None] = None
    context_key: ClassVar[str | None] = None

    embedding_size: int = Field(128, ge=1, le=MAX_SIZE, description="features E of a token embedding")
    word_dropout: float = Field(0.0, ge=0, lt=1, description="rate of tokens made unknown in training")
    type_dropout: float = Field(
        0.0, ge=0, lt=1, description="rate of word types dropped: rows of the embedding table, wherever they stand"
    )
    embedding_dropout: float = Field(
        0.0, ge=0, lt=1, description="rate of embedding features dropped, the same at every token of a row"
    )
    init_from: str | None = Field(
        None, description="run folder of a language model whose embeddings and backbone weights to start from"
    )

    @property
    def description(self) -> str:
        """What messages call it."""
        return self.name

    @property
    def has_output_bias(self) -> bool:
        """See `Backbone.has_output_bias`."""
        return True

    @classmethod
    def elsewhere(cls, key: str) -> str:
        owners = [name for name in BACKBONES.names() if key in BACKBONES.settings(name).model_fields]
        return f"; {key} is for the backbone{'s' * (len(owners) > 1)} {', '.join(owners)}" if owners else ""

    def arguments(self) -> dict[str, Any]:
        return {key: value for key, value in super().arguments().items() if key != "init_from"}

    @property
    def changes_to_be_causal(self) -> dict[str, bool]:
        """The settings that still let it see the future, with the values that they should have."""
        required = {k: v for k, v in (self.causal_overrides or {}).items() if isinstance(v, bool)}
        return {key: value for key, value in required.items() if getattr(self, key) != value}

    @property
    def is_causal(self) -> bool:
        """Whether the network does not see the future, see `Backbone.causal`."""
        return self.causal_overrides is not None and not self.changes_to_be_causal

    @property
    def carries_state(self) -> bool:
        """See `Backbone.carries_state`."""
        return False

    @property
    def returns_sequence(self) -> bool:
        """See `Backbone.returns_sequence`; asked of the class, unless the settings know it."""
        return bool(BACKBONES.get(self.name).returns_sequence)

    @property
    def output_size(self) -> int:
        """See `Backbone.output_size`; asked of a network, unless the settings know it."""
        return int(BACKBONES.get(self.name)(vocabulary_size=1, **self.arguments()).output_size)

    @property
    def is_frozen(self) -> bool:
        """Whether it computes in training what it does in prediction, with weights that do not change."""
        return False

    @property
    def reads_pairs(self) -> bool:
        """Whether it may read two texts in a row, as START text END text_b END."""
        return True

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a text that the network has positions for; None: of any number."""
        return None

    @property
    def context_limit(self) -> int | None:
        """See `Backbone.context_limit`."""
        return getattr(self, self.context_key) if self.context_key and self.is_causal else None

    def with_context_limit(self, tokens: int) -> Self:
        """These settings with another limit; unchanged where the network has none that can be set."""
        return self.model_copy(update={self.context_key: tokens}) if self.context_key else self

    def remarks(self, training: "TrainingSettings") -> list[str]:
        """Sentences on settings of the training that hardly suit it, with the remedy; without importing Keras."""
        return []

    @property
    def length_bound(self) -> tuple[str, str] | None:
        """What ends a sequence at the context limit, beginning with a key, and what to do about it.

        None where nothing does: beyond the limit the oldest tokens are no longer seen.
        """
        return None


class RecurrentSettings(BackboneSettings):
    """Settings of the recurrent backbones."""

    causal_overrides: ClassVar[Mapping[str, Any]] = {"bidirectional": False}
    returns_sequence: ClassVar[bool] = True

    units: int = Field(64, ge=1, le=MAX_SIZE, description="units of one direction")
    layers: int = Field(1, ge=1, le=1000, description="recurrent layers on top of one another")
    bidirectional: bool = Field(True, description="read in both directions and concatenate")
    last_units: int | None = Field(None, ge=1, le=MAX_SIZE, description="units of the last layer; default: units")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="rate between layers and after the last, the same at every step"
    )
    last_dropout: float | None = Field(None, ge=0, lt=1, description="rate after the last layer; default: dropout")
    weight_drop: float = Field(
        0.0, ge=0, lt=1, description="rate of recurrent weights dropped, the same at every step (DropConnect)"
    )
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="rate on the recurrent state, the same at every step")
    residual: bool = Field(False, description="add a layer's input to its output where sizes agree")
    layer_norm: bool = Field(False, description="layer norm after every layer")
    activation: ActivationName = Field("tanh", description="Keras name of the cell's activation")

    @property
    def carries_state(self) -> bool:
        return not self.bidirectional

    @property
    def output_size(self) -> int:
        return (self.last_units or self.units) * (1 + self.bidirectional)


class BagSettings(BackboneSettings):
    """Settings of the bag of n-grams."""

    returns_sequence: ClassVar[bool] = False

    embedding_size: int = Field(8, ge=1, le=MAX_SIZE, description="features E of a token embedding")
    ngrams: int = Field(2, ge=1, le=5, description="longest n-gram; 1 sees single words only")
    ngram_buckets: int = Field(2**18, ge=16, le=2**22, description="rows of the hashed table that longer n-grams share")
    average: Literal["mean", "sqrt", "l2"] = Field(
        "mean", description="divide the sum by the count n, by √n, or by the length of the text's weights"
    )
    naive_bayes: bool = Field(False, description="scale n-grams by what their counts in the training split tell")
    idf: bool = Field(False, description="scale n-grams by how rare they are in the training split")
    hidden: list[Size] = Field([], description="units of feed-forward layers above the average")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on the average and after every feed-forward layer")
    activation: ActivationName = Field("relu", description="Keras name, of the feed-forward layers")

    @model_validator(mode="after")
    def _weights_have_a_length(self) -> Self:
        if self.average == "l2" and not (self.naive_bayes or self.idf):
            raise ValueError(
                "average: l2 is by the weights of naive_bayes or idf, which are off: set one, or take average: sqrt"
            )
        if self.naive_bayes and self.idf:
            raise ValueError("naive_bayes and idf both scale n-grams: set one of them")
        return self

    @property
    def output_size(self) -> int:
        return self.hidden[-1] if self.hidden else self.embedding_size


class CNNSettings(BackboneSettings):
    """Settings of the convolutional backbone."""

    returns_sequence: ClassVar[bool] = True

    widths: list[Size] = Field([3, 4, 5], min_length=1, description="tokens that a filter spans, one group a width")
    filters: int = Field(100, ge=1, le=MAX_SIZE, description="filters of every width")
    layers: int = Field(1, ge=1, le=1000, description="convolutions on top of one another")
    dropout: float = Field(0.0, ge=0, lt=1, description="rate after every layer, the same filters at every token")
    activation: ActivationName = Field("relu", description="Keras name")

    @property
    def output_size(self) -> int:
        return self.filters * len(self.widths)


class TransformerSettings(TransformerBlocksSettings, BackboneSettings):
    """Settings of the Transformer backbone; its features D are the embedding's E."""

    causal_overrides: ClassVar[Mapping[str, Any]] = {"causal": True, "positions": "rotary"}
    context_key: ClassVar[str] = "max_length"
    returns_sequence: ClassVar[bool] = True

    max_length: int = Field(
        512,
        ge=1,
        le=2**20,
        description="rows of the learned position table; tokens that a step sees, the newest ones; of a language model "
        "it is task.window",
    )
    causal: bool = Field(False, description="a token sees itself and those before it")

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.embedding_size % self.heads:
            raise ValueError(f"embedding_size {self.embedding_size} is no multiple of heads {self.heads}")
        if odd := self.odd_features(self.embedding_size):
            raise ValueError(f"{self.positions} positions need an even number of features, got {odd}")
        return self

    @property
    def output_size(self) -> int:
        return self.embedding_size

    @property
    def length_bound(self) -> tuple[str, str] | None:
        return None if self.positions == "rotary" else (f"positions: {self.positions} positions", "use rotary")
