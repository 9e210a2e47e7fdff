"""What the verbs share: arguments, options, and importing Keras quietly."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from nlp_suite.errors import UsageError
from nlp_suite.registry import is_installed

BACKENDS = ("tensorflow", "jax", "torch")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, or a name of nlp-suite list configs.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as training.epochs=3.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
RunOrExport = Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")]
TableFormat = Annotated[str, typer.Option("--format", help="table, jsonl or tsv.")]
ShownCharacters = Annotated[int, typer.Option("--max-length", help="Characters of a text that a table shows.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def import_backend() -> None:
    """Imports Keras and its backend without the lines that TensorFlow prints whatever its log level.

    Raises:
        UsageError: a backend that there is not, or that is not installed.
    """
    from nlp_suite.native_output import suppress_native_log

    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS or not is_installed(backend):
        what = "is not installed" if backend in BACKENDS else "is no backend"
        raise UsageError(f"KERAS_BACKEND={backend!r} {what} (allowed: {', '.join(BACKENDS)})")
    with suppress_native_log():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow  # noqa: F401


def load_experiment(config: Path, overrides: list[str] | None) -> Any:
    """The experiment of a config file, with Keras imported."""
    import_backend()
    from nlp_suite.config import load_experiment

    return load_experiment(config, overrides or [])


def console() -> Any:
    """Standard output for tables."""
    from rich.console import Console

    return Console()


def print_progress(line: str) -> None:
    """A line of progress, on standard error."""
    print(line, file=sys.stderr)


def wrapped(function: Callable[..., Any], before: Callable[[], None]) -> Callable[..., Any]:
    """The function, with another called before it."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        before()
        return function(*args, **kwargs)

    return call
