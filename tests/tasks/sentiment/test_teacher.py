"""`task.teacher`: what a student learns from, the same weights whether it was stopped or not, and what is refused."""

import io
import shutil

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.data.batches import BucketedBatches
from nlp_suite.data.store import TokenStore
from nlp_suite.errors import ConfigError, NlpSuiteError, RunError
from nlp_suite.export.load import load
from nlp_suite.files import read_json, write_json
from nlp_suite.tasks.sentiment import SentimentTask
from nlp_suite.tasks.sentiment import teacher as teacher_module
from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor
from nlp_suite.tasks.sentiment.settings import SentimentSettings
from nlp_suite.tasks.sentiment.teacher import Teacher
from nlp_suite.training.checks import check_training
from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests.export.conftest import SMALL, make_run
from tests.training.test_train import Killed, same, stop_after, weights


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run that reads words, as training leaves it; its weights are random."""
    return make_run(tmp_path_factory.mktemp("teacher"), SMALL["bag"])


@pytest.fixture(scope="module")
def student(teacher, tmp_path_factory):
    """A function that makes the experiment of a student, which reads characters; the cache is shared unless another is given."""
    cache = tmp_path_factory.mktemp("cache")

    def make(*overrides, **task):
        task = {"dropout": 0.2, "label_smoothing": 0.1, "teacher": str(teacher), "teacher_weight": 0.75, **task}
        values = {
            "task": {"name": "sentiment", **task},
            "data": {"source": {"name": "sample", "size": 60, "test": 20}, "cache": str(cache)},
            "text": {"tokenizer": "character", "max_length": 60},
            "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 64},
            "training": {"epochs": 2, "buckets": 2, "class_weights": {"positive": 2.0}, "tensorboard": False},
        }
        return load_experiment(values, overrides)

    return make


@pytest.fixture(scope="module")
def console():
    return Console(file=io.StringIO(), width=1000)


@pytest.fixture(scope="module")
def run(student, tmp_path_factory, console):
    return train(student(), tmp_path_factory.mktemp("student") / "run", console=console)


def said(console):
    return [line for line in console.file.getvalue().splitlines() if line.startswith("training: teacher")]


def test_what_is_learned_is_the_mixture_of_label_and_teacher(teacher, run, console):
    training, store, model, task = run.experiment.training, run.stores()["train"], run.model(), run.task
    number = len(store)
    assert said(console) == [f"training: teacher {teacher} (bag): {number} texts, {number} of them asked now"]
    batches, held_out = task.training_batches(model, run.stores(), run.labels, training)
    assert batches.begin(run.record) == [f"teacher {teacher} (bag): {number} texts, 0 of them asked now"]
    rows, counted, _ = BucketedBatches(store.lengths, training.batch_size, training.buckets, training.seed)[1]
    tokens, y, weights = batches.batch(1)
    asked = load(teacher).probabilities([store.text(row) for row in rows])  # calibrated, of its own words
    assert np.ptp(asked[:, 0]) > 0.05 and np.array_equal(weights, counted)
    ids = store.labels[rows]
    np.testing.assert_allclose(y["target"], 0.75 * asked + 0.25 * np.eye(2)[ids], atol=1e-6)
    assert held_out.batch(0)[1].dtype == "int32", "validation is measured on labels"

    logits = keras.ops.convert_to_numpy(model(tokens))  # [B, 2]
    log_p = logits - np.logaddexp(logits[:, :1], logits[:, 1:])
    of_label, of_teacher, of_all = log_p[np.arange(len(ids)), ids], (asked * log_p).sum(1), log_p.mean(1)
    losses = -(0.9 * (0.25 * of_label + 0.75 * of_teacher) + 0.1 * of_all) * np.array([1.0, 2.0])[ids]
    model.compile(loss=task.loss(), weighted_metrics=task.metrics(run.labels))
    loss = model.compute_loss(tokens, y, model(tokens), counted, training=True)
    assert float(loss) == pytest.approx((counted * losses).mean(), rel=1e-5)
    measured = model.compute_metrics(tokens, y, model(tokens), counted)
    assert float(measured["cross_entropy"]) == pytest.approx(-(counted * of_label).sum() / counted.sum(), rel=1e-5)


def test_killed_while_it_asks_it_goes_on_to_the_same_bits(teacher, run, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_module, "ROWS", 20)
    copies = (shutil.copytree(run.stores()["train"].directory, tmp_path / name / "train") for name in "xy")
    whole, killed = (Teacher(Run(teacher), TokenStore(folder), run.labels) for folder in copies)
    (line,), number = whole.ask(run.record), len(whole.probabilities)
    assert f"{number} of them asked now" in line and number > 40
    probabilities, answered = ClassifierPredictor.probabilities, []

    def dies(self, texts):
        answered.append(len(texts))
        if len(answered) == 2:
            raise Killed
        return probabilities(self, texts)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ClassifierPredictor, "probabilities", dies)
        killed.ask(run.record)
    (line,) = killed.ask(run.record)
    assert f"{number - 20} of them asked now" in line
    np.testing.assert_array_equal(killed.probabilities, whole.probabilities)


@pytest.mark.slow
def test_a_student_that_was_stopped_ends_with_the_same_weights(run, student, tmp_path, monkeypatch):
    experiment, resumed = student(f"data.cache={tmp_path}/cache"), Console(file=io.StringIO(), width=1000)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 1)
        train(experiment, tmp_path / "run", console=Console(quiet=True))
    stopped = train(experiment, tmp_path / "run", console=resumed)
    assert "0 of them asked now" in said(resumed)[0]
    assert same(weights(stopped), weights(run)) and same(weights(stopped, "best"), weights(run, "best"))


def test_a_run_keeps_its_teacher(teacher, run, tmp_path):
    """Another one in its place is refused where the run goes on; a finished student needs none."""
    copied, store = shutil.copytree(teacher, tmp_path / "copied"), run.stores()["train"]
    Teacher(Run(copied), store, run.labels).ask(run.record)
    info = read_json(copied / "run.json", "")
    write_json(copied / "run.json", {**info, "fitted": {"calibration": {"temperature": 3.0}}})
    with pytest.raises(RunError, match=r"task\.teacher: .*copied is another one than when the run in .*run began"):
        Teacher(Run(copied), store, run.labels).ask(run.record)
    gone = teacher.rename(tmp_path / "gone")
    try:
        assert load(run.directory).predict("a fine film")["label"] in run.labels
        assert train(run.experiment, run.directory, console=Console(quiet=True)).directory == run.directory
        with pytest.raises(
            ConfigError, match=rf"task\.teacher: '{teacher}' is not a run folder .* until it is finished"
        ):
            check_training(run.experiment, tmp_path / "again")
    finally:
        gone.rename(teacher)


def test_what_cannot_teach_is_refused(teacher, student, tmp_path):
    def refused(run, *parts):
        experiment = student(teacher=str(run))
        with pytest.raises(NlpSuiteError) as error:
            check_training(experiment, tmp_path / "run")
        assert all(part in str(error.value) for part in (str(run), "task.teacher is for classifiers", *parts))

    unfinished = shutil.copytree(teacher, tmp_path / "unfinished")
    write_json(unfinished / "run.json", {**read_json(unfinished / "run.json", ""), "state": "running"})
    with pytest.raises(RunError, match=r"unfinished is not finished \(state: running\)"):
        check_training(student(teacher=str(unfinished)), tmp_path / "run")
    for name, config, part in (
        ("numbers", {"task": {"name": "sentiment", "problem": "regression"}}, "problem: regression"),
        ("words", {"task": "language_model"}, "task: language_model"),
    ):
        other = shutil.copytree(teacher, tmp_path / name)
        (other / "config.yaml").write_text(load_experiment(config).to_yaml(), "utf-8")
        refused(other, part)

    class Texts:
        def __init__(self, text):
            self._text = text

        def text(self, row):
            return self._text

    with pytest.raises(ConfigError, match="labels negative, positive, and the data have bad, good"):
        Teacher(Run(teacher), Texts("a"), ["bad", "good"])
    with pytest.raises(ConfigError, match="reads single texts, and the data are pairs of texts"):
        Teacher(Run(teacher), Texts("a\x1fb"), ["negative", "positive"])


def test_settings_that_do_not_go_with_a_teacher():
    for settings, words in (
        ({"teacher": "runs/a", "problem": "ordinal"}, "teacher is for problem: single_label, not ordinal"),
        ({"teacher_weight": 0.9}, "teacher_weight 0.9 needs a teacher"),
        ({"teacher": "runs/a", "teacher_weight": 0}, "greater than 0"),
    ):
        with pytest.raises(ValidationError, match=words):
            SentimentSettings(name="sentiment", **settings)


def test_a_teacher_of_other_data_is_remarked_on(teacher, student):
    remarks = SentimentTask.remarks(student("data.source.seed=7"), ["negative", "positive"])
    assert [line.partition(" was")[0] for line in remarks] == [f"task.teacher: {teacher}"]
    assert "data.source.seed: 0 → 7" in remarks[0]
    assert SentimentTask.remarks(student(), ["negative", "positive"]) == []
