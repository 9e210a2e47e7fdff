"""Translation that starts from a pretrained encoder-decoder: as it is, trained on, stopped, exported."""

import json

import numpy as np
import pytest
from keras import ops
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError
from nlp_suite.export.load import load
from nlp_suite.export.run_export import run_export
from nlp_suite.registry import TASKS
from nlp_suite.training.checks import check_training
from nlp_suite.training.train import train
from tests.pretrained.bart import write_bart

QUIET = Console(quiet=True)
LINES = [("the film was good", "der Film war gut"), ("a bad plot", "ein Plot"), ("good", "gut")] * 4
SOURCES = ["the film was good", "", "a plot", "12 films, and a bad one"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bart(tmp_path_factory.mktemp("model") / "bart")


def chosen(folder, place, *overrides, **training):
    place.mkdir(parents=True, exist_ok=True)
    for side, number in (("en", 0), ("de", 1)):
        (place / f"text.{side}").write_text("".join(f"{pair[number]}\n" for pair in LINES))
    pair = {"source": str(place / "text.en"), "target": str(place / "text.de")}
    values = {
        "task": {"name": "translation", "decoder": "preset", "tie_embeddings": "all", "max_tokens": 40, "beam_size": 2, "shown_sentences": 0},
        "data": {"source": {"name": "parallel", **dict.fromkeys(("train", "validation", "test"), pair)}, "cache": str(place / "cache")},
        "text": {"tokenizer": "preset", "add_start": False, "max_length": 48},
        "backbone": {"name": "preset", "init_from": str(folder)},
        "training": {"epochs": 0, "batch_size": 4, "buckets": 2, "tensorboard": False, **training},
    }  # fmt: skip
    return load_experiment(values, overrides)


@pytest.mark.slow
def test_it_is_trained_from_the_weights_of_both_halves_and_exported(folder, tmp_path):
    from safetensors.numpy import load_file

    rate = 1e-4
    run = train(chosen(folder, tmp_path, epochs=1, learning_rate=rate), tmp_path / "run", console=QUIET)
    steps = run.info["best"]["round"] * 3
    model, ids, theirs = run.model(), run.text.tokenizer.model_ids, load_file(folder / "model.safetensors")
    table = ops.convert_to_numpy(model.backbone.embedding.embeddings)
    kernels = [theirs[f"model.decoder.layers.0.encoder_attn.{name}_proj.weight"].T for name in ("k", "v")]
    for ours, before in (
        (table, theirs["model.shared.weight"][ids]),
        (ops.convert_to_numpy(model.decoder.blocks[0].cross.fused.kernel), np.concatenate(kernels, axis=1)),
    ):
        assert 0 < np.abs(ours - before).max() < 1.1 * rate * steps, "no further from the beginning than its steps lead"

    exported = run_export(run.directory, tmp_path / "saved")  # which proves that it answers as the run does
    assert 0 < exported.report["self_check"]["largest_difference"] < 1e-4
    answers = load(exported.path).translate(SOURCES)
    assert answers[1]["translation"] == "" and any(answer["translation"] for answer in answers)


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["task.tie_embeddings=target"], r"one table for source, target and output: set task.tie_embeddings: all"),
        (["text.add_start=true"], r"as a pretrained model has it; translation reads a sentence and its end: set text.add_start: false"),
        (["text.max_length=64"], r"need 65 positions with the token before them, and the model has 64"),
        (["backbone={name: gru}", "text.tokenizer=word"], r"task.decoder: preset is that of a pretrained model which has one"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_the_training(folder, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_training(chosen(folder, tmp_path, *overrides), tmp_path / "run")


def test_a_run_is_no_origin_of_a_decoder(folder, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("run.json", "config.yaml"):
        (tmp_path / "run" / name).write_text("{}")
    whole = chosen(folder, tmp_path)
    backbone = whole.backbone.model_copy(update={"init_from": str(tmp_path / "run")})
    with pytest.raises(
        ConfigError, match=r"not the decoder: give it as training.init_from, or the folder of a pretrained"
    ):
        TASKS.get("translation")(**whole.task.arguments()).check(whole.model_copy(update={"backbone": backbone}))


def test_half_a_model_and_other_models_are_named(folder, tmp_path):
    import shutil

    half = shutil.copytree(folder, tmp_path / "half")
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps({**config, "decoder_layers": 4}))
    with pytest.raises(ConfigError, match=r"26 of .* weights of a bart model are missing: decoder.layers.3"):
        check_training(chosen(half, tmp_path), tmp_path / "run")
    (half / "config.json").write_text(json.dumps({**config, "scale_embedding": True}))
    with pytest.raises(ConfigError, match=r"scale_embedding is True, which the network of bart here does not have"):
        check_training(chosen(half, tmp_path), tmp_path / "run")
    (half / "config.json").write_text(json.dumps({**config, "model_type": "mbart"}))
    with pytest.raises(
        ConfigError, match=r"mbart is an encoder with a decoder of its own, of which only bart is known"
    ):
        check_training(chosen(half, tmp_path), tmp_path / "run")
