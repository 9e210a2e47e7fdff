"""From a config to a measured run: prepare, inspect, train, average, evaluate."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from nlp_suite.cli.common import (
    Adapt,
    AsJson,
    ConfigFile,
    Overrides,
    RunFolder,
    adaptation_of,
    console,
    print_progress,
)
from nlp_suite.errors import NlpSuiteError, UsageError


def add_commands(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    for verb in (prepare, inspect, train, average, evaluate):
        app.command()(verb)
    app.command(context_settings={"allow_interspersed_args": False})(launch)


def prepare(
    config: ConfigFile,
    overrides: Overrides = None,
    processes: Annotated[int, typer.Option(help="How many processes tokenise; what they write is what one would.")] = 1,
    runner: Annotated[
        str | None, typer.Option(help="They are workers of Apache Beam: on direct, flink, spark or dataflow.")
    ] = None,
    runner_option: Annotated[
        list[str] | None, typer.Option(help="With --runner: its own, as --flink_master=….")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the tokenizer on the training split and tokenise every split into the cache."""
    from rich.text import Text

    from nlp_suite.backend import import_backend
    from nlp_suite.beam import RUNNERS, BeamRunner
    from nlp_suite.config import load_experiment
    from nlp_suite.data.parallel_prepare import check_processes
    from nlp_suite.data.prepare import kind_of, open_source, prepare
    from nlp_suite.data.remarks import remarks
    from nlp_suite.training.backbone_start import text_of_origin

    experiment = load_experiment(config, overrides or [])
    check_processes(kind_of(experiment), processes)
    if runner_option and not runner:
        raise UsageError(f"--runner-option needs --runner ({', '.join(RUNNERS)})")
    machines = BeamRunner(runner, runner_option or ()) if runner else None
    open_source(experiment)
    text = text_of_origin(experiment)
    import_backend()
    writers = None
    if machines:
        from nlp_suite.data.beam_prepare import BeamWriters

        writers = BeamWriters.on(machines)
    prepared = prepare(experiment, text=text, progress=print_progress, processes=processes, writers=writers)
    if as_json:
        print(json.dumps({"directory": str(prepared.directory), "statistics": prepared.statistics}))
        return
    said = remarks(experiment, prepared.statistics, prepared.labels)
    console().print(kind_of(experiment).preparation_table(prepared.statistics), *map(Text, said), sep="\n")
    print(prepared.directory)


def inspect(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Look at the data: label balance, lengths, duplicates across splits, examples."""
    from nlp_suite.config import load_experiment
    from nlp_suite.data.inspect import format_inspection, inspect_experiment
    from nlp_suite.training.backbone_start import text_of_origin

    experiment, text = load_experiment(config, overrides or []), None
    with suppress(NlpSuiteError):  # a pretrained model that is not there is no reason not to look at the data
        text = text_of_origin(experiment)
    report = inspect_experiment(experiment, text)
    print(json.dumps(report, ensure_ascii=False)) if as_json else console().print(format_inspection(report))


def train(
    config: ConfigFile,
    run_dir: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME of the config file.")] = None,
    overrides: Overrides = None,
    coordinator: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where process 0 of several is; default: as the launcher says."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="How many train together; default: as the launcher says.")
    ] = None,
    process_id: Annotated[
        int | None, typer.Option(help="Number of this one, from 0; default: as the launcher says.")
    ] = None,
) -> None:
    """Train into a run folder; the same command continues a run that was interrupted."""
    from nlp_suite.backend import import_backend
    from nlp_suite.config import load_experiment
    from nlp_suite.training.checks import check_training
    from nlp_suite.training.launch import find_launch
    from nlp_suite.training.run import default_directory

    launch = find_launch(coordinator, processes, process_id)
    experiment = load_experiment(config, overrides or [])
    directory = run_dir or default_directory(config)
    check_training(experiment, directory, launch)
    import_backend()
    from nlp_suite.training.train import train

    run = train(experiment, directory, launch=launch)
    if launch.process:
        return
    best = run.info["best"]
    if best["round"] is None:
        print(f"{run.directory}: as it began, since training.epochs is 0")
    else:
        value = f"{best['metric']} {best['value']:.4f}"
        print(f"{run.directory}: best {value} at checkpoint interval {best['round']}, {run.info['seconds']:.0f} s")
    print(f"next: nlp-suite evaluate {run.directory}")


def launch(
    processes: Annotated[int, typer.Option(help="How many processes train together.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="After --: train CONFIG, with its options.")],
) -> None:
    """Start several processes of a training on this machine; it needs training.distribution: data_parallel."""
    from nlp_suite.training.local_launch import launch_local

    launch_local(command, processes)


def average(
    run: RunFolder,
    last: Annotated[int | None, typer.Option(help="Of the last N checkpoint intervals.")] = None,
    best: Annotated[int | None, typer.Option(help="Of the N best checkpoint intervals.")] = None,
) -> None:
    """Average the weights of several checkpoint intervals that a run kept (training.average_checkpoints) into its model."""
    from nlp_suite.backend import import_backend
    from nlp_suite.training.checks import check_average
    from nlp_suite.training.run import Run

    opened = Run(run)
    check_average(opened, last, best)
    import_backend()
    from nlp_suite.training.checkpoint_average import average

    intervals = average(opened, last=last, best=best)
    print(f"{run}: averaged the weights of checkpoint intervals {', '.join(map(str, intervals))}")
    print(f"next: nlp-suite evaluate {run}")


def evaluate(
    run: RunFolder,
    split: Annotated[str | None, typer.Option(help="train, validation or test; default test.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A file to measure on instead of a split; of pairs also two: --data SOURCES --data TARGETS."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the report; default the run's.")] = None,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(help="Another run to take the mean with, of forecasters; may be given several times."),
    ] = None,
    no_baseline: Annotated[
        bool, typer.Option("--no-baseline", help="Leave out the easy methods to compare with.")
    ] = False,
    adapt: Adapt = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run on a split or on any file; writes report.json and report.html into its folder, or into --output."""
    from nlp_suite.evaluation.report import terminal_report
    from nlp_suite.training.evaluate import evaluate
    from nlp_suite.training.run import Run

    asked: dict[str, Any] = {"baseline": not no_baseline, "adapt": adaptation_of(adapt)}
    opened = Run(run)
    report = evaluate(
        opened, split, data=data, output=output, ensemble=ensemble or [], progress=print_progress, **asked
    )
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    console().print(terminal_report(report, opened.task.report_view()))
    print(f"report: {report['page']}")
