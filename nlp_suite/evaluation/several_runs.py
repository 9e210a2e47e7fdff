"""How reports on several runs of one experiment are shown: means with intervals, run by run."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from nlp_suite.evaluation.page import Html, Section, Tile, table
from nlp_suite.evaluation.report import ReportView, summary_table

Writers = Mapping[str, Callable[[float], str]]


def mean_with_interval(values: Sequence[float | None], highest: float = math.inf) -> dict[str, Any]:
    """Mean of the runs' values and its 95 % interval by Student's t; both null where a value is missing.

    Bounded by 0 where no value is below, and by `highest`. The folds of a cross-validation share most of their training rows,
    so that its interval is somewhat too narrow (Bengio & Grandvalet 2004).
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


class SeveralRunsView(ReportView):
    """The view of a report with `figures` as `mean_with_interval` gives them.

    Args:
        writers: figure → how it is written.

    Attributes:
        over: what the runs are called, such as `"folds"`.
        title: heading of the table.
        lead: sentences under it.
    """

    over: ClassVar[str]
    title: ClassVar[str]
    lead: ClassVar[str]

    def __init__(self, writers: Writers):
        self._writers = writers

    def names(self, report: dict) -> Iterable[str]:
        """What the runs are called, in the order of the values."""
        raise NotImplementedError

    def figures_of(self, report: dict) -> Mapping[str, Mapping[str, Any]]:
        """The columns of the table: figure → mean, interval and values."""
        return report["figures"]

    def write(self, name: str, value: float | None) -> str:
        """A value of a figure."""
        return "–" if value is None else self._writers[name](value)

    def interval(self, name: str, figure: Mapping[str, Any]) -> str:
        """The interval of a figure, or nothing."""
        return " – ".join(self.write(name, end) for end in figure["interval"]) if figure["interval"] else ""

    def headline(self, report: dict) -> list[Tile]:
        return [
            Tile(
                name[0].upper() + name[1:],
                self.write(name, figure["mean"]),
                f"{self.interval(name, figure)} (95% interval over the {self.over})",
            )
            for name, figure in report["figures"].items()
            if figure["mean"] is not None
        ]

    def rows(self, report: dict) -> list[list[str]]:
        """A row for every run, and one of the means; a column for every figure."""
        figures = self.figures_of(report)
        rows = [
            [name, *(self.write(key, figure["values"][i]) for key, figure in figures.items())]
            for i, name in enumerate(self.names(report))
        ]
        return [*rows, ["mean", *(self.write(key, figure["mean"]) for key, figure in figures.items())]]

    def sections(self, report: dict) -> list[Section]:
        numbers: Html = table(["", *self.figures_of(report)], self.rows(report), total=True)
        return [Section(self.title, numbers, self.lead)]

    def terminal(self, report: dict) -> Any:
        return summary_table([(tile.name, tile.value, tile.remark) for tile in self.headline(report)])


class RepetitionView(SeveralRunsView):
    """The view of a report of `nlp_suite.repeat`."""

    over = "seeds"
    title = "Seed by seed"
    lead = (
        "Every run has another seed of weights, batches and dropout; data and splits are the same. The intervals are those of the "
        "mean by Student's t: what chance in training does, not what other rows would. The validation score is optimistic where "
        "the checkpoint was chosen by it."
    )

    def names(self, report: dict) -> Iterable[str]:
        return [f"seed {seed}" for seed in report["seeds"]]

    def figures_of(self, report: dict) -> Mapping[str, Mapping[str, Any]]:
        return {**report["figures"], f"best {report['monitor']}": report["best"]}

    def write(self, name: str, value: float | None) -> str:
        return super().write(name, value) if name in self._writers or value is None else f"{value:.4g}"

    def terminal(self, report: dict) -> Any:
        from rich import box
        from rich.table import Table

        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        figures = self.figures_of(report)
        for name in ("", *figures):
            shown.add_column(name, justify="right" if name else "left", overflow="fold")
        *rows, means = self.rows(report)
        for i, row in enumerate(rows):
            shown.add_row(*row, end_section=i == len(rows) - 1)
        shown.add_row(*means, style="bold")
        for i, end in enumerate(("95% from", "to")):  # two lines, as both ends in one would not fit into a terminal
            ends = (self.write(name, f["interval"][i]) if f["interval"] else "" for name, f in figures.items())
            shown.add_row(end, *ends)
        return shown
