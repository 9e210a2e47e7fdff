"""How a report shows a language model that adapts: a row each, and what to know of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_suite.tasks.language_model.adaptation import CHOSEN_ON

TITLES = {"plain": "as it is", "cache": "with a cache", "dynamic": "dynamic evaluation"}


def rows(report: Mapping[str, Any], compared: Mapping[str, Any]) -> list[list[str]]:
    """The plain model and what adapts, a row each: title, figures, lead with its interval."""
    lines = []
    for figures in report["adapted"].values():
        shown = ""
        if "lead" in figures:
            gain = figures["lead"]["perplexity per word"]
            low, high = gain["interval"] or (gain["value"], gain["value"])
            shown = f"{-gain['value']:+,.2f} [{-high:+,.2f}, {-low:+,.2f}]"
        lines.append([figures["title"], *(write(figures) for write in compared.values()), shown])
    return lines


def notes(report: Mapping[str, Any]) -> list[str]:
    """A sentence on every one: its settings, and where they come from."""
    said = []
    for name, figures in report["adapted"].items():
        if name == "plain":
            continue
        line = described(name, figures["settings"], figures["chosen"])
        if figures["chosen"] and report.get("split") == "validation":
            line += ", which is measured here: expect less elsewhere"
        said.append(f"{line}.")
    return [
        *said,
        "What adapts predicts a token before it learns from it, goes on from one document to the next, and starts empty. "
        "Compare it with models that adapt only.",
    ]


def described(name: str, settings: Mapping[str, Any], chosen: Sequence[str]) -> str:
    """The settings of what adapts, and which of them were chosen on the validation split."""
    listed = ", ".join(f"{key} {_value(value)}" for key, value in settings.items())
    where = (
        f"; {' and '.join(chosen)} chosen on validation (at most its first {CHOSEN_ON[name]:,} tokens)"
        if chosen
        else ""
    )
    return f"{TITLES[name].capitalize()}: {listed}{where}"


def _value(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
