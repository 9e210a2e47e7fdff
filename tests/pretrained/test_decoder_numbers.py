"""The numbers of pretrained causal models are those of their authors' implementation, recorded by `record_decoders`."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.generate import generate
from nlp_suite.decoding.sampling import Options
from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.architecture import read_architecture
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.language_model.network import LanguageModel
from nlp_suite.training.distributions.model_parallel import cut_axis
from tests.backbones.backbone_checks import run_backbone_checks
from tests.pretrained.decoders import FAMILIES, FIXTURES, GENERATED, ORDER, PROMPTS, language_model, our_ids, recorded


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family):
    return language_model(FIXTURES / family)


def padded_prompts():
    lengths = np.array([len(prompt) for prompt in PROMPTS], "int32")
    rows = np.zeros((len(PROMPTS), lengths.max() + 2), "int32")
    for row, prompt in zip(rows, PROMPTS):
        row[: len(prompt)] = our_ids(prompt)
    return rows, lengths


def test_a_family_has_its_authors_log_probabilities(family, model):
    tokens, mask, log_probs, _ = recorded(family)
    ours = numpy(model(tokens))
    np.testing.assert_allclose(ours[..., 3:][mask], log_probs[..., ORDER[3:]][mask], atol=1e-4)
    assert (ours[..., :3] < -1e8).all()  # of what the model has no output for


def test_it_can_be_shared_out_by_devices(family, model):
    """By heads and hidden units: every matrix of a block is cut along the axis of these."""
    cut = {}
    for name, layer in model.backbone.modules().items():
        for weight in layer.weights:
            if len(weight.shape) > 1:
                cut[name.split()[-1]] = cut_axis(weight.path, weight.shape, 2)
    axes = {"query": 1, "key": 1, "value": 1, "output": 0, "gate": 1, "expand": 1, "contract": 0}
    assert {name: axes[name] for name in cut if name in axes} == {name: cut[name] for name in cut if name in axes}
    assert cut["tokens"] == len(ORDER) % 2 and len(cut) >= 7  # an odd number of rows is cut by columns


def test_it_writes_what_its_authors_implementation_writes(family, model):
    prompts, lengths = padded_prompts()
    *_, written = recorded(family)
    calls = []

    def read(state, prompt, length):
        calls.append(prompt.shape)
        return model.read_prompt(state, prompt, length)

    options = {"limit": GENERATED, "end_token": 3, "stop_at_end": False, "forbidden": (3,), "read": read}
    counts, greedy = np.full(3, GENERATED), Options.broadcast(3, temperature=0.0)
    answer = generate(model.logits_step, model.initial_state(3), prompts, lengths, counts, greedy, **options)
    np.testing.assert_array_equal(numpy(answer["tokens"]), written)
    best = beam_search(model.step, model.initial_state(3), prompts, lengths, counts, beam_size=1, **options)
    np.testing.assert_array_equal(numpy(best["tokens"])[:, 0], written)
    assert len(calls) == 2


def test_a_prompt_that_is_read_at_once_leaves_the_state_of_its_steps(model):
    prompts, lengths = padded_prompts()
    state, last = model.read_prompt(model.initial_state(3), prompts, lengths)
    at_once, _ = model.step(last, state)
    for row, prompt in enumerate(PROMPTS):
        alone = model.initial_state(1)
        for token in our_ids(prompt):
            by_step, alone = model.step(np.array([token]), alone)
        np.testing.assert_allclose(numpy(at_once)[row], numpy(by_step)[0], atol=2e-5)


def test_a_cache_of_fixed_length_gives_the_same(family, model):
    from nlp_suite.layers.loop_shapes import fixed_shapes

    prompts, lengths = padded_prompts()
    with fixed_shapes():
        state, last = model.read_prompt(model.initial_state(3, length=20), prompts, lengths)
        fixed, after = model.step(last, state)
        assert after["blocks"][0]["key"].shape[2] == 20
        again, _ = model.step(np.full(3, 9), after)
    state, last = model.read_prompt(model.initial_state(3), prompts, lengths)
    grown, after = model.step(last, state)
    np.testing.assert_allclose(numpy(fixed), numpy(grown), atol=2e-5)
    np.testing.assert_allclose(numpy(again), numpy(model.step(np.full(3, 9), after)[0]), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_recorded_numbers_are_those_of_transformers(name):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.pretrained.record_decoders import continued, logits_of

    arrays = np.load(FIXTURES / name / "logits.npz")
    model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / name, attn_implementation="eager").eval()
    mask = np.arange(arrays["ids"].shape[1]) < arrays["lengths"][:, None]
    logits = logits_of(model, arrays["ids"], mask.astype("int64"))
    np.testing.assert_allclose(logits[mask], arrays["logits"][mask], atol=1e-4)
    np.testing.assert_array_equal(continued(model, PROMPTS[1]), arrays["written"][1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_preset_keeps_the_contract_of_a_backbone(name):
    config = json.loads((FIXTURES / name / "config.json").read_text())
    narrow = {"n_embd": 8, "attn_pdrop": 0.2} if name == "gpt2" else {"hidden_size": 8, "attention_dropout": 0.2}
    run_backbone_checks("preset", architecture={**config, **narrow})


def test_an_output_of_its_own_is_for_language_models_only():
    config = json.loads((FIXTURES / "llama" / "config.json").read_text())
    backbone = BACKBONES.get("preset")(len(ORDER), config)
    backbone.build((None, None))
    assert "head" not in backbone.modules()
    model = LanguageModel(BACKBONES.get("preset")(len(ORDER), config))
    model.build((None, None))
    assert "head" in model.backbone.modules()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    again.build((None, None))
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    assert model.softmax.bias.path not in {v.path for v in model.trainable_variables}


def test_equal_networks_have_equal_settings_however_they_are_written():
    config = json.loads((FIXTURES / "llama" / "config.json").read_text())
    for key in ("head_dim", "num_key_value_heads", "rope_scaling", "rope_parameters"):
        config.pop(key, None)
    heads = config["num_attention_heads"]
    spelled = {"head_dim": config["hidden_size"] // heads, "num_key_value_heads": heads}
    plain = read_architecture(config, "a")
    for other in (spelled, {"rope_scaling": {"type": "default"}}, {"rope_parameters": {"rope_type": "default"}}):
        assert read_architecture({**config, **other}, "b") == plain
    scaled = [
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"type": "linear", "factor": 2.0}},
    ]
    scaled.append({"rope_parameters": None, **scaled[0]})
    for other in scaled:
        halved = read_architecture({**config, **other}, "c").rotary_frequencies
        assert halved == [frequency / 2 for frequency in plain.rotary_frequencies]
    factors = {"factor": 2.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0}
    with pytest.raises(ConfigError, match="high_freq_factor must be above low_freq_factor"):
        read_architecture({**config, "rope_scaling": {"rope_type": "llama3", **factors}}, "d")


def test_frozen_groups_are_counted_from_the_bottom():
    backbone = language_model(FIXTURES / "gpt2", freeze=2).backbone
    assert [len(group) for group in backbone.layer_groups()] == [0, 0, 16 + 2]
    assert len(backbone.frozen_weights()) == 2 + 16
