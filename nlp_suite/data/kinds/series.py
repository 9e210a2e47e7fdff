"""Time series, each a name, a start and values of regular steps; they are cut into splits by time."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.config import DataSettings, Experiment
from nlp_suite.data.kinds.base import CorpusKind, Positions, Progress
from nlp_suite.data.selection import WHOLE, Example, Part, Selection
from nlp_suite.data.series_cuts import bounds, cut_of, left_out_of, needed_steps
from nlp_suite.data.series_history import KINDS, NONE, History
from nlp_suite.data.series_table import values_of
from nlp_suite.data.sources.base import SPLITS
from nlp_suite.data.tables import Report, numbers_table
from nlp_suite.data.time_steps import Frequency, read_stamp
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS
from nlp_suite.task import Assets

if TYPE_CHECKING:
    from rich.table import Table


class SeriesStore:
    """The series of a split, and the steps that are predicted in it; values are memory-mapped.

    A split holds all that lies before its end: what is predicted from `begins` on, and before it what may be read.

    Args:
        directory: what `SeriesKind.write_split` wrote.

    Attributes:
        names: of the series.
        starts: stamp of the first step of every series, int64 `[N]`.
        offsets: where series begin in `values`, and the end, int64 `[N + 1]`.
        begins: the first step of every series that is predicted, counted from its start, int64 `[N]`.
        frequency: of the steps.
        covariates: kind → names of covariates.
        categories: name of a category → its words in the training split.
        words: the categories of every series.
    """

    def __init__(self, directory: Path):
        self.directory, facts = directory, json.loads((directory / "series.json").read_text("utf-8"))
        self.names: list[str] = facts["names"]
        self.frequency = Frequency.parse(facts["frequency"])
        self.starts, self.offsets, self.begins = (
            np.array(facts[key], np.int64) for key in ("starts", "offsets", "begins")
        )
        self.covariates: dict[str, list[str]] = facts.get("covariates", {kind: [] for kind in KINDS})
        self.static = np.array(facts.get("static", np.zeros((len(self.names), 0))), np.float64)  # [N, K]
        self.categories: dict[str, list[str]] = facts.get("categories", {})
        self.words: list[list[str]] = facts.get("words", [[]] * len(self.names))
        self._future_offsets: list[int] = facts.get("future_offsets", [])

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """All series end to end, float64 `[T]`, NaN where missing."""
        values: NDArray[np.float64] = np.load(self.directory / "values.npy", mmap_mode="r")
        return values

    @cached_property
    def past(self) -> NDArray[np.float64]:
        """Covariates beside `values`, float64 `[T, K]`."""
        return self._array("past")

    @cached_property
    def future(self) -> NDArray[np.float64]:
        """Covariates that are known ahead, which may go on after the values of their series, float64 `[T', K]`."""
        return self._array("future")

    def _array(self, kind: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (
            np.load(self.directory / f"{kind}.npy", mmap_mode="r") if self.covariates[kind] else NONE
        )
        return found

    def __len__(self) -> int:
        return len(self.names)

    def series(self, row: int) -> NDArray[np.float64]:
        """The values of a series up to the split's end, float64 `[T]`."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def history(self, row: int, cutoff: int) -> History:
        """A series up to a cut-off, which is counted from its start."""
        begin, past, future = self.offsets[row], NONE, NONE
        if self.covariates["past"]:
            past = self.past[begin : begin + cutoff]
        if self.covariates["future"]:
            future = self.future[self._future_offsets[row] : self._future_offsets[row + 1]]
        end = int(self.starts[row]) + cutoff * self.frequency.count
        values, static = self.values[begin : begin + cutoff], self.static[row]
        return History(values, past, future, static, end, self.names[row], self.words[row])

    def stamp(self, row: int, step: int) -> str:
        """The date of a step of a series."""
        return self.frequency.written(int(self.starts[row]) + step * self.frequency.count)


@CORPUS_KINDS.register()
class SeriesKind(CorpusKind):
    """Examples `{"series": name, "start": date, "frequency": …, "values": [numbers or null]}`.

    Every split has all series: training the beginning, validation `data.validation` of the steps before the test steps, at
    least the task's horizon, and test the last `task.test` steps. What comes later is in no store of an earlier split.
    Facts: `frequency`, and `season`, the steps of a season where the frequency has one.
    """

    fields = ("series", "start", "frequency", "values")
    wanted = "time series"
    unit = "series"
    has_text = False

    def field_value(self, field: str, value: Any, called: str) -> Any:
        if field == "values":
            return np.array(list(values_of(value, called)))
        text = str(value)
        if field == "start":
            read_stamp(text)
        if field == "frequency":
            Frequency.parse(text)
        return text

    # ---- splits

    def with_held_out(self, data: DataSettings, selections: Mapping[str, Selection]) -> dict[str, Selection]:
        """All splits have all series; `write_split` cuts them by time.

        Raises:
            DataError: the source has splits of its own.
        """
        if others := [split for split in selections if split != "train"]:
            raise DataError(
                f"series are cut by time: give whole series as train, and no {' or '.join(others)}; task.test and "
                "data.validation say how much of their ends is held out"
            )
        return dict.fromkeys(SPLITS, selections["train"])

    def folds(self, data: DataSettings, train: Selection, folds: int) -> Positions:
        """Series have none: a fold would be trained on what comes after it.

        Raises:
            DataError: always.
        """
        raise DataError(
            "data.fold: folds at random would train on the future of what they test; task.test and task.stride are "
            "rolling-origin backtests"
        )

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        """Where series are cut, which settings of the task say."""
        return cut_of(experiment)

    # ---- what is learned from the training split

    def learn(self, experiment: Experiment, train: Selection, known: Assets, progress: Progress) -> Assets:
        """The facts of the series; refuses series of several frequencies, and those that are too short as the task says."""
        cut = cut_of(experiment)
        frequencies, names, left_out, total = dict[str, str](), set[str](), list[str](), 0
        covariates: dict[str, list[str]] = {}
        words: dict[str, set[str]] = {}
        for example in train:
            total += 1
            covariates = example.get("covariate_names", {})
            frequencies.setdefault(example["frequency"], example["series"])
            if example["series"] in names:
                raise DataError(f"the series {example['series']!r} occurs twice; names must differ")
            names.add(example["series"])
            if not np.isfinite(example["values"]).any():
                raise DataError(f"the series {example['series']!r} has no value: leave its rows out")
            if bounds(len(example["values"]), cut) is None:
                left_out.append(example["series"])
                continue
            for column, word in example.get("categories", {}).items():
                words.setdefault(column, set()).update({word} - {""})
        if not total:
            raise DataError("there are no series")
        if len(frequencies) > 1:
            listed = ", ".join(f"{name!r}: {frequency}" for frequency, name in list(frequencies.items())[:3])
            raise DataError(f"all series must have one frequency; there are several ({listed})")
        needed = needed_steps(cut)
        if left_out and (cut["short"] == "fail" or len(left_out) == total):
            more = ", …" if len(left_out) > 3 else ""
            context = "a step" if cut["short"] == "pad" else f"task.context {cut['context']:,}"
            raise DataError(
                f"{len(left_out):,} of {total:,} series are shorter than the {needed:,} steps that are needed: for training "
                f"{context} and task.horizon {cut['horizon']:,}, then validation and task.test {cut['test']:,} "
                f"({', '.join(map(repr, left_out[:3]))}{more}); lower these, or task.short_series: drop leaves such series "
                "out, pad also uses shorter contexts"
            )
        (frequency,) = frequencies
        facts = {"frequency": frequency, "season": Frequency.parse(frequency).season, "left_out": len(left_out)}
        return Assets(
            facts={
                **facts,
                **{key: known.facts[key] for key in ("frequency", "season") if key in known.facts},
                "cut": cut,
                **({"covariates": covariates} if any(covariates.values()) else {}),
                **({"categories": {column: sorted(found) for column, found in words.items()}} if words else {}),
            }
        )

    # ---- stores

    def write_split(
        self, directory: Path, examples: Iterable[Example], split: str, assets: Assets, part: Part = WHOLE
    ) -> dict[str, Any]:
        directory.mkdir(parents=True)
        facts: dict[str, list[Any]] = {"names": [], "starts": [], "begins": []}
        kept: list[NDArray[np.float64]] = []
        covariates: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        cut, frequency, words = assets.facts["cut"], assets.facts["frequency"], list[list[str]]()
        left_out = 0
        for example in examples:
            if example["frequency"] != frequency:
                raise DataError(
                    f"series {example['series']!r}: a step is a {example['frequency']}, and the model forecasts steps of a {frequency}"
                )
            steps = len(example["values"])
            parts = bounds(steps, cut, split)
            if parts is None:
                left_out += 1
                continue
            begin, end = parts[split]
            facts["names"].append(example["series"])
            facts["starts"].append(read_stamp(example["start"]).value)
            facts["begins"].append(begin)
            kept.append(np.asarray(example["values"], np.float64)[:end])
            words.append(list(example.get("categories", {}).values()))
            beside = example.get("covariates", {})
            for kind in beside:
                # What is known ahead of the last step of all belongs to the split that ends there.
                cut_off = kind == "past" or (kind == "future" and end < steps)
                covariates[kind].append(beside[kind][:end] if cut_off else beside[kind])
        if left_out and not kept:
            raise DataError(f"{split}: {left_out_of(left_out, left_out, cut, split)}, and nothing is left to measure")
        offsets = np.cumsum([0, *map(len, kept)]).tolist()
        np.save(directory / "values.npy", np.concatenate(kept) if kept else np.zeros(0))
        described = {**facts, "offsets": offsets, "frequency": assets.facts["frequency"]}
        if "covariates" in assets.facts:
            described |= _write_covariates(directory, covariates, assets.facts["covariates"])
        if "categories" in assets.facts:
            described |= {"categories": assets.facts["categories"], "words": words}
        (directory / "series.json").write_text(json.dumps(described), "utf-8")
        return {"left_out": left_out} if left_out else {}

    def open_split(self, directory: Path) -> SeriesStore:
        return SeriesStore(directory)

    def statistics(self, store: SeriesStore) -> dict[str, Any]:
        """How many series, steps and missing values there are, and how many steps are predicted."""
        predicted = [store.series(row)[begin:] for row, begin in enumerate(store.begins)]
        return {
            "series": len(store),
            "steps": int(store.offsets[-1]),
            "predicted": sum(map(len, predicted)),
            "missing": int(np.isnan(store.values).sum()),
            "constant": sum(_is_constant(store.series(row)) for row in range(len(store))),
        }

    def input_texts(self, store: SeriesStore, rows: Sequence[int]) -> list[str]:
        """Histories as JSON: lists of numbers and null."""
        return [json.dumps([None if np.isnan(v) else float(v) for v in store.series(int(row))]) for row in rows]

    # ---- what people read

    def remarks(
        self, statistics: Mapping[str, Mapping[str, Any]], experiment: Experiment, split: str = "train"
    ) -> list[str]:
        facts, lines = statistics[split], []
        if left_out := facts.get("left_out"):
            lines.append(left_out_of(left_out, left_out + facts["series"], cut_of(experiment), split))
        if facts.get("constant"):
            lines.append(
                f"{facts['constant']:,} of {facts['series']:,} series are constant: they are forecast as that value, and MASE is "
                "not defined for them"
            )
        return lines

    def remarks_on_words(self, report: Mapping[str, Any], experiment: Experiment) -> list[str]:
        return []

    def summary(self, split: str, statistics: Mapping[str, Any]) -> str:
        return f"{split}: {statistics['series']:,} series, {statistics['predicted']:,} steps to predict"

    def preparation_table(self, statistics: Mapping[str, Mapping[str, Any]]) -> "Table":
        table = numbers_table("Splits by time", "split", "series", "steps", "to predict", "missing", "constant")
        for split, facts in statistics.items():
            table.add_row(
                split, *(f"{facts[key]:,}" for key in ("series", "steps", "predicted", "missing", "constant"))
            )
        return table

    def inspect(
        self, examples: Mapping[str, Iterable[Example]], store_statistics: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `CorpusKind.inspect`; the splits are cut where the data are prepared, so all series are shown once, as `train`."""
        lengths: list[int] = []
        shown: list[list[Any]] = []
        missing = constant = 0
        frequency, low, high = "", np.inf, -np.inf
        for example in examples["train"]:
            values = np.asarray(example["values"])
            lengths.append(len(values))
            missing += int(np.isnan(values).sum())
            constant += _is_constant(values)
            frequency = example["frequency"]
            if np.isfinite(values).any():
                low, high = min(low, np.nanmin(values)), max(high, np.nanmax(values))
            if len(shown) < 5:
                last = Frequency.parse(frequency)
                end = read_stamp(example["start"]).value + (len(values) - 1) * last.count
                shown.append([example["series"], example["start"], last.written(end), len(values)])
        facts = {
            "series": len(lengths), "steps": sum(lengths), "shortest": min(lengths, default=0),
            "longest": max(lengths, default=0), "missing": missing, "constant": constant,
            "min": float(low), "max": float(high), "frequency": frequency,
        }  # fmt: skip
        return {
            "kind": self.name,
            "splits": {"train": facts},
            "duplicates": {},
            "examples": shown,
            "tokens": store_statistics,
        }

    def tables(self, report: Report) -> list["Table"]:
        facts = report["splits"]["train"]
        table = numbers_table(f"Series, a step is a {facts['frequency']}", "number", "value")
        for key in ("series", "steps", "shortest", "longest", "missing", "constant", "min", "max"):
            table.add_row(key, f"{facts[key]:,}")
        ends = numbers_table("The first series", "series", "from", "to", "steps")
        for name, start, end, steps in report["examples"]:
            ends.add_row(name, start, end, f"{steps:,}")
        return [table, ends, *([self.preparation_table(report["tokens"])] if report.get("tokens") else [])]


def _write_covariates(
    directory: Path, covariates: Mapping[str, list[Any]], names: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Writes what stands beside values; what of it goes into `series.json`."""
    for kind in ("past", "future"):
        if names[kind] and covariates[kind]:
            np.save(directory / f"{kind}.npy", np.concatenate(covariates[kind]))
    return {
        "covariates": names,
        "static": [row.tolist() for row in covariates["static"]],
        "future_offsets": np.cumsum([0, *map(len, covariates["future"])]).tolist(),
    }


def _is_constant(values: NDArray[np.float64]) -> bool:
    there = values[np.isfinite(values)]
    return bool(len(there) == 0 or (there == there[0]).all())
