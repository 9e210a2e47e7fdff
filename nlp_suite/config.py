"""The schema of an experiment: one YAML file, checked before anything runs.

Sections: `task`, `data`, `text`, `target_text`, `backbone`, `training`, `search`, `export`. Wherever something is chosen by name
(`task`, `backbone`, `data.source`, `text.tokenizer`, `training.schedule`), the value is the name alone or a mapping with
`name` and that component's own settings:

    backbone: lstm
    backbone: {name: lstm, units: 128}
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from nlp_suite.config_base import ChosenByName, Component, ComponentSettings, Settings, TokenizerSettings, problems_of
from nlp_suite.config_search import SearchSettings
from nlp_suite.config_values import read_values, recorded_values, set_value
from nlp_suite.config_yaml import label_texts, plain_values, shown, write_yaml
from nlp_suite.errors import ConfigError, UnknownNameError
from nlp_suite.registry import BACKBONES, DISTRIBUTIONS, SCHEDULES, SOURCES, TASKS, TOKENIZERS, TRACKERS

__all__ = [
    "DEFAULT_BACKBONE",
    "DEFAULT_TASK",
    "TASK_KEYS",
    "ChosenByName",
    "Component",
    "ComponentSettings",
    "DataSettings",
    "Experiment",
    "ExportSettings",
    "SearchSettings",
    "Settings",
    "TextSettings",
    "TokenizerSettings",
    "TrainingSettings",
    "load_experiment",
    "load_recorded",
]

DEFAULT_TASK, DEFAULT_BACKBONE, DEFAULT_TOKENIZER = "sentiment", "lstm", "word"
TASK_KEYS = (
    "data.labels",
    "data.deduplicate",
    "target_text",
    "training.batch_tokens",
    "training.class_weights",
    "training.features",
)
"""Keys of common sections that only some tasks use: those name them in `Task.honours`, for the others they are refused."""


class TextSettings(Settings):
    """How a string becomes token ids: normalisation, tokenizer, truncation."""

    unicode_form: Literal["NFC", "NFKC", "NFD", "NFKD", "none"] = Field("NFC", description="Unicode normal form")
    lowercase: bool = Field(True, description="turn letters into lower case")
    invisible: Literal["drop", "keep"] = Field(
        "drop", description="control and other invisible characters, such as U+200B or a soft hyphen in a word"
    )
    strip_html: bool | Literal["tags"] = Field(
        True,
        description="turn HTML's tags and comments into spaces, character references into characters; tags: <, letter … > into spaces",
    )
    collapse_spaces: bool = Field(True, description="every run of white space becomes one space, none at the ends")
    stop_words: Literal["none", "english", "german"] | list[str] = Field("none", description="words that are left out")
    max_characters: int = Field(20_000, ge=1, description="a longer text is cut before it is tokenised")
    tokenizer: Annotated[Component, ChosenByName(TOKENIZERS, DEFAULT_TOKENIZER)] = Field(
        DEFAULT_TOKENIZER, description="what cuts a text into tokens"
    )
    add_start: bool = Field(False, description="a START token before every text")
    add_end: bool = Field(False, description="an END token after every text; of running text, after every line")
    max_length: int = Field(400, ge=2, description="tokens of a text at most, special ones included")
    truncation: Literal["head", "tail", "head_tail"] = Field("head", description="the part of a long text that is kept")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_tokenizer(cls, values: Any) -> Any:
        """What a tokenizer has in `text_defaults` stands where nothing is given."""
        if not isinstance(values, dict):
            return values
        tokenizer = values.get("tokenizer", DEFAULT_TOKENIZER)
        if isinstance(tokenizer, dict):
            tokenizer = tokenizer.get("name", DEFAULT_TOKENIZER)
        name = tokenizer.name if isinstance(tokenizer, ComponentSettings) else tokenizer
        try:
            settings = TOKENIZERS.settings(name)
        except UnknownNameError:  # refused elsewhere
            return values
        is_own = isinstance(settings, type) and issubclass(settings, TokenizerSettings)
        return {**settings.text_defaults, **values} if is_own else values

    @model_validator(mode="after")
    def _nothing_against_the_tokenizer(self) -> Self:
        tokenizer = self.tokenizer
        fixed = tokenizer.text_fixed if isinstance(tokenizer, TokenizerSettings) else ()
        if wrong := [key for key in fixed if getattr(self, key) != tokenizer.text_defaults[key]]:
            given = " and ".join(f"{key} {shown(getattr(self, key))}" for key in wrong)
            raise ValueError(
                f"{given}: the tokenizer {tokenizer.name!r} normalises text in its own way, and takes no other: leave it out"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """What decides the token ids, for hashes: as it was before `invisible` where that keeps everything as it was."""
        values = self.model_dump(mode="json")
        if self.invisible == "keep" and self.strip_html in (False, "tags"):
            values["strip_html"] = bool(self.strip_html)
            del values["invisible"]
        return values


class DataSettings(Settings):
    """Where the examples come from and how they are split."""

    source: Annotated[Component, ChosenByName(SOURCES, "sample")] = Field(
        "sample", description="where the examples come from"
    )
    validation: float = Field(0.1, gt=0, lt=1, description="share of train held out where there is no such split")
    labels: Annotated[list[str] | None, BeforeValidator(label_texts)] = Field(
        None, description="label names in order; default: those of train, sorted"
    )
    limit: int | None = Field(None, ge=1, description="use at most this many examples a split")
    train_limit: int | None = Field(None, ge=1, description="use at most this many training examples")
    fold: str | None = Field(None, pattern=r"^[1-9]\d*/[1-9]\d*$", description="2/5: test on part 2 of 5 of train")
    on_error: Literal["fail", "replace"] = Field("fail", description="what to do with invalid UTF-8")
    missing: Literal["fail", "drop"] = Field("fail", description="what to do with rows that lack a text or label")
    labels_normalise: bool = Field(False, description="make labels one that differ in case, blanks, or as 1 and 1.0")
    deduplicate: float | None = Field(
        None,
        ge=0.7,
        le=1,
        description="leave out training texts that are near copies of a validation or test text: as similar as this, such as 0.8, in "
        "their character 5-grams; the first 100,000 of each split are compared",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of the validation split")
    cache: str = Field(".cache", description="folder of token stores")

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: list[str] | None) -> list[str] | None:
        if labels is not None and len(set(labels)) < max(2, len(labels)):
            raise ValueError(f"at least two labels are needed, all different; got {labels}")
        return labels


class TrainingSettings(Settings):
    """The fit loop: optimiser, schedule, regularisation, stopping."""

    epochs: int = Field(5, ge=0, description="passes over the training split; 0: none, for a pretrained model as it is")
    batch_size: int = Field(32, ge=1, le=2**20, description="rows of a batch")
    batch_tokens: int | None = Field(
        None,
        ge=1,
        le=2**24,
        description="tokens of a batch, padding included, of the longer side; in place of batch_size",
    )
    buckets: int = Field(8, ge=1, le=24, description="number of batch lengths at most")
    optimizer: str = Field("adam", description="Keras name: adam, adamw, sgd, rmsprop, adagrad, lion, …")
    optimizer_arguments: Annotated[dict[str, Any], BeforeValidator(plain_values)] = Field(
        {}, description="further arguments of the Keras optimiser"
    )
    learning_rate: float = Field(1e-3, gt=0, description="the highest rate of the schedule")
    schedule: Annotated[Component, ChosenByName(SCHEDULES, "constant")] = Field(
        "constant", description="how the learning rate changes"
    )
    clip_norm: float | None = Field(None, gt=0, description="global gradient norm at most this")
    accumulation_steps: int = Field(1, ge=1, description="batches whose gradients are averaged for one update")
    ema: float | None = Field(
        None, gt=0, lt=1, description="momentum a batch of the weights' moving average, which is what is evaluated"
    )
    average_after: int | None = Field(
        None, ge=1, description="NT-ASGD: average the weights once so many checkpoint intervals were no better"
    )
    average_checkpoints: int | None = Field(
        None, ge=2, description="checkpoints whose weights are averaged at the end; that is evaluated and exported"
    )
    average_of: Literal["last", "best"] = Field("last", description="which of them: the last, or the best by `monitor`")
    layer_rates: float = Field(
        1.0, gt=0, le=1, description="discriminative rates: a layer learns at this share of the rate of the one above"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field("float32", description="dtype policy")
    xla: bool = Field(False, description="compile the step with XLA (TensorFlow; JAX always does)")
    save_every: int | None = Field(
        None, ge=1, description="steps of a checkpoint interval, after which it validates and saves; default: an epoch"
    )
    monitor: str = Field("val_loss", description="metric that chooses the best checkpoint and stops early")
    patience: int | None = Field(None, ge=1, description="stop after so many intervals without a better `monitor`")
    class_weights: Annotated[
        Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]], BeforeValidator(label_texts)
    ] = Field(
        "none",
        description="weight of each label in the loss that is minimised, not in the metrics; balanced: inverse to its frequency",
    )
    features: Literal["computed", "cached"] = Field(
        "computed",
        description="cached: what a frozen backbone makes of a text is computed once, kept in data.cache and read by every "
        "training with the same backbone; computed: at every step",
    )
    tensorboard: bool = Field(True, description="write logs for TensorBoard into the run folder")
    trackers: list[Annotated[Component, ChosenByName(TRACKERS, "mlflow")]] = Field(
        [], description="programs that take config, figures of every checkpoint interval and reports; each once"
    )
    distribution: Annotated[Component, ChosenByName(DISTRIBUTIONS, "data_parallel")] = Field(
        "none", description="how the training is spread over devices and processes"
    )
    seed: int = Field(1, ge=0, le=2**32 - 1, description="seed of weights, batches and dropout")
    init_from: str | None = Field(None, description="run folder to start from: its text layer, labels and best weights")

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.ema is not None and self.average_after is not None:
            raise ValueError("ema and average_after are two averages of the weights: give one of them")
        return self


class ExportSettings(Settings):
    """What stands in an export beside the graph."""

    server_version: str = Field(
        "2.19", pattern=r"^\d+\.\d+$", description="TensorFlow Serving version to be servable on"
    )
    weights: Literal["float32", "float16", "bfloat16"] = Field(
        "float32",
        description="how a SavedModel stores the weights: float16 and bfloat16 take half the disk, and are float32 again once "
        "loaded; answers change by the rounding, which the export measures",
    )
    license: str = Field("unspecified", description="licence of the exported model, for its card")
    description: str = Field("", description="one sentence for the model card")
    warmup_texts: list[str] = Field([], description="texts of the warm-up requests; default: from the training split")


class Experiment(Settings):
    """A whole experiment, as one YAML file describes it."""

    task: Annotated[Component, ChosenByName(TASKS, DEFAULT_TASK)] = DEFAULT_TASK
    data: DataSettings = DataSettings.model_construct()
    text: TextSettings = TextSettings.model_construct()
    target_text: TextSettings | None = Field(
        None, description="as text, for targets with a vocabulary of their own; what is not given is as in text"
    )
    backbone: Annotated[Component, ChosenByName(BACKBONES, DEFAULT_BACKBONE)] = DEFAULT_BACKBONE
    training: TrainingSettings = TrainingSettings.model_construct()
    search: SearchSettings | None = None
    export: ExportSettings = ExportSettings.model_construct()

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.training.init_from and self.backbone.init_from:
            raise ValueError("training.init_from and backbone.init_from both say where to start: give one of them")
        return self

    @model_validator(mode="after")
    def _texts_fit_the_positions(self) -> Self:
        positions = self.backbone.max_tokens
        if TASKS.get(self.task.name).variant(self.task.arguments()).causal:  # which reads a text in windows
            return self
        if positions is not None and self.text.max_length > positions:
            raise ValueError(
                f"text.max_length {self.text.max_length}: backbone {self.backbone.name} has positions for {positions} tokens; "
                f"allowed: 2 to {positions}"
            )
        return self

    @model_validator(mode="after")
    def _only_what_the_task_uses(self) -> Self:
        honours = TASKS.get(self.task.name).variant(self.task.arguments()).honours
        if idle := [key for key in TASK_KEYS if key not in honours and _value_at(self, key) != _default_of(key)]:
            users = ", ".join(name for name in TASKS.names() if set(idle) <= TASKS.get(name).honours)
            hint = f"tasks that do: {users}" if users else "no task uses all of them"
            raise ValueError(f"the task {self.task.name!r} does not use {' and '.join(idle)}; {hint}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _sections(cls, values: Any) -> Any:
        """Absent sections are validated from nothing, so that their components are resolved too.

        What the task has in `defaults` (section → key → value) stands where nothing is given, what it has in `default_recipe` where
        besides no backbone is named, and what `text` has where `target_text` gives nothing.
        """
        if not isinstance(values, dict):
            return values
        values = {**{key: {} for key in ("data", "text", "training", "export")}, **values}
        values = {
            key: {} if value is None and key not in ("target_text", "search") else value
            for key, value in values.items()
        }
        task = _task_class(values.get("task", DEFAULT_TASK))
        backbone = values.get("backbone", {})
        recipe = getattr(task, "default_recipe", {}) if isinstance(backbone, dict) and "name" not in backbone else {}
        for section, settings in (*recipe.items(), *getattr(task, "defaults", {}).items()):
            if isinstance(values.get(section, {}), dict):
                values[section] = _filled(settings, values.get(section, {}))
        text = values["text"].model_dump() if isinstance(values["text"], TextSettings) else values["text"]
        if isinstance(values.get("target_text"), dict) and isinstance(text, dict):
            values["target_text"] = _filled(text, values["target_text"])
        if getattr(task, "causal", False):
            values["backbone"] = _causal(values.get("backbone", DEFAULT_BACKBONE))
        return values

    def to_yaml(self) -> str:
        """The resolved config: every key with its value, as YAML that loads again to an equal experiment."""
        return write_yaml(self.model_dump(mode="json"))


def _filled(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `defaults` for the keys they lack; a component without `name` changes the default's settings."""
    merged = {**defaults, **values}
    for key, value in values.items():
        default = {"name": defaults[key]} if isinstance(defaults.get(key), str) else defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict) and "name" in default and "name" not in value:
            merged[key] = {**default, **value}
    return merged


def _task_class(value: Any) -> Any:
    """The class of the task that is given by name or mapping; None for an unknown one, refused elsewhere."""
    if isinstance(value, ComponentSettings):
        value = {"name": value.name, **value.arguments()}
    settings = value if isinstance(value, dict) else {"name": value}
    name = settings.get("name", DEFAULT_TASK)
    return TASKS.get(name).variant(settings) if str(name).replace("-", "_") in TASKS.names() else None


def _causal(backbone: Any) -> Any:
    """The backbone with the settings that make it causal, where nothing else is given for them."""
    if not isinstance(backbone, str | dict):
        return backbone
    values = {"name": backbone} if isinstance(backbone, str) else backbone
    try:
        settings = BACKBONES.settings(values.get("name", DEFAULT_BACKBONE))
    except UnknownNameError:  # refused elsewhere
        return values
    return {**(settings.causal_overrides or {}), **values}


def _value_at(settings: Settings, path: str) -> Any:
    """The value of a key such as `"training.class_weights"`."""
    value: Any = settings
    for key in path.split("."):
        value = getattr(value, key)
    return value


def _default_of(path: str) -> Any:
    """The default of a key of the schema."""
    model: Any = Experiment
    *parents, last = path.split(".")
    for key in parents:
        model = model.model_fields[key].annotation
    return model.model_fields[last].default


def load_experiment(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """Reads and checks an experiment.

    Args:
        source: path of a YAML file, name of a shipped config, or a mapping.
        overrides: `"a.b=value"` strings; the value is YAML. Setting a component's name to another one drops the
            settings of the one before.

    Raises:
        ConfigError: unreadable file, unknown key or name, wrong type or range; all problems are listed.
    """
    where = "config" if isinstance(source, Mapping) else str(source)
    values = dict(source) if isinstance(source, Mapping) else read_values(Path(source), Experiment.model_fields)
    for override in overrides:
        set_value(values, override)
    return _checked(values, where)


def load_recorded(path: str | Path) -> Experiment:
    """Reads the config that lies in a run or an export: as `load_experiment`, but text is treated as it was at the time.

    Raises:
        ConfigError: see `load_experiment`.
    """
    return _checked(recorded_values(read_values(Path(path), Experiment.model_fields)), str(path))


def _checked(values: Mapping[str, Any], where: str) -> Experiment:
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join([f"{where}:", *problems_of(error)])) from None
