"""The command line: verbs that parse, call one function and print. Heavy packages are imported by the verbs that need them."""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.cli.serving import add_commands

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Sentiment, language modelling and translation with Keras 3: train from one YAML file, evaluate, export, predict.",
)
config_app = typer.Typer(no_args_is_help=True, help="Look at configs.")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the experiment.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as training.epochs=3.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def main():
    """Runs the command line; an error that the user can mend is one message, not a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        app(standalone_mode=True)
    except Exception as error:
        mendable = isinstance(error, ValueError | OSError | RuntimeError | ImportError)
        of_tensorflow = type(error).__module__.startswith("tensorflow.python.framework.errors")
        if os.environ.get("NLP_SUITE_TRACEBACK") or not (mendable or of_tensorflow):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


@contextmanager
def _native_stderr_closed():
    """Within the context, what native code writes to standard error is dropped (Python's own goes through)."""
    kept, python_stderr = os.dup(2), sys.stderr
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
        sys.stderr.close()
        sys.stderr = python_stderr


def _import_backend():
    """Imports Keras and its backend without the lines that TensorFlow prints whatever its log level."""
    with _native_stderr_closed():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow  # noqa: F401


def _experiment(config, overrides):
    _import_backend()
    from nlp_suite.config import load_experiment

    return load_experiment(config, overrides or [])


def _console():
    from rich.console import Console

    return Console()


def _say(line):
    print(line, file=sys.stderr)


@app.command()
def prepare(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False):
    """Train the tokenizer on the training split and tokenise every split into the cache."""
    from nlp_suite.data.prepare import prepare

    prepared = prepare(_experiment(config, overrides), progress=_say)
    if as_json:
        print(json.dumps({"directory": str(prepared.directory), "statistics": prepared.statistics}))
        return
    from rich.table import Table

    rows, what = prepared.statistics, "texts" if prepared.labels else "lines"
    if "target" in rows["train"]:
        sides = [(split, side) for split in rows for side in ("source", "target")]
        rows, what = {f"{split}, {side}": rows[split].get(side, rows[split]) for split, side in sides}, "pairs"
    table = Table("split", what, "tokens", "unknown", "median length", "95 %", "longest", "truncated texts")
    for name, s in rows.items():
        length = s["full_length"]
        numbers = (f"{s['texts']:,}", f"{s['tokens']:,}", f"{s['unknown_rate']:.2%}")
        lengths = (f"{length['p50']:,}", f"{length['p95']:,}", f"{length['max']:,}", f"{s['truncated_share']:.1%}")
        table.add_row(name, *numbers, *lengths)
    _console().print(table)
    print(prepared.directory)


@app.command()
def inspect(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False):
    """Look at the data: label balance, lengths, duplicates across splits, examples."""
    from nlp_suite.data.inspect import inspect_experiment
    from nlp_suite.data.inspection_tables import format_inspection

    report = inspect_experiment(_experiment(config, overrides))
    print(json.dumps(report, ensure_ascii=False)) if as_json else _console().print(format_inspection(report))


@app.command()
def train(
    config: ConfigFile,
    run_dir: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME of the config file.")] = None,
    overrides: Overrides = None,
):
    """Train into a run folder; the same command goes on with a run that was interrupted."""
    experiment = _experiment(config, overrides)
    from nlp_suite.training.run import default_directory
    from nlp_suite.training.train import train

    run = train(experiment, run_dir or default_directory(config))
    best = run.info["best"]
    print(
        f"{run.directory}: best {best['metric']} {best['value']:.4f} in round {best['round']}, {run.info['seconds']:.0f} s"
    )
    print(f"next: nlp-suite evaluate {run.directory}")


@app.command()
def average(
    run: RunFolder,
    last: Annotated[int | None, typer.Option(help="Of the last N rounds.")] = None,
    best: Annotated[int | None, typer.Option(help="Of the N best rounds.")] = None,
):
    """Average the weights of several rounds that a run kept (training.average_checkpoints); the run's model is then that."""
    _import_backend()
    from nlp_suite.training.checkpoint_average import average
    from nlp_suite.training.run import Run

    rounds = average(Run(run), last=last, best=best)
    print(f"{run}: averaged the weights of rounds {', '.join(map(str, rounds))}")
    print(f"next: nlp-suite evaluate {run}")


@app.command()
def evaluate(
    run: RunFolder,
    split: Annotated[str | None, typer.Option(help="train, validation or test; default test.")] = None,
    as_json: AsJson = False,
):
    """Measure a run on a split; writes report.json and report.html into its folder."""
    _import_backend()
    from nlp_suite.training.evaluate import evaluate

    report = evaluate(run, split, progress=_say)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    from nlp_suite.evaluation.report import format_report

    _console().print(format_report(report))
    print(f"report: {report['page']}")


_OF_RUNNER, _NOT_OF_RUNNER = ("output", "signature", "runner_options"), ("format", "max_length")


def _given(context: typer.Context, names) -> list[str]:
    """Those of a command's options that stand on the command line, as written there."""
    given = [name for name in names if context.get_parameter_source(name).name == "COMMANDLINE"]
    return [option.opts[0] for option in context.command.params if option.name in given]


@app.command()
def predict(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT … | -]", help="Texts; - reads standard input. With --runner: more files, as after --input."
        ),
    ] = None,
    input: Annotated[list[Path] | None, typer.Option(help="File with a text a line; several with --runner.")] = None,
    format: Annotated[str, typer.Option(help="table, jsonl or tsv.")] = "table",
    max_length: Annotated[int, typer.Option(help="Characters of a text that a table shows.")] = 60,
    runner: Annotated[
        str | None, typer.Option(help="Whole files with Apache Beam: direct, flink, spark or dataflow; into --output.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="With --runner: folder for the answers, JSON lines.")] = None,
    signature: Annotated[str, typer.Option(help="With --runner: signature to ask.")] = "serving_default",
    runner_options: Annotated[
        list[str] | None, typer.Option("--runner-option", help="With --runner: its own, as --flink_master=….")
    ] = None,
):
    """Predict labels and probabilities of texts with a run or a SavedModel; with --runner, any SavedModel on whole files."""
    if runner is not None:
        if idle := _given(context, _NOT_OF_RUNNER):
            raise ValueError(f"with --runner {', '.join(idle)} does nothing: answers are JSON lines in --output")
        if "-" in (texts or []):
            raise ValueError("with --runner standard input (-) is not read: give --input FILE …")
        _predict_files(
            model, [*(input or []), *map(Path, texts or [])], output, runner, signature, runner_options or []
        )
        return
    if idle := _given(context, _OF_RUNNER):
        raise ValueError(f"{', '.join(idle)} needs --runner (direct, flink, spark or dataflow)")
    if input and len(input) > 1:
        raise ValueError("several --input files need --runner (direct, flink, spark or dataflow)")
    input = input[0] if input else None
    _import_backend()
    from nlp_suite.tasks.sentiment.output import read_texts, write_predictions

    write_predictions(model, read_texts(texts, input), format, max_length)


def _predict_files(model, inputs, output, runner, signature, runner_options):
    if not inputs or output is None:
        raise ValueError("--runner needs --input FILE … and --output FOLDER")
    from nlp_suite.serving.batch_predict import batch_predict

    with _native_stderr_closed():
        settings = {"runner": runner, "signature": signature, "pipeline_arguments": runner_options}
        done = batch_predict(model, inputs, output, progress=_say, **settings)
    kept = f", {done['skipped']} of {done['chunks']} chunks from an earlier run" if done["skipped"] else ""
    print(f"{output}: {done['lines']:,} lines, {done['bad']:,} of them set aside{kept}")


@app.command()
def score(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE | -]", help="A text a line; default: standard input.")
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Of a translation model: file with a source a line.")] = None,
    target: Annotated[Path | None, typer.Option(help="Of a translation model: file with a translation a line.")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="The log-probability of every token as well.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with every token coloured by its surprise.")] = None,
    format: Annotated[str, typer.Option(help="table, jsonl or tsv.")] = "table",
    max_length: Annotated[int, typer.Option(help="Characters of a text that a table shows.")] = 60,
):
    """Log-probability and perplexity of every line of a text by a language model, or of translations."""
    _import_backend()
    if source is not None or target is not None:
        from nlp_suite.tasks.translation.output import write_pair_scores

        if file is not None or source is None or target is None:
            raise ValueError("of pairs give both --source FILE and --target FILE, and no other file")
        write_pair_scores(model, source, target, format, tokens, html, max_length)
        return
    from nlp_suite.tasks.language_model.output import write_scores

    write_scores(model, file, format, tokens, html, max_length)


@app.command()
def translate(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT … | -]", help="Texts; - or nothing reads standard input.")
    ] = None,
    input: Annotated[Path | None, typer.Option(help="File with a text a line.")] = None,
    output: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
    beam_size: Annotated[int | None, typer.Option(help="Hypotheses of the search; 1 is greedy.")] = None,
    n_best: Annotated[int, typer.Option(help="Translations a text, at most the beam size.")] = 1,
    length_penalty: Annotated[float | None, typer.Option(help="Above 0 prefers longer translations.")] = None,
    coverage_penalty: Annotated[
        float | None, typer.Option(help="Above 0 prefers all of the source translated.")
    ] = None,
    no_repeat_ngram: Annotated[int | None, typer.Option(help="So many tokens in a row occur once at most.")] = None,
    min_length: Annotated[
        int | None, typer.Option(help="Tokens of a translation at least, however short the text is.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a translation at most.")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw a translation instead of searching for the best.")
    ] = False,
    temperature: Annotated[float | None, typer.Option(help="Of sampling; default 1.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from the K most probable tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the fewest tokens that reach this probability.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same translation.")] = None,
    ensemble: Annotated[
        list[Path] | None, typer.Option(help="Another run to translate together with; may be repeated.")
    ] = None,
    attention: Annotated[
        Path | None,
        typer.Option(
            help="Write a page of what each token of every translation looked at; jsonl then has the weights too."
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="text, tsv or jsonl.")] = "text",
):
    """Translate texts with a run, several runs or a SavedModel; what is not given is as in the run's config."""
    _import_backend()
    from nlp_suite.tasks.translation.output import open_translation, write_translations

    options = {
        "beam_size": beam_size,
        "n_best": n_best,
        "length_penalty": length_penalty,
        "coverage_penalty": coverage_penalty,
        "no_repeat_ngram": no_repeat_ngram,
        "min_length": min_length,
        "max_length": max_length,
        "temperature": 1.0 if sample and temperature is None else temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
    }
    options = {name: value for name, value in options.items() if value is not None}
    opened = open_translation([model, *(ensemble or [])])
    write_translations(opened, texts, input, output, format, attention, **options)


@app.command()
def generate(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")],
    prompt: Annotated[list[str] | None, typer.Option(help="Text to go on from; may be given several times.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens at most; default 50.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 takes the most probable token each time; default 1.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="The same as --temperature 0.")] = False,
    top_k: Annotated[int | None, typer.Option(help="Sample from the K most probable tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the fewest tokens that reach this probability.")
    ] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1: less of what was there before.")] = None,
    beam_size: Annotated[int | None, typer.Option(help="Above 1: beam search instead of sampling.")] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Of the beam search: above 0 prefers longer texts.")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this string; may be given several times.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text; default 0.")] = None,
    samples: Annotated[int, typer.Option(help="Continuations a prompt.")] = 1,
    as_json: AsJson = False,
):
    """Let a language model go on from a prompt."""
    _import_backend()
    from nlp_suite.tasks.language_model.output import write_generated

    options = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "beam_size": beam_size,
        "length_penalty": length_penalty,
        "stop": stop or [],
        "seed": seed,
    }
    write_generated(model, prompt or [""], samples, as_json, greedy, **options)


@app.command()
def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option(help="saved_models/NAME, or a .keras file.")],
    format: Annotated[str, typer.Option(help="saved_model, keras, keras-plain or ctranslate2.")] = "saved_model",
    server_version: Annotated[str | None, typer.Option(help="TensorFlow Serving version to be servable on.")] = None,
    xla: Annotated[
        bool, typer.Option("--xla", help="Also translate_xla, the search compiled by XLA, for servers that have it on.")
    ] = False,
):
    """Export a run: a SavedModel with strings in and strings out, or a Keras file."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the run was trained on
    _import_backend()
    from nlp_suite.export import run_export

    result = run_export(run, to, format=format, server_version=server_version, xla=xla)
    print(result.describe())


@config_app.command("show")
def config_show(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False):
    """Print the resolved config: every key with its value."""
    experiment = _experiment(config, overrides)
    print(experiment.model_dump_json(indent=1) if as_json else experiment.to_yaml(), end="\n" if as_json else "")


@app.command("list")
def list_components(
    kind: Annotated[
        str, typer.Argument(help="backbones, decoders, attentions, tokenizers, tasks, sources, schedules or formats.")
    ],
    as_json: AsJson = False,
):
    """List what can be chosen by name, with a line of help each."""
    from nlp_suite.registry import KINDS, unknown

    if kind not in KINDS:
        raise ValueError(unknown("kind", kind, KINDS))
    lines = KINDS[kind].help()
    if as_json:
        print(json.dumps(lines))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")


add_commands(app, _native_stderr_closed)
