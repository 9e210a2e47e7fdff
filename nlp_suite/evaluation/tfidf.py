"""TF-IDF of word and character n-grams with a linear model: the easy method that a trained network should beat.

scikit-learn fits it within seconds, as what it reads is bounded: texts beyond `MAX_CHARACTERS` are left out at random,
character n-grams beyond `MAX_GRAM_CHARACTERS` are taken of the beginnings of the texts or not at all, and a fit beyond
`MAX_WORK` sees fewer rows. What was bounded is said.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.progress import track, work

MAX_CHARACTERS = 35_000_000  # of the training texts, and of the texts that are answered
MAX_GRAM_CHARACTERS = 5_000_000  # of both together, cut into character n-grams: these take three times as long as words
MIN_BEGINNING = 0.5  # of a text; on reviews, character n-grams of a tenth did harm: 88.6 % beside 89.9 % of words alone
MAX_COEFFICIENTS = 20_000_000  # over all classes
MAX_FEATURES = 500_000  # word n-grams, and as many character n-grams
MAX_WORK = 1_000_000_000  # non-zero features of the rows × classes, about 3 s a pass on one core
RARE_FROM = 1000  # texts, from which on an n-gram must occur in two
BOUNDS = [MAX_CHARACTERS, MAX_GRAM_CHARACTERS, MIN_BEGINNING, MAX_COEFFICIENTS, MAX_FEATURES, MAX_WORK, RARE_FROM]
C = 10.0  # inverse of the regularisation's strength, suited to sub-linear TF-IDF
SEED = 0


@dataclass(frozen=True)
class TfidfAnswers:
    """What the easy method answered.

    Attributes:
        outputs: of each row of `rows`: probabilities `[M, C]` of the classes, or of every label; values `[M]` of a regression.
        rows: which of the texts were answered, int `[M]`; all, unless they are too long together.
        classes: names of the columns of `outputs`; empty for a regression.
        notes: sentences on what was left out so that it took seconds.
    """

    outputs: NDArray[Any]
    rows: NDArray[Any]
    classes: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def predicted(self) -> list[Any]:
        """The most probable class of every answered text."""
        return [self.classes[i] for i in self.outputs.argmax(axis=1)]


def tfidf_baseline(
    train_texts: Sequence[str],
    train_labels: Sequence[Any] | NDArray[Any],
    texts: Sequence[str],
    *,
    bounded: bool = True,
) -> TfidfAnswers:
    """TF-IDF of 1–2 words and 2–5 characters (within words), and multinomial logistic regression.

    Args:
        train_texts: N texts; read one at a time.
        train_labels: the class of each: strings or numbers.
        texts: those to answer.
        bounded: whether it may take seconds only, see above.

    Returns:
        Probabilities of the classes, in the order of their sorted names.

    Example:
        >>> answers = tfidf_baseline(["good film", "bad film"], ["pos", "neg"], ["good", "bad"])
        >>> answers.predicted
        ['pos', 'neg']
    """
    from sklearn.linear_model import LogisticRegression

    classes, labels = np.unique(np.asarray(train_labels), return_inverse=True)
    features = _Features(train_texts, texts, len(classes), bounded)
    fitted_on, labels = features.bounded(labels[features.train_rows])
    kept, labels = np.unique(labels, return_inverse=True)  # bounding may have left out all rows of a class
    if len(kept) < 2:
        outputs: Any = np.ones((len(features.rows), len(kept)))
    else:
        outputs = _fitted(LogisticRegression(C=C, **_SOLVER), fitted_on, labels).predict_proba(features.answered)
    return TfidfAnswers(outputs, features.rows, classes[kept].tolist(), features.notes)


def tfidf_multi_label_baseline(
    train_texts: Sequence[str], train_labels: NDArray[Any], texts: Sequence[str], *, bounded: bool = True
) -> TfidfAnswers:
    """The same features with a logistic regression for every label, of which a text may have several.

    Args:
        train_texts: N texts.
        train_labels: 1 where a text has a label, else 0, `[N, C]`.
        texts: those to answer.
        bounded: whether it may take seconds only, see above.

    Returns:
        A probability of every label; of one that all training texts have, or none, 1 or 0.
    """
    from sklearn.linear_model import LogisticRegression

    train_labels = np.asarray(train_labels)
    features = _Features(train_texts, texts, train_labels.shape[1], bounded)
    fitted_on, labels = features.bounded(train_labels[features.train_rows])
    outputs = np.empty((len(features.rows), labels.shape[1]))
    for i in track(range(labels.shape[1]), "fitting the TF-IDF baseline", labels.shape[1], "labels"):
        if len(np.unique(labels[:, i])) < 2:
            outputs[:, i] = labels[0, i]
            continue
        fitted = _fitted(LogisticRegression(C=C, **_SOLVER), fitted_on, labels[:, i])
        outputs[:, i] = fitted.predict_proba(features.answered)[:, 1]
    return TfidfAnswers(outputs, features.rows, list(range(labels.shape[1])), features.notes)


def tfidf_regression_baseline(
    train_texts: Sequence[str],
    train_values: Sequence[float] | NDArray[Any],
    texts: Sequence[str],
    *,
    bounded: bool = True,
) -> TfidfAnswers:
    """The same features with a ridge regression of a number.

    Args:
        train_texts: N texts.
        train_values: the number of each.
        texts: those to answer.
        bounded: whether it may take seconds only, see above.
    """
    from sklearn.linear_model import Ridge

    features = _Features(train_texts, texts, 1, bounded)
    fitted_on, values = features.bounded(np.asarray(train_values, "float64")[features.train_rows])
    model = Ridge(alpha=1.0, solver="sparse_cg", tol=1e-3, random_state=SEED)
    return TfidfAnswers(_fitted(model, fitted_on, values).predict(features.answered), features.rows, [], features.notes)


# Passes of SAGA over the rows took 0.7 s where L-BFGS took 36 s: 10,000 texts, 20 classes, 60,000 features, equal accuracy.
_SOLVER = {"solver": "saga", "tol": 1e-2, "max_iter": 50, "random_state": SEED}


def _fitted(model: Any, features: Any, targets: NDArray[Any]) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with work("fitting the TF-IDF baseline"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near the optimum is near enough for a baseline
        return model.fit(features, targets)


class _Features:
    """TF-IDF of training texts and of texts to answer, within the bounds.

    Attributes:
        train_rows, rows: which texts were read.
        trained, answered: their features, sparse float32 `[N, F]`.
        notes: sentences on what was left out.
    """

    def __init__(self, train_texts: Sequence[str], texts: Sequence[str], outputs: int, bounded: bool):
        from scipy.sparse import csr_matrix, hstack

        self.notes: list[str] = []
        self._outputs, self._bounded = outputs, bounded
        self.train_rows, trained = self._chosen(train_texts, "fitted on")
        self.rows, answered = self._chosen(texts, "measured on")
        blocks = [(csr_matrix((len(self.train_rows), 1), dtype="f4"), csr_matrix((len(self.rows), 1), dtype="f4"))]
        for name, cut, options in self._grams(trained + answered):
            vectorizer = self._vectorizer(options)
            of_training = _read(train_texts, self.train_rows, cut, f"reading {name} n-grams of the training texts")
            try:
                fitted = vectorizer.fit_transform(of_training)
            except ValueError:  # texts without a word
                continue
            of_answered = _read(texts, self.rows, cut, f"reading {name} n-grams of the texts")
            blocks.append((fitted, vectorizer.transform(of_answered)))
        self.trained, self.answered = (hstack(side, format="csr", dtype="f4") for side in zip(*blocks))

    def _chosen(self, texts: Sequence[str], verb: str) -> tuple[NDArray[Any], int]:
        """The rows that are read, ascending, and their characters together."""
        lengths = np.fromiter((len(text) for text in texts), "int64", len(texts))
        if not self._bounded:
            return np.arange(len(texts)), int(lengths.sum())
        order = np.random.default_rng(SEED).permutation(len(texts))
        kept = np.sort(order[: max(1, int(np.searchsorted(np.cumsum(lengths[order]), MAX_CHARACTERS, "right")))])
        if len(kept) < len(texts):
            self.notes.append(
                f"TF-IDF was {verb} {len(kept):,} of {len(texts):,} texts, {MAX_CHARACTERS:,} characters."
            )
        return kept, int(lengths[kept].sum())

    def _grams(self, characters: int) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
        """Name, characters of a text that are read (None: all) and the vectorizer's options of each kind of n-gram."""
        yield "word", None, {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}
        beginning, count = None, len(self.train_rows) + len(self.rows)
        if self._bounded and characters > MAX_GRAM_CHARACTERS:
            beginning = MAX_GRAM_CHARACTERS // count
            if beginning < MIN_BEGINNING * characters / count:
                self.notes.append(f"TF-IDF of words only, as the texts have {characters:,} characters.")
                return
            self.notes.append(f"TF-IDF took character n-grams of the first {beginning} characters of a text.")
        yield "character", beginning, {"ngram_range": (2, 5), "analyzer": "char_wb"}

    def _vectorizer(self, options: dict[str, Any]) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        at_most = min(MAX_FEATURES, max(1000, MAX_COEFFICIENTS // self._outputs))
        rare = 2 if len(self.train_rows) >= RARE_FROM else 1
        return TfidfVectorizer(sublinear_tf=True, min_df=rare, max_features=at_most, dtype=np.float32, **options)

    def bounded(self, targets: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
        """Features and targets of as many rows as a fit of seconds can see."""
        steps = self.trained.nnz * self._outputs
        if steps <= MAX_WORK or not self._bounded:
            return self.trained, targets
        count = max(1, int(len(targets) * MAX_WORK / steps))
        self.notes.append(f"The linear model over TF-IDF was fitted on {count:,} of {len(targets):,} texts.")
        kept = np.sort(np.random.default_rng(SEED).permutation(len(targets))[:count])
        return self.trained[kept], targets[kept]


def _read(texts: Sequence[str], rows: NDArray[Any], cut: int | None, description: str) -> Iterator[str]:
    return track((texts[int(row)][:cut] for row in rows), description, len(rows), "texts")
