"""Interpolated Kneser–Ney smoothing of n-gram counts, over arrays of token ids."""

import numpy as np
from numpy.typing import NDArray

from nlp_suite.progress import track

AT_ONCE = 2**20  # tokens that are looked up together
FALLBACK = (0.5, 1.0, 1.5)  # discounts where a corpus is too small to estimate them, as in KenLM
SMALLEST_DISCOUNT = 0.1  # above 0, so that no token is impossible


class KneserNey:
    """An n-gram language model with modified Kneser–Ney discounts, interpolated (Chen & Goodman 1998, section 4.1.6).

    A token's probability after a context of n - 1 tokens is its discounted count, plus the mass of all discounts times its
    probability after the context without its oldest token; without context it is 1 / V. Below the highest order it does not
    count how often an n-gram occurs, but how many different tokens occur before it. After every context the probabilities of
    all V ids add up to 1.

    Args:
        tokens: ids of all documents end to end, `[N]`, below V.
        documents: where documents begin in `tokens`, and where the last ends, `[D + 1]`.
        vocabulary_size: V.
        start: the id that is read before a document, n - 1 times.
        order: n.

    Example:
        >>> model = KneserNey(np.array([4, 5, 4, 5]), np.array([0, 4]), vocabulary_size=6, start=3, order=2)
        >>> round(float(np.exp(-model.nll(np.array([4, 5]), np.array([0, 2]))[1])), 3)
        0.625
    """

    def __init__(self, tokens: NDArray, documents: NDArray, vocabulary_size: int, start: int, order: int):
        self._size, self._start = vocabulary_size, start
        places = np.arange(documents[0], documents[-1])
        begins = np.repeat(documents[:-1], np.diff(documents))
        context = np.zeros(len(places), "int64")
        # A context of k tokens has the number of its key: the number of its last k - 1 tokens · V + the token before them.
        self._contexts = [np.zeros(1, "int64")]
        for distance in range(1, order):
            keys = context * vocabulary_size + self._before(tokens, places, begins, distance)
            known, context = np.unique(keys, return_inverse=True)
            self._contexts.append(known)
        grams, counts = np.unique(context * vocabulary_size + np.asarray(tokens[places]), return_counts=True)
        self._levels = [_Level(grams, counts, vocabulary_size, len(self._contexts[-1]))]
        for contexts, shorter in zip(self._contexts[:0:-1], self._contexts[-2::-1]):
            last_words = contexts[grams // vocabulary_size] // vocabulary_size  # the context without its oldest token
            grams, counts = np.unique(last_words * vocabulary_size + grams % vocabulary_size, return_counts=True)
            self._levels.insert(0, _Level(grams, counts, vocabulary_size, len(shorter)))

    def _before(self, tokens: NDArray, places: NDArray, begins: NDArray, distance: int) -> NDArray:
        """The token that stands so far before each place, int64; beyond the beginning of its document, the start token."""
        earlier = places - distance
        return np.where(earlier >= begins, tokens[np.maximum(earlier, 0)], self._start).astype("int64")

    def nll(self, tokens: NDArray, documents: NDArray) -> NDArray:
        """Negative log-probability in nats of every token of some documents, float64 `[documents[-1] - documents[0]]`."""
        first, last = int(documents[0]), int(documents[-1])
        result = np.empty(last - first)
        chunks = range(first, last, AT_ONCE)
        for begin in track(chunks, "looking up n-grams", len(chunks), "million tokens"):
            places = np.arange(begin, min(begin + AT_ONCE, last))
            begins = documents[np.searchsorted(documents, places, "right") - 1]
            result[places - first] = -np.log(self._probabilities(tokens, places, begins))
        return result

    def _probabilities(self, tokens: NDArray, places: NDArray, begins: NDArray) -> NDArray:
        words = np.asarray(tokens[places]).astype("int64")
        context, seen = np.zeros(len(places), "int64"), np.ones(len(places), bool)
        probability = np.full(len(places), 1 / self._size)
        for distance, (contexts, level) in enumerate(zip(self._contexts, self._levels)):
            if distance:
                keys = context * self._size + self._before(tokens, places, begins, distance)
                context, occurs = _find(contexts, keys)
                seen &= occurs
            probability = np.where(seen, level.probabilities(context, words, probability), probability)
        return probability


class _Level:
    """The n-grams of one order.

    Args:
        grams: number of the context · V + the last token, sorted, int64 `[G]`.
        counts: of each, `[G]`.
        size: V.
        contexts: how many contexts there are.
    """

    def __init__(self, grams: NDArray, counts: NDArray, size: int, contexts: int):
        self._grams, self._counts, self._size = grams, counts, size
        self._discounts = np.array([0, *discounts(counts)])
        context = grams // size
        self._totals = np.bincount(context, counts, contexts)
        self._saved = np.bincount(context, self._discounts[np.minimum(counts, 3)], contexts) / self._totals

    def probabilities(self, context: NDArray, words: NDArray, shorter: NDArray) -> NDArray:
        """Of words after contexts of this order, given those after the contexts that are one token shorter."""
        place, occurs = _find(self._grams, context * self._size + words)
        counts = np.where(occurs, self._counts[place], 0)
        own = (counts - self._discounts[np.minimum(counts, 3)]) / self._totals[context]
        return own + self._saved[context] * shorter


def discounts(counts: NDArray) -> tuple[float, ...]:
    """What is taken off counts of 1, of 2 and of 3 or more, from how many n-grams occur once, twice, … (equation 26)."""
    once, twice, thrice, four_times = (int((counts == n).sum()) for n in (1, 2, 3, 4))
    if not (once and twice and thrice):
        return FALLBACK
    share = once / (once + 2 * twice)
    values = (1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four_times / thrice)
    return tuple(min(max(value, SMALLEST_DISCOUNT), n) for n, value in enumerate(values, 1))


def _find(keys: NDArray, wanted: NDArray) -> tuple[NDArray, NDArray]:
    """Places of what is wanted among sorted keys, and whether it is there; place 0 where it is not."""
    places = np.searchsorted(keys, wanted)
    places[places == len(keys)] = 0
    occurs = keys[places] == wanted
    return np.where(occurs, places, 0), occurs
