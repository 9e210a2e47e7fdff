"""Classification: probabilities of every row, and what they are worth."""

from collections.abc import Sequence

import keras
import numpy as np

from nlp_suite.data.batches import BucketedBatches
from nlp_suite.evaluation.plots import shorten
from nlp_suite.progress import track
from nlp_suite.tasks.sentiment.metrics import NAMED
from nlp_suite.tasks.sentiment.predictor import compiled_logits
from nlp_suite.tasks.sentiment.report import classification_report
from nlp_suite.text.statistics import truncation_shares


def measure(run, split: str, stores: dict) -> dict:
    """The classification report of a split, see `nlp_suite.tasks.sentiment.report.classification_report`.

    With `truncated_share` (of the texts) and `dropped_share` (of all tokens), and `remarks` on the answers; `by_row` are the
    classes that were answered, int `[N]`.
    """
    store = stores[split]
    probabilities = predict_split(run, store)
    report = classification_report(run.labels, np.array(store.labels), probabilities, Texts(store))
    cut = truncation_shares(np.asarray(store.lengths), np.asarray(store.full_lengths))
    remark = never_answered_remark(report["never_answered"], run.labels)
    return {**report, **cut, "remarks": [remark] if remark else [], "by_row": probabilities.argmax(axis=1)}


def never_answered_remark(never_answered: Sequence[str], labels: Sequence[str]) -> str | None:
    """What to say where some labels occur in the split and are never the answer; None where there are none."""
    if not never_answered:
        return None
    named = ", ".join(shorten(label, 40) for label in never_answered[:NAMED]) + ", …" * (len(never_answered) > NAMED)
    return (
        f"never answered, though the split has texts of them: {named} ({len(never_answered)} of {len(labels)} labels); "
        "training.class_weights: balanced gives rare ones more weight"
    )


def predict_split(run, store) -> np.ndarray:
    """Class probabilities of every row of a store, float32 `[N, C]`."""
    model, task = run.model(), run.task
    batches = BucketedBatches(store.lengths, 64, run.experiment.training.buckets, None)
    logits = compiled_logits(model)
    probabilities = np.zeros((len(store), len(run.labels)), "float32")
    for n in track(range(batches.steps_per_epoch), "predicting", batches.steps_per_epoch, "batches"):
        rows, weights, length = batches[n]
        tokens, *_ = task.batch(store, rows, weights, length)
        counted = weights > 0
        softmax = keras.ops.softmax(logits(tokens), axis=-1)
        probabilities[rows[counted]] = keras.ops.convert_to_numpy(softmax)[counted]
    return probabilities


class Texts(Sequence[str]):
    """The texts of a store as a sequence that reads them one at a time."""

    def __init__(self, store):
        self._store = store

    def __len__(self):
        return len(self._store)

    def __getitem__(self, row):
        return self._store.text(int(row))
