"""What the verbs share: arguments, options, what they print to."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from nlp_suite.cli.completion import configs, runs
from nlp_suite.config_yaml import read_yaml
from nlp_suite.errors import UsageError
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
Adapt = Annotated[
    list[str] | None,
    typer.Option(
        "--adapt",
        metavar="NAME[={…}]",
        help="Of a language model: also with a cache or dynamic evaluation, as cache={size: 3000}; may be given several times.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def console() -> Any:
    """Standard output for tables."""
    from rich.console import Console

    return Console()


def adaptation_of(given: list[str] | None) -> dict[str, dict[str, Any]]:
    """The settings of `--adapt NAME[={key: value, …}] …`: name → settings by key.

    Raises:
        UsageError: something else, or a name twice.
    """
    settings: dict[str, dict[str, Any]] = {}
    for text in given or []:
        name, equals, values = text.partition("=")
        read = read_yaml(values, f"--adapt {name}") if equals else {}
        if not isinstance(read, dict):
            raise UsageError(f"--adapt {text!r}: write it as cache, or with settings as 'cache={{size: 3000}}'")
        if name in settings:
            raise UsageError(f"--adapt {name} is given twice")
        settings[name] = read
    return settings


def print_progress(line: str) -> None:
    """A line of progress, on standard error."""
    say(line, LOGGER)
