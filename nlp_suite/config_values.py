"""The values of a config before they are checked: read from a YAML file, changed by `--set`, or written by an earlier version."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nlp_suite.config_files import find_config
from nlp_suite.config_yaml import MAX_DEPTH, read_yaml, shown
from nlp_suite.errors import ConfigError


def read_values(path: Path, sections: Iterable[str]) -> dict[str, Any]:
    """The keys and values of a YAML file; `sections`: what an experiment is made of, for the message."""
    path = find_config(path)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid UTF-8: {error}") from None
    values = read_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: an experiment is a mapping of {', '.join(sections)}")
    return values


def set_value(values: dict[str, Any], override: str) -> None:
    """Applies one `a.b=value`, in place."""
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {override!r}: write it as section.key=value")
    *parents, last = path.strip().split(".")
    if len(parents) > MAX_DEPTH:
        raise ConfigError(f"--set {shown(override)}: more than {MAX_DEPTH} keys within one another")
    for key in parents:
        child = values.get(key)
        if child is None:
            child = {}
        elif isinstance(child, str):  # a component given by its name alone
            child = {"name": child}
        elif not isinstance(child, dict):
            raise ConfigError(f"--set {override!r}: {key!r} is a value and has no keys")
        values[key] = dict(child)
        values = values[key]
    value = read_yaml(text, f"--set {shown(override)}")
    current = values.get(last)
    if isinstance(value, str) and isinstance(current, dict) and current.get("name") == value:
        return  # the same component, named again: keep its settings
    values[last] = value


def recorded_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config that a run or an export holds, with those that younger keys stood for at the time."""
    sections = {key: values[key] for key in ("text", "target_text") if isinstance(values.get(key), Mapping)}
    return {**values, **{key: recorded_text(section) for key, section in sections.items()}}


def recorded_text(section: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a section `text`: before there was `invisible`, nothing invisible was dropped and no reference decoded."""
    if "invisible" in section:
        return dict(section)
    return {**section, "invisible": "keep", "strip_html": section.get("strip_html", True) and "tags"}
