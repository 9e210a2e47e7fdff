"""Pretrained encoders have their authors' numbers; what a folder lacks or cannot be computed is named."""

import json
import shutil

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.architecture import architecture_of, read_architecture
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.pretrained.weights import find_weights
from nlp_suite.registry import MODEL_FAMILIES
from nlp_suite.task import Assets
from nlp_suite.training.run import make_task
from tests.pretrained import decoders
from tests.pretrained.encoders import FAMILIES, FIXTURES


def config_of(family, **changes):
    return {**json.loads((FIXTURES / family / "config.json").read_text()), **changes}


@pytest.fixture
def folder(tmp_path):
    """A copy of a small BERT, to be spoilt."""
    return shutil.copytree(FIXTURES / "bert", tmp_path / "bert")


def change_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_every_family_is_recorded():
    names = (*FAMILIES, *decoders.FAMILIES, "bart")  # of which test_bart_numbers.py is
    assert sorted(name.replace("-", "_") for name in names) == MODEL_FAMILIES.names()


@pytest.mark.parametrize("family", FAMILIES)
def test_all_weights_of_a_family_are_found_and_read_back_from_what_it_says(family):
    folder = open_folder(str(FIXTURES / family))
    encoder = architecture_of(folder)
    tensors = folder.tensors()
    names = find_weights(encoder, tensors.shapes(), family)
    left = {name for name in tensors if name not in names.values()}
    assert all("pooler" in name for name in left), "weights that the network does not have"
    assert read_architecture(encoder.model_dump(mode="json"), family) == encoder


def test_a_config_is_resolved_with_the_architecture_and_needs_the_folder_no_longer(folder):
    values = {
        "backbone": {"name": "preset", "init_from": str(folder)},
        "text": {"tokenizer": "word", "max_length": 12},
    }
    experiment = load_experiment(values)
    backbone = experiment.backbone
    assert backbone.architecture["hidden_size"] == 16 and backbone.architecture["layer_norm_eps"] == 0.01
    assert (backbone.embedding_size, backbone.output_size, backbone.max_tokens) == (16, 16, 12)
    shutil.rmtree(folder)
    assert load_experiment(experiment.model_dump(mode="json")) == experiment
    with pytest.raises(
        ConfigError, match=r"text.max_length 13: backbone preset has positions for 12 tokens; allowed: 2 to 12"
    ):
        load_experiment({**values, "backbone": backbone.model_dump(), "text": {"max_length": 13}})


@pytest.mark.parametrize(
    "backbone, message",
    [
        ({}, "needs init_from, where the pretrained model is, or architecture"),
        ({"freeze": 4}, r"freeze 4: the model has 3 groups of layers; allowed: 0 to 3, or all"),
        ({"embedding_size": 8}, r"embedding_size 8 is not that of the model; leave it out, or give 16"),
        ({"init_from": "no/such/folder"}, r"there is no folder 'no/such/folder': give a folder in Hugging Face's layout"),
        ({"architecture": {"model_type": "t5"}}, r"t5 is an encoder with a decoder of its own, of which only bart .* one of albert, bart, bert"),
        ({"architecture": {"model_type": "gpt_neox"}}, r"unknown model_type 'gpt_neox'.* \(allowed: albert, bart, bert, dist"),
        ({"architecture": {"model_type": "bert", "hidden_size": 16}}, r"vocab_size: Field required"),
        ({"architecture": config_of("bert", num_attention_heads=3)}, r"3 attention heads do not divide 16 features"),
        ({"architecture": config_of("bert", hidden_act="mish")}, r"the activation 'mish' is not computed here \(allowed: g"),
        ({"architecture": config_of("bert", is_decoder=True)}, r"is_decoder is True, which the network of bert here does not"),
        ({"architecture": config_of("bert", position_embedding_type="relative_key")}, r"allowed: 'absolute'"),
        ({"architecture": config_of("albert", num_hidden_groups=3)}, r"num_hidden_groups 3 does not divide num_hidden_lay"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_the_config_is_read(backbone, message):
    given = {"init_from": str(FIXTURES / "bert")} if backbone and "architecture" not in backbone else {}
    with pytest.raises(ConfigError, match=message):
        load_experiment({"backbone": {"name": "preset", **given, **backbone}, "text": {"max_length": 12}})


def test_weights_that_are_missing_or_of_another_shape_are_named(folder):
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    half = {name: array for name, array in weights.items() if "layer.1." not in name}
    save_file(half, folder / "model.safetensors")
    opened = open_folder(str(folder))
    encoder, tensors = architecture_of(opened), opened.tensors()
    with pytest.raises(
        ConfigError, match=r"bert: 16 of 37 weights of a bert model are missing: encoder.layer.1.attention"
    ):
        find_weights(encoder, tensors.shapes(), str(folder))
    save_file(weights, folder / "model.safetensors")
    change_config(folder, intermediate_size=32)
    opened = open_folder(str(folder))
    with pytest.raises(
        ConfigError, match=r"other shapes than config.json says: encoder.layer.0.intermediate.dense.weight has"
    ):
        find_weights(architecture_of(opened), opened.tensors().shapes(), str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_writes_pairs_in_another_way_is_refused_for_pairs(family):
    text = {"max_length": 12}
    experiment = load_experiment({"backbone": {"name": "preset", "init_from": str(FIXTURES / family)}, "text": text})
    assets = Assets(labels=("a", "b"), facts={"text_pairs": True})
    if "roberta" not in family:
        assert experiment.backbone.reads_pairs
        return
    with pytest.raises(ConfigError, match=r"reads pairs of texts in another form than START text END text_b END"):
        make_task(experiment).model(experiment.backbone, assets)


def test_names_with_a_prefix_and_those_of_old_are_found():
    encoder = architecture_of(open_folder(str(FIXTURES / "bert")))
    shapes = open_folder(str(FIXTURES / "bert")).tensors().shapes()
    old = {"bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma"): shape for name, shape in shapes.items()}
    found = find_weights(encoder, old, "it")
    assert found["norm", "weight"] == "bert.embeddings.LayerNorm.gamma" and len(found) == 37


def test_keras_hubs_fields_are_those_of_its_classes(tmp_path):
    sizes = {"vocabulary_size": 40, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 24}
    config = {"class_name": "RobertaBackbone", "config": {**sizes, "max_sequence_length": 12, "dropout": 0.2}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    encoder = architecture_of(open_folder(str(tmp_path)))
    assert (encoder.model_type, encoder.positions, encoder.epsilon, encoder.dropout_rates) == (
        "roberta",
        12,
        1e-5,
        (0.2, 0.2),
    )
    config["config"].pop("num_heads")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"config.json: num_heads is missing"):
        architecture_of(open_folder(str(tmp_path)))
