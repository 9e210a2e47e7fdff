"""Sentiment classification: a text to one of two or more labels, with probabilities."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nlp_suite.data.batches import BucketedBatches
from nlp_suite.data.memory import check_batch, check_rows
from nlp_suite.errors import ConfigError
from nlp_suite.predictor import Predictor
from nlp_suite.progress import track
from nlp_suite.registry import BACKBONES, TASKS
from nlp_suite.task import Batches, Task
from nlp_suite.tasks.sentiment.settings import ONE_LABEL, SentimentSettings

if TYPE_CHECKING:
    from nlp_suite.config import Experiment
    from nlp_suite.data.init.seen import Choice, Recipe
    from nlp_suite.evaluation.report import ReportView
    from nlp_suite.export.classifier_head import ClassifierHead
    from nlp_suite.export.signatures import Signatures


@TASKS.register(SentimentSettings)
class SentimentTask(Task):
    """Sentiment classification.

    Args:
        **settings: see `SentimentSettings`.
    """

    title = "sentiment classification"
    model_kind = "classifier"
    corpus_kind = "labelled"
    honours = frozenset({"data.labels", "data.deduplicate", "training.class_weights", "training.features"})
    defaults = {"training": {"monitor": "val_accuracy"}}  # noqa: RUF012
    default_recipe = {  # noqa: RUF012  # measured on tables of 500 to 25,000 rows: configs/README.md
        "backbone": {
            "name": "bag",
            "embedding_size": 16,
            "ngrams": 2,
            "ngram_buckets": 2**18,
            "average": "l2",
            "naive_bayes": True,
        },
        "text": {
            "tokenizer": {"name": "word", "vocabulary_size": 60_000},
            "max_length": 2000,
            "truncation": "head_tail",
        },
        "training": {"epochs": 12, "learning_rate": 0.01, "monitor": "val_loss", "patience": 3},
    }
    metric_names: ClassVar[tuple[str, ...]] = ("accuracy", "cross_entropy", "macro_f1")
    card_limits = (
        "Trained on one kind of text: expect less on other domains, lengths and languages than those of its training data.",
        "See the calibration error before reading its probabilities as chances.",
        "Every text gets one of the labels, also an empty one or one in another language.",
        "It may repeat biases of its training data; do not let it alone decide about people.",
    )
    page_form = "classification"
    exports_to = ("huggingface", "keras_layers")
    quantizes = True

    @classmethod
    def recipe(cls, seen) -> "Recipe":
        """See `nlp_suite.tasks.sentiment.recipe`."""
        from nlp_suite.tasks.sentiment.recipe import classification_recipe

        return classification_recipe(seen)

    @classmethod
    def other_recipe(cls, seen) -> list[str]:
        """See `nlp_suite.tasks.sentiment.recipe.pretrained_start`."""
        from nlp_suite.tasks.sentiment.recipe import pretrained_start

        return pretrained_start(seen)

    @classmethod
    def settings_for_labels(cls, labels) -> "Mapping[str, Choice]":
        """See `nlp_suite.tasks.sentiment.recipe.problem`."""
        from nlp_suite.tasks.sentiment.recipe import problem

        return problem(labels)

    @classmethod
    def variant(cls, settings) -> type[Task]:
        """See `Task.variant`: every value of `problem` but the default has a subclass of this one, and so have ensembles."""
        if settings.get("members"):
            from nlp_suite.tasks.sentiment.ensemble.task import EnsembleTask

            return EnsembleTask
        if settings.get("problem", "single_label") == "single_label":
            return cls
        from nlp_suite.tasks.sentiment.problems import PROBLEMS

        return PROBLEMS.get(settings["problem"], cls)  # a name that there is not is refused by the settings

    @classmethod
    def name(cls) -> str:
        return "sentiment"

    @classmethod
    def import_network(cls) -> None:
        import nlp_suite.tasks.sentiment.network
        import nlp_suite.tasks.sentiment.problems.ordinal.network
        import nlp_suite.tasks.sentiment.problems.regression.network  # noqa: F401

    @classmethod
    def remarks(cls, experiment, labels) -> list[str]:
        """An embedding that is too small for the number of classes: the logits are a linear function of its averages.

        And a teacher that knows other data.
        """
        lines: list[str] = []
        if experiment.task.teacher is not None:
            from nlp_suite.tasks.sentiment.teacher import remarks_on_teacher

            lines += remarks_on_teacher(experiment)
        size, needed = experiment.backbone.embedding_size, len(labels) - 1
        if experiment.task.problem == "single_label" and size < needed:
            lines.append(
                f"backbone.embedding_size is {size}, which cannot tell {needed + 1} classes apart: give {needed} or more"
            )
        return lines

    def check(self, experiment) -> None:
        """See `Task.check`: features can be kept where nothing that makes them changes from step to step."""
        if self.settings.teacher is not None:
            from nlp_suite.tasks.sentiment.teacher import check_teacher

            check_teacher(self.settings.teacher)
        backbone = experiment.backbone
        if backbone.name == "preset" and backbone.is_causal and "first" in self.settings.pooling:
            raise ConfigError(
                "task.pooling first: the first token of a causal model sees no other one, and is the same for every text; take "
                "last, mean, max or attention"
            )
        if experiment.training.features != "cached":
            return
        if not backbone.is_frozen:
            raise ConfigError(
                "training.features: cached is for a backbone that training does not change, and here it does: set "
                "backbone.freeze: all (backbone preset), or training.features: computed"
            )
        if "attention" in self.settings.pooling:
            raise ConfigError(
                "training.features: cached keeps one vector a text, and task.pooling attention has weights that are trained, "
                "for which every token would be needed: take first, last, mean or max, or training.features: computed"
            )
        for key in ("word_dropout", "type_dropout", "embedding_dropout"):
            if rate := getattr(backbone, key):
                raise ConfigError(
                    f"backbone.{key} {rate:g} makes other features of a text at every step, so that none can be kept: leave it "
                    "out, or set training.features: computed"
                )

    def model(self, backbone, assets) -> Any:
        s = self.settings
        if reads_pairs(assets) and not backbone.reads_pairs:
            raise ConfigError(
                f"backbone {backbone.name}: its model reads pairs of texts in another form than START text END text_b END; take "
                "another model, or leave text_b out"
            )
        encoder = BACKBONES.get(backbone.name)(vocabulary_size=assets.vocabulary_size, **backbone.arguments())
        model = self.head(
            encoder, assets, pooling=s.pooling, dropout=s.dropout, hidden=s.hidden, classifier=s.classifier
        )
        logits = model.settings["classes"]
        if s.classifier == "identity" and model.vector_size != logits:
            raise ConfigError(
                f"task.classifier: identity takes the pooled features for the logits, and there are {model.vector_size} features "
                f"for {logits}: set backbone.embedding_size (or what the backbone calls its features) to {logits} and task.pooling "
                "to one kind"
            )
        model.build((None, None))
        if not s.train_word_vectors:
            encoder.embedding.trainable = False
        return model

    def head(self, backbone, assets, **settings) -> Any:
        """The network over a backbone, not built yet."""
        from nlp_suite.tasks.sentiment.network import SentimentModel

        return SentimentModel(backbone, len(assets.labels), **settings)

    def start_weights(self, model, text, store) -> list[str]:
        """Pretrained word vectors, and counts of n-grams where the backbone wants them.

        Raises:
            ConfigError: vectors of another size than the embedding, or a file that holds none.
        """
        lines = [self._load_word_vectors(model, text)] if self.settings.word_vectors else []
        if model.backbone.priors:
            batches = BucketedBatches(store.lengths, 64, 8, seed=None)
            numbers = track(range(batches.steps_per_epoch), "counting n-grams", batches.steps_per_epoch, "batches")
            rows = (batches[n] for n in numbers)
            labels, classes = self.counted_classes(np.asarray(store.labels), model)
            counted = ((store.padded(r[w > 0], length), labels[r[w > 0]]) for r, w, length in rows)
            model.backbone.learn_prior(counted, classes)
            lines.append("counted the n-grams of the training split")
        return lines

    def counted_classes(self, labels, model) -> tuple[Any, int]:
        """Of which classes a backbone counts n-grams, as `BagBackbone.learn_prior` takes them, for all rows; and how many."""
        return labels, model.settings["classes"]

    def _load_word_vectors(self, model, text) -> str:
        import keras
        import numpy as np

        from nlp_suite.text.word_vectors import read_word_vectors

        path, words = self.settings.word_vectors, text.id_to_token(range(text.vocabulary_size))
        table = np.array(keras.ops.convert_to_numpy(model.backbone.embedding.embeddings))  # [V, E]
        found = read_word_vectors(path, words, table)
        if not found.words:
            raise ConfigError(f"{path}: no word of the vocabulary ({len(words):,} words) has a vector")
        model.backbone.embedding.embeddings.assign(table)
        repeated = f"; {found.repeated:,} more lines repeat one of them and were left out" if found.repeated else ""
        return f"word vectors: {found.words:,} of {len(words):,} words found in {path}{repeated}"

    def loss(self) -> Any:
        """Cross-entropy of the logits; the sum over a batch is divided by the rows of a full one."""
        from nlp_suite.tasks.sentiment.metrics import SmoothedCrossEntropy

        return SmoothedCrossEntropy(self.settings.label_smoothing)

    def metrics(self, labels) -> list:
        """Metrics that sum and count over all rows; `cross_entropy` is the loss without label smoothing."""
        import keras

        from nlp_suite.tasks.sentiment.metrics import MacroF1

        return [
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy", from_logits=True),
            MacroF1(len(labels)),
        ]

    def training_batches(self, model, stores, labels, training) -> tuple[Batches, Batches]:
        from nlp_suite.tasks.sentiment.metrics import class_weights, class_weights_remark

        if self.settings.threshold is not None and len(labels) != 2:
            raise ConfigError(f"task.threshold is for two labels, and there are {len(labels)}: {', '.join(labels)}")
        store, held_out = stores["train"], stores["validation"]
        batches = BucketedBatches(store.lengths, training.batch_size, training.buckets, training.seed)
        validation = BucketedBatches(held_out.lengths, training.batch_size, training.buckets, None)
        check_rows(training.batch_size, len(store))
        if training.features == "computed":  # else a row is one vector
            longest = int(max(batches.bounds[-1], validation.bounds[-1]))
            check_batch(f"training.batch_size {training.batch_size:,}", training.batch_size, longest, model.backbone)
        description = f"batch lengths {', '.join(map(str, batches.bounds))} ({batches.padding:.0%} padding)"
        if training.features == "cached":
            description = f"vectors of {model.vector_size} numbers"
        if training.class_weights != "none":
            model.class_weights = class_weights(training.class_weights, labels, store.labels)  # [C]
            description += f"; {class_weights_remark(labels, model.class_weights)}"

        learned = self._batches(model, store, batches, training, description)
        if self.settings.teacher is not None:
            from nlp_suite.tasks.sentiment.teacher import taught

            learned = taught(learned, batches, store, labels, self.settings)
        return learned, self._batches(model, held_out, validation, training)

    def _batches(self, model, store, numbered, training, description="") -> Batches:
        """Numbered batches of a store, of token ids or of vectors that were made before."""
        if training.features == "computed":
            return Batches(lambda n: self.batch(store, *numbered[n]), numbered.steps_per_epoch, description)
        from nlp_suite.tasks.sentiment.cached_vectors import CachedVectors

        vectors = CachedVectors(model, store)  # for the same rows in every batch as without them

        def batch(n: int) -> tuple:
            rows, weights, _ = numbered[n]
            return vectors[rows], self.targets(store, rows), weights

        return Batches(batch, numbered.steps_per_epoch, description, lambda record: vectors.open())

    def batch(self, store, rows, weights, length: int) -> tuple:
        """Model input, target and weight of a batch: int32 `[B, T]`, see `targets`, float32 `[B]`."""
        return store.padded(rows, length), self.targets(store, rows), weights

    def targets(self, store, rows) -> Any:
        """What the network should answer to some rows: label ids int32 `[B]`."""
        return store.labels[rows]

    def after_training(self, run, stores) -> dict:
        if self.settings.problem not in ONE_LABEL:
            return {}
        from nlp_suite.tasks.sentiment.measure import fit_on_validation

        return fit_on_validation(run, stores["validation"])

    def measure(self, run, split, stores) -> dict:
        from nlp_suite.tasks.sentiment.measure import measure

        return measure(run, split, stores)

    def label_probabilities(self, run, split, stores) -> tuple | None:
        if self.settings.problem not in ONE_LABEL:
            return None
        from nlp_suite.tasks.sentiment.measure import predict_split

        return np.asarray(stores[split].labels), predict_split(run, stores[split])

    def baselines(self, run, split, stores, by_row) -> dict:
        from nlp_suite.tasks.sentiment.baseline import baselines

        return baselines(run.labels, stores["train"], stores[split], by_row)

    def report_view(self) -> "ReportView":
        from nlp_suite.tasks.sentiment.view import ClassificationView

        return ClassificationView()

    def sample_answers(self, run, model, rows) -> tuple | None:
        from nlp_suite.tasks.sentiment.measure import sample_answers

        return sample_answers(run, model, rows)

    def predictor(self, model, assets, experiment) -> Predictor:
        from nlp_suite.tasks.sentiment.calibration import temperature_of
        from nlp_suite.tasks.sentiment.predictor import NetworkClassifier
        from nlp_suite.tasks.sentiment.threshold import threshold_of

        fitted = temperature_of(assets), threshold_of(assets)
        return NetworkClassifier(model, assets.text, assets.labels, *fitted, pairs=reads_pairs(assets))

    def freeze_data_defaults(self, run) -> "Experiment":
        """See `Task.freeze_data_defaults`: the threshold that was chosen."""
        if not (chosen := run.assets.fitted.get("threshold")):
            return run.experiment
        task = run.experiment.task.model_copy(update={"threshold": chosen["value"]})
        return run.experiment.model_copy(update={"task": task})

    def export_predictor(self, signatures) -> Predictor:
        from nlp_suite.tasks.sentiment.predictor import SavedModelClassifier

        return SavedModelClassifier(signatures)

    @classmethod
    def chosen(cls, labels, options) -> Callable[[dict], dict]:
        from nlp_suite.tasks.sentiment.choice import chooser

        return chooser(labels, options)

    @classmethod
    def answer_columns(cls, labels, for_people, options=None) -> dict[str, Callable[[dict], Any]]:
        from nlp_suite.tasks.sentiment.choice import answer_columns

        return answer_columns(labels, for_people, options.top_k if options else None)

    def check_inputs(self, run, texts) -> Any:
        """See `Task.check_inputs`; of pairs as they are read."""
        if not reads_pairs(run.assets):
            return super().check_inputs(run, texts)
        return run.text.pad(run.text.encode_pairs(texts)[0])

    def card_facts(self, experiment) -> dict[str, str]:
        pooling = ", ".join(self.settings.pooling)
        vector = f"the pooled features that the classifier reads ({pooling}); the signature embed of a SavedModel"
        return {**super().card_facts(experiment), "Vector of a text": vector}

    def classifier_head(self, run, model) -> "ClassifierHead":
        from nlp_suite.tasks.sentiment.calibration import temperature_of
        from nlp_suite.tasks.sentiment.head import head_of
        from nlp_suite.tasks.sentiment.threshold import threshold_of

        threshold = threshold_of(run.assets)
        unsaid = [] if threshold is None else [f"{run.labels[1]} is answered from a probability of {threshold:g} on"]
        return head_of(model, run.labels, "single_label_classification", unsaid, temperature_of(run.assets))

    def signatures(self, model, predictor, xla=False) -> "Signatures":
        from nlp_suite.tasks.sentiment.signatures import SentimentSignatures

        return SentimentSignatures(model, predictor)


def reads_pairs(assets) -> bool:
    """Whether a network was trained on pairs of texts."""
    return bool(assets.facts.get("text_pairs"))
