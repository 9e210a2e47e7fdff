"""How the report of a cross-validation is shown: means with intervals, fold by fold, and the labels that are doubted."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Html, Section, Tile, escape, excerpt, table
from nlp_suite.evaluation.plots import shorten
from nlp_suite.evaluation.report import ReportView, summary_table

Writers = Mapping[str, Callable[[float], str]]


def mean_with_interval(values: Sequence[float | None], highest: float = math.inf) -> dict[str, Any]:
    """Mean of the folds' values and its 95 % interval by Student's t; both null where a value is missing.

    Bounded by 0 where no value is below, and by `highest`. The folds share most of their training rows, so the interval is somewhat too narrow (Bengio & Grandvalet 2004).
    """
    numbers = [value for value in values if value is not None]
    if len(numbers) < max(2, len(values)):
        return {"mean": None, "interval": None, "values": list(values)}
    from scipy.stats import t

    mean = sum(numbers) / len(numbers)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in numbers) / (len(numbers) - 1))
    half = float(t.ppf(0.975, len(numbers) - 1)) * deviation / math.sqrt(len(numbers))
    low = mean - half if min(numbers) < 0 else max(0.0, mean - half)
    return {"mean": mean, "interval": [low, min(highest, mean + half)], "values": numbers}


class CrossValidationView(ReportView):
    """The view of a report of `nlp_suite.cross_validate`.

    Args:
        writers: figure → how it is written.
    """

    def __init__(self, writers: Writers):
        self._writers = writers

    def headline(self, report: dict) -> list[Tile]:
        tiles = []
        for name, figure in report["figures"].items():
            if figure["mean"] is not None:
                write = self._writers[name]
                low, high = map(write, figure["interval"])
                title = name[0].upper() + name[1:]
                tiles.append(Tile(title, write(figure["mean"]), f"{low} – {high} (95% interval over the folds)"))
        return tiles

    def sections(self, report: dict) -> list[Section]:
        names = list(report["figures"])
        rows = [
            [f"fold {i + 1}", *(self._written(name, report["figures"][name]["values"][i]) for name in names)]
            for i in range(report["folds"])
        ]
        rows.append(["mean", *(self._written(name, report["figures"][name]["mean"]) for name in names)])
        lead = (
            "Each fold is a part of the training split, tested by a model that was trained on the others. The intervals are "
            "those of the mean by Student's t; as the models share most of their rows, they are somewhat too narrow."
        )
        parts = [Section("Fold by fold", table(["", *names], rows, total=True), lead)]
        return [*parts, _doubted(report["doubted"])] if report["doubted"] else parts

    def _written(self, name: str, value: float | None) -> str:
        return "–" if value is None else self._writers[name](value)

    def terminal(self, report: dict) -> Any:
        from rich.console import Group
        from rich.text import Text

        summary = summary_table([(tile.name, tile.value, tile.remark) for tile in self.headline(report)])
        return Group(summary, *([Text(_sentence(report["doubted"]))] if report["doubted"] else []))


def _sentence(doubted: dict) -> str:
    return (
        f"For {doubted['rows']:,} of {doubted['examples']:,} rows ({share(doubted['share'], 1)}) the model that has not seen "
        f"them answers another label than they have; to the label of {doubted['improbable']:,} it gives less than 10%. "
        f"All are in {doubted['file']}, the most doubted first."
    )


def _doubted(doubted: dict) -> Section:
    items = []
    for row in doubted["worst"]:
        verdict = (
            f'<span class="verdict">labelled <b dir="auto">{escape(shorten(row["label"], 40))}</b>, which has '
            f'{escape(share(row["probability"]))}; answered <b class="said" dir="auto">'
            f"{escape(shorten(row['answered'], 40))}</b> with {escape(share(row['with']))} "
            f"· row {row['row']:,}, fold {row['fold']}</span>"
        )
        items.append(f"<li>{verdict}{excerpt(row['text'])}</li>")
    listed = Html('<ol class="mistakes">\n' + "\n".join(items) + "\n</ol>")
    return Section("Labels that the folds doubt most", listed, _sentence(doubted))
