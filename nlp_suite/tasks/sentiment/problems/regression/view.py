"""How the report of a regression is shown: headline, page sections, terminal table."""

from typing import Any

from nlp_suite.evaluation.page import Html, Section, Tile, columns, escape, excerpt, picture, table
from nlp_suite.evaluation.report import ReportView, summary_table
from nlp_suite.evaluation.scatter import truth_and_answers


class RegressionView(ReportView):
    """Errors in the user's units, how they are spread, and the largest of them."""

    curves = ("loss", "mae")

    def headline(self, report: dict) -> list[Tile]:
        low, high = report["mae_interval"]
        tiles = [
            Tile("Mean absolute error", _n(report["mae"]), f"{_n(low)} – {_n(high)} (95% interval)"),
            Tile("RMSE", _n(report["rmse"]), "root mean squared error: large errors count more"),
        ]
        if report["r2"] is not None:
            tiles.append(Tile("R²", f"{report['r2']:.4f}", "share of variance explained; 1 is perfect"))
        if report["spearman"] is not None:
            tiles.append(Tile("Spearman", f"{report['spearman']:.4f}", "rank correlation; 1 is the same order"))
        return tiles

    def compared(self, report: dict) -> dict:
        return {
            "mean absolute error": lambda figures: _n(figures["mae"]),
            "RMSE": lambda figures: _n(figures["rmse"]),
            "Spearman": lambda figures: "–" if figures["spearman"] is None else f"{figures['spearman']:.4f}",
        }

    def sections(self, report: dict) -> list[Section]:
        drawing = picture(
            truth_and_answers(report["points"]),
            "Scatter plot: true numbers to the right, answers upwards",
            f"{len(report['points']):,} of {report['examples']:,} texts; on the dashed line the answer is right.",
        )
        rows = [
            [f"{_n(r['low'])} – {_n(r['high'])}", _n(r["mean"]), _n(r["answered"]), _n(r["mae"]), f"{r['count']:,}"]
            for r in report["ranges"]
        ]
        by_range = table(["true number", "mean", "mean answer", "mean absolute error", "examples"], rows)
        middle = f"Half of the errors are below {_n(report['errors']['p50'])}, nine in ten below {_n(report['errors']['p90'])}."
        return [
            Section("Where it errs", columns(drawing, by_range), middle),
            _mistakes(report),
        ]

    def terminal(self, report: dict) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table

        summary = summary_table([(tile.name, tile.value, tile.remark) for tile in self.headline(report)])
        by_range = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("true number", "mean", "mean answer", "mean absolute error", "examples"):
            by_range.add_column(name, justify="right")
        for r in report["ranges"]:
            numbers = (_n(r[key]) for key in ("mean", "answered", "mae"))
            by_range.add_row(f"{_n(r['low'])} – {_n(r['high'])}", *numbers, f"{r['count']:,}")
        return Group(summary, "", by_range)


def _n(value: float) -> str:
    """A number in the user's units, in about four digits."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def _mistakes(report: dict) -> Section:
    items = []
    for mistake in report["mistakes"]:
        verdict = (
            f'<span class="verdict">answered <b class="said">{escape(_n(mistake["predicted"]))}</b>, '
            f"is <b>{escape(_n(mistake['value']))}</b> · example {mistake['index']:,}</span>"
        )
        text = "" if mistake["text"] is None else excerpt(mistake["text"])
        items.append(f"<li>{verdict}{text}</li>")
    return Section("Largest errors", Html('<ol class="mistakes">\n' + "\n".join(items) + "\n</ol>"))
