"""A text classifier of this package as a scikit-learn estimator: fit on strings, used wherever scikit-learn wants a classifier.

>>> from nlp_suite.sklearn import TextClassifier
>>> classifier = TextClassifier("sentiment_imdb_gru", training__epochs=2, backbone__units=32)
>>> classifier.fit(texts, labels).predict(["A wonderful film."])
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from nlp_suite.config import Experiment, load_experiment
from nlp_suite.config_yaml import write_inline
from nlp_suite.errors import ConfigError, UsageError
from nlp_suite.progress import is_quiet, set_quiet
from nlp_suite.registry import unknown

_SET_BY_FIT = tuple(f"data.{key}" for key in ("source", "cache", "labels", "limit", "train_limit", "fold"))
_WEIGHTS = [f"checkpoints/{name}.weights.h5" for name in ("best", "average", "frozen")]
_KEPT = ("run.json", "config.yaml", "history.csv", "text/*", *_WEIGHTS)  # what predicting needs of a run folder


class TextClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of texts, trained as `nlp-suite train` trains it.

    Texts are `str` (or UTF-8 bytes) in a list, an array or a column; labels are what scikit-learn takes: strings, numbers or
    booleans. The rows that choose the best epoch are held out of what `fit` gets (`data__validation`, a tenth by default).
    A fitted classifier holds its weights and vocabulary itself, so it can be pickled and moved.

    Args:
        config: a config file by path, or a shipped one by name, or a mapping of its sections; default: the recipe for tables of
            texts, a bag of n-grams. What it says of the data themselves (`source`, `labels`, `limit`, …) does not count.
        run_dir: the run folder, which must not exist; with it the data are kept beside it in a folder `RUN_DIR-data`, and
            `nlp-suite evaluate`, `export` and `serve` go on from there. Default: a temporary one, of which nothing is left.
        batch_size: texts that run through the network together in prediction.
        verbose: whether `fit` tells what it does.
        **settings: keys of the config with two underscores for every dot, such as `training__epochs=3` or `backbone="gru"`; they are
            parameters like the others in `get_params`, `set_params` and a `GridSearchCV`.

    Attributes:
        classes_: the labels, sorted; columns of `predict_proba` have this order.
        history_: a mapping of figures for every epoch (checkpoint interval).

    Raises:
        ConfigError: from `fit`, a config that cannot be used, or one that does not give each text one label.
        UsageError: from `fit`, a setting that is no key of a config, texts that are none, or a `run_dir` that exists.

    Example:
        >>> search = GridSearchCV(TextClassifier(), {"training__learning_rate": [0.003, 0.01]}, cv=3)
        >>> search.fit(texts, labels).best_params_
        {'training__learning_rate': 0.01}
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        run_dir: str | os.PathLike[str] | None = None,
        batch_size: int = 64,
        verbose: bool = False,
        **settings: Any,
    ):
        self.config = config
        self.run_dir = run_dir
        self.batch_size = batch_size
        self.verbose = verbose
        self._settings = settings

    # ---- parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All parameters, the settings among them."""
        return {**super().get_params(deep), **self._settings}

    def set_params(self, **params: Any) -> Self:
        """Changes parameters; of settings those that are given.

        Raises:
            UsageError: a name that is no parameter and no key of a config.
        """
        own = {name: value for name, value in params.items() if name in self._get_param_names()}
        settings = {name: value for name, value in params.items() if name not in own}
        for name in settings:
            if name not in self._settings:
                _check_section(name)
        super().set_params(**own)
        self._settings = {**self._settings, **settings}
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    # ---- fitting

    def fit(self, X: Sequence[str | bytes], y: Any) -> Self:
        """Trains on texts and a label for each; see the class for what it raises."""
        texts = _texts(X)
        labels, indices = _labels(y)
        check_consistent_length(texts, indices)
        experiment = self._experiment()
        with _quiet(not self.verbose), tempfile.TemporaryDirectory(prefix="nlp-suite-") as temporary:
            run_dir = Path(temporary) / "run"
            data = Path(temporary) / "data"
            if self.run_dir is not None:
                run_dir = Path(self.run_dir).resolve()
                data = run_dir.with_name(f"{run_dir.name}-data")
                _check_new(run_dir)
                _check_new(data)
                data.parent.mkdir(parents=True, exist_ok=True)
            data.mkdir()
            names = [str(label) for label in labels.tolist()]
            table = data / "train.jsonl"
            with table.open("w", encoding="utf-8") as file:
                for text, index in zip(texts, indices):
                    file.write(json.dumps({"text": text, "label": names[index]}) + "\n")
            self._train(_with_data(experiment, table, data / "cache", names), run_dir)
        self.classes_ = labels
        return self

    def _experiment(self) -> Experiment:
        """The config with the settings, checked.

        Raises:
            ConfigError, UsageError: see `fit`.
        """
        overrides = {}
        for name, value in sorted(
            self._settings.items(), key=lambda item: item[0].count("__")
        ):  # a name before its settings
            _check_section(name)
            key = name.replace("__", ".")
            if key.startswith(_SET_BY_FIT):
                raise UsageError(f"{name}: the data are those that fit gets; leave it out")
            overrides[key] = value.item() if isinstance(value, np.generic) else value
        source: Any = {"task": "sentiment"} if self.config is None else self.config
        experiment = load_experiment(source, [f"{key}={write_inline(value)}" for key, value in overrides.items()])
        task = experiment.task
        if getattr(task, "problem", None) not in ("single_label", "ordinal"):
            given = f"{task.name}, problem {task.problem}" if hasattr(task, "problem") else task.name
            raise ConfigError(
                f"a TextClassifier gives each text one label: task sentiment with problem single_label or ordinal, got {given}"
            )
        return experiment

    def _train(self, experiment: Experiment, run_dir: Path) -> None:
        from nlp_suite.backend import import_backend

        import_backend()
        from nlp_suite.export.load import open_run
        from nlp_suite.training.train import train

        run = train(experiment, run_dir)
        self._files, self.history_ = _packed(run.directory), run.history
        self._predictor = open_run(run, run.model())

    # ---- prediction

    def predict_proba(self, X: Sequence[str | bytes]) -> np.ndarray:
        """Probabilities float32 `[N, C]` of N texts, columns as in `classes_`."""
        return np.asarray(self._opened().probabilities(_texts(X), batch_size=self.batch_size))

    def predict(self, X: Sequence[str | bytes]) -> np.ndarray:
        """The label of every text, `[N]`: the most probable one, or as `task.threshold` says."""
        predictor = self._opened()
        indices = {label: i for i, label in enumerate(predictor.labels)}
        answers = predictor.predict(_texts(X), batch_size=self.batch_size)
        return np.asarray(self.classes_[[indices[answer["label"]] for answer in answers]])

    def _opened(self) -> Any:
        check_is_fitted(self)
        if self._predictor is None:  # it was pickled
            from nlp_suite.export.load import load

            with tempfile.TemporaryDirectory(prefix="nlp-suite-") as folder:
                with zipfile.ZipFile(io.BytesIO(self._files)) as archive:
                    archive.extractall(folder)
                self._predictor = load(folder)
        return self._predictor

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {**state, "_predictor": None} if "_predictor" in state else state


def _check_section(name: str) -> None:
    section = name.split("__")[0]
    if section not in Experiment.model_fields:
        problem = unknown(
            "parameter", section, (*Experiment.model_fields, "config", "run_dir", "batch_size", "verbose")
        )
        raise UsageError(f"{name}: {problem}; a key of the config has its section first: training__epochs")


def _texts(given: Any) -> list[str]:
    """The texts that were given, as strings.

    Raises:
        UsageError: one text alone, more than one dimension, or something in it that is no text.
    """
    if isinstance(given, str | bytes):
        raise UsageError("texts are given in a list, an array or a column, and this is one text alone")
    if (dimensions := np.ndim(given) if isinstance(given, np.ndarray) else getattr(given, "ndim", 1)) != 1:
        raise UsageError(f"texts are given in one dimension, and these have {dimensions}: take the column of texts")
    texts = [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in given]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"text {row} is {text!r} ({type(text).__name__}); allowed: str, or bytes in UTF-8")
    return [str(text) for text in texts]


def _labels(given: Any) -> tuple[np.ndarray, np.ndarray]:
    """The labels, sorted, and the index of each row's."""
    if given is None:
        raise ValueError("TextClassifier requires y to be passed, but the target y is None")
    column = column_or_1d(given, warn=True)
    check_classification_targets(column)
    labels, indices = np.unique(column, return_inverse=True)
    if len(labels) < 2:
        raise UsageError(f"a classifier needs at least two classes of labels, and there is one: {labels.tolist()}")
    return labels, indices


def _check_new(folder: Path) -> None:
    if folder.exists():
        raise UsageError(
            f"run_dir: {str(folder)!r} exists; give a new folder (in a search or a cross-validation give none, as every fit wants its own)"
        )


def _with_data(experiment: Experiment, table: Path, cache: Path, labels: Sequence[str]) -> Experiment:
    values = experiment.model_dump(mode="json", exclude_unset=True)
    data = {key: value for key, value in values.get("data", {}).items() if f"data.{key}" not in _SET_BY_FIT}
    source = {"name": "files", "train": str(table), "format": "jsonl"}
    return load_experiment({**values, "data": {**data, "source": source, "cache": str(cache), "labels": list(labels)}})


def _packed(directory: Path) -> bytes:
    """What `_KEPT` names of a run folder, as an archive."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for pattern in _KEPT:
            for file in sorted(directory.glob(pattern)):
                archive.write(file, str(file.relative_to(directory)))
    return memory.getvalue()


@contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    before = is_quiet()
    set_quiet(quiet or before)
    try:
        yield
    finally:
        set_quiet(before)
