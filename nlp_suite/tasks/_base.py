"""What every task is, seen from the training loop."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Batches:
    """Numbered batches of a split, endless.

    Attributes:
        batch: function of the batch number to the tuple that `fit` takes: inputs, targets, weights.
        steps_per_epoch: batches of one pass.
        description: for people: shapes and padding.
    """

    batch: Callable[[int], tuple]
    steps_per_epoch: int
    description: str = ""


class Task:
    """Base of the tasks; a task is one file of the registry with its settings beside it.

    Its settings class may have, as class attributes: `examples` (the kind of corpus, a file of
    `nlp_suite/data/corpora`), `causal` (whether it needs a causal backbone) and `defaults` (section → key → value).
    Serving signatures stand in `nlp_suite/tasks/_TASK_signatures.py`, what is measured on a split in
    `nlp_suite/training/measures/TASK.py`.

    Attributes:
        loss_metric: name of the metric that is the loss, as logs and `training.monitor` call it `loss`.
    """

    loss_metric = "cross_entropy"

    def check(self, experiment) -> None:
        """Raises ConfigError where settings of other sections do not suit the task."""

    def model(self, backbone_settings, vocabulary_size: int, labels: list[str]):
        """The network, built, with fresh weights.

        A task of pairs also takes `target_vocabulary_size`, given where the targets have a vocabulary of their own.
        """
        raise TypeError(f"{type(self).__name__} has no model()")

    def start_weights(self, model, text, store) -> list[str]:
        """Gives a fresh model what the data know beforehand; returns a line for every thing done."""
        return []

    def loss(self):
        """The Keras loss, or None for a model that adds its own."""
        return None

    def metrics(self, labels: list[str]) -> list:
        """Metrics that sum and count, so that batches of any size average right."""
        raise TypeError(f"{type(self).__name__} has no metrics()")

    def training_batches(self, model, stores, labels: list[str], training) -> tuple[Batches, Batches]:
        """Batches of the training and of the validation split.

        Args:
            model: built; gets what it carries from batch to batch.
            stores: token stores by split.
            labels: label names.
            training: the training section.
        """
        raise TypeError(f"{type(self).__name__} has no training_batches()")
