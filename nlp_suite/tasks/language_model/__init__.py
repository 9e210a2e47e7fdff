"""Language modelling: what comes next; perplexity, scores of texts, generation."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from nlp_suite.config import ComponentSettings, Experiment
from nlp_suite.data.memory import check_batch, check_rows
from nlp_suite.data.windows import ShuffledWindows, SlidingWindows, Streams, WholeDocuments, window_arrays
from nlp_suite.errors import ConfigError
from nlp_suite.predictor import Adaptation, Predictor
from nlp_suite.registry import BACKBONES, TASKS
from nlp_suite.task import Batches, Task
from nlp_suite.text.text_layer import END

if TYPE_CHECKING:
    from nlp_suite.data.init.seen import Recipe
    from nlp_suite.evaluation.report import ReportView
    from nlp_suite.export.signatures import Signatures


class LanguageModelSettings(ComponentSettings):
    """Settings of the language modelling task."""

    tie_embeddings: bool = Field(True, description="the output softmax uses the embedding table")
    softmax: Literal["full", "adaptive"] = Field(
        "full", description="adaptive: rare words cost less, for large vocabularies (Grave et al. 2017)"
    )
    cutoffs: list[int] | None = Field(
        None, description="of the adaptive softmax: ids below the first are frequent; default: 2000 and 10000"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="rate on the backbone's features, the same at every token; on top of backbone.last_dropout",
    )
    activation_regularization: float = Field(0.0, ge=0, description="AR of AWD-LSTM: weight of the squared features")
    temporal_regularization: float = Field(
        0.0, ge=0, description="TAR of AWD-LSTM: weight of their squared change from token to token"
    )
    batching: Literal["auto", "stream", "windows", "documents"] = Field(
        "auto",
        description="stream: state carried through the text; windows: shuffled, no state; documents: each on its own, "
        "padded; auto: documents if 95 % fit into the window, else stream for backbones that carry a state",
    )
    window: int = Field(35, ge=2, description="tokens of a training window (truncated BPTT)")
    random_window: bool = Field(
        False,
        description="window lengths drawn around `window`, as AWD-LSTM does; the loss is scaled by the length (there the "
        "learning rate is, which differs where gradients are clipped)",
    )
    evaluation_batch_size: int = Field(10, ge=1, le=2**16, description="rows of a batch in evaluation")
    evaluation_context: int | None = Field(
        None,
        ge=0,
        description="tokens that every window of an evaluation without state reads again; default: half a window",
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
    """Language modelling.

    A document is read after an END, and every token of it, the ENDs of its lines included, is predicted once.

    Args:
        **settings: see `LanguageModelSettings`.
    """

    title = "language modelling"
    how_to_ask = "ask it with nlp-suite score or nlp-suite generate"
    model_kind = "language model"
    corpus_kind = "text"
    causal = True
    defaults = {  # noqa: RUF012
        "text": {
            "add_end": True,
            "add_start": False,
            "lowercase": False,
            "strip_html": False,
            "max_length": 100_000,
            "max_characters": 1_000_000,
        }
    }
    metric_names = ("cross_entropy", "perplexity")
    card_limits = (
        "Trained on one kind of text: expect less on other domains and languages than those of its training data.",
        "What it writes is likely text, not fact; it may repeat its training text word for word.",
        "Its log-probabilities compare texts under this model and this vocabulary only.",
        "It may repeat biases of its training data; do not let what it writes reach people unread.",
    )
    predicts = False
    scores = True
    page_form = "generation"

    def check(self, experiment) -> None:
        """See `nlp_suite.tasks.language_model.checks`."""
        from nlp_suite.tasks.language_model.checks import check_language_model

        check_language_model(experiment, self.settings)

    @classmethod
    def remarks(cls, experiment, labels) -> list[str]:
        """A window that was left at its default, which is far below what a pretrained model was trained with."""
        window, positions = experiment.task.window, experiment.backbone.max_tokens or 0
        if window != LanguageModelSettings.model_fields["window"].default or positions <= window:
            return []
        return [
            f"task.window is {window}, the default, though the pretrained model reads up to {positions:,} tokens: it is trained and "
            f"measured on windows of {window}, and its perplexity is higher than it need be; set task.window: {min(positions, 512)}"
        ]

    @classmethod
    def recipe(cls, seen) -> "Recipe":
        """See `nlp_suite.tasks.language_model.recipe`."""
        from nlp_suite.tasks.language_model.recipe import language_model_recipe

        return language_model_recipe(seen)

    @classmethod
    def import_network(cls) -> None:
        import nlp_suite.tasks.language_model.network  # noqa: F401

    def model(self, backbone, assets) -> Any:
        from nlp_suite.tasks.language_model.network import LanguageModel

        s, vocabulary_size = self.settings, assets.vocabulary_size
        backbone = backbone.with_context_limit(s.window)  # no other distance between tokens is ever trained
        encoder = BACKBONES.get(backbone.name)(vocabulary_size=vocabulary_size, **backbone.arguments())
        cutoffs = None
        if s.softmax == "adaptive":
            cutoffs = s.cutoffs or [cutoff for cutoff in (2_000, 10_000) if cutoff < vocabulary_size]
            if not cutoffs or max(cutoffs) >= vocabulary_size:
                raise ConfigError(
                    f"task.softmax: adaptive with cutoffs {cutoffs or '2000, 10000'}: the vocabulary has "
                    f"{vocabulary_size:,} tokens; use softmax: full or smaller task.cutoffs"
                )
        model = LanguageModel(
            encoder,
            tie_embeddings=s.tie_embeddings,
            cutoffs=cutoffs,
            dropout=s.dropout,
            activation_regularization=s.activation_regularization,
            temporal_regularization=s.temporal_regularization,
            start_token=assets.text.tokenizer.document_start,
            always_starts=assets.text.tokenizer.always_starts and not encoder.has_output_bias,
        )
        model.build((None, None))
        return model

    def metrics(self, labels) -> list:
        from nlp_suite.tasks.shared.token_metrics import Perplexity, TokenLoss

        return [TokenLoss(), Perplexity()]

    def training_batches(self, model, stores, labels, training) -> tuple[Batches, Batches]:
        s, store = self.settings, stores["train"]
        documents, rows = store.documents(), training.batch_size
        kind = self.batching(model, store)
        windows: Streams | ShuffledWindows | WholeDocuments
        if kind != "documents":
            keys = f"training.batch_size {rows:,} and task.window {s.window:,}"
            check_batch(keys, rows, s.window, model.backbone)
        tokens = int(documents[-1] - documents[0])
        check_rows(rows, max(len(documents) - 1, tokens // s.window))
        if kind == "stream":
            windows = Streams(documents, rows, s.window, training.seed if s.random_window else None)
            model.carry(rows, s.evaluation_batch_size)
        elif s.random_window:
            raise ConfigError(f"task.random_window is for streams; here batching is {kind}: leave it out")
        elif kind == "windows":
            windows = ShuffledWindows(documents, rows, s.window, training.seed, model.always_starts)
        else:
            settings = training.buckets, training.seed, model.always_starts
            windows = WholeDocuments(documents, rows, s.window, *settings)
            longest = int(windows.bounds[-1])
            check_batch(f"training.batch_size {rows:,}", rows, longest, model.backbone)
        model.tokens_per_batch = tokens / windows.steps_per_epoch
        lengths = ", ".join(map(str, windows.bounds))
        description = f"{_KINDS[kind]} of {lengths} tokens, {rows} rows ({windows.padding:.0%} padding)"
        held_out, _ = self.evaluation_batches(model, stores["validation"], kind)
        return Batches(window_batch(store, windows, model.start_token), windows.steps_per_epoch, description), held_out

    def batching(self, model, store) -> str:
        """`"stream"`, `"windows"` or `"documents"`: what `auto` means for a training split."""
        s = self.settings
        if s.batching != "auto":
            return s.batching
        documents = store.documents()
        if np.quantile(np.diff(documents), 0.95) <= s.window:
            return "documents"
        return "stream" if model.backbone.carries_state else "windows"

    def evaluation_batches(self, model, store, kind: str | None = None, rows: int | None = None) -> tuple[Batches, str]:
        """Batches that count every token of a store once, and a sentence on the context that a token has; see `evaluation_windows`."""
        windows, context = self.evaluation_windows(model, store, kind, rows)
        return Batches(window_batch(store, windows, model.start_token), windows.steps_per_epoch), context

    def evaluation_windows(
        self, model, store, kind: str | None = None, rows: int | None = None
    ) -> tuple[Streams | SlidingWindows | WholeDocuments, str]:
        """Windows that predict every token of a store once, and a sentence on the context that a token has.

        Args:
            model: the network; one that carries its state must have been told so (`LanguageModel.carry`).
            store: of the split.
            kind: `"stream"`, `"windows"` or `"documents"`; default: as in training.
            rows: default: `evaluation_batch_size`.
        """
        s, documents = self.settings, store.documents()
        kind, rows = kind or self.batching(model, store), rows or s.evaluation_batch_size
        keys = f"task.evaluation_batch_size {rows:,} and task.window {s.window:,}"
        check_batch(keys, rows, min(s.window, int(np.diff(documents).max())), model.backbone)
        windows: Streams | SlidingWindows | WholeDocuments
        if kind == "stream":
            windows = Streams(documents, rows, s.window)
            context = (
                f"state carried through {rows} stream{'s' * (rows > 1)} of the text, from each document's beginning"
            )
        elif kind == "windows":
            read = s.context_tokens
            windows = SlidingWindows(documents, rows, s.window, read, model.always_starts)
            context = f"sliding window of {s.window} tokens, {read} of context after a document's first window"
        else:
            windows = WholeDocuments(documents, rows, s.window, 8, None, model.always_starts)
            context = f"every document on its own, in pieces of at most {s.window} tokens"
        return windows, context

    def start_weights(self, model, text, store) -> list[str]:
        if text.tokenizer.no_output is not None:
            model.never_write(text.tokenizer.no_output)
        return []

    def measure(self, run, split, stores) -> dict:
        from nlp_suite.tasks.language_model.measure import measure

        return measure(run, split, stores)

    @classmethod
    def adaptation(cls, given) -> "Adaptation":
        from nlp_suite.tasks.language_model.adaptation import LanguageModelAdaptation

        return LanguageModelAdaptation(given)

    def baselines(self, run, split, stores, by_row) -> dict:
        from nlp_suite.tasks.language_model.baseline import baselines

        counts = run.info["statistics"][split]
        return baselines(stores["train"], stores[split], run.text.vocabulary_size, counts, by_row)

    def report_view(self) -> "ReportView":
        from nlp_suite.tasks.language_model.view import LanguageModelView

        return LanguageModelView()

    def freeze_data_defaults(self, run) -> Experiment:
        task = run.experiment.task.model_copy(update={"stop_at_line_end": stops_at_line_end(run)})
        return run.experiment.model_copy(update={"task": task})

    def predictor(self, model, assets, experiment) -> Predictor:
        from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor

        return LanguageModelPredictor(model, assets.text, experiment.task, experiment.task.stop_at_line_end)

    def export_predictor(self, signatures) -> Predictor:
        from nlp_suite.tasks.language_model.export_predictor import SavedModelLanguageModel

        return SavedModelLanguageModel(signatures)

    @classmethod
    def write_scores(cls, predictor, options) -> None:
        from nlp_suite.tasks.language_model.output import write_scores

        write_scores(predictor, options)

    def signatures(self, model, predictor, xla=False) -> "Signatures":
        from nlp_suite.tasks.language_model.signatures import LanguageModelSignatures

        return LanguageModelSignatures(model, predictor)

    def parts(self, model, assets) -> list:
        from nlp_suite.tasks.language_model.parts import parts

        return parts(model)

    def check_inputs(self, run, texts) -> Any:
        """Short pieces of text without padding, int32 `[N, T]`."""
        tokens = np.concatenate(run.text.encode(texts))[: 8 * 16]
        return tokens[: len(tokens) // 16 * 16].reshape(-1, 16) if len(tokens) >= 16 else tokens[None]

    def card_facts(self, experiment) -> dict[str, str]:
        s = experiment.task
        return {
            "Prompt": f"its last {s.max_prompt:,} tokens are read",
            "Writes": f"at most {s.max_generated:,} tokens a request",
            "Scores": f"the first {s.max_scored:,} tokens of a text",
        }


def stops_at_line_end(run) -> bool:
    """Whether generation ends with the line: as set, or else where every training document is one line."""
    chosen = run.experiment.task.stop_at_line_end
    statistics = run.info["statistics"]["train"]
    return statistics["documents"] == statistics["texts"] if chosen is None else chosen


_KINDS = {"stream": "streams in windows", "windows": "shuffled windows", "documents": "whole documents"}


def window_batch(store, windows, start=END) -> Callable[[int], tuple]:
    """Function of the batch number to inputs, targets and weights; `start` is what is read before a document."""
    tokens = store.flat()

    def batch(n):
        inputs = window_arrays(tokens, windows[n], start)
        return inputs, inputs["targets"], inputs["weights"]

    return batch
