"""What a training refuses before it begins, what it says about its length, and when it gives up."""

import json
from types import SimpleNamespace

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.data import memory
from nlp_suite.errors import ConfigError, TrainingError
from nlp_suite.registry import TASKS
from nlp_suite.training import checks
from nlp_suite.training.callbacks import StopWhenDiverged
from nlp_suite.training.checks import OPTIMIZERS, check_training, doubtful_lengths
from nlp_suite.training.optimizer import optimizer_names


def test_the_optimisers_of_a_config_are_those_of_keras():
    assert set(OPTIMIZERS) == set(optimizer_names()) - {"multioptimizer"}  # which takes other optimisers


@pytest.mark.parametrize("name", TASKS.names())
def test_the_metrics_that_a_task_declares_are_those_it_has(name):
    task = TASKS.get(name)()
    assert task.metric_names in ((), tuple(metric.name for metric in task.metrics(["0", "1"])))


def test_a_variant_of_a_task_may_monitor_a_metric_of_its_own(tmp_path):
    members = {"__module__": "mine.sentiment_variant", "metrics": lambda task, labels: []}
    with TASKS.temporary():
        TASKS.register(TASKS.settings("sentiment"))(type("Variant", (TASKS.get("sentiment"),), members))
        values = {"task": "sentiment_variant", "training": {"monitor": "val_mine"}}
        check_training(load_experiment(values), tmp_path / "run")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"training": {"optimizer": "adm"}}, "training.optimizer: unknown optimizer 'adm': did you mean 'adam'"),
        (
            {"training": {"monitor": "val_acc"}},
            "training.monitor: unknown metric 'val_acc': did you mean 'val_accuracy'",
        ),
        ({"training": {"init_from": "absent"}}, "'absent' is not a run folder"),
        ({"backbone": {"init_from": "absent"}}, "'absent' is not a run folder"),
        ({"data": {"source": {"name": "files", "train": "absent.tsv"}}}, "'absent.tsv' does not exist"),
        ({"task": {"name": "translation"}, "backbone": "bag"}, "backbone 'bag' has no features for the single tokens"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_its_data_are_read(tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        check_training(load_experiment(changes), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConfigError, match="is not empty and is not a run folder"):
            check_training(load_experiment({}), folder)


def test_a_run_that_continues_needs_no_other_folder_to_write_into(tmp_path, monkeypatch):
    asked, experiment, directory = [], load_experiment({}), tmp_path / "run"
    monkeypatch.setattr(checks, "check_writable", lambda folder, *_: asked.append(folder))
    check_training(experiment, directory)
    assert set(asked) == {directory, tmp_path}
    directory.mkdir()
    (directory / "config.yaml").write_text(experiment.to_yaml())
    info = {"schema": 1, "state": "running", "labels": [], "statistics": {}}
    (directory / "run.json").write_text(json.dumps(info))
    asked.clear()
    check_training(experiment, directory)
    assert asked == [directory]


@pytest.mark.parametrize(
    "settings, said",
    [
        (
            {"schedule": {"name": "cosine", "warmup_steps": 400}, "epochs": 3},
            "warmup_steps is 400 and the training has 300 steps",
        ),
        ({"schedule": "inverse_sqrt", "epochs": 3}, r"never reaches training.learning_rate \(0.001\); lower"),
        ({"save_every": 301, "epochs": 3}, "save_every 301 is more than the 300 steps of training.epochs 3, so .* 903"),
        ({"schedule": {"name": "constant", "warmup_steps": 299}, "epochs": 3, "save_every": 300}, None),
    ],
)
def test_lengths_that_are_hardly_meant_so_are_said(settings, said):
    chosen = load_experiment({"backbone": "lstm", "training": settings}).training
    lines = doubtful_lengths(chosen, epoch_steps=100, total_steps=903 if chosen.save_every == 301 else 300)
    if said is None:
        assert lines == []
    else:
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(*lines)


def stopper(first):
    callback = StopWhenDiverged("runs/mine", steps=10)
    callback.set_model(SimpleNamespace(optimizer=SimpleNamespace(learning_rate=0.5)))
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(0, {"loss": first})
    callback.on_epoch_begin(2)
    return callback


@pytest.mark.parametrize("first, loss", [(0.7, 10_001.0), (5.0, 50_001.0), (0.7, float("nan")), (0.7, float("inf"))])
def test_a_loss_out_of_all_bounds_ends_the_training(first, loss):
    said = rf"from a loss of {first:g} at its first step: the loss is {loss:g} at step 24, with learning rate 0.5; .*runs/mine"
    with pytest.raises(TrainingError, match=said):
        stopper(first).on_train_batch_end(3, {"loss": loss})
    with pytest.raises(TrainingError, match=rf"the validation loss is {loss:g} at step 30"):
        stopper(first).on_epoch_end(2, {"val_loss": loss})


@pytest.mark.parametrize("first, loss", [(0.7, 10_000.0), (5.0, 50_000.0)])
def test_a_loss_within_bounds_does_not(first, loss):
    callback = stopper(first)
    callback.on_train_batch_end(3, {"loss": loss})
    callback.on_epoch_end(2, {"val_loss": loss})
    callback.on_epoch_end(2, {})


def test_a_batch_that_cannot_be_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 2**31)
    backbone = SimpleNamespace(embedding_size=50, output_size=77)  # 1028 bytes a token
    memory.check_batch("key 10", 10_000, 104, backbone)
    with pytest.raises(ConfigError) as caught:
        memory.check_batch("training.batch_size 10,500", 10_500, 104, backbone)
    assert str(caught.value) == (
        "training.batch_size 10,500: a batch of 10,500 rows of 104 tokens takes 1 GiB for embeddings and features alone, more "
        "than half of the 2 GiB of this machine; allowed: up to 10,043 rows of so many tokens, or up to 99 tokens in so many "
        "rows"
    )


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    whole = memory.machine_memory()
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("1000000\n")
    monkeypatch.setattr(memory, "CONTROL_GROUPS", (tmp_path / "max", tmp_path / "absent"))
    assert memory.machine_memory() >= whole > 2**20
    monkeypatch.setattr(memory, "CONTROL_GROUPS", (tmp_path / "max", tmp_path / "limit"))
    assert memory.machine_memory() == 1_000_000


def test_a_batch_of_which_most_is_empty_is_refused():
    memory.check_rows(1024, 3)
    memory.check_rows(5000, 5000)
    with pytest.raises(ConfigError, match="batch_size 5,001: the training split has 5,000 rows.*allowed: up to 5,000"):
        memory.check_rows(5001, 5000)
