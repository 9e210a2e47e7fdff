"""Training of language models: resumed = uninterrupted with carried state, honest perplexities, every token evaluated."""

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from rich.console import Console

from nlp_suite.data.prepare import prepare
from nlp_suite.errors import TrainingError
from nlp_suite.training import state as state_module
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests.backend_processes import environment
from tests.language_models import experiment

QUIET = Console(quiet=True)
ROOT = Path(__file__).parents[2]
WORDS = ["the", "cat", "sees", "a", "dog", "and", "the", "bird", "sings", "but", "no", "old", "fish", "sleeps"]
DROPOUT = {"type_dropout": 0.1, "embedding_dropout": 0.2, "dropout": 0.2, "weight_drop": 0.3}
LSTM = {"name": "lstm", "embedding_size": 6, "units": 6, **DROPOUT}
EVERYTHING = {  # all that has a state of its own
    "training": {
        "epochs": 4,
        "save_every": 5,
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "average_after": 1,
        "clip_norm": 1.0,
    },
    "dropout": 0.2,
    "random_window": True,
    "batching": "stream",
    "activation_regularization": 1.0,
    "temporal_regularization": 1.0,
}


def text(lines=40, seed=0):
    draw = np.random.default_rng(seed)
    return "\n".join(" ".join(draw.choice(WORDS, draw.integers(1, 9))) for _ in range(lines)) + "\n"


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


def assert_same(whole, other):
    for checkpoint in ("last", "best"):
        pairs = zip(*([keras.ops.convert_to_numpy(w) for w in run.model(checkpoint).weights] for run in (whole, other)))
        assert all(np.array_equal(a, b) for a, b in pairs)
    histories = [[{k: v for k, v in row.items() if k != "seconds"} for row in run.history] for run in (whole, other)]
    assert histories[0] == histories[1]
    assert whole.info["best"] == other.info["best"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A stream run with all that has a state of its own, trained without a stop."""
    folder = tmp_path_factory.mktemp("whole")
    return train(experiment(folder, LSTM, content=text(), **EVERYTHING), folder / "run", console=QUIET)


def test_a_stopped_run_with_carried_state_ends_with_the_same_weights(whole, tmp_path, monkeypatch):
    chosen = whole.experiment
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Killed):
            train(chosen, tmp_path / "stopped", console=QUIET)
    with np.load(tmp_path / "stopped" / "checkpoints" / "state.npz") as file:
        shapes = [file[name].shape for name in file.files if name != "meta"]
        states = [file[name] for name in file.files if name != "meta" and file[name].shape in ((2, 6), (3, 6))]
    assert shapes.count((2, 6)) == shapes.count((3, 6)) == 2, "h and c of training and of evaluation"
    assert all(np.abs(state).max() > 0 for state in states)
    resumed = train(chosen, tmp_path / "stopped", console=QUIET)
    assert_same(whole, resumed)
    assert len(whole.history) > 4 and whole.history[-1]["step"] == 5 * len(whole.history)


def test_the_carried_state_is_used_and_kept_between_rounds(whole, tmp_path, monkeypatch):
    from nlp_suite.layers.carried_state import CarriedState

    monkeypatch.setattr(CarriedState, "write", lambda self, state: None)
    forgetful = train(whole.experiment, tmp_path / "run", console=QUIET)
    assert forgetful.history[0]["loss"] != whole.history[0]["loss"]


def test_the_history_has_perplexities(whole):
    for row in whole.history:
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]), rel=1e-4)
        assert row["val_perplexity"] == pytest.approx(math.exp(row["val_loss"]), rel=1e-4)
    assert whole.history[-1]["val_loss"] < whole.history[0]["val_loss"] < math.log(30)
    values = [row["val_loss"] for row in whole.history]
    assert whole.info["best"] == {"round": values.index(min(values)) + 1, "metric": "val_loss", "value": min(values)}


def check_baseline(run, report, store, facts):
    """Frequencies of single tokens, counted here; Kneser–Ney of five; leads over both, of the same windows."""
    size, train_tokens = run.text.vocabulary_size, run.stores()["train"].flat()
    seen = Counter(train_tokens.tolist())
    nll = -sum(math.log((seen[token] + 1) / (len(train_tokens) + size)) for token in store.flat().tolist())
    single, grams = report["baseline"]["unigram"], report["baseline"]["kneser_ney"]
    assert single["perplexity_per_token"] == pytest.approx(math.exp(nll / len(store.flat())), rel=1e-9)
    assert single["perplexity_per_word"] == pytest.approx(math.exp(nll / facts["words"]), rel=1e-9)
    assert single["bits_per_character"] == pytest.approx(nll / facts["characters"] / math.log(2), rel=1e-9)
    assert 1 < grams["perplexity_per_word"] < single["perplexity_per_word"]
    for figures in (single, grams):
        found = figures["lead"]["perplexity per word"]
        assert found["value"] == pytest.approx(figures["perplexity_per_word"] - report["perplexity_per_word"], rel=1e-3)
        if len(store) > 1:  # of one document there is nothing to draw
            assert found["interval"][0] < found["value"] < found["interval"][1]


def check_report(run, split="validation"):
    report = evaluate(run, split)
    store, facts = run.stores()[split], run.info["statistics"][split]
    assert report["tokens"] == len(store.flat()) == store.meta["tokens"], "every token of the split, once"
    assert report["cross_entropy"] == pytest.approx(report["nll"] / report["tokens"], rel=1e-9)
    assert report["perplexity_per_token"] == pytest.approx(math.exp(report["nll"] / report["tokens"]), rel=1e-9)
    assert report["perplexity_per_word"] == pytest.approx(math.exp(report["nll"] / facts["words"]), rel=1e-9)
    assert report["bits_per_character"] == pytest.approx(report["nll"] / facts["characters"] / math.log(2), rel=1e-9)
    groups = report["by_frequency"]
    assert sum(group["tokens"] for group in groups) == report["tokens"]
    assert sum(group["tokens"] * group["cross_entropy"] for group in groups) == pytest.approx(report["nll"], rel=1e-6)
    page = Path(report["page"]).read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>") and "erplexity" in page
    check_baseline(run, report, store, facts)
    return report


def test_evaluate_counts_every_token_and_agrees_with_the_log(whole):
    report = check_report(whole)
    assert report["cross_entropy"] == pytest.approx(whole.info["best"]["value"], rel=1e-4)
    assert "state carried through 3 streams of the text" in report["context"]
    assert (whole.directory / "validation" / "report.html").is_file() and report["by_frequency"]
    assert len(report["excerpt"]) == 150 and report["next_tokens"] and len(report["samples"]) == 4


WAYS = {
    "windows": {"batching": "windows", "evaluation_context": 4},
    "documents": {"batching": "auto", "source": {"documents": "line"}},
}
TRANSFORMER = {
    "name": "transformer",
    "embedding_size": 8,
    "layers": 1,
    "heads": 2,
    "feed_forward": 6,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_transformer_is_evaluated_in_windows_or_document_by_document(way, tmp_path):
    chosen = experiment(tmp_path, TRANSFORMER, content=text(), training={"epochs": 1, "batch_size": 8}, **WAYS[way])
    run = train(chosen, tmp_path / "run", console=QUIET)
    report = check_report(run)
    assert report["cross_entropy"] == pytest.approx(run.history[-1]["val_loss"], rel=1e-4)
    context = {
        "windows": "sliding window of 12 tokens, 4 of context after",
        "documents": "every document on its own",
    }
    assert context[way] in report["context"]
    excerpt = report["excerpt"]
    assert 10 <= len(excerpt) <= 150
    store = run.stores()["validation"]
    model, begin = run.model("best"), 0
    if way == "documents":  # the second document is read on its own, as it was trained
        begin, end = (int(place) for place in store.documents()[1:3])
        tokens = np.asarray(store.flat()[begin:end], "int32")
        log_probs = keras.ops.convert_to_numpy(model(np.concatenate([[3], tokens[:-1]]).astype("int32")[None]))[0]
        own = log_probs[np.arange(len(tokens)), tokens]
        np.testing.assert_allclose([row["log_prob"] for row in excerpt[begin:end]], own, atol=1e-4)


@pytest.mark.slow
def test_perplexity_per_word_compares_vocabularies(tmp_path):
    reports = {}
    for tokenizer in ("word", "character"):
        folder = tmp_path / tokenizer
        sections = {"text": {"tokenizer": tokenizer}, "training": {"epochs": 1, "batch_size": 8}}
        chosen = experiment(folder, {"name": "rnn", "embedding_size": 4, "units": 4}, content=text(), **sections)
        reports[tokenizer] = check_report(train(chosen, folder / "run", console=QUIET))
    words, characters = reports["word"], reports["character"]
    assert words["words"] == characters["words"] == words["tokens"] < characters["tokens"]
    assert characters["perplexity_per_word"] > 3 * characters["perplexity_per_token"]


def test_nan_is_named_with_step_and_rate_and_the_last_good_checkpoint_stays(tmp_path, monkeypatch):
    backbone = {"name": "rnn", "embedding_size": 4, "units": 4}
    chosen = experiment(tmp_path, backbone, content=text(), training={"epochs": 3, "save_every": 4})
    save = state_module.TrainingState.on_epoch_end

    def save_and_spoil(self, epoch, logs=None):
        save(self, epoch, logs)
        weight = self.model.trainable_variables[0]
        weight.assign(weight * float("nan"))

    monkeypatch.setattr(state_module.TrainingState, "on_epoch_end", save_and_spoil)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 5, with learning rate 0.01; the checkpoints"):
        train(chosen, tmp_path / "run", console=QUIET)
    run = Run(tmp_path / "run")
    for checkpoint in ("last", "best"):
        assert all(np.isfinite(keras.ops.convert_to_numpy(w)).all() for w in run.model(checkpoint).weights)
    assert len(run.history) == 1 and run.info["state"] == "running"


def test_a_corpus_smaller_than_a_batch_trains(tmp_path):
    training = {"epochs": 1, "batch_size": 16, "learning_rate": 0.01}
    chosen = experiment(tmp_path, {"name": "gru", "embedding_size": 4, "units": 4}, content="a b\n", training=training)
    run = train(chosen, tmp_path / "run", console=QUIET)
    assert check_report(run)["tokens"] == 3 and np.isfinite(run.history[0]["loss"])


def command(backend, config, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "nlp_suite", "train", str(config), "--run-dir", str(folder)],
        env=environment(backend),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    errors = process.communicate()[1]
    assert process.returncode == 0, errors


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_kill_9_at_any_moment_with_carried_state(backend, tmp_path):
    pytest.importorskip(backend)
    sections = {**EVERYTHING, "training": {**EVERYTHING["training"], "epochs": 20}}
    chosen = experiment(tmp_path, LSTM, content=text(), **sections)
    config = tmp_path / "e.yaml"
    config.write_text(yaml.safe_dump(chosen.model_dump(mode="json")))
    prepare(chosen)
    finish(command(backend, config, tmp_path / "whole"))
    random = np.random.default_rng(0)
    for kill in range(2):
        process = command(backend, config, tmp_path / "killed")
        history, until = tmp_path / "killed" / "history.csv", time.monotonic() + 240
        while process.poll() is None and time.monotonic() < until:
            if history.exists() and len(history.read_text().splitlines()) > 2 + 8 * kill:
                break
            time.sleep(0.01)
        time.sleep(float(random.uniform(0, 0.2)))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    finish(command(backend, config, tmp_path / "killed"))
    assert_same(Run(tmp_path / "whole"), Run(tmp_path / "killed"))
