"""Models that someone else trained: import."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.errors import UsageError


def add_commands(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("import")(import_model)


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .keras or H5 file, or the folder of a SavedModel.")],
    to: Annotated[
        Path | None, typer.Option(help="For an export: saved_models/NAME; the next version is made in it.")
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(help="For a run folder that can be trained on: a new folder. LSTM and GRU stacks only."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="neg,pos", help="Names in the order of its answers; default: numbers from 0.")
    ] = None,
    outputs: Annotated[
        str, typer.Option(help="What it answers: auto (as its last layer says), probabilities or logits.")
    ] = "auto",
    description: Annotated[str, typer.Option(help="One sentence for the model card.")] = "",
    data: Annotated[
        Path | None, typer.Option(help="A table with texts and labels: with --to the export is measured on it.")
    ] = None,
    text: Annotated[str, typer.Option(metavar="COLUMN", help="The column of texts in --data.")] = "text",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="The column of labels in --data.")] = "label",
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="Of a model that takes ids: a word a line, JSON from words to ids, or a Keras Tokenizer's JSON."
        ),
    ] = None,
    padding: Annotated[
        str | None, typer.Option(help="Side of a short text that was filled: left (Keras's pre) or right (post).")
    ] = None,
    truncation: Annotated[
        str | None, typer.Option(help="Part of a long text that was kept: head, or tail (Keras's truncating pre).")
    ] = None,
    unknown: Annotated[
        str | None, typer.Option(metavar="ID|drop", help="Id of words that the vocabulary lacks, or drop: left out.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Ids of a row; needed where the model takes any number.")
    ] = None,
    pad_id: Annotated[int, typer.Option(help="Id that fills.")] = 0,
    id_offset: Annotated[int, typer.Option(help="Added to every id of the vocabulary (Keras's index_from).")] = 0,
    num_words: Annotated[int | None, typer.Option(help="Ids from this one on are unknown (Keras's num_words).")] = None,
    start_id: Annotated[int | None, typer.Option(help="Id before every text (Keras's start_char).")] = None,
    standardize: Annotated[
        str | None,
        typer.Option(
            help="Before the split at white space: lower_and_strip_punctuation (default), lower_and_space_punctuation, lower, strip_punctuation, none."
        ),
    ] = None,
) -> None:
    """Import a Keras classifier of someone else: as an export with texts in and labels out, or to be trained on."""
    from nlp_suite.data.text_tables import column_of
    from nlp_suite.tasks.sentiment.imported import import_model, import_run
    from nlp_suite.tasks.sentiment.imported.words import STANDARDIZE, IdRule

    ids = None
    if vocabulary is not None:
        sides = {"--padding": (padding, ("left", "right")), "--truncation": (truncation, ("head", "tail"))}
        for option, (given, allowed) in sides.items():
            if given not in allowed:
                said = "is needed" if given is None else f"{given!r} is unknown"
                raise UsageError(f"{option} {said}: it is {' or '.join(allowed)}, as in the training")
        if standardize not in (None, *STANDARDIZE):
            raise UsageError(f"--standardize {standardize!r} is unknown (allowed: {', '.join(STANDARDIZE)})")
        if unknown not in (None, "drop") and not unknown.isdecimal():
            raise UsageError(f"--unknown {unknown!r}: give an id, or drop")
        ids = IdRule(
            vocabulary,
            padding,  # type: ignore[arg-type]  # checked above, as the others
            truncation,  # type: ignore[arg-type]
            int(unknown) if unknown and unknown.isdecimal() else unknown,  # type: ignore[arg-type]
            max_length,
            pad_id,
            id_offset,
            num_words,
            start_id,
            standardize,  # type: ignore[arg-type]
        )
    elif idle := [
        name
        for name, given in {"--padding": padding, "--truncation": truncation, "--unknown": unknown}.items()
        if given
    ]:
        raise UsageError(f"{', '.join(idle)}: of a model that takes ids; give its --vocabulary, too")
    if outputs not in ("auto", "probabilities", "logits"):
        raise UsageError(f"--outputs {outputs!r} is unknown (allowed: auto, probabilities, logits)")
    names = None if labels is None else [label.strip() for label in labels.split(",")]
    os.environ["KERAS_BACKEND"] = "tensorflow"  # an export is a graph of TensorFlow
    if (to is None) == (run_dir is None):
        raise UsageError("give --to saved_models/NAME for an export, or --run-dir RUN for a run folder to train on")
    if run_dir is not None:
        if description or data:
            raise UsageError(
                "--description and --data are of an export (--to); measure a run with nlp-suite evaluate RUN --data FILE"
            )
        print(import_run(file, run_dir, labels=names, ids=ids, outputs=outputs).describe())  # type: ignore[arg-type]
        return
    assert to is not None
    columns = {"text_column": column_of(text), "label_column": column_of(label)} if data else {}
    result = import_model(
        file,
        to,
        labels=names,
        ids=ids,
        outputs=outputs,  # type: ignore[arg-type]
        description=description,
        data=data,
        columns=columns,
    )
    print(result.describe())
