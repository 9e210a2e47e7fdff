"""Texts with a number each, such as a rating or a price; mean and spread are taken from the training split."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.config import DataSettings, Experiment
from nlp_suite.data.corpus_stats import PERCENTILES
from nlp_suite.data.kinds.base import CorpusKind, Positions, Progress
from nlp_suite.data.kinds.labelled import LabelledKind, labels_of
from nlp_suite.data.selection import Selection
from nlp_suite.data.tables import Report, numbers_table
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS
from nlp_suite.task import Assets

if TYPE_CHECKING:
    from rich.table import Table

LARGEST = 1e30  # its square fits into the 32 bits of a network


@CORPUS_KINDS.register()
class RatedKind(LabelledKind):
    """Examples `{"text": …, "label": …}` whose label is a number.

    The store's column `labels` has the numbers, float64. The facts `mean` and `deviation` are those of the training split;
    `lowest` and `highest` its range.
    """

    wanted = "texts with a number each"
    label_form = "number"
    shown_labels = 6

    def field_value(self, field: str, value: Any, called: str) -> Any:
        return number(value, called) if field == "label" else super().field_value(field, value, called)

    def split(self, data: DataSettings, train: Selection) -> tuple[Positions, Positions]:
        """See `CorpusKind.split`; rows with the same text stay together."""
        return CorpusKind.split(self, data, train)

    def folds(self, data: DataSettings, train: Selection, folds: int) -> Positions:
        """See `CorpusKind.folds`; at random."""
        return CorpusKind.folds(self, data, train, folds)

    def limit(self, data: DataSettings, examples: Selection) -> Positions | None:
        return CorpusKind.limit(self, data, examples)

    def label_names(self, experiment: Experiment, train: Selection) -> list[str]:
        return []

    def learn(self, experiment: Experiment, train: Selection, known: Assets, progress: Progress) -> Assets:
        """See `CorpusKind.learn`; with the facts `mean`, `deviation`, `lowest` and `highest` of the numbers."""
        learned = super().learn(experiment, train, known, progress)
        facts = dict(learned.facts)
        if "mean" not in facts:
            values = np.array([number(label) for label in labels_of(train)])
            if len(np.unique(values)) < 2:
                given = f"all its {len(values)} rows have {values[0]:g}" if len(values) else "it has no rows"
                raise DataError(f"a regression needs different numbers in the training split; {given}")
            facts |= {"mean": float(values.mean()), "deviation": float(values.std())}
            facts |= {"lowest": float(values.min()), "highest": float(values.max())}
        return replace(learned, facts=facts)

    def label_column(self, assets: Assets) -> dict[str, Any]:
        return {"label_dtype": "float64"}

    def label_encoder(self, assets: Assets) -> Callable[[Any], float]:
        return number

    def count_labels(self, labels: NDArray[Any], assets: Assets) -> dict[str, Any]:
        """See `LabelledKind.count_labels`: `min`, `mean`, `deviation`, percentiles and `max`."""
        return number_figures(labels)

    def label_parts(self, label: Any) -> tuple[str, ...]:
        return (repr(number(label)),)

    def label_summary(self, labels: Counter[str]) -> dict[str, Any]:
        return number_figures(np.repeat([float(label) for label in labels], list(labels.values())))

    def label_table(self, report: Report) -> "Table":
        names = ["min", "mean", "deviation", *(f"p{p}" for p in PERCENTILES), "max"]
        table = numbers_table("Numbers", "split", "examples", *names, "empty texts")
        for split, facts in report["splits"].items():
            cells = (f"{facts['labels'][name]:,.4g}" if facts["labels"] else "–" for name in names)
            table.add_row(split, f"{facts['examples']:,}", *cells, f"{facts['empty_texts']:,}")
        return table


def number(value: Any, called: str = "label") -> float:
    """A number of at most 10³⁰, either sign, of a JSON number or of text with a decimal point.

    Raises:
        DataError: anything else.
    """
    if (
        isinstance(value, int | float | str) and not isinstance(value, bool) and "_" not in str(value)
    ):  # 1_000 is Python's
        try:
            read = float(value)
        except (ValueError, OverflowError):
            read = math.nan
        if abs(read) <= LARGEST:
            return read
    hint = "; decimals are written with a point" if isinstance(value, str) and "," in value else ""
    shown = json.dumps(value, ensure_ascii=False)[:60]
    raise DataError(f"{called!r} must be a number for a regression, got {shown}{hint}")


def number_figures(values: NDArray[Any]) -> dict[str, float]:
    """`min`, `mean`, `deviation`, percentiles and `max`; empty where there are none."""
    if not len(values):
        return {}
    points = {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
    ends = {"min": float(values.min()), "mean": float(values.mean()), "deviation": float(values.std())}
    return {**ends, **points, "max": float(values.max())}
