"""The pictures of a forecasting report."""

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_suite.evaluation.plots import ACCENT, MUTED, SECOND, drawing


def forecast_and_truth(shown: Mapping[str, Any], number: int) -> bytes:
    """The end of a history, what came after it, the forecast and its interval.

    Args:
        shown: an entry of `shown` of a report.
        number: of the picture in the page.

    Returns:
        SVG.
    """
    history, horizon = shown["history"], len(shown["forecast"])
    before, after = range(-len(history) + 1, 1), range(1, horizon + 1)
    with drawing(f"forecast {number}", height=3.1) as (figure, out):
        ax = figure.subplots()
        ax.plot(before, _points(history), color=MUTED, linewidth=1.4, label="history")
        ax.plot(
            after, _points(shown["truth"]), color=MUTED, linewidth=1.4, linestyle="--", marker=".", label="what came"
        )
        ax.plot(
            after, shown["forecast"], color=ACCENT, linewidth=2, marker="." if horizon < 4 else None, label="forecast"
        )
        if shown["low"]:
            ax.fill_between(after, shown["low"], shown["high"], color=ACCENT, alpha=0.18, linewidth=0)
        ax.set(xlabel="steps after the cut-off")
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, borderpad=0, handlelength=1.8)
    return out.getvalue()


def error_by_step(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Mean absolute error of every step ahead.

    Args:
        rows: `by_horizon` of a report.

    Returns:
        SVG.
    """
    with drawing("error by step", height=3.1) as (figure, out):
        ax = figure.subplots()
        ax.bar([row["step"] for row in rows], [row["mae"] or 0 for row in rows], color=ACCENT, alpha=0.7)
        ax.set(xlabel="steps ahead", ylabel="mean absolute error", ylim=(0, None))
        ax.grid(False, axis="x")
    return out.getvalue()


def residuals(values: Sequence[float]) -> bytes:
    """How errors are spread: forecast − truth.

    Args:
        values: of a report.

    Returns:
        SVG.
    """
    with drawing("residuals", height=3.1) as (figure, out):
        ax = figure.subplots()
        ax.hist(values, bins=min(30, max(5, len(values) // 8)), color=ACCENT, alpha=0.7)
        ax.axvline(0, color=SECOND, linewidth=1.4, linestyle="--")
        ax.set(xlabel="forecast − truth", ylabel="forecasts")
        ax.grid(False, axis="x")
    return out.getvalue()


def _points(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
