"""Several trainings to choose by: search, cross-validation, repetition and learning curves."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nlp_suite.cli.common import AsJson, ConfigFile, Overrides, console, print_progress
from nlp_suite.cli.completion import runs
from nlp_suite.errors import UsageError


def add_commands(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command()(search)
    app.command("cross-validate")(cross_validate)
    app.command()(repeat)
    app.command("learning-curve")(learning_curve)


def search(
    config: ConfigFile,
    run_dir: Annotated[
        Path | None, typer.Option(help="For the trials; default runs/NAME-search of the config.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Storage of the study that several searches share; default: SQLite in --run-dir."
        ),
    ] = None,
    study: Annotated[str, typer.Option(metavar="NAME", help="Name of the study in the storage.")] = "nlp-suite",
    start_from: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="RUN", help="Run folder whose settings are tried first.", autocompletion=runs),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Search settings by Optuna (section search of the config); the same command goes on with a search that was interrupted."""
    from nlp_suite.config import load_experiment
    from nlp_suite.evaluation.search import SearchView
    from nlp_suite.training.run import default_directory
    from nlp_suite.tuning.search import search

    experiment = load_experiment(config, overrides or [])
    directory = run_dir or default_directory(config).with_name(f"{config.stem}-search")
    report = search(
        experiment, directory, storage=storage, study=study, start_from=start_from or [], progress=print_progress
    )
    _show(report, lambda report: SearchView(), as_json)


def repeat(
    config: ConfigFile,
    seeds: Annotated[int, typer.Option(help="How many: training.seed of the config, and those after it.")] = 5,
    run_dir: Annotated[Path | None, typer.Option(help="For the runs; default runs/NAME-seeds of the config.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train with several seeds: every number's mean and interval, in one table."""
    from nlp_suite.backend import import_backend
    from nlp_suite.config import load_experiment
    from nlp_suite.training.repetition import check_repetition, repeat, view_of
    from nlp_suite.training.run import default_directory

    experiment = load_experiment(config, overrides or [])
    directory = run_dir or default_directory(config).with_name(f"{config.stem}-seeds")
    check_repetition(experiment, directory, seeds)
    import_backend()
    _show(repeat(experiment, directory, seeds, progress=print_progress), view_of, as_json)


def cross_validate(
    config: ConfigFile,
    folds: Annotated[int, typer.Option(help="Parts of the training split, each tested once.")] = 5,
    run_dir: Annotated[Path | None, typer.Option(help="For the runs; default runs/NAME-folds of the config.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train a model for every fold of the training split: how much the numbers vary, and which labels are doubted."""
    from nlp_suite.backend import import_backend
    from nlp_suite.config import load_experiment
    from nlp_suite.training.cross_validation import check_cross_validation, cross_validate, view_of
    from nlp_suite.training.run import default_directory

    experiment = load_experiment(config, overrides or [])
    directory = run_dir or default_directory(config).with_name(f"{config.stem}-folds")
    check_cross_validation(experiment, directory, folds)
    import_backend()
    _show(cross_validate(experiment, directory, folds, progress=print_progress), view_of, as_json)


def learning_curve(
    config: ConfigFile,
    sizes: Annotated[str, typer.Option(help="Rows of the training split, as 500,1000,2000.")],
    run_dir: Annotated[Path | None, typer.Option(help="For the runs; default runs/NAME-sizes of the config.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train on more and more rows of the training split: the numbers by size, and whether more data would help."""
    from nlp_suite.backend import import_backend
    from nlp_suite.config import load_experiment
    from nlp_suite.training.learning_curve import check_learning_curve, learning_curve, view_of
    from nlp_suite.training.run import default_directory

    try:
        numbers = [int(size.replace("_", "")) for size in sizes.split(",")]
    except ValueError:
        raise UsageError(f"--sizes {sizes!r}: give whole numbers with commas between them, as 500,1000,2000") from None
    experiment = load_experiment(config, overrides or [])
    directory = run_dir or default_directory(config).with_name(f"{config.stem}-sizes")
    check_learning_curve(experiment, directory, numbers)
    import_backend()
    _show(learning_curve(experiment, directory, numbers, progress=print_progress), view_of, as_json)


def _show(report: dict[str, Any], view_of: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    console().print(view_of(report).terminal(report))
    print(f"report: {report['page']}")
