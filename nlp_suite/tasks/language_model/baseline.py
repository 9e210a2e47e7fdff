"""The easy methods beside a language model: frequencies of single tokens, and Kneser–Ney n-grams, over the same tokens."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nlp_suite.evaluation.baseline import blocks, cached, contents, lead
from nlp_suite.progress import work
from nlp_suite.tasks.language_model.kneser_ney import KneserNey
from nlp_suite.tasks.language_model.measure import token_counts
from nlp_suite.tasks.shared.report_numbers import finite
from nlp_suite.text.text_layer import END

ORDER = 5  # tokens of an n-gram
MAX_TOKENS = 4_000_000  # of the training split, from its beginning, in which n-grams are counted: about a GB of memory


def baselines(train, store, vocabulary_size: int, counts: Mapping[str, int], by_window: NDArray) -> dict:
    """Figures of the baselines on a split, see `nlp_suite.task.Task.baselines`.

    They predict the tokens that the model predicts, each document after an END as it does, over the same V ids, and n-grams
    reach back over the ends of lines, but not to the document before.

    Args:
        train: the store of the training split.
        store: that of the split.
        vocabulary_size: V.
        counts: `words` and `characters` of the split.
        by_window: of the model, see `nlp_suite.tasks.language_model.measure.measure`.
    """
    documents = store.documents()
    seen = token_counts(train.flat(), vocabulary_size) + 1  # [V], each once more, so that no token is impossible
    single = np.log(seen.sum()) - np.log(seen)  # [V], nats
    trained, notes = len(train.flat()), []
    if trained > MAX_TOKENS:
        notes = [f"N-grams were counted in the first {MAX_TOKENS:,} of {trained:,} training tokens."]
    grams = cached(
        train.directory.parent,
        ["kneser-ney", ORDER, MAX_TOKENS, vocabulary_size, contents(train), contents(store)],
        lambda: {"nll": _n_gram_nll(train, store, vocabulary_size)},
    )
    methods = {
        "unigram": ("how often each token occurs (unigram)", single[store.flat()[documents[0] : documents[-1]]], []),
        "kneser_ney": (f"Kneser–Ney {ORDER}-grams", grams["nll"], notes),
    }
    return {
        name: {"title": title, **_figures(nll, counts, by_window, int(documents[0])), "notes": said}
        for name, (title, nll, said) in methods.items()
    }


def _n_gram_nll(train, store, vocabulary_size: int) -> NDArray:
    """Of every token of a split, in nats, float32."""
    documents = np.minimum(train.documents(), MAX_TOKENS)
    with work("counting n-grams"):
        model = KneserNey(train.flat(), np.unique(documents), vocabulary_size, END, ORDER)
    return model.nll(store.flat(), store.documents()).astype("float32")


def _figures(nll: NDArray, counts: Mapping[str, int], by_window: NDArray, first: int) -> dict:
    """Figures of a baseline, and by how much the model is better.

    Args:
        nll: of every token that is predicted, `[N]`.
        counts: `words` and `characters`.
        by_window: of the model.
        first: place of the first of these tokens in the store.
    """
    total, tokens = float(nll.sum(dtype="float64")), len(nll)
    sums = np.append(0, np.cumsum(nll, dtype="float64"))  # [N + 1]
    begin, count, ours = by_window[by_window[:, 1] > 0].T
    places = begin.astype("int64") - first
    theirs = sums[places + count.astype("int64")] - sums[places]  # [W]
    windows = blocks(np.stack([count, ours, theirs], axis=1))

    def difference(drawn) -> float:
        count, ours, theirs = drawn @ windows
        tokens_a_word = tokens / counts["words"]
        return _perplexity(theirs / count * tokens_a_word) - _perplexity(ours / count * tokens_a_word)

    once = np.ones(len(windows), int)
    return {
        "cross_entropy": total / tokens,
        "perplexity_per_token": finite(math.exp, total / tokens),
        "perplexity_per_word": finite(math.exp, total / counts["words"]),
        "bits_per_character": total / counts["characters"] / math.log(2),
        "lead": {"perplexity per word": lead(difference(once), once, difference)},
    }


def _perplexity(nats: float) -> float:
    """Of so many nats; what is too large for a float is as bad as can be."""
    return finite(math.exp, nats) or float(np.finfo("f8").max) / 2
