"""The features of pretrained encoders are those of their authors' implementation, recorded by `record_encoders`."""

import json

import keras
import numpy as np
import pytest

from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.registry import BACKBONES
from nlp_suite.training.distributions.model_parallel import cut_axis
from tests.backbones.backbone_checks import check_dropout, check_files, check_graph, run_backbone_checks
from tests.pretrained.encoders import FAMILIES, FIXTURES, MINILM, REVIEW_IDS, backbone_of, our_ids

pytestmark = pytest.mark.slow  # importing KerasHub takes seconds


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def recorded(family):
    arrays = np.load(FIXTURES / family / "features.npz")
    return arrays["order"], arrays["ids"], arrays["features"]


def assert_equal_features(backbone, tokens, features):
    counted = tokens != 0
    np.testing.assert_allclose(numpy(backbone(tokens))[counted], features[counted], atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_its_authors_numbers(family):
    order, ids, features = recorded(family)
    backbone = backbone_of(FIXTURES / family, order)
    assert_equal_features(backbone, our_ids(order, ids), features)
    axes = {"query": 1, "key": 1, "value": 1, "output": 0, "expand": 1, "contract": 0, "tokens": 0}
    for name, layer in backbone.modules().items():  # by which devices can share it
        if (axis := axes.get(name.split()[-1])) is not None:
            kernel = layer.weights[0]
            assert cut_axis(kernel.path, kernel.shape, 2) == axis, kernel.path


def test_minilm_has_its_authors_numbers():
    try:
        open_folder(MINILM)
    except ConfigError as error:
        pytest.skip(str(error))
    order = [0, 100, 101, 102, *(i for i in range(30522) if i not in (0, 100, 101, 102))]
    backbone = backbone_of(MINILM, order)
    features = np.load(FIXTURES / "minilm.npz")["features"]
    assert_equal_features(backbone, our_ids(order, REVIEW_IDS), features)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_recorded_numbers_are_those_of_transformers(family):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    _, ids, features = recorded(family)
    model = transformers.AutoModel.from_pretrained(FIXTURES / family, attn_implementation="eager").eval()
    mask = ids != model.config.pad_token_id
    segments = np.zeros_like(ids)
    if getattr(model.config, "type_vocab_size", 0) == 2:
        segments[0, 5:] = 1
    more = {"token_type_ids": torch.tensor(segments)} if family != "distilbert" else {}
    with torch.no_grad():
        computed = model(torch.tensor(ids), attention_mask=torch.tensor(mask), **more).last_hidden_state.numpy()
    np.testing.assert_allclose(computed[mask], features[mask], atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_preset_keeps_the_contract_of_a_backbone(family):
    config = json.loads((FIXTURES / family / "config.json").read_text())
    narrow = {"hidden_size": 8} if family == "bert" else {"num_hidden_layers": 2, "inner_group_num": 1}
    architecture = {**config, **narrow, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.2}
    without = () if family == "bert" else (check_files, check_graph, check_dropout)  # slow, and alike for all families
    run_backbone_checks("preset", without, architecture=architecture)


def test_keras_hubs_layout_gives_keras_hubs_numbers(tmp_path):
    import keras_hub

    keras.utils.set_random_seed(2)
    theirs = keras_hub.models.BertBackbone(40, 2, 2, 16, 24, max_sequence_length=12)
    for weight in theirs.weights:
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.3))
    theirs.save_to_preset(str(tmp_path / "preset"))
    tokens = np.array([[5, 7, 9, 11, 0], [6, 8, 0, 0, 0]], "int32")
    inputs = {"token_ids": tokens, "segment_ids": np.zeros_like(tokens), "padding_mask": tokens != 0}
    assert_equal_features(backbone_of(tmp_path / "preset", range(40)), tokens, numpy(theirs(inputs)["sequence_output"]))
    (tmp_path / "preset" / "model.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match=r"preset: KerasHub cannot open it"):
        backbone_of(tmp_path / "preset", range(40))


def test_frozen_groups_are_not_trained_and_have_no_dropout():
    order, ids, _ = recorded("bert")
    tokens = our_ids(order, ids)
    whole = backbone_of(FIXTURES / "bert", order, freeze="all", dropout=0.5)
    assert not whole.trainable_variables and len(whole.frozen_weights()) == len(whole.weights)
    np.testing.assert_array_equal(numpy(whole(tokens, training=True)), numpy(whole(tokens)))
    half = backbone_of(FIXTURES / "bert", order, freeze=2, dropout=0.5)
    assert [len(group) for group in half.layer_groups()] == [0, 0, 16]
    assert len(half.frozen_weights()) == 5 + 16
    assert np.abs(numpy(half(tokens, training=True)) - numpy(half(tokens))).max() > 0.01


def test_the_model_need_not_have_all_of_our_ids():
    order, ids, features = recorded("bert")
    longer = [*order, -1]
    backbone = backbone_of(FIXTURES / "bert", longer)
    assert not numpy(backbone.embedding.embeddings)[-1].any()
    assert_equal_features(backbone, our_ids(order, ids), features)


def test_albert_projects_embeddings_that_are_as_wide_as_its_blocks():
    config = json.loads((FIXTURES / "albert" / "config.json").read_text())
    backbone = BACKBONES.get("preset")(40, {**config, "embedding_size": config["hidden_size"]})
    backbone.build((None, None))
    assert "projection" in backbone.modules()
