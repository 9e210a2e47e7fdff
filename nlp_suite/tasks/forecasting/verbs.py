"""The verb of forecasting on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.registry import VERBS


@VERBS.register()
def forecast(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")],
    ensemble: Annotated[
        list[Path] | None, typer.Option(help="Another model to take the mean with; may be given several times.")
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Steps ahead; default: all that it was trained for.")] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            help="A table of histories, read by the run's own columns; default: the data of the run, to their end."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Table to write: .csv, .tsv, .jsonl or .parquet; default: standard output.")
    ] = None,
    format: Annotated[str, typer.Option("--format", help="On standard output: table, tsv or jsonl.")] = "table",
) -> None:
    """Forecast the next steps of series, with a run, several or a SavedModel."""
    from nlp_suite.tasks.forecasting.output import check_request, open_forecaster, write_forecasts

    check_request(model, input, output, format)
    write_forecasts(open_forecaster([model, *(ensemble or [])], horizon), model, horizon, input, output, format)
