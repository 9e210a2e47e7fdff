"""The config reference: every key of an experiment with its type, default and meaning, as Markdown read off the settings."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nlp_suite.config import TASK_KEYS, ChosenByName, ComponentSettings, Experiment, Settings
from nlp_suite.errors import UsageError
from nlp_suite.registry import EXPORTERS, TASKS, Registry

BEGIN = "<!-- written by `nlp-suite config reference --into FILE`; do not edit by hand -->"
TABLE_HEADER = ["| key | value | default | meaning |", "|---|---|---|---|"]
END = "<!-- end of the reference -->"
PLAIN_TYPES = {bool: ["`true`", "`false`"], type(None): ["`null`"], str: ["text"], Any: ["anything"]}
PLURALS = {"text": "texts", "integer": "integers", "number": "numbers"}
NUMBERS = {int: "integer", float: "number"}
BOUNDS = {Ge: "≥ {0.ge}", Gt: "> {0.gt}", Le: "≤ {0.le}", Lt: "< {0.lt}"}


def with_reference(document: str, path: Path) -> str:
    """The document with the reference between its two marker comments.

    Args:
        document: Markdown.
        path: where it stands, for the message.

    Raises:
        UsageError: the document lacks a marker.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{path} lacks the lines {BEGIN!r} and {END!r}, between which the reference is written")
    return f"{before}{BEGIN}\n\n{config_reference()}\n{END}{after}"


def config_reference() -> str:
    """The reference as Markdown: a heading for every section of a config and for every place where a name is chosen."""
    lines = []
    for key, field in Experiment.model_fields.items():
        lines += _section(key, field)
    lines += ["### Export formats", "", "Chosen by `nlp-suite export --format`; the keys are its options.", ""]
    lines += _components("", EXPORTERS)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(path: str, field: FieldInfo) -> list[str]:
    """Heading and table of a section, or of a place in a config where a component is chosen by name."""
    heading = [f"### {path}", ""]
    if registry := _registry(field):
        which = f"The {registry.kind}s" if get_origin(field.annotation) is list else f"The {registry.kind}"
        return [*heading, f"{which}; default `{_value(field.default)}`.", "", *_components(path, registry)]
    if field.description:  # the same settings as another section
        return [*heading, f"{field.description[0].upper()}{field.description[1:]}{_users(path)}.", ""]
    settings = next(t for t in (field.annotation, *get_args(field.annotation)) if _is_settings(t))
    rows = _rows(path, settings.model_fields)
    return [*heading, _first_line(settings), "", *TABLE_HEADER, *rows, "", *_places(path, settings.model_fields)]


def _components(path: str, registry: Registry) -> list[str]:
    """One table of all components of a registry, with what they have in common first, and the places within them."""
    summaries = registry.help()
    by_settings: dict[type[ComponentSettings], list[str]] = {}
    for name in registry.names():
        by_settings.setdefault(registry.settings(name), []).append(name)
    common = _common_fields(list(by_settings))
    common_rows = _rows(path, common)
    lines = [*TABLE_HEADER]
    if common:
        lines += [f"| **every {registry.kind}** | | | |", *common_rows]
    places: dict[str, FieldInfo] = {}
    for settings, names in by_settings.items():
        fields = _fields(settings)
        defaults = [_defaults_elsewhere(name) if registry is TASKS else "" for name in names]
        lines += [f"| **`{name}`** | | | {_text(summaries[name] + more)} |" for name, more in zip(names, defaults)]
        lines += [row for row in _rows(path, fields) if row not in common_rows]
        places |= {key: field for key, field in fields.items() if _registry(field)}
    return [*lines, "", *_places(path, places)]


def _places(path: str, fields: Mapping[str, FieldInfo]) -> list[str]:
    """The sections of the fields at which a component is chosen by name."""
    return [line for key, field in fields.items() if _registry(field) for line in _section(_join(path, key), field)]


def _defaults_elsewhere(task: str) -> str:
    """A sentence on the defaults that a task brings along for other sections."""
    told = {
        "Its defaults in other sections": TASKS.get(task).defaults,
        "Where no backbone is named": TASKS.get(task).default_recipe,
    }
    return "".join(
        f" {when}: {', '.join(f'`{section}.{key}: {_value(value)}`' for section in given for key, value in given[section].items())}."
        for when, given in told.items()
        if given
    )


def _fields(settings: type[ComponentSettings]) -> dict[str, FieldInfo]:
    return {key: field for key, field in settings.model_fields.items() if key != "name"}


def _common_fields(classes: list[type[ComponentSettings]]) -> dict[str, FieldInfo]:
    """The fields of the nearest settings class that all derive from, where there are several."""
    if len(classes) == 1:
        return {}
    return _fields(next(base for base in classes[0].__mro__ if all(issubclass(other, base) for other in classes)))


def _rows(path: str, fields: Mapping[str, FieldInfo]) -> list[str]:
    """A row of a table for every field."""
    return [_row(_join(path, key), key, field) for key, field in fields.items()]


def _row(path: str, key: str, field: FieldInfo) -> str:
    registry = _registry(field)
    kind = f"[{registry.kind}](#{path.replace('.', '')})" if registry else _or(_kinds(field.annotation, field.metadata))
    kind = f"list of {kind}" if registry and get_origin(field.annotation) is list else kind
    meaning = f"{field.description or ''}{_users(path)}"
    default = "required" if field.is_required() else f"`{_value(field.default)}`"
    return f"| `{key}` | {kind} | {default.replace('|', chr(92) + '|')} | {_text(meaning)} |"


def _users(path: str) -> str:
    """Which tasks use a key, where not all do."""
    names = [f"`{name}`" for name in TASKS.names() if path in TASKS.get(name).honours] if path in TASK_KEYS else []
    return f" (task {_or(names)} only)" if names else ""


def _value(value: Any) -> str:
    """A value as one writes it in YAML."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return value if isinstance(value, str) and value else json.dumps(value)


def _kinds(annotation: Any, metadata: Iterable[Any] = ()) -> list[str]:
    """What may be given, in words: all alternatives.

    Args:
        annotation: of a field, or within one.
        metadata: what stands beside it, such as bounds.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [m for item in arguments[1:] for m in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return _kinds(arguments[0], inner)
    if origin is Literal:
        return [f"`{_value(choice)}`" for choice in arguments]
    if origin in (Union, UnionType):
        return [kind for argument in arguments for kind in _kinds(argument, metadata)]
    if origin is list:
        return [f"list of {_or([_plural(kind) for kind in _kinds(arguments[0])])}"]
    if origin is dict:
        return [f"mapping of {_or(_kinds(arguments[0]))} to {_or(_kinds(arguments[1]))}"]
    if _is_settings(annotation):
        return [f"mapping of {', '.join(f'`{key}`' for key in annotation.model_fields)}"]
    if annotation in NUMBERS:
        bounds = [BOUNDS[type(item)].format(item) for item in metadata if type(item) in BOUNDS]
        return [f"{NUMBERS[annotation]} {', '.join(bounds)}".rstrip()]
    return PLAIN_TYPES[annotation]


def _plural(kind: str) -> str:
    """Of what `_kinds` calls a kind; its bounds, if it has any, stand behind the word."""
    word, *bounds = kind.split(" ", 1)
    return " ".join([PLURALS.get(word, word), *bounds])


def _registry(field: FieldInfo) -> Registry | None:
    """The registry of which a field holds a component, or a list of them."""
    of_list = get_args(get_args(field.annotation)[0]) if get_origin(field.annotation) is list else ()
    metadata = [*field.metadata, *of_list]
    return next((item.registry for item in metadata if isinstance(item, ChosenByName)), None)


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _or(alternatives: list[str]) -> str:
    *others, last = alternatives
    return f"{', '.join(others)} or {last}" if others else last


def _first_line(settings: type[Settings]) -> str:
    return (settings.__doc__ or "").strip().split("\n")[0]


def _text(sentence: str) -> str:
    """A sentence as the cell of a table."""
    return sentence.replace("|", "\\|").replace("<", "&lt;")
