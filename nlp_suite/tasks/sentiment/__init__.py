"""Sentiment classification: a text to one of two or more labels, with probabilities."""

from typing import Literal

import keras
import numpy as np
from pydantic import Field, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.data.batches import BucketedBatches
from nlp_suite.errors import ConfigError
from nlp_suite.registry import BACKBONES, TASKS
from nlp_suite.task import Batches, Task
from nlp_suite.tasks.sentiment.metrics import MacroF1
from nlp_suite.tasks.sentiment.network import SentimentModel
from nlp_suite.text.word_vectors import read_word_vectors


class SentimentSettings(ComponentSettings):
    """Settings of the sentiment task."""

    pooling: list[Literal["last", "mean", "max", "attention"]] = Field(["max"], min_length=1)
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on the pooled features")
    hidden: int = Field(0, ge=0, description="units of a dense layer before the classifier; 0 for none")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    word_vectors: str | None = Field(None, description="file of pretrained word vectors: a word and its numbers a line")
    train_word_vectors: bool = Field(True, description="whether training changes the embeddings")

    @model_validator(mode="after")
    def _frozen_vectors_are_given(self):
        if not self.train_word_vectors and not self.word_vectors:
            raise ValueError("train_word_vectors: false needs word_vectors, or random embeddings would stay random")
        return self


@TASKS.register(SentimentSettings)
class SentimentTask(Task):
    """Model, loss, metrics and batches of sentiment classification.

    Args:
        pooling, dropout, hidden, label_smoothing, word_vectors, train_word_vectors: see `SentimentSettings`.
    """

    def __init__(
        self, pooling=("max",), dropout=0.0, hidden=0, label_smoothing=0.0, word_vectors=None, train_word_vectors=True
    ):
        self._head = {"pooling": pooling, "dropout": dropout, "hidden": hidden}
        self._label_smoothing = label_smoothing
        self._word_vectors, self._train_word_vectors = word_vectors, train_word_vectors

    def model(self, backbone_settings, vocabulary_size: int, labels: list[str]) -> SentimentModel:
        """The network, built, with fresh weights."""
        backbone = BACKBONES.get(backbone_settings.name)(
            vocabulary_size=vocabulary_size, **backbone_settings.arguments()
        )
        model = SentimentModel(backbone, len(labels), **self._head)
        model.build((None, None))
        backbone.embedding.trainable = self._train_word_vectors
        return model

    def start_weights(self, model: SentimentModel, text, store) -> list[str]:
        """Gives a fresh model what the data know beforehand: pretrained word vectors, counts of n-grams.

        Args:
            model: built.
            text: the text layer.
            store: token store of the training split.

        Returns:
            A line for every thing done.

        Raises:
            ConfigError: vectors of another size than the embedding, or a file that holds none.
        """
        lines = []
        if self._word_vectors:
            words = text.id_to_token(range(text.vocabulary_size))
            table = np.array(keras.ops.convert_to_numpy(model.backbone.embedding.embeddings))  # [V, E]
            found = read_word_vectors(self._word_vectors, words, table)
            if not found:
                raise ConfigError(
                    f"{self._word_vectors}: no word of the vocabulary ({len(words):,} words) has a vector"
                )
            model.backbone.embedding.embeddings.assign(table)
            lines.append(f"word vectors: {found:,} of {len(words):,} words found in {self._word_vectors}")
        if getattr(model.backbone, "priors", None):
            batches = BucketedBatches(store.lengths, 64, 8, seed=None)
            rows = (batches[n] for n in range(batches.steps_per_epoch))
            counted = ((store.padded(r[w > 0], length), store.labels[r[w > 0]]) for r, w, length in rows)
            model.backbone.learn_prior(counted, model.settings["classes"])
            lines.append("counted the n-grams of the training split")
        return lines

    def loss(self):
        """Cross-entropy of the logits, averaged over the weight of the rows."""
        return _SmoothedCrossEntropy(self._label_smoothing)

    def metrics(self, labels: list[str]) -> list:
        """Metrics that sum and count over all rows; `cross_entropy` is the loss without label smoothing."""
        return [
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy", from_logits=True),
            MacroF1(len(labels)),
        ]

    def training_batches(self, model, stores, labels, training) -> tuple[Batches, Batches]:
        store, held_out = stores["train"], stores["validation"]
        weights = class_weights(training.class_weights, labels, store.labels)  # [C]
        batches = BucketedBatches(store.lengths, training.batch_size, training.buckets, training.seed)
        validation = BucketedBatches(held_out.lengths, training.batch_size, training.buckets, None)
        description = f"batch lengths {', '.join(map(str, batches.bounds))} ({batches.padding:.0%} padding)"

        def training_batch(n):
            rows, row_weights, length = batches[n]
            return self.batch(store, rows, row_weights * weights[store.labels[rows]], length)

        return (
            Batches(training_batch, batches.steps_per_epoch, description),
            Batches(lambda n: self.batch(held_out, *validation[n]), validation.steps_per_epoch),
        )

    def batch(self, store, rows, weights, length: int):
        """Model input, target and weight of a batch: `[B, T]`, `[B]`, `[B]`."""
        return store.padded(rows, length), store.labels[rows], weights

    def probabilities(self, logits) -> np.ndarray:
        """Class probabilities `[B, C]` of logits `[B, C]`."""
        return keras.ops.convert_to_numpy(keras.ops.softmax(logits, axis=-1))


def class_weights(setting, labels: list[str], label_ids) -> np.ndarray:
    """Weight of every class, float32 `[C]`.

    Args:
        setting: `"none"`, `"balanced"` (examples / (classes · examples of the class)) or a mapping label → weight.
        labels: label names.
        label_ids: label id of every training example.

    Raises:
        ConfigError: the mapping names a label that does not exist.
    """
    counts = np.bincount(label_ids, minlength=len(labels))
    if setting == "none":
        return np.ones(len(labels), "float32")
    if setting == "balanced":
        return (len(label_ids) / (len(labels) * np.maximum(counts, 1))).astype("float32")
    wrong = sorted(set(setting) - set(labels))
    if wrong:
        raise ConfigError(f"training.class_weights names {wrong}; the labels are {', '.join(labels)}")
    return np.array([setting.get(label, 1.0) for label in labels], "float32")


@keras.saving.register_keras_serializable("nlp_suite")
class _SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy from logits `[B, C]` and label ids `[B]`; `smoothing` is spread evenly over all classes."""

    def __init__(self, smoothing=0.0, name="cross_entropy", reduction="mean_with_sample_weight", **kwargs):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        log_p = keras.ops.log_softmax(keras.ops.cast(y_pred, "float32"), axis=-1)  # [B, C]
        classes = log_p.shape[-1]
        target = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), classes, dtype="float32")  # [B, C]
        target = target * (1 - self.smoothing) + self.smoothing / classes
        return -keras.ops.sum(target * log_p, axis=-1)  # [B]

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}
