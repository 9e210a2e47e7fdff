"""How a forecasting report is shown: headline, page sections, terminal table."""

from pathlib import Path
from typing import Any

from nlp_suite.evaluation.page import Section, Tile, columns, join, picture, table
from nlp_suite.evaluation.report import Figure, ReportView, summary_table
from nlp_suite.tasks.forecasting import pictures
from nlp_suite.tasks.forecasting.intervals import sentence

NUMBERS = {"MAE": "mae", "RMSE": "rmse", "MASE": "mase", "sMAPE": "smape"}


class ForecastingView(ReportView):
    """Errors in the user's units and beside the seasonal naive method, forecasts as pictures, and the backtest."""

    curves = ("loss", "scaled_mae")

    def headline(self, report: dict) -> list[Tile]:
        steps = f"over {report['horizon']} steps ahead" if report["horizon"] > 1 else "one step ahead"
        tiles = [Tile("MAE", _n(report["mae"]), f"mean absolute error, {steps}")]
        if report["mase"] is not None:
            tiles.append(Tile("MASE", _n(report["mase"]), "below 1: better than the seasonal naive method in the past"))
        tiles += [
            Tile("RMSE", _n(report["rmse"]), f"root mean squared error; MSE {_n(report['mse'])}"),
            Tile("sMAPE", f"{report['smape']:.2f}%", "symmetric percentage error, 0 to 200"),
        ]
        for each in report.get("coverage", ())[:1]:
            remark = f"of values within the {each['nominal']:.0%} interval"
            tiles.append(Tile("Coverage", f"{each['share']:.1%}", remark))
        if report.get("wql") is not None:
            tiles.append(Tile("WQL", _n(report["wql"]), f"weighted quantile loss; CRPS {_n(report['crps'])}"))
        return tiles

    def figures(self, report: dict) -> list[Figure]:
        found = [Figure(name, report[key], _n) for name, key in NUMBERS.items()]
        return [*found, Figure("WQL", report["wql"], _n)] if report.get("wql") is not None else found

    def compared(self, report: dict) -> dict:
        shown = {name: _writer(key) for name, key in NUMBERS.items()}
        if report["horizon"] > 1:
            shown["MAE, one step ahead"] = lambda figures: _n(figures["by_horizon"][0]["mae"])
        return shown

    def sections(self, report: dict) -> list[Section]:
        drawn = []
        for number, shown in enumerate(report["shown"]):
            caption = f"{shown['series']}, cut off before {shown['cutoff']}."
            drawn.append(picture(pictures.forecast_and_truth(shown, number), f"Forecast and truth: {caption}", caption))
        if report["levels"] and len(report["levels"]) > 1:
            lead = f"The band holds quantiles {report['levels'][0]:g} to {report['levels'][-1]:g}."
        else:
            lead = ""
        if report.get("intervals"):
            lead = f"{lead} {sentence(report['intervals'])}"
        curves = columns(
            picture(pictures.error_by_step(report["by_horizon"]), "Bars: mean absolute error of every step ahead"),
            picture(pictures.residuals(report["residuals"]), "Histogram: forecast minus truth"),
        )
        sections = [
            Section("Forecasts beside what came", columns(*drawn), lead),
            Section(
                "Where it errs",
                join(curves, _by(report["by_horizon"], "step", "steps ahead")),
                f"Beyond {report['trained_horizon']} steps the network read its own forecasts."
                if "trained_horizon" in report
                else "",
            ),
            Section(
                "Backtest",
                _by(report["by_cutoff"], "name", "cut off before"),
                f"A forecast of {report['horizon']} steps every {report['stride']} steps, each from what was known before it.",
            ),
        ]
        if report.get("members"):
            lead = "The forecasts of the report are the means of those of these runs, and its quantiles of their quantiles."
            sections.insert(0, Section("The runs of the ensemble", _by(report["members"], "run", "run"), lead))
        if report["series"] > 1:
            sections.append(Section("Series with the largest errors", _by(report["by_series"], "name", "series")))
        if report.get("below"):
            rows = [[f"{row['level']:g}", f"{row['share']:.1%}"] for row in report["below"]]
            sections.append(Section("How often quantiles hold", table(["quantile", "values at or below"], rows)))
        return sections

    def terminal(self, report: dict) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table

        summary = summary_table([(tile.name, tile.value, tile.remark) for tile in self.headline(report)])

        def errors(of: str, rows: list[tuple[str, dict]]) -> Table:
            shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for name in (of, *NUMBERS):
                shown.add_column(name, justify="right")
            for name, row in rows:
                shown.add_row(name, *(_n(row[key]) for key in NUMBERS.values()))
            return shown

        rows = [(str(row["step"]), row) for row in report["by_horizon"]]
        tables = [errors("steps ahead", rows if len(rows) <= 14 else [*rows[:7], *rows[-1:]])]
        if members := [(Path(row["run"]).name, row) for row in report.get("members", ())]:
            tables.append(errors("each run alone", members))
        return Group(summary, "", *tables)


def _writer(key: str) -> Any:
    return lambda figures: _n(figures[key])


def _by(rows: list[dict], key: str, name: str) -> Any:
    has_coverage = any(row.get("coverage") is not None for row in rows)
    header = [name, *NUMBERS, *(["coverage"] if has_coverage else [])]
    cells = [
        [
            str(row[key]),
            *(_n(row[number]) for number in NUMBERS.values()),
            *([f"{row['coverage']:.0%}" if row["coverage"] is not None else "–"] if has_coverage else []),
        ]
        for row in rows
    ]
    return table(header, cells)


def _n(value: float | None) -> str:
    """A number in about four digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"
