"""What is shown while a checkpoint interval trains and validates."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from nlp_suite import progress
from nlp_suite.training.callbacks import ShowProgress


@pytest.fixture
def shown(monkeypatch):
    monkeypatch.setattr(progress, "_DISPLAY", progress._Display())
    console = Console(file=io.StringIO(), width=200)
    return ShowProgress(2, 10, 4, SimpleNamespace(best_epoch=1), console, "cross_entropy")


def described():
    return [f"{work.description}: {work.done} of {work.total} {work.unit}" for work in progress._DISPLAY.going_on()]


def test_steps_loss_and_validation_are_shown_and_a_line_stays(shown):
    shown.on_epoch_begin(0)
    for step in range(3):
        shown.on_train_batch_end(step, {"loss": 9.0, "cross_entropy": 0.25})
    assert described() == ["checkpoint interval 1/2: 3 of 10 steps"]
    assert progress._DISPLAY.going_on()[0].note == "loss 0.2500"
    shown.on_test_begin()
    shown.on_test_batch_end(1)
    assert described()[1:] == ["validating: 2 of 4 batches"]
    shown.on_test_end()
    shown.on_epoch_end(0, {"loss": 0.25, "step": 10, "learning_rate": 0.1, "seconds": 3.0})
    assert described() == []
    line = shown._console.file.getvalue()
    assert line.startswith("checkpoint interval 1/2  step 10  loss 0.2500  lr 0.1  3 s") and line.endswith("best\n")


def test_nothing_is_left_where_training_fails(shown):
    shown.on_epoch_begin(0)
    shown.on_test_begin()
    shown.close()
    assert described() == []
