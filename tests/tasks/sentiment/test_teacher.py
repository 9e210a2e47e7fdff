"""`task.teacher`: what a student learns from, the same weights whether it was stopped or not, and what is refused."""

import io
import shutil

import keras
import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError, NlpSuiteError, RunError
from nlp_suite.export.load import load
from nlp_suite.files import read_json, write_json
from nlp_suite.tasks.sentiment import SentimentTask
from nlp_suite.tasks.sentiment.settings import SentimentSettings
from nlp_suite.tasks.sentiment.teacher import Teacher
from nlp_suite.training.checks import check_training
from nlp_suite.training.run import Run, make_task, run_record
from nlp_suite.training.train import train
from tests.export.conftest import SMALL, make_run
from tests.training.test_train import Killed, same, stop_after, weights

SOURCE = {"name": "sample", "size": 60, "test": 20}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run that reads words, as training leaves it; its weights are random."""
    return make_run(tmp_path_factory.mktemp("teacher"), SMALL["bag"])


@pytest.fixture
def student(teacher, tmp_path):
    """A function that makes the experiment of a student, which reads characters."""

    def make(*overrides, **task):
        values = {
            "task": {"name": "sentiment", "dropout": 0.2, "teacher": str(teacher), "teacher_weight": 0.75, **task},
            "data": {"source": SOURCE, "cache": str(tmp_path / "cache")},
            "text": {"tokenizer": "character", "max_length": 60},
            "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 64},
            "training": {"epochs": 2, "learning_rate": 0.01, "class_weights": {"positive": 2.0}, "tensorboard": False},
        }
        return load_experiment(values, overrides)

    return make


def said(console):
    return [line for line in console.file.getvalue().splitlines() if line.startswith("training: teacher")]


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=1000)


def test_what_is_learned_is_the_mixture_of_label_and_teacher(teacher, student, tmp_path, console):
    experiment = student(label_smoothing=0.1)
    run = train(experiment, tmp_path / "run", console=console)
    stores, model, task = run.stores(), run.model(), make_task(experiment)
    assert said(console) == [
        f"training: teacher {teacher} (bag): {len(stores['train'])} texts, {len(stores['train'])} of them asked now"
    ]
    batches, held_out = task.training_batches(model, stores, run.labels, experiment.training)
    batches.begin(run.record)
    tokens, y, counted = batches.batch(1)
    assert y["target"].dtype == "float32" and counted.all()
    ids = y["labels"]
    rows = [
        next(r for r in range(len(stores["train"])) if (stores["train"].padded([r], tokens.shape[1]) == row).all())
        for row in tokens
    ]
    asked = load(teacher).probabilities([stores["train"].text(row) for row in rows])  # calibrated, of its own words
    assert np.ptp(asked[:, 0]) > 0.05
    np.testing.assert_allclose(y["target"], 0.75 * asked + 0.25 * np.eye(2)[ids], atol=1e-6)
    assert held_out.batch(0)[1].shape == held_out.batch(0)[2].shape, "validation is measured on labels"

    logits = keras.ops.convert_to_numpy(model(tokens))
    log_p = logits - np.logaddexp(logits[:, :1], logits[:, 1:])
    to_labels, to_teacher, to_all = -log_p[np.arange(len(ids)), ids], -(asked * log_p).sum(1), -log_p.mean(1)
    expected = (0.9 * (0.25 * to_labels + 0.75 * to_teacher) + 0.1 * to_all) * np.array([1.0, 2.0])[ids]
    model.compile(loss=task.loss(), weighted_metrics=task.metrics(run.labels))
    loss = model.compute_loss(tokens, y, model(tokens), counted, training=True)
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)
    measured = model.compute_metrics(tokens, y, model(tokens), counted)
    assert float(measured["cross_entropy"]) == pytest.approx(to_labels.mean(), rel=1e-5)


def test_a_student_that_was_stopped_ends_with_the_same_weights(student, tmp_path, monkeypatch, console):
    experiment = student()
    whole = train(student(f"data.cache={tmp_path}/other"), tmp_path / "whole", console=Console(quiet=True))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 1)
        train(experiment, tmp_path / "run", console=Console(quiet=True))
    resumed = train(experiment, tmp_path / "run", console=console)
    assert "0 of them asked now" in said(console)[0]
    assert same(weights(resumed), weights(whole)) and same(weights(resumed, "best"), weights(whole, "best"))
    alone = student(teacher=None, teacher_weight=0.5)
    assert not same(weights(train(alone, tmp_path / "alone", console=Console(quiet=True))), weights(whole))


def test_a_run_keeps_its_teacher(teacher, student, tmp_path):
    """Another one in its place is refused where the run goes on; a finished student needs none."""
    moved = shutil.copytree(teacher, tmp_path / "moved")
    run = train(student(teacher=str(moved)), tmp_path / "run", console=Console(quiet=True))
    store = run.stores()["train"]
    info = read_json(moved / "run.json", "")
    write_json(moved / "run.json", {**info, "fitted": {"calibration": {"temperature": 3.0}}})
    with pytest.raises(RunError, match=r"task\.teacher: .*moved is another one than when the run in .*run began"):
        Teacher(Run(moved), store, run.labels).ask(run_record(run.directory))
    shutil.rmtree(moved)
    assert load(run.directory).predict("a fine film")["label"] in run.labels
    assert check_training(run.experiment, run.directory) is None
    with pytest.raises(ConfigError, match=r"task\.teacher: '.*moved' is not a run folder .* until it is finished"):
        check_training(run.experiment, tmp_path / "again")


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


def test_settings_that_do_not_go_with_a_teacher(student):
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
