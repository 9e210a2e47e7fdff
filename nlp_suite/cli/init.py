"""From data to a config: the verb that comes before all others."""

from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command()(init)


def init(
    train: Annotated[
        Path | None,
        typer.Argument(metavar="TRAIN", help="File or folder of the training data; without it, the built-in sample."),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the validation split; default: a part of TRAIN.")
    ] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="File of the test split.")] = None,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Task; default: by what the data hold.")] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the texts, by name or number.")] = None,
    text_b: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of a second text that shares the label.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the labels.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of what is translated; of a folder its language.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The same of the translations, or the file of them.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="CONFIG.yaml", help="Config; default: named as the data.")
    ] = None,
) -> None:
    """Look at a file or folder of data and write a commented config for it; nothing is overwritten."""
    from nlp_suite.data.init import init_config

    result = init_config(
        train,
        validation=validation,
        test=test,
        task=task,
        text=text,
        text_b=text_b,
        label=label,
        source=source,
        target=target,
        output=output,
    )
    print(*result.summary, sep="\n")
    if result.read_as:
        print(f"read as: {result.read_as}")
    print(f"written: {result.path}")
    print(f"next: {result.next}")
