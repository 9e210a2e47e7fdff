"""Training of translation: resumed = uninterrupted with all that is drawn at random, start from a run, own vocabularies."""

import io
import json
import math
import random
import time

import keras
import numpy as np
import pytest
import yaml
from rich.console import Console
from sacrebleu.metrics import BLEU, CHRF
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

import nlp_suite
from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError, TrainingError
from nlp_suite.training import state as state_module
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests.backend_processes import run_on
from tests.training.test_train import Killed, stop_after

QUIET = Console(quiet=True)
NETWORKS = {
    "recurrent": (
        {"name": "gru", "units": 6, "bidirectional": True, "dropout": 0.2},
        {"name": "gru", "units": 8, "dropout": 0.2, "embedding_dropout": 0.1, "context_dropout": 0.1},
    ),
    "transformer": (
        {"name": "transformer", "heads": 2, "feed_forward": 12, "layers": 1, "dropout": 0.1},
        {"name": "transformer", "heads": 2, "feed_forward": 12, "layers": 1, "dropout": 0.1, "attention_dropout": 0.1},
    ),
}
EVERYTHING = {  # all that has a state of its own
    "task": {
        "dropout": 0.2,
        "label_smoothing": 0.1,
        "scheduled_sampling": "linear",
        "sampling_share": 0.5,
        "sampling_steps": 20,
    },
    "training": {"average_checkpoints": 2, "clip_norm": 1.0, "schedule": "cosine", "save_every": 4, "epochs": 2},
}


def small(folder, network="recurrent", **sections):
    """An experiment on sample pairs that trains in seconds; keyword arguments are sections."""
    backbone, decoder = NETWORKS[network]
    values = {
        "task": {"name": "translation", "decoder": decoder, "shown_sentences": 0, "beam_size": 2, "max_tokens": 30},
        "data": {"source": {"name": "sample", "size": 160, "test": 20}, "cache": str(folder / "cache")},
        "text": {"tokenizer": {"name": "word", "min_count": 1}, "max_length": 30},
        "backbone": {"embedding_size": 8, **backbone},
        "training": {
            "epochs": 1,
            "batch_tokens": 300,
            "buckets": 3,
            "learning_rate": 0.01,
            "tensorboard": False,
        },
    }
    for section, settings in sections.items():
        values[section] = {**values.get(section, {}), **settings}
    return load_experiment(values)


def weights(run, checkpoint):
    return [keras.ops.convert_to_numpy(w) for w in run.model(checkpoint).weights]


def without_seconds(run):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]


@pytest.fixture(scope="module", params=["recurrent", pytest.param("transformer", marks=pytest.mark.slow)])
def whole(request, tmp_path_factory):
    """A run with all that has a state of its own, trained without a stop."""
    folder = tmp_path_factory.mktemp("whole")
    return train(small(folder, request.param, **EVERYTHING), folder / "run", console=QUIET)


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_weights(whole, tmp_path, monkeypatch):
    assert len(whole.history) >= 3 and whole.history[-1]["step"] == 4 * len(whole.history)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Killed):
            train(whole.experiment, tmp_path / "stopped", console=QUIET)
    resumed = train(whole.experiment, tmp_path / "stopped", console=QUIET)
    for checkpoint in ("last", "best", "average"):
        pairs = zip(weights(whole, checkpoint), weights(resumed, checkpoint), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), checkpoint
    assert without_seconds(resumed) == without_seconds(whole)
    assert resumed.info["best"] == whole.info["best"]


def test_the_history_is_of_tokens_without_smoothing(whole):
    for row in whole.history:
        assert row["val_perplexity"] == pytest.approx(math.exp(row["val_loss"]), rel=1e-4)
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]), rel=1e-4)
    assert whole.history[-1]["val_loss"] < whole.history[0]["val_loss"] < math.log(whole.text.vocabulary_size)


def test_a_finished_run_is_evaluated_and_its_tokens_are_counted_once(whole):
    report = evaluate(whole, "validation")
    lengths = whole.stores()["validation"].lengths
    assert report["tokens"] == int(lengths[:, 1].sum())
    assert 0 <= report["bleu"]["score"] <= 100 and report["search"]["checkpoint"] == "average"
    store, train_store = whole.stores()["validation"], whole.stores()["train"]
    sources, references = ([side.text(i) for i in range(len(store))] for side in (store.source, store.target))
    copied, similar = report["baseline"]["copy"], report["baseline"]["nearest"]
    assert copied["bleu"]["score"] == pytest.approx(BLEU(force=True).corpus_score(sources, [references]).score)
    assert copied["chrf"]["score"] == pytest.approx(CHRF(word_order=2).corpus_score(sources, [references]).score)
    known = [train_store.source.text(i) for i in range(len(train_store))]
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").fit(known)
    neighbours = NearestNeighbors(n_neighbors=1, metric="cosine").fit(vectorizer.transform(known))
    rows = neighbours.kneighbors(vectorizer.transform(sources), return_distance=False)[:, 0]
    translations = [train_store.target.text(int(i)) for i in rows]
    assert similar["bleu"]["score"] == pytest.approx(
        BLEU(force=True).corpus_score(translations, [references]).score, abs=1
    )
    assert similar["lead"]["BLEU"]["value"] == pytest.approx(
        report["bleu"]["score"] - similar["bleu"]["score"], abs=1e-6
    )


def test_training_starts_from_a_run(whole, tmp_path):
    chosen = whole.experiment.model_dump(mode="json")
    chosen["training"] |= {"init_from": str(whole.directory), "learning_rate": 1e-9, "epochs": 1, "save_every": None}
    other = {**chosen, "task": {**chosen["task"], "tie_embeddings": "none"}}
    with pytest.raises(ConfigError, match=r"training.init_from: [^\n]*\n[^\n]*\n?.*task.tie_embeddings"):
        train(load_experiment(other), tmp_path / "refused", console=QUIET)
    run = train(load_experiment(chosen), tmp_path / "run", console=QUIET)
    for one, another in zip(weights(run, "last"), weights(whole, "average"), strict=True):
        if one.dtype.kind == "f":  # not the states of random generators
            np.testing.assert_allclose(one, another, atol=1e-5)
    assert run.text.fingerprint == whole.text.fingerprint


def test_nan_is_named_and_the_last_good_checkpoint_stays(tmp_path, monkeypatch):
    save = state_module.TrainingState.on_epoch_end

    def save_and_spoil(self, epoch, logs=None):
        save(self, epoch, logs)
        weight = self.model.trainable_variables[0]
        weight.assign(weight * float("nan"))

    monkeypatch.setattr(state_module.TrainingState, "on_epoch_end", save_and_spoil)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 4, with learning rate 0.01; the checkpoints"):
        train(small(tmp_path, training={"epochs": 3, "save_every": 3}), tmp_path / "run", console=QUIET)
    run = Run(tmp_path / "run")
    for checkpoint in ("last", "best"):
        assert all(np.isfinite(w).all() for w in weights(run, checkpoint))
    assert len(run.history) == 1 and run.info["state"] == "running"


@pytest.mark.slow
def test_an_own_vocabulary_of_the_target_trains_reopens_and_translates(tmp_path):
    out = io.StringIO()
    sections = {"target_text": {}, "task": {"max_tokens": 9, "max_ratio": 1.5}}
    train(small(tmp_path, **sections), tmp_path / "run", console=Console(file=out, width=400))
    run = Run(tmp_path / "run")
    assert run.target_text is not run.text and run.target_text.fingerprint != run.text.fingerprint
    model = run.model()
    assert model.backbone.vocabulary_size == run.text.vocabulary_size
    assert model.vocabulary_size == run.target_text.vocabulary_size != run.text.vocabulary_size
    sources = [run.stores()["test"].source.text(row) for row in range(3)]
    answers = nlp_suite.load(run.directory).translate(sources)
    allowed = set(run.target_text.id_to_token(range(run.target_text.vocabulary_size)))
    assert all(0 < answer["length"] <= 9 and set(answer["tokens"]) <= allowed for answer in answers)
    lengths = run.stores()["train"].full_lengths
    longest, shortest = lengths.max(axis=1), lengths.min(axis=1)
    kept = int(((longest <= 9) & (longest <= 1.5 * shortest)).sum())
    (line,) = [line for line in out.getvalue().splitlines() if "batch shapes" in line]
    assert f"{kept:,} of {len(lengths):,} pairs, left out: " in line and 0 < kept < len(lengths)
    assert f"{int((lengths[:, 0] > 9).sum()):,} source too long" in line and "padding" in line


DIGITS = {
    "recurrent": {
        "task": {"decoder": {"name": "gru", "units": 96, "attention": "bahdanau"}},
        "backbone": {"name": "gru", "embedding_size": 48, "units": 48, "bidirectional": True},
        "training": {"learning_rate": 0.004, "epochs": 4},
    },
    "transformer": {
        "task": {
            "decoder": {"name": "transformer", "heads": 4, "feed_forward": 128, "layers": 2, "dropout": 0.0},
            "tie_embeddings": "all",
        },
        "backbone": {
            "name": "transformer",
            "embedding_size": 64,
            "heads": 4,
            "feed_forward": 128,
            "layers": 2,
            "dropout": 0.0,
        },
        "training": {"learning_rate": 0.002, "epochs": 6},
    },
}


def write_digits(folder, order):
    """Sequences of 1 to 10 digits and what becomes of them, each once and in one split only."""
    draw, seen = random.Random(0), set()
    for split, count in (("test", 300), ("validation", 200), ("train", 20_000)):
        rows = []
        while len(rows) < count:
            digits = tuple(draw.choices("0123456789", k=draw.randint(1, 10)))
            if digits not in seen:  # short ones run out
                seen.add(digits)
                rows.append(digits)
        for side, change in (("source", tuple), ("target", order)):
            lines = "".join(" ".join(change(row)) + "\n" for row in rows)
            (folder / f"{split}.{side}").write_text(lines, "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("network, order", [("recurrent", tuple), ("transformer", sorted)], ids=["copy", "sort"])
def test_digits_are_copied_and_sorted(network, order, tmp_path):
    write_digits(tmp_path, order)
    splits = ("train", "validation", "test")
    files = {split: {side: str(tmp_path / f"{split}.{side}") for side in ("source", "target")} for split in splits}
    sizes = DIGITS[network]
    begun = time.monotonic()
    chosen = load_experiment(
        {
            "task": {"name": "translation", "max_tokens": 16, "shown_sentences": 0, **sizes["task"]},
            "data": {"source": {"name": "parallel", **files}, "cache": str(tmp_path / "cache")},
            "text": {"tokenizer": {"name": "word", "min_count": 1}, "max_length": 16},
            "backbone": sizes["backbone"],
            "training": {
                "batch_tokens": 1024,
                "buckets": 3,
                "clip_norm": 1.0,
                "tensorboard": False,
                **sizes["training"],
            },
        }
    )
    report = evaluate(train(chosen, tmp_path / "run", console=QUIET))
    print(f"{network}: BLEU {report['bleu']['score']:.2f} after {time.monotonic() - begun:.0f} s")
    assert report["bleu"]["score"] >= 98


def command(backend, *arguments):
    return run_on(backend, "-m", "nlp_suite", *map(str, arguments))


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_train_and_tensorflow_translates_alike(backend, network, tmp_path):
    pytest.importorskip(backend)
    chosen = small(tmp_path, network, task=EVERYTHING["task"], training={"monitor": "val_bleu"})
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(chosen.model_dump(mode="json")))
    command(backend, "train", tmp_path / "e.yaml", "--run-dir", tmp_path / "run")
    assert Run(tmp_path / "run").info["backend"] == backend
    texts = ["the old man sees the dog .", "", "the cat sleeps"]
    answers = [
        [
            json.loads(line)
            for line in command(b, "translate", tmp_path / "run", *texts, "--format", "jsonl").splitlines()
        ]
        for b in (backend, "tensorflow")
    ]
    for one, other in zip(*answers, strict=True):
        assert one["translation"] == other["translation"]
        assert one["log_prob"] == pytest.approx(other["log_prob"], abs=1e-3)
