"""Classification: probabilities of every row, and what they are worth."""

from collections.abc import Sequence

import keras
import numpy as np

from nlp_suite.data.batches import BucketedBatches
from nlp_suite.errors import DataError
from nlp_suite.evaluation.plots import shorten
from nlp_suite.progress import track
from nlp_suite.tasks.sentiment.cached_vectors import CachedVectors
from nlp_suite.tasks.sentiment.calibration import before_and_after, fit_calibration, probabilities_of, temperature_of
from nlp_suite.tasks.sentiment.metrics import NAMED
from nlp_suite.tasks.sentiment.report import classification_report
from nlp_suite.tasks.sentiment.texts_predictor import compiled_network
from nlp_suite.tasks.sentiment.threshold import answered_labels, fit_threshold, threshold_of, threshold_remark
from nlp_suite.text.pairs import shown_pair
from nlp_suite.text.statistics import truncation_shares


def measure(run, split: str, stores: dict) -> dict:
    """The classification report of a split, see `nlp_suite.tasks.sentiment.report.classification_report`.

    With `truncated_share` (of the texts) and `dropped_share` (of all tokens), and `remarks` on the answers; `by_row` are the
    classes that were answered, int `[N]`.
    """
    return measured(run, stores[split], split_logits(run, stores[split]))


def measured(run, store, logits: np.ndarray) -> dict:
    """As `measure`, of what was answered to every row of a store: logits `[N, C]`."""
    truth = np.array(store.labels)
    probabilities = probabilities_of(logits, temperature_of(run.assets))
    threshold = threshold_of(run.assets)
    report = classification_report(run.labels, truth, probabilities, StoreTexts(store), threshold=threshold)
    report["calibration"] = _calibration(run, logits, truth)
    report["threshold"] = run.assets.fitted.get("threshold")
    cut = truncation_shares(np.asarray(store.lengths), np.asarray(store.full_lengths))
    remarks = [never_answered_remark(report["never_answered"], run.labels)]
    if threshold is not None:
        remarks.append(threshold_remark(report["threshold"], run.labels[1]))
    by_row = answered_labels(probabilities, threshold)
    return {**report, **cut, "remarks": [remark for remark in remarks if remark], "by_row": by_row}


def never_answered_remark(never_answered: Sequence[str], labels: Sequence[str]) -> str | None:
    """What to say where some labels occur in the split and are never the answer; None where there are none."""
    if not never_answered:
        return None
    named = ", ".join(shorten(label, 40) for label in never_answered[:NAMED]) + ", …" * (len(never_answered) > NAMED)
    return (
        f"never answered, though the split has texts of them: {named} ({len(never_answered)} of {len(labels)} labels); "
        "training.class_weights: balanced gives rare ones more weight"
    )


def _calibration(run, logits: np.ndarray, truth: np.ndarray) -> dict | None:
    """What was fitted on validation, and what it does to these rows; None of a run without it."""
    if not (fitted := run.assets.fitted.get("calibration")):
        return None
    temperature = fitted["temperature"]
    return {"temperature": temperature, **before_and_after(logits, truth, temperature), "validation": fitted}


def fit_on_validation(run, store) -> dict:
    """What a classifier fits once it is trained, see `fit`."""
    settings = run.task.settings
    if settings.calibration == "none" and settings.threshold is None:
        return {}
    return fit(settings, validation_logits(run, store), np.array(store.labels))


def fit(settings, logits: np.ndarray, truth: np.ndarray) -> dict:
    """What is fitted to the logits `[N, C]` of the validation split and its labels, int `[N]`.

    Returns:
        `calibration`, see `fit_calibration`, unless the task's is none; `threshold`, see `fit_threshold`, if it is wanted.
    """
    setting, rule, fitted, temperature = settings.calibration, settings.threshold, {}, 1.0
    if not np.isfinite(logits).all():  # measuring it names the row
        return {}
    if setting != "none":
        fitted["calibration"] = fit_calibration(logits, truth, setting)
        temperature = fitted["calibration"]["temperature"]
    if rule is not None:
        fitted["threshold"] = fit_threshold(truth, probabilities_of(logits, temperature)[:, 1], rule)
    return fitted


def predict_split(run, store) -> np.ndarray:
    """Class probabilities of every row of a store, float64 `[N, C]`."""
    return probabilities_of(split_logits(run, store), temperature_of(run.assets))


def validation_logits(run, store) -> np.ndarray:
    """As `split_logits`; of the vectors that the training kept, where it did (`training.features: cached`)."""
    if run.experiment.training.features != "cached":
        return split_logits(run, store)
    vectors = CachedVectors(run.model(), store)
    vectors.open()
    return vectors.logits()


def split_logits(run, store) -> np.ndarray:
    """What the run's network answers to every row of a store, float32 `[N, C]`."""
    model, task = run.model(), run.task
    batches = BucketedBatches(store.lengths, 64, run.experiment.training.buckets, None)
    network = compiled_network(model)
    answers = None
    for n in track(range(batches.steps_per_epoch), "predicting", batches.steps_per_epoch, "batches"):
        rows, weights, length = batches[n]
        tokens, *_ = task.batch(store, rows, weights, length)
        counted = weights > 0
        answer = keras.ops.convert_to_numpy(network(tokens)[1])  # [B, C]
        answers = np.zeros((len(store), answer.shape[1]), "float32") if answers is None else answers
        answers[rows[counted]] = answer[counted]
    return np.zeros((0, 1), "float32") if answers is None else answers


def sample_answers(run, model, rows: int) -> tuple[str, np.ndarray, np.ndarray] | None:
    """See `Task.sample_answers`."""
    try:
        stores = run.stores()
    except (DataError, OSError, KeyError):
        return None  # the data are not on this machine
    split = "test" if "test" in stores else "validation"
    store = stores[split]
    chosen = np.unique(np.linspace(0, len(store) - 1, rows).astype(int))
    chosen = chosen[np.argsort(np.asarray(store.lengths)[chosen], kind="stable")]
    network, answers = compiled_network(model), []
    for start in range(0, len(chosen), 64):
        batch = chosen[start : start + 64]
        tokens = store.padded(batch, int(np.asarray(store.lengths)[batch].max()))
        answers.append(keras.ops.convert_to_numpy(network(tokens)[1]))
    probabilities = probabilities_of(np.concatenate(answers), temperature_of(run.assets))
    return split, np.asarray(store.labels)[chosen], answered_labels(probabilities, threshold_of(run.assets))


class StoreTexts(Sequence[str]):
    """The texts of a store as a sequence that reads them one at a time; of pairs both, as people read them."""

    def __init__(self, store):
        self._store = store

    def __len__(self):
        return len(self._store)

    def __getitem__(self, row):
        return shown_pair(self._store.text(int(row)))
