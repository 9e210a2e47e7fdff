"""Trained models: predict, score, export."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.cli.common import (
    Adapt,
    RunFolder,
    RunOrExport,
    ShownCharacters,
    TableFormat,
    adaptation_of,
    print_progress,
)
from nlp_suite.cli.completion import export_formats
from nlp_suite.errors import UsageError

RUNNER_ONLY = ("signature", "runner_options")
WITHOUT_RUNNER = ("format", "max_length", "text", "top_k", "threshold", "abstain_below")


def options_on_command_line(context: typer.Context, names: tuple[str, ...]) -> list[str]:
    """Those of a command's options that stand on the command line, as written there."""
    sources = {name: context.get_parameter_source(name) for name in names}
    used = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    return [option.opts[0] for option in context.command.params if option.name in used]


def add_commands(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    for verb in (predict, score, export, convert):
        app.command()(verb)


def predict(
    context: typer.Context,
    model: RunOrExport,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT … | -]", help="Texts; - reads standard input. With --runner: more files, as after --input."
        ),
    ] = None,
    input: Annotated[
        list[Path] | None,
        typer.Option(
            help="A table, read by the run's own columns, or a file with a text a line; several with --runner."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Table to write: .csv, .tsv, .jsonl or .parquet, with all columns of --input. With --runner: folder "
            "for the answers, JSON lines."
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of texts in the table, or its number from 0.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Show the K most probable labels.")] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=0.8", help="Probability that makes a label the answer; may be given several times."
        ),
    ] = None,
    abstain_below: Annotated[
        float | None, typer.Option(metavar="P", help="No label where its probability is below.")
    ] = None,
    format: TableFormat = "table",
    max_length: ShownCharacters = 60,
    runner: Annotated[
        str | None, typer.Option(help="Whole files with Apache Beam: direct, flink, spark or dataflow; into --output.")
    ] = None,
    signature: Annotated[str, typer.Option(help="With --runner: signature to ask.")] = "serving_default",
    runner_options: Annotated[
        list[str] | None, typer.Option("--runner-option", help="With --runner: its own, as --flink_master=….")
    ] = None,
) -> None:
    """Predict labels of texts or of a table's rows with a run or an export; with --runner, ask any SavedModel about files."""
    if runner is not None:
        if idle := options_on_command_line(context, WITHOUT_RUNNER):
            raise UsageError(f"with --runner {', '.join(idle)} does nothing: answers are JSON lines in --output")
        if "-" in (texts or []):
            raise UsageError("with --runner standard input (-) is not read: give --input FILE …")
        _predict_files(
            model, [*(input or []), *map(Path, texts or [])], output, runner, signature, runner_options or []
        )
        return
    if idle := options_on_command_line(context, RUNNER_ONLY):
        raise UsageError(f"{', '.join(idle)} needs --runner (direct, flink, spark or dataflow)")
    if input and len(input) > 1:
        raise UsageError("several --input files need --runner (direct, flink, spark or dataflow)")
    if output and (idle := options_on_command_line(context, ("format", "max_length"))):
        raise UsageError(f"with --output {', '.join(idle)} does nothing: the suffix says the format")
    from nlp_suite.cli.predictions import predict_texts, thresholds_of
    from nlp_suite.predictor import AnswerOptions

    predict_texts(
        model,
        texts,
        input[0] if input else None,
        output,
        column=text,
        options=AnswerOptions(top_k, thresholds_of(threshold or []), abstain_below),
        format=format,
        max_characters=max_length,
    )


def _predict_files(
    model: Path, inputs: list[Path], output: Path | None, runner: str, signature: str, runner_options: list[str]
) -> None:
    if not inputs or output is None:
        raise UsageError("--runner needs --input FILE … and --output FOLDER")
    from nlp_suite.native_output import suppress_native_log
    from nlp_suite.serving.batch_predict import batch_predict

    with suppress_native_log():
        done = batch_predict(
            model,
            inputs,
            output,
            runner=runner,
            signature=signature,
            pipeline_arguments=runner_options,
            progress=print_progress,
        )
    reused = f", {done['skipped']} of {done['chunks']} chunks from an earlier run" if done["skipped"] else ""
    print(f"{output}: {done['lines']:,} lines, {done['bad']:,} of them set aside{reused}")


def score(
    model: RunOrExport,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE | -]", help="A text a line, or a table; default: standard input.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the texts of a table; default: as in training.")
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Of a model of pairs: file with a source a line.")] = None,
    target: Annotated[Path | None, typer.Option(help="Of a model of pairs: file with a target a line.")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="The log-probability of every token as well.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with every token coloured by its surprise.")] = None,
    adapt: Adapt = None,
    format: TableFormat = "table",
    max_length: ShownCharacters = 60,
) -> None:
    """Log-probability and perplexity of every line or row by a language model, or of translations."""
    if (source is None) != (target is None) or (source is not None and file is not None):
        raise UsageError("of pairs give both --source FILE and --target FILE, and no other file")
    from nlp_suite.cli.predictions import check_scores
    from nlp_suite.export.load import load, task_at
    from nlp_suite.predictor import ScoreOptions
    from nlp_suite.registry import TASKS
    from nlp_suite.tasks.shared.lines import check_file, standard_input
    from nlp_suite.tasks.shared.score_output import check_format

    check_format(format)
    if file not in (None, Path("-")):
        check_file("FILE", file)
    elif source is None:
        standard_input()
    given, name = adaptation_of(adapt), task_at(model)
    check_scores(model, name)
    if given and name:
        TASKS.get(name).adaptation(given)
    predictor = load(model)
    check_scores(model, predictor.task_name)
    task = TASKS.get(predictor.task_name)
    adaptation = task.adaptation(given) if given else None
    options = ScoreOptions(model, file, source, target, format, tokens, html, max_length, text, adaptation)
    task.write_scores(predictor, options)


def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option(help="saved_models/NAME, a .keras file, or a new folder, as the format has it.")],
    format: Annotated[
        str, typer.Option(help="A name of nlp-suite list formats.", autocompletion=export_formats)
    ] = "saved_model",
    server_version: Annotated[str | None, typer.Option(help="TensorFlow Serving version to be servable on.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="How a SavedModel stores them: float32, float16, bfloat16; default: the config's."),
    ] = None,
    xla: Annotated[
        bool,
        typer.Option("--xla", help="Also signatures compiled by XLA, for servers that have it on."),
    ] = False,
    quantize: Annotated[
        str | None,
        typer.Option(help="Smaller files: int8 (keras, saved_model, onnx, litert) or float16 (litert)."),
    ] = None,
    opset: Annotated[int | None, typer.Option(help="Version of ONNX's operators.")] = None,
    length: Annotated[int | None, typer.Option(help="Tokens that a litert file reads.")] = None,
) -> None:
    """Export a run: a SavedModel with strings in and strings out, or a file for another program."""
    from nlp_suite.backend import import_backend
    from nlp_suite.export.run_export import check_export, run_export

    settings = {
        "server_version": server_version, "weights": weights, "xla": xla, "quantize": quantize, "opset": opset, "length": length,
    }  # fmt: skip
    check_export(run, to, format, **settings)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the run was trained on
    import_backend()
    result = run_export(run, to, format=format, **settings)
    print(result.describe())


def convert(
    source: Annotated[str, typer.Argument(metavar="FILE.gguf", help="A GGUF file, or package:NAME that carries one.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write: config.json, weights in float32, tokenizer.json.")],
) -> None:
    """Write a pretrained model in GGUF as a folder that backbone.init_from takes."""
    from nlp_suite.pretrained.gguf import convert_gguf

    convert_gguf(source, folder)
    print(f"{folder}: take it as backbone: {{name: preset, init_from: {folder}}}")
