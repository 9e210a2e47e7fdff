"""What the order of the labels adds to the report of a classifier, and how it is shown."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Tile
from nlp_suite.tasks.sentiment.view import ClassificationView, terminal


def ordinal_numbers(confusion_matrix: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Distances of answer and truth, in labels.

    Args:
        confusion_matrix: counts `[C, C]`; rows are the truth.

    Returns:
        `mae`, the mean distance; `within_one`, the share of answers at most one label away; `quadratic_kappa`, Cohen's kappa
        with weights that grow with the square of the distance (null where all answers and truths are one label).

    Example:
        >>> ordinal_numbers([[1, 0], [0, 1]])["quadratic_kappa"]
        1.0
    """
    counts = np.asarray(confusion_matrix, "float64")
    places = np.arange(len(counts))
    distance = np.abs(places[:, None] - places[None, :])  # [C, C]
    total = counts.sum()
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / total
    expected = (distance**2 * by_chance).sum()
    return {
        "mae": float((distance * counts).sum() / total),
        "within_one": float(counts[distance <= 1].sum() / total),
        "quadratic_kappa": float(1 - (distance**2 * counts).sum() / expected) if expected else None,
    }


class OrdinalView(ClassificationView):
    """The report of a classifier, headed by the distances."""

    curves: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "mae")

    def headline(self, report: dict) -> list[Tile]:
        tiles = [
            Tile("Mean distance", f"{report['mae']:.4f}", "of answer and truth, in labels (MAE); 0 is perfect"),
            Tile("At most one off", share(report["within_one"]), "answers that are right or a neighbour"),
        ]
        if report["quadratic_kappa"] is not None:
            remark = "agreement beyond chance; 1 is perfect"
            tiles.insert(1, Tile("Quadratic kappa", f"{report['quadratic_kappa']:.4f}", remark))
        first, *rest = super().headline(report)
        return [first, *tiles, *rest]

    def compared(self, report: dict) -> dict:
        return {"mean distance": lambda figures: f"{figures['mae']:.4f}", **super().compared(report)}

    def terminal(self, report: dict) -> Any:  # type: ignore[override]
        return terminal(report, self.headline(report))
