"""What the verbs share: arguments, options, what they print to."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from nlp_suite.cli.completion import configs, runs
from nlp_suite.progress import say

LOGGER = logging.getLogger(__name__)

ConfigFile = Annotated[
    Path,
    Path,
    typer.Argument(metavar="CONFIG", help="YAML file, or a name of nlp-suite list configs.", autocompletion=configs),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as training.epochs=3.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", autocompletion=runs)]
RunOrExport = Annotated[
    Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.", autocompletion=runs)
]
TableFormat = Annotated[str, typer.Option("--format", help="table, jsonl or tsv.")]
ShownCharacters = Annotated[int, typer.Option("--max-length", help="Characters of a text that a table shows.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def console() -> Any:
    """Standard output for tables."""
    from rich.console import Console

    return Console()


def print_progress(line: str) -> None:
    """A line of progress, on standard error."""
    say(line, LOGGER)
