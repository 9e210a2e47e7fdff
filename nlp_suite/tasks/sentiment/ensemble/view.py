"""How the report of an ensemble is shown: beside its members, each alone."""

from typing import Any

from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Section, table
from nlp_suite.tasks.sentiment.view import ClassificationView

HEADER = ["", "weight", "accuracy", "lead (95% interval)", "macro F1", "cross-entropy", "calibration error"]


def _rows(report: dict) -> list[list[str]]:
    """The ensemble, then every member."""
    rows = [_row("together", report, "", "")]
    for name, figures in report["members"].items():
        low, high = figures["lead"]["accuracy"]["interval"] or (0, 0)
        lead = f"{figures['lead']['accuracy']['value']:+.2%} ({low:+.2%} … {high:+.2%})"
        rows.append(_row(name, figures, f"{figures['weight']:.3f}", lead))
    return rows


def _row(name: str, figures: dict, weight: str, lead: str) -> list[str]:
    numbers = f"{figures['macro']['f1']:.4f}", f"{figures['cross_entropy']:.4f}", share(figures["ece"])
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
    def terminal(report: dict) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        shown.add_column("beside its members")
        for name in HEADER[1:]:
            shown.add_column(name, justify="right")
        for i, row in enumerate(_rows(report)):
            shown.add_row(*map(Text, row), style="bold" if i == 0 else None)
        return Group(ClassificationView.terminal(report), shown)
