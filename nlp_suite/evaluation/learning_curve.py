"""How a learning curve is shown, and the sentence on whether more data would help."""

import math
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from nlp_suite.evaluation import plots
from nlp_suite.evaluation.number_format import less_is_better
from nlp_suite.evaluation.page import Section, Tile, columns, picture, table
from nlp_suite.evaluation.report import ReportView, summary_table
from nlp_suite.evaluation.several_runs import Writers

NOTABLE = 0.01  # of the value: a change that counts where there is no interval
WIDE = 0.05  # of the value: intervals in which a gain from more data would not show


def advice(report: dict, writers: Writers) -> str:
    """Whether more data would help, by the step between the two largest sizes in the most telling figure.

    A step counts if it is more than what two independent 95 % intervals leave to chance.

    Args:
        report: of `learning_curve`.
        writers: figure → how it is written.
    """
    name, figure = next(iter(report["figures"].items()))
    (less, more), (before, after) = report["sizes"][-2:], figure["values"][-2:]
    if before is None or after is None:
        return f"The {name} is undefined for some sizes, so the curve says nothing."
    write, intervals = writers[name], figure["intervals"][-2:]
    if all(intervals):
        noise = math.hypot(*((high - low) / 2 for low, high in intervals))
        than = "the 95% intervals leave to chance"
    else:
        noise, than = NOTABLE * abs(before), "one part in a hundred"
    gain = before - after if less_is_better(name) else after - before
    step = f"From {less:,} to {more:,} rows {name} went from {write(before)} to {write(after)}"
    if gain > noise:
        return f"{step}, more than {than}: more data would probably help.{_outlook(report, name, write)}"
    if gain < -noise:
        return f"{step}, a loss of more than {than}: the settings do not suit that much data, so look at them first."
    if gain > noise / 3 or noise > WIDE * abs(before):
        return f"{step}, no more than {than}: too few measured rows to say whether more data would help."
    return (
        f"{step}, no more than {than}: more data of this kind would hardly help; other settings or a larger model may."
    )


def _outlook(report: dict, name: str, write: Any) -> str:
    """What twice the rows would bring if errors go on falling as a power of the rows; empty where that cannot be said."""
    values = report["figures"][name]["values"]
    is_loss = less_is_better(name)
    errors = np.array([value if is_loss else 1 - value for value in values if value is not None], "float64")
    if (name != "accuracy" and not is_loss) or len(errors) < len(values) or errors.min() <= 0:
        return ""
    slope, start = np.polyfit(np.log(report["sizes"]), np.log(errors), 1)
    twice = 2 * report["sizes"][-1]
    error = float(np.exp(start + slope * np.log(twice)))
    if slope >= 0 or error >= errors[-1]:
        return ""
    return f" If the trend goes on, {twice:,} rows would bring about {write(error if is_loss else 1 - error)}."


def curve_over_sizes(report: dict, name: str, write: Any) -> bytes:
    """A figure of a learning curve over the rows of the training split (log scale), with its intervals, as SVG."""
    sizes, figure = report["sizes"], report["figures"][name]
    with plots.drawing(f"sizes {name}") as (canvas, out):
        ax = canvas.subplots()
        ax.plot(sizes, figure["values"], "-o", color=plots.ACCENT, linewidth=1.8, markersize=5)
        if all(figure["intervals"]):
            low, high = zip(*figure["intervals"])
            ax.fill_between(sizes, low, high, color=plots.ACCENT, alpha=0.15, linewidth=0)
        ax.set(xscale="log", xlabel="rows of the training split (log scale)", ylabel=name)
        ax.set_xticks(sizes, [plots.compact(size) for size in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: write(v)))
    return out.getvalue()


class LearningCurveView(ReportView):
    """The view of a report of `nlp_suite.training.learning_curve.learning_curve`.

    Args:
        writers: figure → how it is written.
    """

    def __init__(self, writers: Writers):
        self._writers = writers

    def headline(self, report: dict) -> list[Tile]:
        tiles = []
        for name, figure in report["figures"].items():
            if (value := figure["values"][-1]) is not None:
                title, remark = name[0].upper() + name[1:], f"with {report['sizes'][-1]:,} rows"
                tiles.append(Tile(title, self._writers[name](value), remark))
        return tiles

    def _rows(self, report: dict, with_intervals: bool) -> list[list[str]]:
        """Size, then every figure, with its interval if it has one and it is asked for."""
        rows = []
        for i, size in enumerate(report["sizes"]):
            cells = []
            for name, figure in report["figures"].items():
                value, interval, write = figure["values"][i], figure["intervals"][i], self._writers[name]
                shown = "–" if value is None else write(value)
                cells.append(
                    f"{shown} ({write(interval[0])} – {write(interval[1])})" if interval and with_intervals else shown
                )
            rows.append([f"{size:,}", *cells])
        return rows

    def sections(self, report: dict) -> list[Section]:
        drawings = [
            picture(curve_over_sizes(report, name, self._writers[name]), f"{name} by rows of the training split")
            for name, figure in report["figures"].items()
            if None not in figure["values"]
        ]
        numbers = table(["rows", *report["figures"]], self._rows(report, True))
        return [
            Section("Would more data help", columns(*drawings[:2]), report["advice"]),
            Section("Size by size", numbers, "In brackets the 95% interval over the rows that were measured."),
        ]

    def terminal(self, report: dict) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        summary = summary_table([(tile.name, tile.value, tile.remark) for tile in self.headline(report)])
        sizes = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("rows", *report["figures"]):
            sizes.add_column(name, justify="right")
        for row in self._rows(report, False):
            sizes.add_row(*row)
        return Group(summary, "", sizes, Text(report["advice"]))
