"""A process that dies at any renaming of a file loses nothing: what it left opens, and the same call ends as it would have.

Renamings are the moments at which something becomes visible. The death is simulated: from the n-th renaming on nothing is
renamed or removed any more. Processes that are really killed: test_train.py, test_language_model_training.py, ../export,
../serving.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from nlp_suite.data.prepare import prepare
from nlp_suite.registry import TASKS
from nlp_suite.training.checkpoint_average import average
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.run import Run, is_run
from nlp_suite.training.train import train
from tests.training import test_translation_training as translation
from tests.training.test_train import DROPOUT, EVERYTHING

QUIET = Console(quiet=True)


class Killed(BaseException):
    """Stands in for SIGKILL."""


def killed_at(number, call):
    """Calls and lets the process 'die' at a renaming; returns whether it died before the call ended."""
    left = [number]

    def rename(real):
        def renamed(source, target):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            real(source, target)

        return renamed

    def removes(real):
        return lambda *arguments, **options: real(*arguments, **options) if left[0] >= 0 else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", rename(os.replace))
        patch.setattr(os, "rename", rename(os.rename))
        patch.setattr(shutil, "rmtree", removes(shutil.rmtree))
        patch.setattr(Path, "unlink", removes(Path.unlink))
        try:
            call()
        except Killed:
            return True
        return False


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_preparation(small, tmp_path):
    first = prepare(small(f"data.cache={tmp_path}/first"))
    known = {"text": first.text, "labels": first.labels}  # a tokenizer is not trained anew each time
    expected = files(prepare(small(f"data.cache={tmp_path}/whole"), **known).directory)
    for number in range(100):
        experiment = small(f"data.cache={tmp_path}/{number}")
        died = killed_at(number, lambda experiment=experiment: prepare(experiment, **known))
        prepared = prepare(experiment, **known)
        assert files(prepared.directory) == expected and [*prepared.directory.parent.iterdir()] == [prepared.directory]
        if not died:
            break
    assert number > 5


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    chosen = translation.load_experiment(
        {
            "task": "sentiment",
            "data": {"source": {"name": "sample", "size": 200}, "cache": str(tmp_path_factory.mktemp("cache"))},
            "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 64},
            "training": {"epochs": 3, "average_checkpoints": 3, "batch_size": 64, "tensorboard": False},
        }
    )
    return train(chosen, tmp_path_factory.mktemp("finished") / "run", console=QUIET).directory


def test_an_average(finished, tmp_path):
    def weights(directory):
        return [weight.tobytes() for weight in Run(directory).model().get_weights()]

    before = weights(finished)
    average(Run(shutil.copytree(finished, tmp_path / "whole")), last=2)
    after = weights(tmp_path / "whole")
    assert after != before
    for number in range(20):
        run = Run(shutil.copytree(finished, tmp_path / str(number)))
        died = killed_at(number, lambda run=run: average(run, last=2))
        assert weights(run.directory) in (before, after)
        average(Run(run.directory), last=2)
        assert weights(run.directory) == after
        if not died:
            break
    assert number > 1


def test_an_evaluation(finished, tmp_path, monkeypatch):
    for number in range(20):
        run = Run(shutil.copytree(finished, tmp_path / str(number)))
        numbers = iter([0.25, 0.5, 0.75])
        monkeypatch.setattr(TASKS.get("sentiment"), "measure", lambda *_, numbers=numbers: {"accuracy": next(numbers)})
        monkeypatch.setattr(TASKS.get("sentiment"), "report_view", lambda _: Page())
        evaluate(run, baseline=False)
        died = killed_at(number, lambda run=run: evaluate(run, baseline=False))
        Run(run.directory).record.check("report.json")
        evaluate(Run(run.directory), baseline=False)
        Run(run.directory).record.check_all()
        if not died:
            break
    assert number > 3


class Page:
    """A view of a report that shows nothing."""

    curves, style = (), ""

    def headline(self, report):
        return []

    def sections(self, report):
        return []


def check_training(experiment, folder, numbers):
    """Trains without an end, and with one at some renamings; the weights and the history must be the same."""
    whole = train(experiment, folder / "whole", console=QUIET)
    for number in numbers:
        place = folder / f"run{number}"
        assert killed_at(number, lambda place=place: train(experiment, place, console=QUIET)), "too many renamings"
        if is_run(place) and (place / "checkpoints/best.weights.h5").exists():
            assert Run(place).model() and Run(place).history is not None
        resumed = train(experiment, place, console=QUIET)
        for checkpoint in ("last", "best", None):
            for one, other in zip(whole.model(checkpoint).get_weights(), resumed.model(checkpoint).get_weights()):
                np.testing.assert_array_equal(one, other)
        assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
        resumed.record.check_all()
        assert not list(place.rglob(".*"))


@pytest.mark.slow
def test_a_training_of_a_classifier(small, tmp_path):
    training = {**EVERYTHING, "epochs": 2, "average_checkpoints": 2}
    check_training(small(training=training, backbone=DROPOUT), tmp_path, [12, 17, 20, 23])


@pytest.mark.slow
def test_a_training_of_a_translator(tmp_path):
    check_training(translation.small(tmp_path, **translation.EVERYTHING), tmp_path, [21])
