"""Classification: probabilities of every row, and what they are worth."""

from collections.abc import Sequence

import keras
import numpy as np

from nlp_suite.data.batches import BucketedBatches
from nlp_suite.progress import track
from nlp_suite.tasks.sentiment.report import classification_report


def measure(run, split: str, stores: dict) -> dict:
    """The classification report of a split; see `nlp_suite.tasks.sentiment.report.classification_report`."""
    store = stores[split]
    return classification_report(run.labels, np.array(store.labels), predict_split(run, store), _Texts(store))


def predict_split(run, store, batch_size: int = 64, checkpoint: str | None = None) -> np.ndarray:
    """Class probabilities of every row of a store, float32 `[N, C]`."""
    model, task = run.model(checkpoint), run.task
    batches = BucketedBatches(store.lengths, batch_size, run.experiment.training.buckets, None)
    probabilities = np.zeros((len(store), len(run.labels)), "float32")
    for n in track(range(batches.steps_per_epoch), "predicting", batches.steps_per_epoch, "batches"):
        rows, weights, length = batches[n]
        tokens, *_ = task.batch(store, rows, weights, length)
        counted = weights > 0
        softmax = keras.ops.softmax(model.predict_on_batch(tokens), axis=-1)
        probabilities[rows[counted]] = keras.ops.convert_to_numpy(softmax)[counted]
    return probabilities


class _Texts(Sequence[str]):
    """The texts of a store as a sequence that reads them one at a time."""

    def __init__(self, store):
        self._store = store

    def __len__(self):
        return len(self._store)

    def __getitem__(self, row):
        return self._store.text(int(row))
