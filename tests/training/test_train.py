"""Training: a stopped run goes on to the same weights, files are whole or absent, and mistakes are named."""

import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from rich.console import Console

from nlp_suite.data.staging import only_process
from nlp_suite.errors import ConfigError, RunError, TrainingError
from nlp_suite.training import state as state_module
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.optimizer import LossScale
from nlp_suite.training.run import Run
from nlp_suite.training.train import train

QUIET = Console(quiet=True)
EVERYTHING = {  # all that has a state of its own
    "epochs": 4,
    "save_every": 4,
    "optimizer": "adamw",
    "optimizer_arguments": {"weight_decay": 0.01},
    "accumulation_steps": 2,
    "ema": 0.9,
    "clip_norm": 1.0,
    "schedule": {"name": "plateau", "patience": 1},
    "patience": 20,
    "monitor": "val_loss",
}
DROPOUT = {"word_dropout": 0.2, "embedding_dropout": 0.1, "dropout": 0.2}


class Killed(BaseException):
    """Stands in for the end of the process."""


def stop_after(monkeypatch, rounds):
    """Makes the process 'end' just after the state of a round was saved."""
    save = state_module.TrainingState.on_epoch_end

    def save_and_end(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch + 1 == rounds:
            raise Killed

    monkeypatch.setattr(state_module.TrainingState, "on_epoch_end", save_and_end)


def weights(run, checkpoint="last"):
    return [keras.ops.convert_to_numpy(w) for w in run.model(checkpoint).weights]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 3])
def test_a_run_that_was_stopped_ends_with_the_same_weights(small, tmp_path, monkeypatch, at):
    experiment = small(training=EVERYTHING, backbone=DROPOUT)
    whole = train(experiment, tmp_path / "whole", console=QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, at)
        with pytest.raises(Killed):
            train(experiment, tmp_path / "stopped", console=QUIET)
    assert Run(tmp_path / "stopped").info["state"] == "running"
    resumed = train(experiment, tmp_path / "stopped", console=QUIET)
    for checkpoint in ("last", "best"):
        assert same(weights(whole, checkpoint), weights(resumed, checkpoint))
    kept = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history] == kept
    assert resumed.info["best"] == whole.info["best"]


def test_a_row_of_the_round_that_was_lost_is_not_kept_twice(small, tmp_path, monkeypatch):
    experiment = small()

    def end(self, epoch, logs=None):
        raise Killed  # the history has the round's row, the state does not

    with monkeypatch.context() as patch:
        patch.setattr(state_module.TrainingState, "on_epoch_end", end)
        with pytest.raises(Killed):
            train(experiment, tmp_path / "run", console=QUIET)
    assert len(Run(tmp_path / "run").history) == 1
    run = train(experiment, tmp_path / "run", console=QUIET)
    assert [row["epoch"] for row in run.history] == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["bag", "lstm", "transformer"])
def test_kill_9_at_any_moment(small, tmp_path, backbone):
    sizes = {"bag": {}, "lstm": {"units": 8}, "transformer": {"heads": 2, "feed_forward": 16, "embedding_size": 8}}
    settings = {"name": backbone, "embedding_size": 8, **sizes[backbone], **DROPOUT}
    values = small(training={**EVERYTHING, "epochs": 16, "schedule": {"name": "plateau", "patience": 2}})
    values = values.model_dump(mode="json") | {"backbone": settings}
    config = tmp_path / "e.yaml"
    import yaml

    config.write_text(yaml.safe_dump(values))

    def command(folder):
        return [sys.executable, "-m", "nlp_suite", "train", str(config), "--run-dir", str(tmp_path / folder)]

    subprocess.run(command("whole"), check=True, capture_output=True)
    random = np.random.default_rng(len(backbone))
    for kill in range(2):
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        history = tmp_path / "killed" / "history.csv"
        target = 2 + 6 * kill
        until = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < until:
            if history.exists() and len(history.read_text().splitlines()) > target:
                break
            time.sleep(0.01)
        time.sleep(float(random.uniform(0, 0.3)))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command("killed"), check=True, capture_output=True)
    whole, killed = Run(tmp_path / "whole"), Run(tmp_path / "killed")
    for checkpoint in ("last", "best"):
        assert same(weights(whole, checkpoint), weights(killed, checkpoint))
    assert [row["step"] for row in killed.history] == [row["step"] for row in whole.history]
    assert killed.info["best"] == whole.info["best"]


def test_a_finished_run_is_left_alone_and_can_be_trained_on_with_new_data(small, tmp_path):
    first = train(small(), tmp_path / "first", console=QUIET)
    before = weights(first)
    assert same(weights(train(small(), tmp_path / "first", console=QUIET)), before)
    on = small(f"training.init_from={tmp_path / 'first'}", "data.source.seed=5", "training.learning_rate=0.00001")
    second = train(on, tmp_path / "second", console=QUIET)
    assert second.text.fingerprint == first.text.fingerprint
    for old, new in zip(weights(first, "best"), weights(second)):
        np.testing.assert_allclose(new, old, atol=0.01)


def test_what_a_run_started_from_may_be_gone_when_it_continues(small, tmp_path, monkeypatch):
    train(small(training={"epochs": 1}), tmp_path / "first", console=QUIET)
    on = small(f"training.init_from={tmp_path / 'first'}")
    whole = train(on, tmp_path / "whole", console=QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Killed):
            train(on, tmp_path / "run", console=QUIET)
    shutil.rmtree(tmp_path / "first")
    assert same(weights(train(on, tmp_path / "run", console=QUIET)), weights(whole))
    with pytest.raises(RunError, match="'.*first' is not a run folder"):
        train(on, tmp_path / "another", console=QUIET)


def test_another_config_is_refused_with_what_differs(small, tmp_path):
    train(small(), tmp_path / "run", console=QUIET)
    with pytest.raises(RunError, match=r"another config(.|\n)*backbone.ngrams: 2 → 1"):
        train(small(backbone={"ngrams": 1}), tmp_path / "run", console=QUIET)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="not empty and is not a run folder"):
        train(small(), tmp_path / "mine", console=QUIET)


def test_early_stopping_stops_and_stays_stopped(small, tmp_path, monkeypatch):
    experiment = small(training={"epochs": 50, "patience": 2, "learning_rate": 1e-9})
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Killed):
            train(experiment, tmp_path / "run", console=QUIET)
    run = train(experiment, tmp_path / "run", console=QUIET)
    assert len(run.history) == 3 and run.info["state"] == "finished"


def test_the_best_checkpoint_is_the_best_interval(small, tmp_path):
    run = train(small(training={"epochs": 6}), tmp_path / "run", console=QUIET)
    values = [row["val_accuracy"] for row in run.history]
    assert run.info["best"] == {"round": values.index(max(values)) + 1, "metric": "val_accuracy", "value": max(values)}
    assert evaluate(run, "validation")["accuracy"] == pytest.approx(max(values))


def test_logged_losses_are_averages_over_examples(small, tmp_path):
    experiment = small(training={"epochs": 1, "batch_size": 7}, task={"label_smoothing": 0.3})
    run = train(experiment, tmp_path / "run", console=QUIET)
    report = evaluate(run, "validation")
    assert run.history[-1]["val_loss"] == pytest.approx(report["cross_entropy"], rel=1e-4)


def test_nan_is_named_with_its_step_and_the_last_good_checkpoint_stays(small, tmp_path):
    experiment = small(training={"optimizer": "sgd", "learning_rate": 1e30, "save_every": 1})
    with pytest.raises(TrainingError, match=r"loss is (nan|inf) at step \d+, with learning rate 1e\+30"):
        train(experiment, tmp_path / "run", console=QUIET)


def test_nan_in_the_first_round_promises_no_checkpoint(small, tmp_path):
    experiment = small(training={"optimizer": "sgd", "learning_rate": 1e30})
    with pytest.raises(
        TrainingError, match="there is no checkpoint yet, as this is the first checkpoint interval. Try a lower"
    ):
        train(experiment, tmp_path / "run", console=QUIET)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_full_disk_keeps_the_checkpoint_before(small, tmp_path, monkeypatch):
    experiment = small(training={"epochs": 3})
    real = np.savez
    calls = []

    def full(file, **arrays):
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        real(file, **arrays)

    with monkeypatch.context() as patch:
        patch.setattr(state_module.np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            train(experiment, tmp_path / "run", console=QUIET)
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    assert len(train(experiment, tmp_path / "run", console=QUIET).history) == 3


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"optimizer": "adm"}, "unknown optimizer 'adm': did you mean 'adam'"),
        ({"optimizer_arguments": {"momentun": 1}}, "optimizer_arguments of 'adam'"),
        ({"class_weights": {"positiv": 2}}, r"class_weights names \['positiv'\]; the labels are negative, positive"),
        ({"init_from": "nowhere"}, "'nowhere' is not a run folder"),
    ],
)
def test_mistakes_in_the_training_section(small, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(small(training=settings), tmp_path / "run", console=QUIET)


def test_a_mistake_leaves_no_folder_that_blocks_the_mended_command(small, tmp_path):
    with pytest.raises(ConfigError, match="unknown metric 'val_acuracy': did you mean 'val_accuracy'"):
        train(small(training={"monitor": "val_acuracy"}), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()
    run = train(small(training={"monitor": "val_macro_f1"}), tmp_path / "run", console=QUIET)
    assert run.info["best"]["metric"] == "val_macro_f1"
    assert evaluate(run, "validation")["macro"]["f1"] == pytest.approx(run.info["best"]["value"], abs=1e-5)


def test_data_that_changed_since_the_run_began_are_refused(small, tmp_path, monkeypatch):
    file = tmp_path / "train.tsv"
    rows = [f"{'good' if i % 2 else 'bad'}\tword{i % 7} {'good' if i % 2 else 'bad'} film" for i in range(80)]
    file.write_text("label\ttext\n" + "\n".join(rows) + "\n")
    experiment = small(data={"source": {"name": "files", "train": str(file)}})
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Killed):
            train(experiment, tmp_path / "run", console=QUIET)
    file.write_text(file.read_text().replace("film", "movie"))
    with pytest.raises(RunError, match="the data have changed since the run"):
        train(experiment, tmp_path / "run", console=QUIET)


def test_starting_from_another_network_is_refused_with_what_differs(small, tmp_path):
    train(small(training={"epochs": 1}), tmp_path / "first", console=QUIET)
    other = small(f"training.init_from={tmp_path / 'first'}", "backbone.ngrams=3", "text.lowercase=false")
    with pytest.raises(ConfigError, match=r"text.lowercase: True → False\n  backbone.ngrams: 2 → 3"):
        train(other, tmp_path / "second", console=QUIET)


def test_two_processes_cannot_train_in_one_folder(small, tmp_path, monkeypatch):
    experiment = small()
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Killed):
            train(experiment, tmp_path / "run", console=QUIET)
    with only_process(tmp_path / "run", ""), pytest.raises(RuntimeError, match="another process is training in"):
        train(experiment, tmp_path / "run", console=QUIET)
    assert len(train(experiment, tmp_path / "run", console=QUIET).history) == 2


def test_what_a_killed_writer_left_is_removed(small, tmp_path, monkeypatch):
    experiment = small()
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Killed):
            train(experiment, tmp_path / "run", console=QUIET)
    (tmp_path / "run" / "tensorboard" / "train").mkdir(parents=True)
    for name in ("checkpoints/.best.123.weights.h5", "tensorboard/train/.123.events.out.tfevents.1"):
        (tmp_path / "run" / name).write_text("half")
    train(experiment, tmp_path / "run", console=QUIET)
    assert not list((tmp_path / "run").rglob(".*"))


@pytest.mark.slow
def test_weights_follow_the_seed_in_every_process(small, tmp_path):
    code = (
        "import keras; from nlp_suite.config import load_experiment; from nlp_suite.training.run import make_task;"
        "from types import SimpleNamespace; from nlp_suite.task import Assets; text = SimpleNamespace(vocabulary_size=20);"
        "keras.utils.set_random_seed(5); e = load_experiment({'backbone': {'name': 'bag', 'ngram_buckets': 64}});"
        "m = make_task(e).model(e.backbone, Assets(text, text, ['a', 'b']));"
        "print(sum(float(keras.ops.sum(w)) for w in m.weights))"
    )
    sums = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)}
    assert len(sums) == 1 and sums != {""}


def test_an_overflow_in_one_of_several_slices_is_seen():
    import tensorflow as tf

    slices = tf.IndexedSlices(tf.constant([[float("inf"), 1], [1, 2]]), tf.constant([2, 2]), tf.constant([3, 2]))
    assert not bool(LossScale(keras.optimizers.SGD()).check_finite([slices]))


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "mixed_bfloat16"},
        {"precision": "mixed_float16", "ema": 0.9},
        {"schedule": {"name": "cosine", "warmup_steps": 3}},
        {"schedule": "inverse_sqrt", "optimizer": "lion"},
        {"class_weights": "balanced", "xla": True},
        {"tensorboard": True},
    ],
    ids=str,
)
def test_every_setting_trains(small, tmp_path, settings):
    run = train(small(training=settings), tmp_path / "run", console=QUIET)
    assert np.isfinite(run.history[-1]["loss"])
    assert bool(list((tmp_path / "run").glob("tensorboard/*/*"))) == settings.get("tensorboard", False)


def test_counts_of_the_training_split_make_a_bag_surer(small, tmp_path):
    plain = train(small(training={"epochs": 1}), tmp_path / "plain", console=QUIET)
    counted = train(small(training={"epochs": 1}, backbone={"naive_bayes": True}), tmp_path / "counted", console=QUIET)
    prior = keras.ops.convert_to_numpy(counted.model().backbone.priors[0].embeddings)
    words = counted.text.id_to_token(range(counted.text.vocabulary_size))
    assert prior[words.index("the")] < prior.max() / 2, "a word of both classes tells little"
    assert counted.history[0]["loss"] != plain.history[0]["loss"]


@pytest.mark.parametrize("where", ["backbone.word_dropout", "backbone.embedding_dropout", "task.dropout"])
def test_dropout_is_on_while_training(small, tmp_path, where):
    without = train(small("task.dropout=0", "training.epochs=1"), tmp_path / "without", console=QUIET)
    with_it = train(small("task.dropout=0", "training.epochs=1", f"{where}=0.9"), tmp_path / "with", console=QUIET)
    assert with_it.history[0]["loss"] != without.history[0]["loss"]


def test_word_vectors_are_used(small, tmp_path):
    vectors = tmp_path / "v.txt"
    vectors.write_text("3 4\nfilm 1 2 3 4\nthe 5 6 7 8\nunheard-of 0 0 0 0\n")
    task = {"word_vectors": str(vectors), "train_word_vectors": False}
    run = train(small(task=task), tmp_path / "run", console=QUIET)
    table = keras.ops.convert_to_numpy(run.model().backbone.embedding.embeddings)
    words = run.text.id_to_token(range(run.text.vocabulary_size))
    assert table[words.index("the")].tolist() == [5, 6, 7, 8]
    vectors.write_text("the 1 2 3\n")
    with pytest.raises(ConfigError, match="line 1: a vector of 3 numbers; backbone.embedding_size is 4"):
        train(small(task=task), tmp_path / "other", console=QUIET)
    with pytest.raises(ConfigError, match="train_word_vectors: false needs word_vectors"):
        small(task={"train_word_vectors": False})
    with pytest.raises(ConfigError, match="'gone.txt' does not exist"):
        train(small(task={"word_vectors": "gone.txt"}), tmp_path / "third", console=QUIET)


@pytest.mark.parametrize("kind", ["tensorflow", "numpy"])
def test_memory_that_does_not_suffice_is_a_sentence_with_the_remedy(small, tmp_path, monkeypatch, kind):
    import tensorflow as tf

    full = {
        "tensorflow": tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
        "numpy": MemoryError(),
    }

    def fit(*_, **__):
        raise full[kind]

    monkeypatch.setattr(keras.Model, "fit", fit)
    with pytest.raises(TrainingError, match="the memory does not suffice .*lower training.batch_size"):
        train(small(), tmp_path / "run", console=QUIET)


def test_other_errors_of_a_training_are_not_taken_for_it(small, tmp_path, monkeypatch):
    def fit(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(keras.Model, "fit", fit)
    with pytest.raises(KeyError, match="a bug"):
        train(small(), tmp_path / "run", console=QUIET)
