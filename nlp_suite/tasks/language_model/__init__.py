"""Language modelling: what comes next; perplexity, scores of texts, generation."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.data.windows import ShuffledWindows, SlidingWindows, Streams, WholeDocuments, window_arrays
from nlp_suite.errors import ConfigError
from nlp_suite.registry import BACKBONES, TASKS
from nlp_suite.task import Batches, Task
from nlp_suite.tasks.language_model.network import LanguageModel
from nlp_suite.tasks.shared.token_metrics import Perplexity, TokenLoss
from nlp_suite.text.text_layer import END


class LanguageModelSettings(ComponentSettings):
    """Settings of the language modelling task."""

    examples: ClassVar[str] = "text"
    causal: ClassVar[bool] = True
    defaults: ClassVar[dict] = {
        "text": {
            "add_end": True,
            "lowercase": False,
            "strip_html": False,
            "max_length": 100_000,
            "max_characters": 1_000_000,
        },
        "training": {"monitor": "val_loss"},
    }

    tie_embeddings: bool = Field(True, description="the output softmax uses the embedding table")
    softmax: Literal["full", "adaptive"] = "full"
    cutoffs: list[int] | None = Field(
        None, description="of the adaptive softmax: ids below the first are frequent; default: 2000 and 10000"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="rate on the backbone's features, the same at every token; on top of backbone.last_dropout",
    )
    activation_regularization: float = Field(0.0, ge=0, description="AR of AWD-LSTM")
    temporal_regularization: float = Field(0.0, ge=0, description="TAR of AWD-LSTM")
    batching: Literal["auto", "stream", "windows", "documents"] = Field(
        "auto",
        description="stream: state carried through the text; windows: shuffled, no state; documents: each on its own, "
        "padded; auto: documents if 95 % fit into the window, else stream for recurrent backbones",
    )
    window: int = Field(35, ge=2, description="tokens of a training window (truncated BPTT)")
    random_window: bool = Field(
        False,
        description="window lengths drawn around `window`, as AWD-LSTM does; the loss follows the length (there it is the "
        "rate, which differs where gradients are clipped)",
    )
    evaluation_batch_size: int = Field(10, ge=1, description="rows of a batch in evaluation")
    evaluation_context: int | None = Field(
        None, ge=0, description="tokens read again by every window of an evaluation without state; default: half of it"
    )

    stop_at_line_end: bool | None = Field(
        None, description="generation ends at the end of a line; default: where every training document is one line"
    )
    max_generated: int = Field(256, ge=1, description="tokens that a request may ask for at most")
    max_prompt: int = Field(1024, ge=1, description="tokens of a prompt that are read, from its end")
    max_scored: int = Field(4096, ge=1, description="tokens of a text that an export's `score` reads")

    @property
    def context_tokens(self) -> int:
        """Tokens that every window of an evaluation without state reads again."""
        return self.window // 2 if self.evaluation_context is None else self.evaluation_context

    @model_validator(mode="after")
    def _fits(self):
        if self.cutoffs is not None and self.softmax != "adaptive":
            raise ValueError(f"cutoffs {self.cutoffs} need softmax: adaptive")
        cutoffs = self.cutoffs
        if cutoffs is not None and (not cutoffs or min(cutoffs) < 1 or sorted(set(cutoffs)) != cutoffs):
            raise ValueError(f"cutoffs {cutoffs}: give rising numbers above 0, such as [2000, 10000]")
        if self.evaluation_context is not None and self.evaluation_context >= self.window:
            raise ValueError(f"evaluation_context {self.evaluation_context} must be smaller than window {self.window}")
        if self.random_window and self.batching in ("windows", "documents"):
            raise ValueError(f"random_window is for batching: stream, not {self.batching}")
        return self


@TASKS.register(LanguageModelSettings)
class LanguageModelTask(Task):
    """Model, metrics and batches of language modelling.

    A document is read after an END, and every token of it, the ENDs of its lines included, is predicted once.

    Args:
        see `LanguageModelSettings`.
    """

    def __init__(self, **settings):
        self.settings = LanguageModelSettings(name="language_model", **settings)

    def check(self, experiment) -> None:
        training, task = experiment.training, self.settings
        if training.class_weights != "none":
            raise ConfigError("training.class_weights: a language model has no classes")
        backbone = experiment.backbone
        if not getattr(type(backbone), "if_causal", None):
            causal = [name for name in BACKBONES.names() if getattr(BACKBONES.settings(name), "if_causal", None)]
            raise ConfigError(f"backbone {backbone.name!r} is not causal; a language model takes: {', '.join(causal)}")
        needed = {key: value for key, value in type(backbone).if_causal.items() if isinstance(value, bool)}
        wrong = {key: value for key, value in needed.items() if getattr(backbone, key) != value}
        if wrong:
            listed = ", ".join(f"backbone.{key}: {value}" for key, value in wrong.items()).lower()
            raise ConfigError(f"a language model must not see the future: set {listed}")
        if task.batching == "stream" and not _recurrent(backbone):
            raise ConfigError(f"task.batching: a {backbone.name} carries no state; use windows or documents")
        if task.random_window and not _recurrent(backbone):
            raise ConfigError(f"task.random_window: a {backbone.name} reads no streams; leave it out")
        if training.xla and task.softmax == "adaptive":
            raise ConfigError("training.xla: an adaptive softmax cannot be compiled; use softmax: full or xla: false")
        if not _recurrent(backbone):
            _check_window(backbone, task)
            _check_positions(backbone, task)

    def model(self, backbone_settings, vocabulary_size: int, labels: list[str]) -> LanguageModel:
        """The network, built, with fresh weights."""
        s = self.settings
        sizes = backbone_settings.arguments()
        if not _recurrent(backbone_settings):
            sizes["max_length"] = s.window  # no other distance between tokens is ever trained
        backbone = BACKBONES.get(backbone_settings.name)(vocabulary_size=vocabulary_size, **sizes)
        cutoffs = None
        if s.softmax == "adaptive":
            cutoffs = s.cutoffs or [cutoff for cutoff in (2_000, 10_000) if cutoff < vocabulary_size]
            if not cutoffs or max(cutoffs) >= vocabulary_size:
                raise ConfigError(
                    f"task.softmax: adaptive with cutoffs {cutoffs or '2000, 10000'}: the vocabulary has "
                    f"{vocabulary_size:,} tokens; use softmax: full or smaller task.cutoffs"
                )
        model = LanguageModel(
            backbone,
            tie_embeddings=s.tie_embeddings,
            cutoffs=cutoffs,
            dropout=s.dropout,
            activation_regularization=s.activation_regularization,
            temporal_regularization=s.temporal_regularization,
        )
        model.build((None, None))
        return model

    def metrics(self, labels: list[str]) -> list:
        return [TokenLoss(), Perplexity()]

    def training_batches(self, model, stores, labels, training) -> tuple[Batches, Batches]:
        s, store = self.settings, stores["train"]
        documents, rows = store.documents(), training.batch_size
        kind = self.batching(model, store)
        if kind == "stream":
            windows = Streams(documents, rows, s.window, training.seed if s.random_window else None)
            model.carry(rows, s.evaluation_batch_size)
        elif s.random_window:
            raise ConfigError(f"task.random_window is for streams; here batching is {kind}: leave it out")
        elif kind == "windows":
            windows = ShuffledWindows(documents, rows, s.window, training.seed)
        else:
            windows = WholeDocuments(documents, rows, s.window, training.buckets, training.seed)
        if s.random_window or kind == "documents":
            model.tokens_per_batch = (documents[-1] - documents[0]) / windows.steps_per_epoch
        lengths = ", ".join(map(str, windows.bounds))
        description = f"{_KINDS[kind]} of {lengths} tokens, {rows} rows ({windows.padding:.0%} padding)"
        held_out, _ = self.evaluation_batches(model, stores["validation"], kind)
        return Batches(_batch(store, windows), windows.steps_per_epoch, description), held_out

    def batching(self, model, store) -> str:
        """`"stream"`, `"windows"` or `"documents"`: what `auto` means for a training split."""
        s, recurrent = self.settings, not hasattr(model.backbone, "max_length")
        if s.batching != "auto":
            return s.batching
        documents = store.documents()
        if np.quantile(np.diff(documents), 0.95) <= s.window:
            return "documents"
        return "stream" if recurrent else "windows"

    def evaluation_batches(self, model, store, kind: str | None = None, rows: int | None = None):
        """Batches that count every token of a store once, and a sentence on the context that a token has.

        Args:
            model: the network; one that carries its state must have been told so (`LanguageModel.carry`).
            store: of the split.
            kind: `"stream"`, `"windows"` or `"documents"`; default: as in training.
            rows: default: `evaluation_batch_size`.
        """
        s, documents = self.settings, store.documents()
        kind, rows = kind or self.batching(model, store), rows or s.evaluation_batch_size
        if kind == "stream":
            windows = Streams(documents, rows, s.window)
            context = (
                f"state carried through {rows} stream{'s' * (rows > 1)} of the text, from each document's beginning"
            )
        elif kind == "windows":
            read = s.context_tokens
            windows = SlidingWindows(documents, rows, s.window, read)
            context = f"sliding window of {s.window} tokens, {read} of context after a document's first window"
        else:
            windows = WholeDocuments(documents, rows, s.window, 8, None)
            context = f"every document on its own, in pieces of at most {s.window} tokens"
        return Batches(_batch(store, windows), windows.steps_per_epoch), context


def _check_window(backbone, task) -> None:
    """A Transformer sees `task.window` tokens, whatever its own `max_length`; the config of a run names every key, though."""
    fields = type(backbone).model_fields
    given = "max_length" in backbone.model_fields_set
    if backbone.model_fields_set >= set(fields):
        given = backbone.max_length != fields["max_length"].default
    if given and backbone.max_length != task.window:
        raise ConfigError(
            f"backbone.max_length: {backbone.max_length}; a language model sees task.window {task.window} tokens: "
            "leave backbone.max_length out, or set both to the same number"
        )


def _check_positions(backbone, task) -> None:
    """Other than rotary positions end with the window, so that generation must end there too."""
    longest = task.max_prompt + task.max_generated
    if backbone.positions != "rotary" and longest > task.window:
        raise ConfigError(
            f"backbone.positions: {backbone.positions} positions end with task.window {task.window}, but task.max_prompt "
            f"{task.max_prompt} + task.max_generated {task.max_generated} go beyond; lower them, or use rotary"
        )


_KINDS = {"stream": "streams in windows", "windows": "shuffled windows", "documents": "whole documents"}


def _recurrent(backbone_settings) -> bool:
    return not hasattr(backbone_settings, "max_length")


def _batch(store, windows):
    """Function of the batch number to inputs, targets and weights."""
    tokens = store.flat()

    def batch(n):
        inputs = window_arrays(tokens, windows[n], END)
        return inputs, inputs["targets"], inputs["weights"]

    return batch
