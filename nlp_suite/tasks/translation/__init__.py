"""Translation: a sentence to a sentence in another language, by an encoder and a decoder with attention."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from nlp_suite.config import ChosenByName, Component, ComponentSettings
from nlp_suite.data.kinds.pairs.batches import PairBatches, pair_arrays
from nlp_suite.data.kinds.pairs.filter import pair_filter
from nlp_suite.data.memory import check_batch
from nlp_suite.errors import ConfigError
from nlp_suite.predictor import Predictor
from nlp_suite.pretrained.families.bart import Bart
from nlp_suite.registry import BACKBONES, DECODERS, TASKS
from nlp_suite.task import Batches, Task
from nlp_suite.tasks.shared.request_checks import MAX_BEAMS
from nlp_suite.text.text_layer import START

if TYPE_CHECKING:
    from nlp_suite.data.init.seen import Recipe
    from nlp_suite.evaluation.report import ReportView
    from nlp_suite.export.signatures import Signatures


class TranslationSettings(ComponentSettings):
    """Settings of the translation task."""

    decoder: Annotated[Component, ChosenByName(DECODERS, "gru")] = Field(
        "gru", description="what writes the translation"
    )
    tie_embeddings: Literal["all", "target", "none"] = Field(
        "target", description="what shares one embedding table: source, target and output; target and output; nothing"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on the decoder's features, the same at every token")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="probability that is spread over all tokens")
    scheduled_sampling: Literal["none", "linear", "exponential", "inverse_sigmoid"] = Field(
        "none", description="how the share of tokens that the decoder reads from itself grows in training"
    )
    sampling_share: float = Field(0.25, gt=0, le=1, description="that share at the end of its growth")
    sampling_from: int = Field(0, ge=0, description="step at which it begins to grow")
    sampling_steps: int = Field(10_000, ge=1, description="steps in which it grows")
    max_tokens: int = Field(
        100,
        ge=1,
        description="training pairs with more tokens on a side are left out; a translation has no more either",
    )
    max_ratio: float | None = Field(
        None, gt=1, description="training pairs one side of which is so many times longer are left out"
    )

    beam_size: int = Field(4, ge=1, le=MAX_BEAMS, description="hypotheses of the search; 1 is greedy")
    n_best: int | None = Field(
        None, ge=1, description="translations of an export's n-best signature; default: beam_size"
    )
    length_penalty: float = Field(0.6, ge=0, description="alpha of the GNMT length penalty; 0 for none")
    coverage_penalty: float = Field(0.0, ge=0, description="beta of the GNMT coverage penalty")
    no_repeat_ngram: int = Field(
        0, ge=0, description="n-grams of this length occur once in a translation; 0: any often"
    )
    min_length: int = Field(0, ge=0, description="tokens of a translation at least, without END")
    max_length_factor: float = Field(
        1.5, gt=0, description="a translation has at most this many tokens per source token,"
    )
    max_length_extra: int = Field(20, ge=1, description="and these, unless min_length wants more")
    long_sources: Literal["truncate", "refuse"] = Field(
        "truncate", description="what becomes of a text to translate with more tokens than text.max_length"
    )
    shown_sentences: int = Field(
        3, ge=0, description="sentences of validation that are translated after every checkpoint interval"
    )
    validation_bleu_sentences: int = Field(
        500, ge=1, description="sentences of validation over which training measures val_bleu, greedily, at most"
    )

    @model_validator(mode="after")
    def _fits(self):
        if self.n_best is not None and self.n_best > self.beam_size:
            raise ValueError(f"n_best {self.n_best} is more than beam_size {self.beam_size}")
        for name in ("min_length", "no_repeat_ngram"):
            if getattr(self, name) > self.max_tokens:
                raise ValueError(f"{name} {getattr(self, name)} is more than max_tokens {self.max_tokens}")
        return self


@TASKS.register(TranslationSettings)
class TranslationTask(Task):
    """Translation.

    A source is its tokens and END; the decoder reads START and the target's tokens and predicts these and END.

    Args:
        **settings: see `TranslationSettings`.
    """

    title = "translation"
    how_to_ask = "ask it with nlp-suite translate, or score --source FILE --target FILE"
    model_kind = "translation model"
    corpus_kind = "pairs"
    honours = frozenset({"data.deduplicate", "target_text", "training.batch_tokens"})
    defaults = {  # noqa: RUF012
        "text": {
            "tokenizer": "sentencepiece",
            "add_end": True,
            "lowercase": False,
            "strip_html": False,
            "max_length": 256,
        },
        "training": {"buckets": 24},
    }
    monitors = ("val_bleu",)
    compiles = True
    exports_to = ("ctranslate2",)
    metric_names = ("cross_entropy", "perplexity")
    card_limits = (
        "Trained on one kind of text: expect less on other domains, longer sentences and other languages.",
        "A translation may be fluent and wrong: names, numbers and negations are worth a look.",
        "Scores compare translations of one text under this model only; they are no measure of quality.",
        "It may repeat biases of its training data; do not let what it writes reach people unread.",
    )
    predicts = False
    scores = True
    page_form = "translation"

    def check(self, experiment) -> None:
        s, backbone = self.settings, experiment.backbone
        if not backbone.returns_sequence:
            usable = [
                name
                for name in BACKBONES.names()
                if BACKBONES.settings(name).model_construct(name=name).returns_sequence
            ]
            raise ConfigError(
                f"backbone {backbone.name!r} has no features for the single tokens that a decoder could attend to; "
                f"allowed: {', '.join(usable)}"
            )
        self._check_preset(experiment)
        if s.tie_embeddings == "all":
            if experiment.target_text is not None:
                raise ConfigError(
                    "task.tie_embeddings: all needs one vocabulary for both languages; leave target_text out, or use target"
                )
            if self._decoder_sizes(backbone)["embedding_size"] != backbone.embedding_size:
                raise ConfigError(
                    f"task.tie_embeddings: all needs equal sizes: backbone.embedding_size is {backbone.embedding_size}, "
                    f"task.decoder.embedding_size {s.decoder.embedding_size}"
                )
        if mismatch := s.decoder.shape_mismatch(self._decoder_sizes(backbone)["embedding_size"], backbone.output_size):
            raise ConfigError(f"task.decoder.{mismatch}")
        for name, text in (("text", experiment.text), ("target_text", experiment.target_text)):
            if text is not None and (text.add_start or not text.add_end):
                given = f"{name}.add_start is {text.add_start} and {name}.add_end {text.add_end}".lower()
                by = ", as a pretrained model has it" if text.tokenizer.name == "preset" else ""
                raise ConfigError(
                    f"{given}{by}; translation reads a sentence and its end: set {name}.add_start: false and {name}.add_end: true"
                )
            if text is not None and text.max_length < s.max_tokens:
                raise ConfigError(
                    f"{name}.max_length {text.max_length} cuts pairs that task.max_tokens {s.max_tokens} lets in; "
                    "lower task.max_tokens or raise it"
                )

    def _check_preset(self, experiment) -> None:
        """The decoder of a pretrained model goes with its encoder, and the other way round."""
        from nlp_suite.training.run import is_run

        s, backbone, is_preset = self.settings, experiment.backbone, self.settings.decoder.name == "preset"
        whole = backbone.encoder if backbone.name == "preset" else None
        if not is_preset:
            return
        if not isinstance(whole, Bart):
            raise ConfigError(
                "task.decoder: preset is that of a pretrained model which has one (bart), and backbone is "
                f"{backbone.description}: give backbone: {{name: preset, init_from: FOLDER}} of such a model, or another decoder"
            )
        if backbone.init_from and is_run(backbone.init_from):
            raise ConfigError(
                f"backbone.init_from: {backbone.init_from} is a run, of which only the backbone would be taken over and not the "
                "decoder: give it as training.init_from, or the folder of a pretrained model"
            )
        if s.decoder.architecture not in (None, backbone.architecture):
            raise ConfigError("task.decoder.architecture is not backbone.architecture: leave it out")
        if s.tie_embeddings != "all":
            raise ConfigError(
                "task.decoder: preset has one table for source, target and output: set task.tie_embeddings: all"
            )
        if (most := max(experiment.text.max_length, s.max_tokens) + 1) > whole.positions:
            raise ConfigError(
                f"text.max_length {experiment.text.max_length} and task.max_tokens {s.max_tokens} need {most} positions with the "
                f"token before them, and the model has {whole.positions}: lower them"
            )

    def _decoder_sizes(self, backbone_settings) -> dict:
        """The decoder's arguments; its embeddings are as wide as the encoder's where nothing is said."""
        sizes = self.settings.decoder.arguments()
        if self.settings.decoder.name == "preset":
            sizes["architecture"] = backbone_settings.architecture
        return {**sizes, "embedding_size": sizes["embedding_size"] or backbone_settings.embedding_size}

    @classmethod
    def recipe(cls, seen) -> "Recipe":
        """See `nlp_suite.tasks.translation.recipe`."""
        from nlp_suite.tasks.translation.recipe import translation_recipe

        return translation_recipe(seen)

    @classmethod
    def import_network(cls) -> None:
        import nlp_suite.tasks.translation.network  # noqa: F401

    def model(self, backbone, assets) -> Any:
        from nlp_suite.tasks.translation.network import TranslationModel

        s = self.settings
        model = TranslationModel(
            BACKBONES.get(backbone.name)(vocabulary_size=assets.vocabulary_size, **backbone.arguments()),
            DECODERS.get(s.decoder.name)(**self._decoder_sizes(backbone)),
            target_vocabulary_size=assets.target_vocabulary_size,
            tie_embeddings=s.tie_embeddings,
            label_smoothing=s.label_smoothing,
            dropout=s.dropout,
        )
        model.build((None, None))
        return model

    def metrics(self, labels) -> list:
        from nlp_suite.tasks.shared.token_metrics import Perplexity, TokenLoss

        return [TokenLoss(), Perplexity()]

    def training_batches(self, model, stores, labels, training) -> tuple[Batches, Batches]:
        s, store = self.settings, stores["train"]
        rows, dropped = pair_filter(store.full_lengths, s.max_tokens, s.max_ratio)
        if not len(rows):
            raise ConfigError(f"no training pair is left: {_reasons(dropped)}; see task.max_tokens and task.max_ratio")
        sizes = {"tokens": training.batch_tokens, "batch_size": training.batch_size, "buckets": training.buckets}
        batches = PairBatches(store.lengths, rows, seed=training.seed, **sizes)
        largest, bound = max(zip(batches.sizes, batches.bounds), key=lambda of: of[0] * of[1].sum())
        name = "batch_tokens" if training.batch_tokens else "batch_size"
        key = f"training.{name} {getattr(training, name):,}"
        check_batch(key, largest, int(bound.sum()), model.backbone)
        model.tokens_per_batch = float(store.lengths[rows, 1].sum()) / batches.steps_per_epoch
        padding = batches.padding
        description = (
            f"{len(batches.bounds)} batch shapes ({padding['both']:.0%} padding; source {padding['source']:.0%}, "
            f"target {padding['target']:.0%})"
        )
        if any(dropped.values()):
            description += f"; {len(rows):,} of {len(store):,} pairs, left out: {_reasons(dropped)}"

        def batch(n):
            arrays = pair_arrays(store, *batches[n])
            if s.scheduled_sampling != "none":
                prob = np.float32(1 - model_sample_rate(s, n))
                arrays["teacher_forcing_prob"] = np.full(len(arrays["source"]), prob)
            return arrays, arrays["targets"], arrays["weights"]

        held_out = self.evaluation_batches(stores["validation"], training)
        return Batches(batch, batches.steps_per_epoch, description), held_out

    def evaluation_batches(self, store, training) -> Batches:
        """Batches of all pairs of a split, in the shapes of training's settings."""
        sizes = {"tokens": training.batch_tokens, "batch_size": training.batch_size, "buckets": training.buckets}
        batches = PairBatches(store.lengths, np.arange(len(store)), seed=None, **sizes)

        def batch(n):
            arrays = pair_arrays(store, *batches[n])
            return arrays, arrays["targets"], arrays["weights"]

        return Batches(batch, batches.steps_per_epoch)

    def interval_callbacks(self, experiment, model, stores, assets, console) -> list:
        """Translates a part of validation after every checkpoint interval, where something asks for it.

        That is `training.monitor: val_bleu`, or `task.shown_sentences` above 0.
        """
        if experiment.training.monitor not in self.monitors and not self.settings.shown_sentences:
            return []
        from nlp_suite.tasks.translation.measure import TranslateValidation, truncating_predictor

        predictor = truncating_predictor(model, assets.text, assets.target_text, self.settings)
        return [TranslateValidation(predictor, stores["validation"], self.settings, console)]

    def measure(self, run, split, stores) -> dict:
        from nlp_suite.tasks.translation.measure import measure

        return measure(run, split, stores)

    def baselines(self, run, split, stores, by_row) -> dict:
        from nlp_suite.tasks.translation.baseline import baselines

        return baselines(stores["train"], stores[split], by_row)

    def report_view(self) -> "ReportView":
        from nlp_suite.tasks.translation.view import TranslationView

        return TranslationView()

    def predictor(self, model, assets, experiment) -> Predictor:
        from nlp_suite.tasks.translation.predictor import TranslationPredictor

        return TranslationPredictor([model], assets.text, assets.target_text or assets.text, experiment.task)

    def export_predictor(self, signatures) -> Predictor:
        from nlp_suite.tasks.translation.export_predictor import SavedModelTranslation

        return SavedModelTranslation(signatures)

    @classmethod
    def write_scores(cls, predictor, options) -> None:
        from nlp_suite.tasks.translation.output import write_pair_scores

        write_pair_scores(predictor, options)

    def signatures(self, model, predictor, xla=False) -> "Signatures":
        from nlp_suite.tasks.translation.signatures import TranslationSignatures

        return TranslationSignatures(model, predictor, xla)

    def parts(self, model, assets) -> list:
        from nlp_suite.tasks.translation.parts import parts

        return parts(model)

    def check_inputs(self, run, texts) -> Any:
        """Padded sources int32 `[N, S]`, and the beginnings of targets without padding, int32 `[N, T]`."""
        targets = np.resize(np.concatenate(run.target_text.encode(texts)), (len(texts), 8))
        target_in = np.concatenate([np.full((len(texts), 1), START), targets], axis=1).astype("int32")
        return {"source": run.text.pad(run.text.encode(texts)), "target_in": target_in}

    def card_facts(self, experiment) -> dict[str, str]:
        s = experiment.task
        longer = "refused" if s.long_sources == "refuse" else "cut, and flagged"
        return {
            "Search": f"beam {s.beam_size}, length penalty {s.length_penalty}",
            "Longest text": f"{experiment.text.max_length} tokens; longer ones are {longer}",
            "Writes": f"at most {s.max_tokens} tokens",
        }


def model_sample_rate(settings, step: int) -> float:
    """Share of the decoder's inputs that are its own predictions at a training step (Bengio et al. 2015, §2.4).

    It grows from 0 at `sampling_from` to `sampling_share`, `sampling_steps` later: evenly; by exponential decay of the
    reference's share, of which 1 % is left at the end; or along a sigmoid from its 1 % to its 99 % point.
    """
    progress = (step - settings.sampling_from) / settings.sampling_steps
    if settings.scheduled_sampling == "none" or progress <= 0:
        return 0.0
    progress = min(progress, 1.0)
    if settings.scheduled_sampling == "exponential":
        progress = 1 - 0.01**progress
    elif settings.scheduled_sampling == "inverse_sigmoid":
        progress = 1 / (1 + math.exp(-2 * math.log(99) * (progress - 0.5)))
    return settings.sampling_share * progress


def _reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
