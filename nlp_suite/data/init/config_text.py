"""A recipe as commented YAML."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_suite.config_yaml import write_inline
from nlp_suite.data.init.seen import Choice, Recipe

COMMENT_COLUMN = 29  # where a comment begins, if its line is not longer
WIDTH = 120
SECTIONS = ("task", "data", "text", "target_text", "backbone", "training", "export")


def values_of(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe as a config's mapping, without the reasons."""
    return {section: _values(_nested(choices)) for section, choices in recipe.items() if choices}


def config_text(recipe: Recipe, head: Sequence[str], foot: Sequence[str] = ()) -> str:
    """The YAML of a recipe: paragraphs of the head as a comment, then section by section, every reason beside its value.

    Args:
        recipe: what was chosen.
        head: lines of the comment at the head.
        foot: the same at the end.
    """
    lines = [*_commented(head), ""]
    for section in sorted((s for s in recipe if recipe[s]), key=SECTIONS.index):
        lines += [f"{section}:", *_lines(_nested(recipe[section]), 1)]
    lines += ["", *_commented(foot)] if foot else []
    return "\n".join(lines) + "\n"


def _commented(lines: Sequence[str]) -> list[str]:
    return [f"# {_printable(line)}".rstrip() for line in lines]


def _printable(text: str) -> str:
    """A text that may quote data, as part of a line of YAML."""
    return "".join(character if character.isprintable() else " " for character in text)


def _nested(choices: Mapping[str, Choice]) -> dict[str, Any]:
    """Keys parted by dots as mappings within one another."""
    nested: dict[str, Any] = {}
    for key, choice in choices.items():
        *parents, last = key.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = choice
    return nested


def _values(nested: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.value if isinstance(value, Choice) else _values(value) for key, value in nested.items()}


def _lines(nested: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    for key, value in nested.items():
        indent = "  " * depth
        if not isinstance(value, Choice):
            lines += [f"{indent}{write_inline(key)}:", *_lines(value, depth + 1)]
            continue
        line = f"{indent}{write_inline(key)}: {write_inline(value.value)}"
        comment = _printable(value.reason)
        beside = f"{line:{COMMENT_COLUMN - 2}}  # {comment}"
        if not comment:
            lines.append(line)
        elif len(beside) <= WIDTH:
            lines.append(beside)
        else:
            above = textwrap.wrap(comment, WIDTH - len(indent) - 2, break_long_words=False)
            lines += [*(f"{indent}# {part}" for part in above), line]
    return lines
