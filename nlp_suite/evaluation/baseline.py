"""A model beside easy methods that were fitted on the same training split: by how much it is better, and how that is shown.

A task names its baselines (`Task.baselines`); what they answered is cached beside the prepared data, as it depends on these alone.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite._version import __version__
from nlp_suite.evaluation.page import Html, Section, escape, join, table

RESAMPLES = 1000
SEED = 12345
MAX_BLOCKS = 5000  # what is drawn anew: rows or, of more rows than that, so many groups of neighbours

Arrays = dict[str, NDArray[Any]]
Compared = Mapping[str, Callable[[Mapping[str, Any]], str]]


def cached(folder: Path, key: Any, fit: Callable[[], Arrays], kind: str = "baselines") -> Arrays:
    """Arrays that `fit` makes, or that an earlier call with the same key made.

    Args:
        folder: of the prepared data; where it cannot be written, nothing is kept.
        key: all that decides the arrays, JSON-able.
        fit: makes them.
        kind: name of the folder within `folder` where they lie.
    """
    digest = hashlib.sha256(json.dumps([__version__, key], sort_keys=True).encode()).hexdigest()[:16]
    path = folder / kind / f"{digest}.npz"
    with suppress(Exception), np.load(path) as arrays:  # absent, or damaged in any way: it is made again
        return dict(arrays)
    made = fit()
    beside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.npz")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        try:
            np.savez(beside, **dict[str, Any](made))  # a member of the archive has a CRC-32
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    return made


def contents(store: Any) -> Any:
    """What identifies the content of a token store: the sizes and digests of its files."""
    return store.meta.get("files") or str(store.directory)


def lead(value: float, counts: NDArray[Any], difference: Callable[[NDArray[Any]], float]) -> dict[str, Any]:
    """By how much a model is better than a baseline, with the 95 % interval of the paired percentile bootstrap.

    Rows are drawn anew with replacement, 1,000 times with a fixed seed, each with the answers of both, as in Koehn 2004
    ("Statistical Significance Tests for Machine Translation Evaluation").

    Args:
        value: the difference over all rows.
        counts: rows of each kind, int [K]; of K rows, or groups of rows, that differ from one another, ones.
        difference: of how often each kind was drawn, int [K]; above 0 where the model is better.

    Returns:
        `value` and `interval`, which is null for a single row.
    """
    if counts.sum() < 2:
        return {"value": float(value), "interval": None}
    generator, shares = np.random.default_rng(SEED), counts / counts.sum()
    drawn = [difference(generator.multinomial(counts.sum(), shares)) for _ in range(RESAMPLES)]
    return {"value": float(value), "interval": [float(bound) for bound in np.quantile(drawn, (0.025, 0.975))]}


def blocks(statistics: NDArray[Any]) -> NDArray[Any]:
    """Statistics that add up, `[N, K]`, summed within at most 5,000 groups of neighbouring rows, `[M, K]`."""
    if len(statistics) <= MAX_BLOCKS:
        return statistics
    return np.add.reduceat(statistics, np.linspace(0, len(statistics), MAX_BLOCKS, endpoint=False).astype(int))


def remark(report: Mapping[str, Any], compared: Compared, model_kind: str) -> str | None:
    """What to say where a model is not better than a baseline outside the 95 % interval of its lead; None where it is.

    Args:
        report: with `baseline`.
        compared: figure → how it is written, of a report or a baseline.
        model_kind: what the model is called in sentences.
    """
    sentences = []
    for figures in report["baseline"].values():
        of_outcome: dict[str, list[str]] = {}
        for name, of_figure in figures["lead"].items():
            low, high = of_figure["interval"] or (0, 0)
            if low > 0:
                continue
            outcome = "is worse than" if high < 0 else "is not better, outside the 95% interval, than"
            write = compared[name]
            of_outcome.setdefault(outcome, []).append(f"{name} {write(report)} against {write(figures)}")
        for outcome, listed in of_outcome.items():
            sentences.append(f"The {model_kind} {outcome} {figures['title']}: {'; '.join(listed)}.")
    return " ".join(sentences) or None


def _rows(report: Mapping[str, Any], compared: Compared, model: str) -> list[list[str]]:
    rows = [[model, *(write(report) for write in compared.values())]]
    return rows + [[b["title"], *(write(b) for write in compared.values())] for b in report["baseline"].values()]


def _notes(report: Mapping[str, Any]) -> list[str]:
    """Sentences on what was left out so that a baseline takes seconds."""
    return [note for figures in report["baseline"].values() for note in figures.get("notes", ())]


def _verdict(report: Mapping[str, Any]) -> str:
    better = "It is better than each, outside the 95% interval of its lead (paired bootstrap)."
    return report.get("baseline_remark") or better


def section(report: Mapping[str, Any], compared: Compared, model: str = "this model") -> Section:
    """The part of the page that shows a model beside its baselines."""
    lead = "Easy methods, fitted on the same training split and measured on the same data. "
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in _notes(report))
    said = f"<strong>{escape(_verdict(report))}</strong>" if report.get("baseline_remark") else escape(_verdict(report))
    shown = table(["", *compared], _rows(report, compared, model))
    return Section(
        "Is it better than easy methods",
        join(Html(f"<p>{said}</p>"), shown, Html(f'<ul class="muted">\n{notes}\n</ul>') if notes else None),
        lead,
    )


def terminal(report: Mapping[str, Any], compared: Compared, model: str = "this model") -> Any:
    """The same for a terminal, as a rich renderable."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("beside easy methods")
    for name in compared:
        shown.add_column(name, justify="right")
    for i, row in enumerate(_rows(report, compared, model)):
        shown.add_row(*map(Text, row), style="bold" if i == 0 else None)
    notes: Sequence[str] = _notes(report)
    verdict = Text(_verdict(report), style="bold yellow" if report.get("baseline_remark") else "")
    return Group(shown, verdict, *(Text(note, style="dim") for note in notes))
