"""What a config may say of a pretrained backbone."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nlp_suite.config_values import read_values
from nlp_suite.errors import ConfigError, NlpSuiteError
from nlp_suite.pretrained.architecture import Architecture, architecture_of, read_architecture
from nlp_suite.pretrained.decoder import Decoder
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.settings.attentions import MAX_SIZE
from nlp_suite.settings.backbones import BackboneSettings

if TYPE_CHECKING:
    from nlp_suite.config import TrainingSettings

HIGHEST_RATE = 1e-3  # at which an adaptive optimiser may train weights that have learned already
_NOT_ADAPTIVE = ("sgd", "ftrl")  # whose steps shrink with the gradients


class PresetSettings(BackboneSettings):
    """Settings of a pretrained network; what it is, `architecture` says, and where its weights are, `init_from`."""

    causal_overrides: ClassVar[Mapping[str, Any]] = {}
    returns_sequence: ClassVar[bool] = True

    init_from: str | None = Field(
        None,
        description="folder of the pretrained model, in Hugging Face's or KerasHub's layout; package:NAME, an installed package "
        "that carries one; name of a KerasHub preset, hf:// or kaggle:// address, which need a network; or a run folder",
    )
    architecture: dict[str, Any] | None = Field(
        None,
        description="the fields of the model's config.json that make its network; default: those of init_from",
    )
    embedding_size: int | None = Field(  # type: ignore[assignment]  # a number once it is validated
        None, ge=1, le=MAX_SIZE, description="features E of a token embedding, as the model has them"
    )
    freeze: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        0, description="groups of layers from the bottom that are not trained: the embeddings, then block by block"
    )
    lora_rank: int | None = Field(
        None,
        ge=1,
        le=MAX_SIZE,
        description="rank r of the low-rank updates (LoRA) that are trained in place of the model's weights, in all dense layers "
        "of the blocks that freeze leaves; default: none, the weights themselves are trained. Averages of weights (training.ema and others) are those of the two "
        "factors of an update",
    )
    lora_alpha: float | None = Field(
        None,
        gt=0,
        description="the updates count lora_alpha / lora_rank times; default: lora_rank, so that they count once",
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="rate on embeddings and in every block; default: the model's"
    )
    attention_dropout: float | None = Field(
        None, ge=0, lt=1, description="rate on the attention weights; default: the model's"
    )

    @model_validator(mode="before")
    @classmethod
    def _architecture_is_known(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given, origin = values.get("architecture"), values.get("init_from")
        try:
            if isinstance(given, dict):
                encoder = read_architecture(given, "architecture")
            elif isinstance(origin, str):
                encoder = _architecture_at(origin)
            else:
                raise ConfigError(
                    "a preset needs init_from, where the pretrained model is, or architecture, the fields of its config.json"
                )
        except NlpSuiteError as error:
            raise ValueError(str(error)) from None
        size = values.get("embedding_size")
        if size not in (None, encoder.embedding_features):
            raise ValueError(
                f"embedding_size {size} is not that of the model; leave it out, or give {encoder.embedding_features}"
            )
        return {
            **values,
            "architecture": encoder.model_dump(mode="json"),
            "embedding_size": encoder.embedding_features,
        }

    @model_validator(mode="after")
    def _groups_are_there(self) -> Self:
        if self.freeze != "all" and self.freeze > self._groups:
            raise ValueError(
                f"freeze {self.freeze}: the model has {self._groups} groups of layers; allowed: 0 to {self._groups}, or all"
            )
        return self

    @model_validator(mode="after")
    def _updates_are_there(self) -> Self:
        if self.lora_rank is None:
            if self.lora_alpha is not None:
                raise ValueError(
                    "lora_alpha is the factor of low-rank updates, and there are none: give lora_rank, too"
                )
            return self
        if self.is_frozen:
            raise ValueError(
                f"freeze: {self.freeze} leaves no block for the updates of lora_rank, which freezes the model's weights "
                "anyway: leave freeze out, or give a smaller number, the groups from the bottom that get no update"
            )
        shapes = [shape for name, shape in self.encoder.module_shapes().items() if name.startswith("block ")]
        narrowest = min(min(shape) for shape in shapes if len(shape) == 2)
        if self.lora_rank > narrowest:
            raise ValueError(
                f"lora_rank {self.lora_rank}: the narrowest layer of a block has {narrowest} units; give a lower one"
            )
        return self

    @property
    def _groups(self) -> int:
        """Groups of layers: the embeddings, and every block."""
        return 1 + len(set(self.encoder.block_order))

    @property
    def is_frozen(self) -> bool:
        return self.freeze in ("all", self._groups)

    def remarks(self, training: "TrainingSettings") -> list[str]:
        """See `BackboneSettings.remarks`: a learning rate at which what the model knows is lost in a few steps."""
        keeps_weights = self.is_frozen or self.lora_rank is not None
        if keeps_weights or training.optimizer.lower() in _NOT_ADAPTIVE or training.learning_rate <= HIGHEST_RATE:
            return []
        return [
            f"training.learning_rate is {training.learning_rate:g}, at which a pretrained backbone loses what it has learned, and "
            "answers may stay at chance: set training.learning_rate=1e-4, or backbone.freeze=all to train only what stands over it"
        ]

    @property
    def encoder(self) -> Architecture:
        """The architecture, read."""
        return read_architecture(self.architecture or {}, "architecture")

    @property
    def description(self) -> str:
        return f"{self.name} of a {self.encoder.model_type} model"

    @property
    def has_output_bias(self) -> bool:
        return not self.is_causal

    @property
    def is_causal(self) -> bool:
        return isinstance(self.encoder, Decoder)

    @property
    def output_size(self) -> int:
        return self.encoder.features

    @property
    def reads_pairs(self) -> bool:
        return self.encoder.reads_pairs

    @property
    def max_tokens(self) -> int:
        return self.encoder.positions


def _architecture_at(origin: str) -> Architecture:
    """The architecture of a pretrained model, or of a run whose backbone is one.

    Raises:
        NlpSuiteError: there is none, or it is none that is known.
    """
    if not (Path(origin) / "run.json").is_file():
        return architecture_of(open_folder(origin))
    backbone = read_values(Path(origin) / "config.yaml", ()).get("backbone")
    architecture = backbone.get("architecture") if isinstance(backbone, dict) else None
    if not isinstance(architecture, dict):
        raise ConfigError(f"init_from: {origin} is a run whose backbone is no preset")
    return read_architecture(architecture, origin)
