"""An imported classifier measured on a table of texts and labels, with the report of every other classifier."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.data.table_reading import format_of
from nlp_suite.errors import DataError
from nlp_suite.evaluation.report import write_report
from nlp_suite.progress import track
from nlp_suite.registry import SOURCES, unknown
from nlp_suite.tasks.sentiment.imported.signatures import ImportedClassifier
from nlp_suite.tasks.sentiment.report import classification_report
from nlp_suite.tasks.sentiment.view import ClassificationView

BATCH = 256  # texts that are asked together


def measure(classifier: ImportedClassifier, data: Path, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The classification report of a table, see `nlp_suite.tasks.sentiment.report.classification_report`.

    Args:
        classifier: the imported one.
        data: a table that the source `files` reads.
        columns: settings of that source, such as `text_column`.

    Raises:
        DataError: a table that cannot be read, or a label that the classifier does not know.
    """
    format_of(data)
    settings = SOURCES.settings("files")(name="files", test=str(data), **columns)
    source = SOURCES.get("files")(kind="labelled", **settings.arguments())
    ids = {label: i for i, label in enumerate(classifier.labels)}
    texts, truth = [], []
    for row, example in enumerate(source.examples("test"), 1):
        if (label := str(example["label"])) not in ids:
            raise DataError(f"{data}: example {row}: {unknown('label', label, classifier.labels)}; see --labels")
        texts.append(example["text"])
        truth.append(ids[label])
    if not texts:
        raise DataError(f"{data}: there is nothing to measure, as it has no rows")
    starts = track(range(0, len(texts), BATCH), "predicting", -(-len(texts) // BATCH), "batches")
    answers = [classifier.probabilities_flagged(texts[start : start + BATCH]) for start in starts]
    probabilities, truncated = (np.concatenate(part) for part in zip(*answers))
    probabilities = probabilities.astype("float64")
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 adds up to 1 but for its rounding
    report = classification_report(classifier.labels, np.array(truth), probabilities, texts)
    cut = {} if classifier.words is None else {"truncated_share": float(truncated.mean())}
    return {
        "split": data.name,
        "data": [str(data)],
        **report,
        **cut,
        "calibration": None,
        "threshold": None,
        "remarks": [],
    }


def write_measured(report: Mapping[str, Any], folder: Path, config: str, card: Mapping[str, Any]) -> Path:
    """Writes `report.json` and `report.html` into a folder; returns the page."""
    info = {"imported": card["reads_and_writes"]["Imported from"], "parameters": card["parameters"]}
    title = f"{card['name']}: imported classifier, {report['split']}"
    return write_report(
        folder, dict(report), ClassificationView(), title=title, history=None, experiment_yaml=config, info=info
    )
