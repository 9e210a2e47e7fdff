"""The report of a run: report.json for programs, report.html for people, a table for the terminal.

What is particular to a task's report is its `ReportView`.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nlp_suite.evaluation import baseline, number_format, plots
from nlp_suite.evaluation.page import Html, Section, Tile, code, columns, details, escape, join, page, picture, table
from nlp_suite.files import write_file

NOT_SHOWN = {
    "schema",
    "statistics",
    "labels",
    "members",
    "best",
    "state",
    "files",
    "remarks",
    "fitted",
    "stopped",
}  # of info: shown elsewhere or of no interest
COUNTED = ("examples", "documents", "sentences", "tokens", "words", "characters")  # of a report: what was evaluated


@dataclass(frozen=True)
class Figure:
    """A number of a report in which runs are compared.

    Attributes:
        name: what it is called, such as `"macro F1"`; `less_is_better` knows the direction by it.
        value: None where it is undefined.
        write: how it is written.
        interval: its 95 % interval over the rows, where there is one.
        highest: what it cannot exceed.
    """

    name: str
    value: float | None
    write: Callable[[float], str] = "{:.4g}".format
    interval: Sequence[float] | None = None
    highest: float = math.inf


class ReportView(ABC):
    """How the reports of a task are shown.

    Attributes:
        curves: metrics whose curves over the training are drawn.
        style: CSS that the page needs beside its own.
    """

    curves: ClassVar[tuple[str, ...]] = ("loss",)
    style: ClassVar[str] = ""

    @abstractmethod
    def headline(self, report: dict) -> list[Tile]:
        """The numbers at the head of the page."""

    @abstractmethod
    def sections(self, report: dict) -> list[Section]:
        """The parts of the page."""

    def figures(self, report: dict) -> list[Figure]:
        """The numbers in which runs are compared, the most telling first; by default all fractions of the report."""
        return [Figure(key.replace("_", " "), value) for key, value in report.items() if isinstance(value, float)]

    @abstractmethod
    def terminal(self, report: dict) -> Any:
        """The report as a rich renderable."""

    def compared(self, report: dict) -> baseline.Compared:
        """The figures in which baselines are shown beside the model: name → how it is written, of a report or a baseline."""
        return {}


def summary_table(rows: Sequence[tuple[str, str, str]]) -> Any:
    """Names, values and remarks as a rich table for the head of a report on the terminal."""
    from rich.table import Table
    from rich.text import Text

    summary = Table(box=None, show_header=False, pad_edge=False)
    for name, value, remark in rows:
        summary.add_row(name, Text(value, style="bold"), Text(remark, style="dim"))
    return summary


def write_report(
    directory: str | Path,
    report: dict,
    view: ReportView,
    *,
    title: str,
    history: list[dict] | None,
    experiment_yaml: str,
    info: dict,
    place: Callable[[Path, Path], None] | None = None,
) -> Path:
    """Writes `report.json` and `report.html`; each is written beside and renamed, so that it is never half there.

    The page needs no other file, no network and no JavaScript.

    Args:
        directory: where to; made if absent.
        report: numbers, and perhaps the `split` that was evaluated.
        view: how they are shown.
        title: heading of the page.
        history: one row a checkpoint interval: `epoch`, `step`, metrics and `val_` metrics; values may be None or NaN;
            None of a report on several runs.
        experiment_yaml: the resolved config.
        info: facts about the run: `statistics` (of the texts, by split), `best`, and anything else (versions,
            hardware, seconds, parameters), which is listed.
        place: what renames a file into place, see `write_file`.

    Returns:
        The path of `report.html`.
    """
    report = _json_value(report)
    learned = [] if history is None else [_learning(history, view.curves, info.get("best"))]
    sections = [*_remarks(report), *learned, *view.sections(report)]
    if report.get("baseline"):
        sections.insert(0, baseline.section(report, view.compared(report)))
    if info.get("statistics"):
        sections.append(_statistics(info["statistics"]))
    sections.append(_run(info, experiment_yaml))
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_file(directory / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n", place)
    write_file(
        directory / "report.html", page(title, measured_on(report), view.headline(report), sections, view.style), place
    )
    return directory / "report.html"


def measured_on(report: dict) -> str:
    """What was measured, in a line: the split, how much it has, and how much of it the model does not see."""
    parts = [f"{report['split']} split"] if report.get("split") else []
    counts = [(name, report[name]) for name in COUNTED if report.get(name)]
    parts += [f"{count:,} {name[:-1] if count == 1 else name}" for name, count in counts]
    if report.get("truncated_share") is not None and report.get("dropped_share") is not None:
        cut = f"{number_format.share(report['truncated_share'], 1)} of the texts"
        parts.append(f"{cut} and {number_format.share(report['dropped_share'], 1)} of their tokens cut off")
    if report.get("unknown_rate") is not None:
        parts.append(f"{number_format.share(report['unknown_rate'], 1)} of the tokens unknown")
    return " · ".join(parts)


def terminal_report(report: dict, view: ReportView) -> Any:
    """A report as a rich renderable: what was measured, the view's tables, the baselines, and the remarks."""
    from rich.console import Group
    from rich.text import Text

    head = Text(measured_on(report), style="dim")
    beside = [baseline.terminal(report, view.compared(report))] if report.get("baseline") else []
    return Group(head, "", view.terminal(report), *beside, *map(Text, report.get("remarks", ())))


def _remarks(report: dict) -> list[Section]:
    """The sentences for the user, as the first part of the page; none where there are none."""
    items = "\n".join(f"<li>{escape(remark)}</li>" for remark in report.get("remarks", ()))
    return [Section("What to know of these numbers", Html(f"<ul>\n{items}\n</ul>"))] if items else []


def _json_value(value):
    """The same with JSON's types only: NumPy scalars become Python's, NaN and infinities null."""
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    if hasattr(value, "tolist"):
        return _json_value(value.tolist())
    if isinstance(value, float):
        return plots.number(value)
    return value


def _learning(history: list[dict], metrics, best: dict | None) -> Section:
    best = best if isinstance(best, dict) else None
    shown = [metric for metric in metrics if plots.has_curve(history, metric)]
    if not shown:
        return Section("How it learned", Html('<p class="lead">This run recorded no learning curve.</p>'))
    key, x = plots.curve_axis(history)
    chosen, lead = plots.best_interval(history, best), ""
    if chosen is not None:
        values = {metric: plots.number(history[chosen].get("val_" + metric)) for metric in shown}
        numbers = ", ".join(f"validation {_learned(metric, v)}" for metric, v in values.items() if v is not None)
        lead = f"Best at {key} {x[chosen]:,.10g} of {x[-1]:,.10g}" + (f": {numbers}." if numbers else ".")
    names = "Learning curve: {} in training and validation"
    drawings = [picture(plots.learning_curves(history, (m,), best), names.format(m)) for m in shown]
    return Section("How it learned", columns(*drawings), lead)


def _learned(metric: str, value: float) -> str:
    if metric == "bleu":
        return f"BLEU {value:.2f}"
    return f"{metric} {number_format.perplexity(value) if metric == 'perplexity' else f'{value:.4f}'}"


def _statistics(statistics: dict) -> Section:
    """A column a split, a row a statistic; those with parts, such as percentiles, are folded away."""
    splits = {name: values for name, values in statistics.items() if isinstance(values, dict)}
    if not splits:
        return Section("The data", _facts(statistics))
    keys = list(dict.fromkeys(key for values in splits.values() for key in values))
    plain = [key for key in keys if not any(isinstance(values.get(key), dict) for values in splits.values())]
    blocks = [_by_split(splits, plain)] if plain else []
    for key in keys:
        if key not in plain:
            parts = {name: values.get(key) or {} for name, values in splits.items()}
            names = list(dict.fromkeys(name for values in parts.values() for name in values))
            blocks.append(details(f"{_words(key).capitalize()} by split", _by_split(parts, names)))
    return Section("The data", join(*blocks), "As the model reads them, by split.")


def _by_split(splits: dict[str, dict], keys: list[str]) -> Html:
    return table(
        ["", *splits], [[_words(key), *(_value(key, values.get(key)) for values in splits.values())] for key in keys]
    )


def _run(info: dict, experiment_yaml: str) -> Section:
    facts = _facts({key: value for key, value in info.items() if key not in NOT_SHOWN})
    return Section("The run", Html(facts + details("Resolved config", code(experiment_yaml))))


def _facts(values: dict) -> Html:
    """Names and values as a list; a nested mapping becomes one line."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            text = " · ".join(
                f"{name if key == 'versions' else _words(name)} {_value(name, item)}" for name, item in _flat(value)
            )
        else:
            text = _value(key, value)
        lines.append(f"<dt>{escape(_words(key))}</dt><dd>{escape(text)}</dd>")
    return Html('<dl class="facts">\n' + "\n".join(lines) + "\n</dl>")


def _flat(values: dict, prefix: str = ""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value


def _words(key: str) -> str:
    return "time" if key == "seconds" else str(key).replace("_", " ")


def _value(key: str, value) -> str:
    """A fact for people: durations in minutes, shares as percentages, thousands separated."""
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(key, item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) or plots.number(value) is None:
        return str(value)
    if "seconds" in str(key):
        return duration(value)
    if (
        isinstance(value, float)
        and 0 <= value <= 1
        and any(w in str(key) for w in ("rate", "share", "truncated", "fraction"))
    ):
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 8.5 s, 12 min 3 s, 1 h 5 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"
