"""How the report of an ensemble is shown: beside its members, each alone."""

from typing import Any

from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Section, Tile, table
from nlp_suite.tasks.sentiment.view import ClassificationView

HEADER = ["", "weight", "accuracy", "lead (95% interval)", "cross-entropy", "calibration error", "macro F1"]
ON_TERMINAL = 5  # columns


def _rows(report: dict) -> list[list[str]]:
    """The ensemble, then every member."""
    rows = [_row("together", report, "", "")]
    for name, figures in report["members"].items():
        lead = figures["lead"]["accuracy"]
        low, high = lead["interval"] or (0, 0)
        shown = f"{100 * lead['value']:+.2f}% ({100 * low:+.2f} … {100 * high:+.2f})"
        rows.append(_row(name, figures, f"{figures['weight']:.3f}", shown))
    return rows


def _row(name: str, figures: dict, weight: str, lead: str) -> list[str]:
    numbers = f"{figures['cross_entropy']:.4f}", share(figures["ece"]), f"{figures['macro']['f1']:.4f}"
    return [name, weight, share(figures["accuracy"]), lead, *numbers]


class EnsembleView(ClassificationView):
    """The report of a classifier, with its members' figures."""

    @staticmethod
    def sections(report: dict) -> list[Section]:
        lead = "Each alone, on the same texts; the lead is the ensemble's over it in accuracy (paired bootstrap)."
        return [
            Section("Is it better than its members", table(HEADER, _rows(report)), lead),
            *ClassificationView.sections(report),
        ]

    @staticmethod
    def terminal(report: dict, tiles: list[Tile] | None = None) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        shown.add_column("beside members")
        for name in HEADER[1:ON_TERMINAL]:
            shown.add_column(name, justify="right")
        for i, row in enumerate(_rows(report)):
            shown.add_row(*map(Text, row[:ON_TERMINAL]), style="bold" if i == 0 else None)
        return Group(ClassificationView.terminal(report, tiles), shown)
