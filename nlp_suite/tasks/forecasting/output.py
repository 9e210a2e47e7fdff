"""What `nlp-suite forecast` reads and writes: a row for every series and step ahead."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from nlp_suite.config import Experiment
from nlp_suite.data.series_history import History
from nlp_suite.data.table_writing import DelimitedWriter, check_table_path, json_line, open_table_writer
from nlp_suite.data.time_steps import Frequency, read_stamp
from nlp_suite.errors import UsageError
from nlp_suite.registry import SOURCES
from nlp_suite.tasks.forecasting.ensemble import ForecastEnsemble
from nlp_suite.tasks.forecasting.predictor import Forecaster, checked_horizon
from nlp_suite.tasks.shared.lines import TABLE_FORMATS, check_file
from nlp_suite.tasks.shared.opening import open_model
from nlp_suite.training.run import Run, is_run

DIGITS = 6  # significant ones of a forecast


def check_request(model: Path, input: Path | None, output: Path | None, format: str) -> None:
    """Refuses what cannot be, before Keras is imported.

    Raises:
        UsageError: an unknown format, a missing file, or an export without a table of histories.
        DataError: an output that cannot be written.
    """
    if format not in TABLE_FORMATS:
        raise UsageError(f"--format {format!r} (allowed: {', '.join(TABLE_FORMATS)})")
    if input is not None:
        check_file("--input", input)
    elif not is_run(model):
        raise UsageError(
            f"{model} is no run folder, so it has no data of its own: give a table of histories with --input"
        )
    if output is not None:
        check_table_path(output)


def open_forecaster(paths: Sequence[Path], horizon: int | None) -> Forecaster:
    """What `nlp_suite.load` opens, if it is a forecaster; of several paths their ensemble.

    Raises:
        ExportError: one is another task's.
        ConfigError: they do not go together.
        RequestError: a horizon that it was not trained for.
    """
    opened = [cast(Forecaster, open_model(path, "forecasting")) for path in paths]
    forecaster = ForecastEnsemble(opened) if len(opened) > 1 else opened[0]
    checked_horizon(horizon, forecaster.horizon)
    return forecaster


def histories(path: Path, experiment: Experiment | None, input: Path | None) -> Iterator[tuple[History, Frequency]]:
    """The series that are continued: those of a table, or the run's own to the end of its data.

    Args:
        path: of the model.
        experiment: the config that it was trained with.
        input: a table; None: the run's own data.

    Yields:
        Each with the frequency of its steps.
    """
    if input is None:
        run = Run(path)
        stores = run.stores()
        store = stores["test"]
        for row in range(len(store)):
            yield store.history(row, len(store.series(row))), store.frequency
        return
    if is_run(path):
        run = Run(path)
        experiment = run.task.freeze_data_defaults(run)
    own = experiment.data.source if experiment else None
    settings = own.arguments() if own and own.name == "series" else {}
    source = SOURCES.get("series")(kind="series", **{**settings, "train": str(input)})
    for example in source.examples("train"):
        frequency = Frequency.parse(example["frequency"])
        end = read_stamp(example["start"]).value + len(example["values"]) * frequency.count
        beside = example.get("covariates", {})
        words = list(example.get("categories", {}).values())
        yield History(example["values"], **beside, end=end, name=example["series"], words=words), frequency


def rows_of(
    forecaster: Forecaster, series: Sequence[tuple[History, Frequency]], horizon: int | None
) -> Iterator[list[Any]]:
    """Rows of the table: series, date, forecast and quantiles."""
    answers = forecaster.forecast([each for each, _ in series], horizon)
    for (each, frequency), answer in zip(series, answers):
        for step, value in enumerate(answer["forecast"]):
            date = frequency.written((each.end or 0) + step * frequency.count)
            quantiles = [answer["quantiles"][level][step] for level in forecaster.levels]
            yield [each.name, date, *(float(f"{number:.{DIGITS}g}") for number in (value, *quantiles))]


def write_forecasts(
    forecaster: Forecaster, path: Path, horizon: int | None, input: Path | None, output: Path | None, format: str
) -> None:
    """Writes the forecasts of all series to a table, or to standard output.

    Args:
        forecaster: of `open_forecaster`.
        path: what it was opened from.
        horizon: steps ahead; None: all.
        input: a table of histories; None: the run's own data.
        output: a table to write; None: standard output.
        format: of standard output.
    """
    series = list(histories(path, forecaster.experiment, input))
    columns = ["series", "date", "forecast", *(f"quantile_{level:g}" for level in forecaster.levels)]
    rows = rows_of(forecaster, series, horizon)
    if output is not None:
        with open_table_writer(output, columns) as table:
            for row in rows:
                table.write(row)
    elif format == "jsonl":
        for row in rows:
            print(json_line(dict(zip(columns, row))))
    elif format == "tsv":
        writer = DelimitedWriter(sys.stdout, "\t", columns)
        for row in rows:
            writer.write(row)
    else:
        from rich.console import Console
        from rich.table import Table

        shown = Table(*columns)
        for row in rows:
            shown.add_row(*(str(cell) for cell in row))
        Console().print(shown)
