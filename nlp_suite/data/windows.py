"""Windows of running text as a pure function of their number: contiguous streams, shuffled windows, sliding windows.

A window is a stretch of one document: its begin in the token store, its number of tokens, and how many tokens of context
stand before those that are predicted. `window_arrays` turns a batch of them into what a language model takes.
"""

from dataclasses import dataclass

import numpy as np

from nlp_suite.data.batches import BucketedBatches


@dataclass(frozen=True)
class Windows:
    """One batch of windows, all arrays of `[B]`.

    Attributes:
        begin: first token that is predicted or, with context, read.
        count: tokens, context included; 0 for a row that is over.
        context: so many of them, from the first, are read but not predicted again.
        first: whether the window begins its document.
        reset: whether a carried state starts anew.
        length: T, the batch's width.
    """

    begin: np.ndarray
    count: np.ndarray
    context: np.ndarray
    first: np.ndarray
    reset: np.ndarray
    length: int


def window_arrays(tokens, windows: Windows, start_token: int) -> dict[str, np.ndarray]:
    """Inputs and targets of a batch of windows.

    Args:
        tokens: the store's `flat()`.
        windows: B windows.
        start_token: what is read before the first token of a document.

    Returns:
        `tokens` int32 `[B, T]` (each place holds the token before its target), `targets` int32 `[B, T]`, `weights`
        float32 `[B, T]` (0 at padding and context), `reset` bool `[B]`.
    """
    places = np.arange(windows.length)  # [T]
    valid = places < windows.count[:, None]  # [B, T]
    index = np.minimum(windows.begin[:, None] + places, len(tokens) - 1)
    targets = np.where(valid, tokens[index], 0).astype("int32")
    before = np.where(valid, tokens[np.maximum(index - 1, 0)], 0).astype("int32")
    before[:, 0] = np.where(windows.first & (windows.count > 0), start_token, before[:, 0])
    weights = (valid & (places >= windows.context[:, None])).astype("float32")
    return {"tokens": before, "targets": targets, "weights": weights, "reset": windows.reset}


class Streams:
    """Contiguous streams for truncated back-propagation through time.

    The documents, end to end, are cut into `rows` parts of equal length, one a row of the batch; a row reads its part
    window by window. A document begins at the start of a window, and so does a part; there `reset` is true.

    Args:
        documents: where documents begin, and the end, `[documents + 1]` (`TokenStore.documents`).
        rows: B.
        window: tokens of a window, T.
        seed: of random window lengths (Merity et al. 2018: mostly near `window`, one in twenty near its half; at most 8
            different ones); `None`: all are `window` long.

    Example:
        >>> batch = window_arrays(store.flat(), Streams(store.documents(), rows=20, window=35)[0], start_token=3)
    """

    def __init__(self, documents, rows: int, window: int, seed: int | None = None):
        self._seed, self._window, self._rows = seed, window, rows
        first, last = documents[0], documents[-1]
        cuts = first + (last - first) * np.arange(rows + 1) // rows
        edges = np.unique(np.concatenate([documents, cuts]))  # starts of all spans, and the end
        begins_document = np.isin(edges[:-1], documents)
        row = np.searchsorted(cuts, edges[:-1], side="right") - 1
        self._spans = [(edges[:-1][row == r], edges[1:][row == r], begins_document[row == r]) for r in range(rows)]
        self._tokens = int(last - first)
        nominal = self._plan([window] * self._most_steps())
        self._nominal = [batch for batch in nominal if batch.count.any()]
        self.steps_per_epoch = len(self._nominal)
        self.bounds = [window]
        if seed is not None:
            lengths, chances = self._choices()
            self.bounds = sorted(set(lengths))
            self.steps_per_epoch = round(self.steps_per_epoch * window / np.dot(lengths, chances))  # read to its end
        self._planned = (0, self._nominal)
        if seed is not None:
            self._planned = (-1, [])

    @property
    def padding(self) -> float:
        """Part of the places of an epoch that hold no token."""
        return 1 - self._tokens / (len(self._nominal) * self._rows * self._window)

    def _most_steps(self) -> int:
        return max(int(np.sum(-(-(end - begin) // self._window))) for begin, end, _ in self._spans)

    def _choices(self):
        """The window lengths that are drawn, and their chances."""
        near = np.arange(-2, 3) * self._window / 14  # a deviation of 5 tokens at 70
        chances = np.exp(-0.5 * np.arange(-2, 3) ** 2)
        half = np.arange(-1, 2) * self._window / 14
        half_chances = np.exp(-0.5 * np.arange(-1, 2) ** 2)
        lengths = np.concatenate([self._window + near, self._window / 2 + half])
        weights = np.concatenate([0.95 * chances / chances.sum(), 0.05 * half_chances / half_chances.sum()])
        return np.maximum(np.round(lengths), 1).astype(int).tolist(), weights

    def _plan(self, lengths) -> list[Windows]:
        """Windows of the given lengths, step by step; a row that is at its end gets empty windows."""
        place = np.array([begin[0] if len(begin) else 0 for begin, _, _ in self._spans])
        span = np.zeros(self._rows, int)
        ends = [np.append(end, 0) for _, end, _ in self._spans]
        begins = [np.append(begin, 0) for begin, _, _ in self._spans]
        firsts = [np.append(first, False) for _, _, first in self._spans]
        plan = []
        for length in lengths:
            at_start = np.array([p == b[s] for p, b, s in zip(place, begins, span)])
            left = np.array([e[s] for e, s in zip(ends, span)]) - place
            left = np.where([s < len(b) - 1 for s, b in zip(span, begins)], left, 0)
            count = np.minimum(left, length)
            first = at_start & np.array([f[s] for f, s in zip(firsts, span)])
            plan.append(Windows(place.copy(), count, np.zeros_like(count), first, at_start, int(length)))
            place = place + count
            for r in np.flatnonzero((count == left) & (left > 0)):
                span[r] += 1
                place[r] = begins[r][span[r]]
        return plan

    def _epoch(self, epoch: int) -> list[Windows]:
        if self._seed is None:
            return self._nominal
        random = np.random.default_rng([self._seed, epoch])
        lengths, chances = self._choices()
        plan = self._plan(random.choice(lengths, self.steps_per_epoch, p=chances))
        while plan and not plan[-1].count.any():  # read out early: go on from the beginning
            plan.pop()
        return [plan[i % len(plan)] for i in range(self.steps_per_epoch)]

    def __getitem__(self, n: int) -> Windows:
        """Batch `n`, counted through all epochs."""
        epoch, step = divmod(n, self.steps_per_epoch)
        if self._seed is None:
            epoch = 0
        if self._planned[0] != epoch:
            self._planned = (epoch, self._epoch(epoch))
        return self._planned[1][step]


class ShuffledWindows:
    """Windows in random order, without a state: every epoch cuts the documents at other places.

    Args:
        documents: see `Streams`.
        rows: B.
        window: tokens of a window, T.
        seed: of cuts and order.
    """

    def __init__(self, documents, rows: int, window: int, seed: int):
        self._begins, self._ends = np.asarray(documents[:-1]), np.asarray(documents[1:])
        self._rows, self._window, self._seed = rows, window, seed
        self.steps_per_epoch = -(-len(self._cut(0)[0]) // rows)
        self.bounds = [window]
        tokens = int(documents[-1] - documents[0])
        self.padding = 1 - tokens / (len(self._cut(0)[0]) * window)
        self._planned = (-1, None)

    def _cut(self, offset: int):
        """Begins and counts of all windows, and which begin a document; the first of a document is `offset` tokens shorter than the others."""
        document, places = _steps(self._begins - offset, self._ends, self._window)
        begins, ends = self._begins[document], self._ends[document]
        starts, stops = np.maximum(places, begins), np.minimum(places + self._window, ends)
        kept = stops > starts
        return starts[kept], (stops - starts)[kept], (starts == begins)[kept]

    def __getitem__(self, n: int) -> Windows:
        """Batch `n`, counted through all epochs."""
        epoch, step = divmod(n, self.steps_per_epoch)
        if self._planned[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            columns = self._cut(int(random.integers(self._window)) if epoch else 0)
            order = np.resize(random.permutation(len(columns[0])), self.steps_per_epoch * self._rows)
            self._planned = (epoch, [column[order] for column in columns])
        begin, count, first = (column[step * self._rows : (step + 1) * self._rows] for column in self._planned[1])
        return _stateless(begin, count, np.zeros_like(count), first, self._window)


class SlidingWindows:
    """Windows for evaluation without a state: each reads `context` tokens again and predicts those after them.

    Every token is predicted once; the first window of a document predicts all of its tokens.

    Args:
        documents: see `Streams`.
        rows: B.
        window: tokens of a window, T, context included.
        context: tokens that are read again.
    """

    def __init__(self, documents, rows: int, window: int, context: int):
        stride = window - context
        starts, ends = np.asarray(documents[:-1]), np.asarray(documents[1:])
        document, place = _steps(starts + window - stride, ends, stride, least=1)
        begins = starts[document]
        opens = np.diff(document, prepend=-1) > 0
        predicted = np.where(opens, begins, place)  # first token that each predicts
        stops = np.where(np.append(opens[1:], True), ends[document], np.append(predicted[1:], 0))
        read = np.where(opens, begins, np.maximum(predicted - context, begins))
        columns = [read, stops - read, predicted - read, read == begins]
        extra = -len(columns[0]) % rows
        columns = [np.concatenate([c, np.zeros(extra, c.dtype)]) for c in columns]
        self._columns, self._rows, self.bounds = columns, rows, [window]
        self.steps_per_epoch = len(columns[0]) // rows

    def __getitem__(self, n: int) -> Windows:
        """Batch `n`."""
        part = slice(n * self._rows, (n + 1) * self._rows)
        begin, count, context, first = (column[part] for column in self._columns)
        return _stateless(begin, count, context, first, self.bounds[0])


class WholeDocuments:
    """Documents of their own, bucketed by length and padded; those longer than `longest` are cut into pieces.

    Args:
        documents: see `Streams`.
        rows: B.
        longest: tokens of a piece at most.
        buckets: number of batch lengths at most.
        seed: of the shuffling; `None` keeps the order.
    """

    def __init__(self, documents, rows: int, longest: int, buckets: int, seed: int | None):
        ends = np.asarray(documents[1:])
        document, self._begin = _steps(np.asarray(documents[:-1]), ends, longest)
        self._count = np.minimum(self._begin + longest, ends[document]) - self._begin
        self._first = np.isin(self._begin, documents)
        self._batches = BucketedBatches(self._count, rows, buckets, seed)
        self.steps_per_epoch, self.bounds = self._batches.steps_per_epoch, self._batches.bounds
        self.padding = self._batches.padding

    def __getitem__(self, n: int) -> Windows:
        """Batch `n`, counted through all epochs."""
        rows, weights, length = self._batches[n]
        count = np.where(weights > 0, self._count[rows], 0)
        return _stateless(self._begin[rows], count, np.zeros_like(count), self._first[rows], length)


def _steps(begins, ends, stride: int, least: int = 0):
    """`np.arange(begin, end, stride)` of every document, end to end, at least `least` long: document and value of each."""
    counts = np.maximum(-((begins - ends) // stride), least)
    document = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    return document, begins[document] + stride * within


def _stateless(begin, count, context, first, length) -> Windows:
    return Windows(begin, count, context, first, np.ones(len(begin), bool), int(length))
