"""The easy methods beside a translation model: the source as it is, and the translation of the most similar training source."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlp_suite.evaluation.baseline import blocks, cached, contents, lead
from nlp_suite.progress import track
from nlp_suite.tasks.translation.report import bleu_of, bleu_statistics, chrf, corpus_bleu

MAX_COMPARISONS = 400_000_000  # of a sentence with a training source; about 8 s on one core
AT_ONCE = 64  # sentences
MIN_SPACES = 0.05  # of the characters; what has fewer is not parted into words
SEED = 0
WORDS = {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
CHARACTERS = {"ngram_range": (1, 3), "analyzer": "char"}


def baselines(train, store, hypotheses: Sequence[str]) -> dict:
    """Figures of the baselines on a split, see `nlp_suite.task.Task.baselines`.

    Args:
        train: the pair store of the training split.
        store: that of the split.
        hypotheses: the model's translation of each of its rows.
    """
    rows = range(len(store))
    sources, references = ([side.text(row) for row in rows] for side in (store.source, store.target))
    pairs = min(len(train), max(1, MAX_COMPARISONS // len(store)))
    nearest = cached(
        train.directory.parent,
        ["nearest", pairs, *map(contents, (train.source, train.target, store.source))],
        lambda: {"rows": _nearest(train, sources, pairs)},
    )["rows"]
    notes = []
    if pairs < len(train):
        notes.append(f"The most similar pair was sought among {pairs:,} of {len(train):,} training pairs.")
    ours = bleu_statistics(hypotheses, references)
    similar = [train.target.text(int(row)) for row in nearest]
    return {
        "copy": {"title": "the source itself", **_figures(sources, references, ours)},
        "nearest": {"title": "the most similar training pair", **_figures(similar, references, ours), "notes": notes},
    }


def _nearest(train, sources: Sequence[str], pairs: int) -> NDArray:
    """The training pair whose source is the most similar to each of some sources, by the cosine of TF-IDF, int `[N]`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    kept = np.sort(np.random.default_rng(SEED).permutation(len(train))[:pairs])
    known = [train.source.text(int(row)) for row in track(kept, "reading training sources", pairs, "pairs")]
    has_words = sum(text.count(" ") for text in known) >= MIN_SPACES * sum(map(len, known))
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **(WORDS if has_words else CHARACTERS))
    try:
        columns = vectorizer.fit_transform(known).T.tocsr()  # [F, pairs]
    except ValueError:  # no source has a word
        return np.zeros(len(sources), int)
    found = []
    for begin in track(range(0, len(sources), AT_ONCE), "seeking similar pairs"):
        similarity = vectorizer.transform(sources[begin : begin + AT_ONCE]) @ columns
        found.append(similarity.toarray().argmax(axis=1))
    return kept[np.concatenate(found)]


def _figures(translations: Sequence[str], references: Sequence[str], ours: NDArray) -> dict:
    """Figures of a baseline's translations, and by how much the model's BLEU is better."""
    both = blocks(np.concatenate([ours, bleu_statistics(translations, references)], axis=1))  # [M, 20]

    def difference(drawn) -> float:
        sums = drawn @ both
        return bleu_of(sums[:10]) - bleu_of(sums[10:])

    once = np.ones(len(both), int)
    return {
        "bleu": {"score": corpus_bleu(translations, references)},
        "chrf": chrf(translations, references),
        "exact_match": float(np.mean([t.split() == r.split() for t, r in zip(translations, references)])),
        "lead": {"BLEU": lead(difference(once), once, difference)},
    }
