"""The command line: verbs that parse, call one function and print. Heavy packages are imported by the verbs that need them."""

import io
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.core

from nlp_suite import progress
from nlp_suite._version import __version__
from nlp_suite.backend import own_process
from nlp_suite.cli import choosing, components, importing, init, models, serving, training
from nlp_suite.cli.interruption import told
from nlp_suite.errors import NlpSuiteError
from nlp_suite.registry import VERBS

MIN_COLUMNS = 60  # in fewer, tables would cut their numbers; the terminal wraps lines instead
WITHOUT_PROGRESS = ("config", "doctor", "list", "query", "serve")  # verbs that have nothing to be quiet about
REPORT = "this is a bug of nlp_suite: please report it with the lines above and the command"


class TaskVerb(typer.core.TyperCommand):
    """A verb that a task brings along; its module is imported when it is called or its own help is asked for."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        verb = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        verb.command(self.name)(VERBS.get(str(self.name)))
        return with_quiet(typer.main.get_command(verb), parent.command).make_context(info_name, args, parent, **extra)


class Verbs(typer.core.TyperGroup):
    """The common verbs, and those that the tasks bring along."""

    def invoke(self, context: Any) -> Any:
        with told():
            return super().invoke(context)

    def list_commands(self, context: Any) -> list[str]:
        return [*super().list_commands(context), *VERBS.help()]

    def get_command(self, context: Any, name: str) -> Any:
        common = super().get_command(context, name)
        if common is None and (line := VERBS.help().get(name)) is not None:
            return TaskVerb(name, help=line, callback=None)
        return common if common is None or name in WITHOUT_PROGRESS else with_quiet(common, self)


def _quiet(value: bool) -> None:
    if value:
        progress.set_quiet(True)


def _version(value: bool) -> None:
    if not value:
        return
    from importlib.metadata import version

    packages = ", ".join(f"{name} {version(name.lower())}" for name in ("TensorFlow", "Keras"))
    print(f"nlp-suite {__version__} ({packages}, Python {platform.python_version()})")
    raise typer.Exit


Quiet = Annotated[
    bool, typer.Option("--quiet", callback=_quiet, expose_value=False, help="No progress: only results and errors.")
]
Version = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, expose_value=False, help="Print versions.")
]


def with_quiet(verb: Any, root: Any) -> Any:
    """A verb that takes `--quiet` as the command line itself does, before the verb."""
    verb.params += [p for p in root.params if "--quiet" in p.opts and p not in verb.params]
    return verb


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Sentiment, language modelling and translation with Keras 3: train from one YAML file, evaluate, export, predict. "
    "Work of more than a few seconds shows rate and time left on standard error.",
)


@app.callback()
def root(quiet: Quiet = False, version: Version = False) -> None:
    """What may stand before a verb."""


for module in (init, training, choosing, models, importing, components, serving):
    module.add_commands(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    An error that the user can mend is one line. Anything else is a bug of ours: its traceback, and where to report it.

    Args:
        arguments: default: those of the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if shutil.get_terminal_size().columns < MIN_COLUMNS:
        os.environ["COLUMNS"] = str(MIN_COLUMNS)
    if arguments is None:
        _speak_utf_8()
        own_process()
    progress.set_quiet(False)
    try:
        app(arguments, standalone_mode=True)
    except (NlpSuiteError, OSError) as error:
        if os.environ.get("NLP_SUITE_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        error.add_note(REPORT)
        raise


def _speak_utf_8() -> None:
    """Texts, file names and output are UTF-8 whatever the locale says; in one such as C the process begins anew for it."""
    if "utf" not in sys.getfilesystemencoding().lower() and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold bytes that are no UTF-8
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
