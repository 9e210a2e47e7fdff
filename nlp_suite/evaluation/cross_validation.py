"""How the report of a cross-validation is shown: means with intervals, fold by fold, and the labels that are doubted."""

from collections.abc import Iterable
from typing import Any

from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Html, Section, escape, excerpt
from nlp_suite.evaluation.plots import shorten
from nlp_suite.evaluation.several_runs import SeveralRunsView


class CrossValidationView(SeveralRunsView):
    """The view of a report of `nlp_suite.cross_validate`."""

    over = "folds"
    title = "Fold by fold"
    lead = (
        "Each fold is a part of the training split, tested by a model that was trained on the others. The intervals are "
        "those of the mean by Student's t; as the models share most of their rows, they are somewhat too narrow."
    )

    def names(self, report: dict) -> Iterable[str]:
        return [f"fold {i + 1}" for i in range(report["folds"])]

    def sections(self, report: dict) -> list[Section]:
        parts = super().sections(report)
        return [*parts, _doubted(report["doubted"])] if report["doubted"] else parts

    def terminal(self, report: dict) -> Any:
        from rich.console import Group
        from rich.text import Text

        return Group(super().terminal(report), *([Text(_sentence(report["doubted"]))] if report["doubted"] else []))


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
