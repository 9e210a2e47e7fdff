"""The threshold of two labels: the best of all cuts by its rule, and what predictor, graph, report and export answer by it."""

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import fbeta_score

from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError
from nlp_suite.export.load import load
from nlp_suite.tasks.sentiment import SentimentTask
from nlp_suite.tasks.sentiment.predictor import SavedModelClassifier
from nlp_suite.tasks.sentiment.signatures import SentimentSignatures
from nlp_suite.tasks.sentiment.threshold import answered_labels, fit_threshold
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.train import train

RANDOM = np.random.default_rng(5)
TRUTH = RANDOM.integers(0, 2, 300)
SCORES = np.clip(np.round(0.3 + 0.2 * TRUTH + RANDOM.normal(0, 0.15, 300), 2), 0.01, 0.99)  # with ties
CUTS = np.arange(0.005, 1, 0.01)  # between all scores


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_the_threshold_has_the_best_f_beta_of_all(beta):
    fitted = fit_threshold(TRUTH, SCORES, {"beta": beta})

    def score(cut):
        return fbeta_score(TRUTH, cut <= SCORES, beta=beta, zero_division=0)

    assert fitted["f_beta"] == pytest.approx(max(map(score, CUTS))) == pytest.approx(score(fitted["value"]))
    assert fitted["at_half"] == pytest.approx(score(0.5)) and fitted["rows"] == 300


@pytest.mark.parametrize("costs", [(1, 5), (5, 1), (1, 1), (1, 1000), (1000, 1)])
def test_the_threshold_has_the_least_cost_of_all(costs):
    fitted = fit_threshold(TRUTH, SCORES, {"cost": dict(zip(("false_positive", "false_negative"), costs))})

    def cost(cut):
        said = cut <= SCORES
        return (costs[0] * (said & (TRUTH == 0)).sum() + costs[1] * (~said & (TRUTH == 1)).sum()) / 300

    assert fitted["cost"] == pytest.approx(min(map(cost, CUTS))) == pytest.approx(cost(fitted["value"]))
    assert fitted["at_half"] == pytest.approx(cost(0.5))


def test_one_class_alone_still_has_a_threshold():
    for truth in (0, 1):
        fitted = fit_threshold(np.full(5, truth), np.full(5, 0.7), {"cost": {"false_positive": 1, "false_negative": 2}})
        assert 0 < fitted["value"] < 1 and fitted["cost"] == 0


@pytest.mark.parametrize(
    "value",
    [0, 1, 1.5, -0.1, True, "half", {"beta": 0}, {"beta": 1, "cost": {}}, {"cost": {"false_positive": 1}}, {"f": 1}, {},
     {"cost": {"false_positive": 1, "false_negative": -5}}, {"beta": "1"}, [0.5]],
)  # fmt: skip
def test_what_is_no_threshold_is_refused(value):
    with pytest.raises(ConfigError, match=r"task.threshold|threshold"):
        load_experiment({"task": {"name": "sentiment", "threshold": value}})


@pytest.mark.parametrize("problem", ["multi_label", "ordinal", "regression"])
def test_a_problem_without_two_labels_has_no_threshold_and_no_temperature(problem):
    with pytest.raises(ConfigError, match=f"threshold is for problem: single_label, not {problem}"):
        load_experiment({"task": {"name": "sentiment", "problem": problem, "threshold": 0.3}})
    if problem != "ordinal":
        with pytest.raises(ConfigError, match=f"calibration is for problem: single_label or ordinal, not {problem}"):
            load_experiment({"task": {"name": "sentiment", "problem": problem, "calibration": "temperature"}})


def test_three_labels_have_no_threshold():
    with pytest.raises(ConfigError, match="task.threshold is for two labels, and there are 3: a, b, c"):
        SentimentTask(threshold=0.5).training_batches(None, None, ["a", "b", "c"], None)


class Opened:
    """The signatures of an export, without a file."""

    def __init__(self, functions, experiment):
        self._functions, self._experiment = functions, experiment

    def experiment(self):
        return self._experiment

    def inputs(self, signature):
        return ["text"]

    def __call__(self, signature, text):
        return {name: value.numpy() for name, value in self._functions[signature](text).items()}


def test_it_decides_the_label_wherever_the_model_is_asked(small, tmp_path):
    costs = {"cost": {"false_positive": 1, "false_negative": 9}}
    run = train(small(task={"threshold": costs}, training={"epochs": 1}), tmp_path / "run", console=Console(quiet=True))
    fitted = run.info["fitted"]["threshold"]
    assert fitted["rule"] == costs and fitted["value"] < 0.5 and fitted["cost"] <= fitted["at_half"]
    frozen = run.task.freeze_data_defaults(run)
    assert frozen.task.threshold == fitted["value"] and load_experiment(frozen.model_dump(mode="json")) == frozen

    report = evaluate(run, baseline=False)
    assert report["threshold"] == fitted
    assert f"'positive' is answered from a probability of {fitted['value']:.4g} on" in " ".join(report["remarks"])
    store = run.stores()["test"]
    texts = [store.text(i) for i in range(len(store))]
    predictor = load(run.directory)
    p = predictor.probabilities(texts)
    said = answered_labels(p, fitted["value"])
    assert said.sum() > (p[:, 1] > 0.5).sum(), "the threshold changes answers"
    answers = predictor.predict(texts)
    assert [answer["label"] for answer in answers] == [run.labels[i] for i in said]
    assert all(answer["probability"] == answer["probabilities"][answer["label"]] for answer in answers)
    assert np.array(report["confusion_matrix"]).sum(axis=0).tolist() == np.bincount(said, minlength=2).tolist()

    signatures = SentimentSignatures(predictor.model, predictor)
    graph = signatures.functions()["serving_default"](texts)
    far = np.abs(p[:, 1] - fitted["value"]) > 1e-5
    labels = np.array([label.decode() for label in graph["label"].numpy()])
    assert (labels == np.array(run.labels)[said])[far].all() and far.sum() > 50
    opened = Opened(signatures.functions(), frozen)
    again = SavedModelClassifier(opened).predict(texts)
    assert (np.array([answer["label"] for answer in again]) == labels)[far].all()


def test_a_number_is_taken_as_it_is():
    assert fit_threshold(TRUTH, SCORES, 0.3) == {"value": 0.3}
    assert answered_labels(np.array([[0.65, 0.35], [0.8, 0.2]], "float32"), 0.3).tolist() == [1, 0]
