"""Segments of series in time order, for truncated back-propagation through time: what a row reads goes on where it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.kinds.series import SeriesStore
from nlp_suite.errors import ConfigError
from nlp_suite.task import Batches
from nlp_suite.tasks.forecasting.inputs import Arrays, NetworkInputs

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The segments of a pass, end to end, all arrays of `[S]` but `cuts`.

    Attributes:
        series: the number of the series of each.
        cutoff: where it ends, counted from the start of its series.
        new: steps before that which the segment before has not read, 0 to C.
        first: whether it begins its series, from a zero state.
        counted: whether the steps after it are learned or measured.
        cuts: where the segments of each row of a batch begin, and the end, `[B + 1]`.
    """

    series: Numbers
    cutoff: Numbers
    new: Numbers
    first: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    cuts: Numbers


class SeriesSegments:
    """Numbered batches of the segments of a plan; batch n is a function of n and of the seed that the plan was drawn with.

    Args:
        store: of a split.
        inputs: what is read: the steps of a segment, and those before it that differences reach back to.
        plan: epoch → the segments of its pass; of all epochs the number of batches is the same.
    """

    def __init__(self, store: SeriesStore, inputs: NetworkInputs, plan: Any):
        self._store, self._inputs, self._plan = store, inputs, plan
        self._planned: tuple[int, Plan] = (0, plan(0))
        first = self._planned[1]
        self.count, self.rows = len(first.series), len(first.cuts) - 1
        self.steps_per_epoch = int(np.diff(first.cuts).max())

    def __getitem__(self, n: int) -> tuple[Arrays, NDArray[np.float32], NDArray[np.float32]]:
        """Batch `n`, as that of `SeriesWindows`, whose inputs also hold `new` int32 `[B]` and `reset` bool `[B]`.

        `reset` is true where a row begins from a zero state. A row that has no segment left reads nothing.
        """
        epoch, step = divmod(n, self.steps_per_epoch)
        if self._planned[0] != epoch:
            self._planned = (epoch, self._plan(epoch))
        plan, store, horizon = self._planned[1], self._store, self._inputs.horizon
        places = plan.cuts[:-1] + step
        there = places < plan.cuts[1:]  # [B]
        places = np.where(there, places, 0)
        rows, ends = plan.series[places], plan.cutoff[places]
        truth = np.stack([store.series(row)[end : end + horizon] for row, end in zip(rows, ends)])  # [B, H]
        known = np.isfinite(truth) & (there & plan.counted[places])[:, None]
        read = self._inputs.arrays([store.history(row, end) for row, end in zip(rows, ends)])
        read["new"] = np.where(there, plan.new[places], 0).astype("int32")
        read["reset"] = plan.first[places] | (step == 0)
        return read, np.where(known, truth, 0).astype("float32"), known.astype("float32")


def training_plan(store: SeriesStore, segment: int, horizon: int, least: int, rows: int, seed: int) -> Any:
    """Epoch → a pass through all series in random order, cut at other places in every epoch.

    The segments, end to end, are cut into `rows` equal parts, one a row; one that begins within a series begins from zero.

    Args:
        store: of the training split.
        segment: steps C.
        horizon: steps H after a segment.
        least: steps before a cut-off, at least, so that it is learned.
        rows: B.
        seed: of order and cuts.
    """
    begins, last = known_from(store, np.zeros(len(store), int)), np.diff(store.offsets) - horizon  # [N]
    counts = np.maximum(-((begins - last) // segment), 0)  # of segments, rounded up
    allowed = np.maximum(store.begins, least)

    def plan(epoch: int) -> Plan:
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(store))
        lengths = random.integers(1, segment + 1, len(store))  # of the first segment of each series
        series = np.repeat(order, counts[order])
        number = np.arange(len(series)) - np.repeat(np.cumsum(counts[order]) - counts[order], counts[order])
        cutoff = np.minimum(begins[series] + lengths[series] + number * segment, last[series])
        before = np.where(number > 0, begins[series] + lengths[series] + (number - 1) * segment, begins[series])
        cuts = len(series) * np.arange(rows + 1) // rows
        return Plan(series, cutoff, cutoff - before, number == 0, cutoff >= allowed[series], cuts)

    return plan


def validation_plan(
    store: SeriesStore, segment: int, horizon: int, least: int, rows: int, history: int, stride: int
) -> Any:
    """As `training_plan`, of the cut-offs of a rolling-origin backtest; no series is cut, and each has the order of the store.

    Args:
        store: of the split.
        segment: see `training_plan`, as of the next three.
        horizon: steps H after a cut-off.
        least: steps before one, at least.
        rows: B.
        history: steps that are read before the first cut-off of a series at most; later ones go on from there.
        stride: steps between two cut-offs.
    """
    first = np.maximum(store.begins, least)
    begins, lengths = known_from(store, first - history), np.diff(store.offsets)
    planned: list[tuple[int, int, int, bool]] = []
    edges = [0]
    for row in range(len(store)):
        at = int(begins[row])
        for end in range(int(first[row]), int(lengths[row]) - horizon + 1, stride):
            for stop in range(at + (end - at - 1) % segment + 1, end + 1, segment) if end > at else ():
                planned.append((row, stop, stop - at, stop == end))
                at = stop
        edges.append(len(planned))
    series, cutoff, new, counted = np.array(planned, np.int64).reshape(-1, 4).T
    cuts = np.array(edges)[np.searchsorted(edges, len(planned) * np.arange(rows + 1) // rows)]
    made = Plan(series, cutoff, new, np.isin(np.arange(len(planned)), edges), counted > 0, cuts)
    return lambda epoch: made


def known_from(store: SeriesStore, begins: Numbers) -> Numbers:
    """The first step of every series that has a value, from some step of each on, `[N]`; its length where none has."""
    found = []
    for row, begin in enumerate(np.maximum(begins, 0)):
        there = np.isfinite(store.series(row))
        there[:begin] = False
        found.append(int(there.argmax()) if there.any() else len(there))
    return np.array(found, np.int64)


def segment_batches(
    task: Any, model: Any, stores: Mapping[str, SeriesStore], rows: int, seed: int
) -> tuple[Batches, Batches]:
    """Training and validation batches of segments; the model carries its state from now on.

    Args:
        task: `ForecastingTask` with a `history`.
        model: its network.
        stores: of the splits.
        rows: B.
        seed: of the order.

    Raises:
        ConfigError: so many rows that no state would be carried in training.
    """
    settings = task.settings
    shape = (settings.context, settings.horizon, task.least, rows)
    plans = {
        "train": training_plan(stores["train"], *shape, seed),
        "validation": validation_plan(stores["validation"], *shape, settings.history, settings.cutoff_stride),
    }
    model.carry(rows)

    def of(split: str) -> Batches:
        inputs = replace(task.inputs_of(stores[split], settings.horizon), context=model.segment)
        segments = SeriesSegments(stores[split], inputs, plans[split])

        def batch(n: int) -> tuple[Any, ...]:
            read, targets, known = segments[n]
            return read, targets, known / np.float32(rows * settings.horizon)

        if split == "train" and segments.steps_per_epoch < 2:
            raise ConfigError(
                f"training.batch_size {rows:,} cuts the {segments.count:,} segments of task.context {settings.context:,} steps into "
                f"parts of one, so that no state is carried; take {segments.count // 2 or 1:,} or fewer rows, or shorter segments"
            )
        said = f"{segments.count:,} segments of {len(stores[split]):,} series, {rows:,} rows that carry their state"
        return Batches(batch, segments.steps_per_epoch, said)

    return of("train"), of("validation")
