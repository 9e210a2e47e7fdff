"""Temperature scaling: the right temperature, used where it helps, in every way to ask a model, and told in the report."""

import io
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from rich.console import Console

from nlp_suite.errors import RunError
from nlp_suite.export.load import load
from nlp_suite.files import read_json, write_json
from nlp_suite.tasks.sentiment import SentimentTask
from nlp_suite.tasks.sentiment.calibration import fit_calibration, fit_temperature, probabilities_of
from nlp_suite.tasks.sentiment.signatures import SentimentSignatures
from nlp_suite.training.checkpoint_average import average
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.run import Run
from nlp_suite.training.train import train

QUIET = Console(quiet=True)
RANDOM = np.random.default_rng(1)


def drawn(rows, classes, temperature):
    """Logits, and labels that softmax(logits / temperature) is the true distribution of."""
    logits = RANDOM.normal(0, 3, (rows, classes))
    cumulated = probabilities_of(logits, temperature).cumsum(axis=1)
    return logits, np.minimum((RANDOM.random((rows, 1)) > cumulated).sum(axis=1), classes - 1)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_of_the_labels_and_the_best_of_a_grid(classes, temperature):
    logits, truth = drawn(4000, classes, temperature)
    fitted = fit_temperature(logits, truth)
    assert fitted == pytest.approx(temperature, rel=0.1)

    def loss(t):
        log_p = np.log(probabilities_of(logits, t))
        target = np.full(log_p.shape, 1 / (len(truth) + classes))
        target[np.arange(len(truth)), truth] += len(truth) / (len(truth) + classes)
        return -(target * log_p).sum(axis=1).mean()

    assert loss(fitted) <= min(loss(t) for t in np.geomspace(0.1, 10, 100))


def test_a_split_without_a_mistake_is_not_taken_for_certainty():
    logits = np.tile([[2.0, -2.0]], (100, 1))
    p = probabilities_of(logits, fit_temperature(logits, np.zeros(100, int)))[0, 0]
    assert p == pytest.approx(101 / 102, abs=1e-6), "Laplace: one row more for each label"


@pytest.mark.parametrize("logits", [np.zeros((9, 3)), np.tile([[-1.0, 0.0, 1.0]], (9, 1)) * 1e-9])
def test_logits_that_say_nothing_have_a_temperature_within_the_bounds(logits):
    assert 0.1 <= fit_temperature(logits, np.arange(9) % 3) <= 10


def test_it_is_used_only_where_it_helps_beyond_chance():
    logits, truth = drawn(500, 3, 1.0)
    for rows in (500, 20):
        auto, always = (fit_calibration(logits[:rows], truth[:rows], setting) for setting in ("auto", "temperature"))
        assert auto["temperature"] == 1.0 and always["temperature"] == always["fitted"] == auto["fitted"] != 1.0
    logits, truth = drawn(500, 3, 2.5)
    calibration = fit_calibration(logits, truth, "auto")
    assert calibration["temperature"] == calibration["fitted"] > 2
    assert calibration["cross_entropy_after"] < calibration["cross_entropy_before"]
    assert calibration["ece_after"] < calibration["ece_before"]


def test_about_one_in_twenty_calibrated_models_is_calibrated_again():
    used = [fit_calibration(*drawn(200, 2, 1.0), "auto")["temperature"] != 1 for _ in range(200)]
    assert 0.01 < np.mean(used) < 0.1


@pytest.fixture(scope="module")
def overconfident(tmp_path_factory):
    """A run of a bag trained far too long on labels of which every fifth is wrong."""
    from nlp_suite.config import load_experiment

    folder = tmp_path_factory.mktemp("overconfident")
    source = {"name": "sample", "size": 300, "test": 60, "noise": 0.2}
    experiment = load_experiment(
        {
            "data": {"source": source, "validation": 0.4, "cache": str(folder / "cache")},
            "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 1024},
            "text": {"max_length": 40},
            "training": {
                **{"epochs": 12, "learning_rate": 0.1, "tensorboard": False, "buckets": 2},
                **{"monitor": "loss", "average_checkpoints": 2},
            },
        }
    )
    return train(experiment, folder / "run", console=QUIET)


TEXTS = ["a good film", "not a good film at all", "the plot was dull"]


def test_a_run_and_its_signatures_divide_the_logits_and_answer_the_same_labels(overconfident):
    temperature = overconfident.info["fitted"]["calibration"]["temperature"]
    assert temperature > 1.5
    model, text = overconfident.model(), overconfident.text
    logits = keras.ops.convert_to_numpy(model(text.pad(text.encode(TEXTS)), training=False))
    predictor = load(overconfident.directory)
    expected = probabilities_of(logits, temperature)
    np.testing.assert_allclose(predictor.probabilities(TEXTS), expected, atol=1e-6)
    assert [answer["label"] for answer in predictor.predict(TEXTS)] == [
        overconfident.labels[i] for i in logits.argmax(axis=1)
    ]
    graph = SentimentSignatures(predictor.model, predictor).functions()["serving_default"]
    np.testing.assert_allclose(graph(TEXTS)["probabilities"], expected, atol=1e-5)


def test_the_report_has_both_sides_and_shows_them(overconfident):
    report = evaluate(overconfident)
    calibration = report["calibration"]
    assert calibration["ece_after"] == report["ece"] < calibration["ece_before"]
    assert calibration["cross_entropy_after"] == report["cross_entropy"] < calibration["cross_entropy_before"]
    page = (overconfident.directory / "report.html").read_text("utf-8")
    assert f"divided by a temperature of {calibration['temperature']:.3g}, fitted on 120 validation texts" in page
    shown = Console(file=io.StringIO(), width=200)
    shown.print(overconfident.task.report_view().terminal(report))
    assert "before calibration" in shown.file.getvalue()


def test_averaged_anew_it_is_fitted_anew(overconfident):
    before = overconfident.info["fitted"]["calibration"]
    average(Run(overconfident.directory), last=1)
    again = Run(overconfident.directory)
    assert again.info["fitted"]["calibration"]["cross_entropy_before"] != before["cross_entropy_before"]
    with pytest.raises(RunError, match="keeps the weights"):
        average(again, last=3)
    average(Run(overconfident.directory), last=2)
    assert Run(overconfident.directory).info["fitted"]["calibration"] == before


def test_a_run_without_a_calibration_answers_as_before(overconfident, tmp_path):
    """As runs that were written before there was one."""
    record = overconfident.directory / "run.json"
    whole = read_json(record, "")
    try:
        write_json(record, {key: value for key, value in whole.items() if key != "fitted"})
        run = Run(overconfident.directory)
        logits = keras.ops.convert_to_numpy(run.model()(run.text.pad(run.text.encode(TEXTS)), training=False))
        np.testing.assert_allclose(load(run.directory).probabilities(TEXTS), probabilities_of(logits), atol=1e-6)
        assert evaluate(run, output=tmp_path)["calibration"] is None
        assert json.loads((tmp_path / "report.json").read_text("utf-8"))["calibration"] is None
        average(run, last=2)
        assert "fitted" not in Run(run.directory).info
    finally:
        write_json(record, whole)


def test_none_fits_nothing():
    run = SimpleNamespace(task=SentimentTask(calibration="none"))
    assert run.task.after_training(run, {"validation": None}) == {}
