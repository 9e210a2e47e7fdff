"""What a program is called with after a checkpoint interval, and how it ends a training."""

import keras
import numpy as np
import pytest
from rich.console import Console

from nlp_suite import train
from nlp_suite.errors import UsageError
from nlp_suite.training.state import TrainingState
from nlp_suite.training.user_callbacks import CallAfterIntervals

QUIET = Console(quiet=True)


def test_it_gets_the_figures_and_ends_the_training_for_good(small, tmp_path, monkeypatch):
    experiment, told, ended = small(training={"epochs": 3}), [], []

    def second(interval, logs):
        told.append((interval, logs))
        logs.clear()  # its own copy
        return np.bool_(interval == 2)

    class Killed(BaseException):
        pass

    def killed(self, logs=None):
        raise Killed

    watching = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ended.append(dict(logs)))
    with monkeypatch.context() as patch, pytest.raises(Killed):  # the state says that it ends, and nobody heard of it
        patch.setattr(TrainingState, "on_train_end", killed)
        train(experiment, tmp_path / "run", console=QUIET, callbacks=[second, watching])
    run = train(experiment, tmp_path / "run", console=QUIET, callbacks=[second, watching])
    assert [interval for interval, _ in told] == [1, 2] and run.info["state"] == "finished"
    for logs, row in zip(ended, run.history, strict=True):
        assert {**logs, "epoch": row["epoch"]} == pytest.approx(row)


def test_an_answer_that_is_hardly_meant_is_refused():
    with pytest.raises(UsageError, match="answered 0.5; allowed: True \\(stop\\), a text"):
        CallAfterIntervals(lambda interval, logs: 0.5, record=None).on_epoch_end(0, {})


@pytest.mark.parametrize("callback", [keras.callbacks.EarlyStopping, "val_loss", None])
def test_what_cannot_be_called_is_refused_before_anything_is_done(small, tmp_path, callback):
    with pytest.raises(UsageError, match=r"is neither a function \(interval, logs\) nor a Keras callback"):
        train(small(), tmp_path / "run", console=QUIET, callbacks=[callback])
    assert not (tmp_path / "run").exists()


def test_a_reason_stands_in_the_run_and_in_its_report_but_not_where_it_was_never_saved(small, tmp_path, monkeypatch):
    from nlp_suite.training.evaluate import evaluate

    class Killed(BaseException):
        pass

    def killed(self, epoch, logs=None):
        raise Killed

    experiment = small(training={"epochs": 2})
    with monkeypatch.context() as patch, pytest.raises(Killed):  # before the state that says so
        patch.setattr(TrainingState, "on_epoch_end", killed)
        train(experiment, tmp_path / "run", console=QUIET, callbacks=[lambda interval, logs: "too slow"])
    assert not train(experiment, tmp_path / "run", console=QUIET).info.get("stopped")
    run = train(experiment, tmp_path / "dull", console=QUIET, callbacks=[lambda interval, logs: "too dull"])
    assert run.info["stopped"] == {"round": 1, "reason": "too dull"} and run.info["state"] == "finished"
    said = evaluate(run, baseline=False)["remarks"]
    assert any("after checkpoint interval 1, before its config says: too dull" in remark for remark in said)
