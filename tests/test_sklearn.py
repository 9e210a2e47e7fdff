"""The scikit-learn estimator: parameters, fitting on strings, search, pickling, and scikit-learn's own checks."""

import pickle
import tempfile

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

from nlp_suite.errors import ConfigError, UsageError
from nlp_suite.sklearn import TextClassifier

TINY = {
    "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 64},
    "training": {"epochs": 3, "batch_size": 16, "learning_rate": 0.05, "tensorboard": False},
}
WITHOUT_DATA = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


def corpus(rows=60):
    draw = np.random.default_rng(0)
    words = ["film", "plot", "cast", "scene", "actor"]
    labels = np.array(["pos", "neg"])[draw.integers(0, 2, rows)]
    kinds = {"pos": ["great", "fine"], "neg": ["dull", "slow"]}
    texts = [f"a {draw.choice(kinds[label])} {draw.choice(words)} and {draw.choice(words)}" for label in labels]
    return texts, labels


@pytest.fixture(scope="module")
def fitted():
    return TextClassifier(TINY, data__seed=1).fit(*corpus())


@pytest.mark.parametrize("check", WITHOUT_DATA)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks_of_parameters(check):
    for estimator in (TextClassifier(), TextClassifier("sentiment_sample", training__epochs=2)):
        getattr(checks, check)("TextClassifier", estimator)


def test_settings_are_parameters():
    classifier = TextClassifier("sentiment_sample", training__epochs=2, backbone="gru")
    classifier.set_params(backbone__units=8, batch_size=7)
    params = clone(classifier).get_params()
    assert params["training__epochs"] == 2 and params["backbone__units"] == 8 and params["batch_size"] == 7
    assert "training__epochs=2" in repr(classifier) and is_classifier(classifier)
    with pytest.raises(UsageError, match=r"trainin__epochs.*did you mean 'training'"):
        classifier.set_params(trainin__epochs=1)


@pytest.mark.parametrize(
    "settings, error, message",
    [
        ({"epochs": 3}, UsageError, "a key of the config has its section first"),
        ({"training__epoch": 3}, ConfigError, "epoch"),
        ({"data__source": "sample"}, UsageError, "the data are those that fit gets"),
        ({"config": "lm_sample"}, ConfigError, "each text one label.*got language_model"),
        ({"task__problem": "multi_label"}, ConfigError, "each text one label.*multi_label"),
        ({"config": "absent.yaml"}, ConfigError, "does not exist"),
    ],
)
def test_what_cannot_be_fitted(settings, error, message):
    with pytest.raises(error, match=message):
        TextClassifier(**settings).fit(*corpus())


@pytest.mark.parametrize(
    "texts, labels, message",
    [
        ("one text", ["a"], "one text alone"),
        (["good", None], ["a", "b"], "text 1 is None"),
        (np.array([["good"], ["bad"]]), ["a", "b"], "these have 2"),
        (["good", "bad"], None, "requires y"),
        (["good", "bad"], ["a", "a"], "at least two classes"),
        (["good", "bad", "ugly"], ["a", "b"], "inconsistent"),
        (["good", "bad", "ugly"], [0.1, 0.2, 0.3], "Unknown label type"),
    ],
)
def test_bad_data(texts, labels, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier(TINY).fit(texts, labels)


def test_a_run_folder_that_exists_is_refused(tmp_path):
    with pytest.raises(UsageError, match="give a new folder"):
        TextClassifier(TINY, run_dir=tmp_path).fit(*corpus())
    assert list(tmp_path.iterdir()) == []


def test_fit_and_predict(fitted):
    texts, labels = corpus()
    assert fitted.classes_.tolist() == ["neg", "pos"] and len(fitted.history_) == 3
    probabilities = fitted.predict_proba(np.array(texts, dtype=object))
    assert probabilities.shape == (60, 2) and np.allclose(probabilities.sum(1), 1)
    assert (fitted.classes_[probabilities.argmax(1)] == fitted.predict(texts)).all()
    assert fitted.score(texts, labels) > 0.9
    assert fitted.predict([b"a great film"]) == ["pos"]


def test_a_pickled_classifier_answers_the_same(fitted):
    texts, _ = corpus()
    assert fitted._predictor is not None
    copy = pickle.loads(pickle.dumps(fitted))
    assert copy._predictor is None
    assert np.array_equal(copy.predict_proba(texts), fitted.predict_proba(texts))
    assert not hasattr(clone(fitted), "classes_")


def test_nothing_is_left_behind_but_a_run_folder_that_was_asked_for(tmp_path, monkeypatch, capfd):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    texts, labels = corpus()
    numbers = np.array([3, 1])[(labels == "pos").astype(int)]
    classifier = TextClassifier(TINY, run_dir="mine", training__epochs=1).fit(texts, numbers)
    assert classifier.classes_.tolist() == [1, 3] and set(classifier.predict(texts)) <= {1, 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine-data", "temporary"]
    assert list(temporary.iterdir()) == []
    assert capfd.readouterr().err == ""
    from nlp_suite.training.run import Run

    run = Run(tmp_path / "mine")
    assert run.labels == ["1", "3"] and len(run.stores()["train"]) == 54


class OnTables(TextClassifier):
    """Reads a table of numbers row by row as text, so that scikit-learn's checks can be run."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        return tags

    def fit(self, X, y):
        return super().fit(as_texts(X), y)

    def predict(self, X):
        return super().predict(as_texts(X))

    def predict_proba(self, X):
        return super().predict_proba(as_texts(X))


def as_texts(rows):
    """A word for every number of a table."""
    numbers = np.asarray(rows, "float64")
    return [" ".join(f"w{column}x{round(value)}" for column, value in enumerate(row)) for row in numbers]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "check",
    [
        "check_fit_check_is_fitted",
        "check_dict_unchanged",
        "check_estimators_pickle",
        "check_methods_subset_invariance",
    ],
)
def test_scikit_learns_checks_of_fitting_on_tables_written_as_texts(check):
    getattr(checks, check)("OnTables", OnTables(TINY, training__epochs=1))


@pytest.mark.slow
def test_in_a_pipeline_and_a_grid_search():
    texts, labels = corpus()
    upper = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipeline = Pipeline([("upper", upper), ("classifier", TextClassifier(TINY))])
    grid = {"classifier__training__epochs": [0, np.int64(8)]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss", error_score="raise").fit(texts, labels)
    assert search.best_params_["classifier__training__epochs"] == 8
    assert search.predict(["a dull plot"]) == ["neg"]
