"""What there is to choose from, and what a config means: list, config."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.cli.common import AsJson, ConfigFile, Overrides
from nlp_suite.config_files import shipped_help
from nlp_suite.errors import UnknownNameError
from nlp_suite.registry import COMPONENTS, unknown

LISTED = {"configs": shipped_help, **{kind: registry.help for kind, registry in COMPONENTS.items()}}


def add_commands(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    config = typer.Typer(no_args_is_help=True, help="Look at configs.")
    config.command("show")(config_show)
    config.command("reference")(config_reference)
    app.add_typer(config, name="config")
    app.command("list")(list_components)


def config_show(config: ConfigFile, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print the resolved config: every key with its value."""
    from nlp_suite.config import load_experiment

    experiment = load_experiment(config, overrides or [])
    print(experiment.model_dump_json(indent=1) if as_json else experiment.to_yaml(), end="\n" if as_json else "")


def config_reference(
    into: Annotated[
        Path | None, typer.Option(help="Markdown file in which the reference between its two markers is replaced.")
    ] = None,
) -> None:
    """Print every key of a config with its type, default and meaning, as Markdown."""
    from nlp_suite.cli.reference import config_reference, with_reference

    if into is None:
        print(config_reference(), end="")
    else:
        into.write_text(with_reference(into.read_text("utf-8"), into), "utf-8")


def list_components(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(sorted(LISTED))}.", autocompletion=lambda: sorted(LISTED))],
    as_json: AsJson = False,
) -> None:
    """List what can be chosen by name, with a line of help each."""
    if kind not in LISTED:
        raise UnknownNameError(unknown("kind", kind, LISTED))
    lines = LISTED[kind]()
    if as_json:
        print(json.dumps(lines))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        print(f"{name:<{width}}  {line}")
