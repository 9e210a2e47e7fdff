"""Windows of running text as a pure function of their number: contiguous streams, shuffled windows, sliding windows.

A window is a stretch of one document: its begin in the token store, its number of tokens, and how many tokens of context
stand before those that are predicted. `window_arrays` turns a batch of them into what a language model takes. No window
crosses from one document into the next: the first token of a document is predicted from a start token, not from another text.

Where a pretrained model begins every text with a token (`always_starts`: Llama, Gemma), every window begins with it, in training
as in evaluation, though most are cut out of a text: such a model puts much of its attention on that token (Xiao et al. 2023,
"Efficient Streaming Language Models with Attention Sinks") and predicts badly without it. What comes right after it is not
predicted there, but in the window before: no text of the model's own begins in the middle.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.batches import BucketedBatches

# Random window lengths (Merity et al. 2018, "Regularizing and Optimizing LSTM Language Models", section 4.1): normal with a
# standard deviation of 5 tokens around 70, once in twenty around 35. Here the deviation scales with the window, and only
# whole deviations are drawn, so that there are at most 5 + 3 lengths: XLA and JAX compile a graph for every one of them.
WINDOW_IN_DEVIATIONS = 70 / 5
HALF_WINDOW_CHANCE = 0.05


@dataclass(frozen=True)
class Windows:
    """One batch of windows, all arrays of `[B]`.

    Attributes:
        begin: place of its first token, read or predicted, in the store.
        count: tokens, context included; 0 for a row that has nothing left to read.
        context: how many of them, from the first, are read but not predicted again.
        first: whether the start token is read in place of what stands before the window, as where it begins its document.
        reset: whether a carried state starts anew.
        length: T, the batch's width.
    """

    begin: NDArray[Any]
    count: NDArray[Any]
    context: NDArray[Any]
    first: NDArray[Any]
    reset: NDArray[Any]
    length: int


def window_arrays(tokens: NDArray[Any], windows: Windows, start_token: int) -> dict[str, NDArray[Any]]:
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
    index = np.minimum(windows.begin[:, None] + places, len(tokens) - 1)  # padding may reach beyond the last token
    targets = np.where(valid, tokens[index], 0).astype("int32")
    # A window within its document reads the token before its first target as well, though that lies in the window before.
    inputs = np.where(valid, tokens[np.maximum(index - 1, 0)], 0).astype("int32")
    inputs[:, 0] = np.where(windows.first & (windows.count > 0), start_token, inputs[:, 0])
    weights = (valid & (places >= windows.context[:, None])).astype("float32")
    return {"tokens": inputs, "targets": targets, "weights": weights, "reset": windows.reset}


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

    def __init__(self, documents: NDArray[Any], rows: int, window: int, seed: int | None = None):
        self._seed, self._window, self._rows = seed, window, rows
        first, last = documents[0], documents[-1]
        cuts = first + (last - first) * np.arange(rows + 1) // rows
        # A span is what a row reads without a reset: a document, or what the cuts leave of one.
        edges = np.unique(np.concatenate([documents, cuts]))  # starts of all spans, and the end
        begins_document = np.isin(edges[:-1], documents)
        first_spans = np.searchsorted(edges[:-1], cuts[:-1])  # of every row, none where two cuts are at one place
        ends_of_rows = np.append(first_spans[1:], len(edges) - 1)
        self._spans = [
            (edges[:-1][start:end], edges[1:][start:end], begins_document[start:end])
            for start, end in zip(first_spans, ends_of_rows)
        ]
        self._tokens = int(last - first)
        fixed = self._plan([window] * self._max_steps())
        self._fixed = [batch for batch in fixed if batch.count.any()]  # the epoch of windows of one length
        self.steps_per_epoch = len(self._fixed)
        self.bounds = [window]
        self._planned: tuple[int, list[Windows]] = (0, self._fixed)  # the epoch whose batches were planned last
        if seed is not None:
            lengths, chances = self._lengths()
            self.bounds = sorted(set(lengths))
            # As many steps as reach the end of the text on average: windows are shorter than `window` by 2.5 %.
            self.steps_per_epoch = round(self.steps_per_epoch * window / np.dot(lengths, chances))
            self._planned = (-1, [])

    @property
    def padding(self) -> float:
        """Share of the places of an epoch that hold no token."""
        return 1 - self._tokens / (len(self._fixed) * self._rows * self._window)

    def _max_steps(self) -> int:
        """Windows of the row that has the most: every span ends with one that may be short."""
        return max(int(np.sum(-(-(end - begin) // self._window))) for begin, end, _ in self._spans)

    def _lengths(self) -> tuple[list[int], NDArray[Any]]:
        """The window lengths that are drawn, and their chances."""
        full, half = np.arange(-2, 3), np.arange(-1, 2)  # deviations from the window, and from its half
        lengths = np.concatenate(
            [
                self._window + full * self._window / WINDOW_IN_DEVIATIONS,
                self._window / 2 + half * self._window / WINDOW_IN_DEVIATIONS,
            ]
        )
        full_chances, half_chances = (np.exp(-0.5 * steps**2) for steps in (full, half))  # of the normal distribution
        chances = [
            (1 - HALF_WINDOW_CHANCE) * full_chances / full_chances.sum(),
            HALF_WINDOW_CHANCE * half_chances / half_chances.sum(),
        ]
        return np.maximum(np.round(lengths), 1).astype(int).tolist(), np.concatenate(chances)

    def _plan(self, lengths: Any) -> list[Windows]:
        """Windows of the given lengths, step by step; a row that is at its end gets empty windows."""
        place = np.array([begin[0] if len(begin) else 0 for begin, _, _ in self._spans])
        span = np.zeros(self._rows, int)  # the number of the span that each row is in
        ends = [np.append(end, 0) for _, end, _ in self._spans]  # one more: the span after a row's last, of no tokens
        begins = [np.append(begin, 0) for begin, _, _ in self._spans]
        firsts = [np.append(first, False) for _, _, first in self._spans]
        plan = []
        for length in lengths:
            at_start = np.array([p == b[s] for p, b, s in zip(place, begins, span)])
            remaining = np.array([e[s] for e, s in zip(ends, span)]) - place
            remaining = np.where([s < len(b) - 1 for s, b in zip(span, begins)], remaining, 0)
            count = np.minimum(remaining, length)
            first = at_start & np.array([f[s] for f, s in zip(firsts, span)])
            plan.append(Windows(place.copy(), count, np.zeros_like(count), first, at_start, int(length)))
            place = place + count
            for r in np.flatnonzero((count == remaining) & (remaining > 0)):
                span[r] += 1
                place[r] = begins[r][span[r]]
        return plan

    def _epoch(self, epoch: int) -> list[Windows]:
        if self._seed is None:
            return self._fixed
        random = np.random.default_rng([self._seed, epoch])
        lengths, chances = self._lengths()
        plan = self._plan(random.choice(lengths, self.steps_per_epoch, p=chances))
        while plan and not plan[-1].count.any():  # long windows were drawn: the end was reached early
            plan.pop()
        return [plan[i % len(plan)] for i in range(self.steps_per_epoch)]  # then the beginning is read again

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
        always_starts: see `SlidingWindows`; a window that does not begin its document then reads one token of context.
    """

    def __init__(self, documents: NDArray[Any], rows: int, window: int, seed: int, always_starts: bool = False):
        self._begins, self._ends = np.asarray(documents[:-1]), np.asarray(documents[1:])
        self._rows, self._window, self._seed, self._always_starts = rows, window, seed, always_starts
        windows = len(self._cut(0)[0])
        self.steps_per_epoch = -(-windows // rows)
        self.bounds = [window]
        self.padding = 1 - int(documents[-1] - documents[0]) / (windows * window)
        self._planned: tuple[int, list[NDArray[Any]]] = (-1, [])  # the epoch whose order was drawn last

    def _cut(self, offset: int) -> list[NDArray[Any]]:
        """The columns of all windows, as `_cut` gives them, but those without a token."""
        context = int(self._always_starts)
        columns = _cut(self._begins, self._ends, self._window, context, self._always_starts, offset)
        return [column[columns[1] > 0] for column in columns]

    def __getitem__(self, n: int) -> Windows:
        """Batch `n`, counted through all epochs."""
        epoch, step = divmod(n, self.steps_per_epoch)
        if self._planned[0] != epoch:
            random = np.random.default_rng([self._seed, epoch])
            columns = self._cut(int(random.integers(self._window)) if epoch else 0)
            # An offset may make a window more or fewer than an epoch has places: `resize` cuts the order, or repeats it.
            order = np.resize(random.permutation(len(columns[0])), self.steps_per_epoch * self._rows)
            self._planned = (epoch, [column[order] for column in columns])
        columns = [column[step * self._rows : (step + 1) * self._rows] for column in self._planned[1]]
        return _stateless(columns, self._window)


class SlidingWindows:
    """Windows for evaluation without a state: each reads `context` tokens again and predicts those after them.

    Every token is predicted once; the first window of a document predicts all of its tokens.

    Args:
        documents: see `Streams`.
        rows: B.
        window: tokens of a window, T, context included.
        context: tokens that are read again.
        always_starts: whether the start token is read before every window with context, too, in place of the token that stands
            there. No such window predicts what comes right after it.
    """

    def __init__(self, documents: NDArray[Any], rows: int, window: int, context: int, always_starts: bool = False):
        columns = _cut(np.asarray(documents[:-1]), np.asarray(documents[1:]), window, context, always_starts)
        filler_rows = -len(columns[0]) % rows
        columns = [np.concatenate([column, np.zeros(filler_rows, column.dtype)]) for column in columns]
        self._columns, self._rows, self.bounds = columns, rows, [window]
        self.steps_per_epoch = len(columns[0]) // rows

    def __getitem__(self, n: int) -> Windows:
        """Batch `n`."""
        columns = [column[n * self._rows : (n + 1) * self._rows] for column in self._columns]
        return _stateless(columns, self.bounds[0])


class WholeDocuments:
    """A row a document, bucketed by length and padded; those longer than `longest` are cut into pieces.

    Args:
        documents: see `Streams`.
        rows: B.
        longest: tokens of a piece at most.
        buckets: number of batch lengths at most.
        seed: of the shuffling; `None` keeps the order.
        always_starts: see `ShuffledWindows`.
    """

    def __init__(
        self,
        documents: NDArray[Any],
        rows: int,
        longest: int,
        buckets: int,
        seed: int | None,
        always_starts: bool = False,
    ):
        begins, ends = np.asarray(documents[:-1]), np.asarray(documents[1:])
        columns = _cut(begins, ends, longest, int(always_starts), always_starts)
        self._columns = [column[columns[1] > 0] for column in columns]
        self._batches = BucketedBatches(self._columns[1], rows, buckets, seed)
        self.steps_per_epoch, self.bounds = self._batches.steps_per_epoch, self._batches.bounds
        self.padding = self._batches.padding

    def __getitem__(self, n: int) -> Windows:
        """Batch `n`, counted through all epochs."""
        rows, weights, length = self._batches[n]
        begin, count, context, first = (column[rows] for column in self._columns)
        return _stateless([begin, np.where(weights > 0, count, 0), context, first], length)


def _cut(
    begins: NDArray[Any], ends: NDArray[Any], window: int, context: int, always_starts: bool, offset: int = 0
) -> list[NDArray[Any]]:
    """`begin`, `count`, `context` and `first` of windows that predict every token of every document once, see `Windows`.

    Args:
        begins: of the documents; one without tokens is given windows of none.
        ends: of the documents.
        window: tokens of a window at most, context included.
        context: tokens that every window but a document's first reads again.
        always_starts: see `SlidingWindows`.
        offset: by how many tokens the first window of a document is shorter than the others, less than `window`: as if
            the cuts began that many tokens before the document.
    """
    # Window k of a document begins to predict at begin - offset + context + k * stride; only the first, which has nothing to
    # read before, predicts from the begin.
    stride = window - context  # tokens that a window predicts
    document, place = _steps(begins - offset + context, ends, stride, min_steps=1)
    begin = begins[document]
    opens = np.diff(document, prepend=-1) > 0  # the first window of its document
    predicted = np.where(opens, begin, place)  # first token that each predicts
    read = np.maximum(predicted - np.where(opens, 0, context), begin)
    first = (read == begin) | (always_starts & (predicted > read))
    return [read, np.minimum(place + stride, ends[document]) - read, predicted - read, first]


def _steps(begins: NDArray[Any], ends: NDArray[Any], stride: int, min_steps: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """`np.arange(begin, end, stride)` of every document, end to end, each of at least `min_steps` values.

    Returns:
        The number of the document of each value, and the values.
    """
    counts = np.maximum(-((begins - ends) // stride), min_steps)  # rounded up
    document = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)  # within its document
    return document, begins[document] + stride * step


def _stateless(columns: list[NDArray[Any]], length: int) -> Windows:
    """Windows, as the columns that `_cut` gives, of which every one starts from a fresh state."""
    begin, count, context, first = columns
    return Windows(begin, count, context, first, np.ones(len(begin), bool), int(length))
