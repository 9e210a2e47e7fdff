"""BART as a model of translation: the numbers of its authors' implementation, recorded by `record_bart`."""

import numpy as np
import pytest
from keras import ops

from nlp_suite.tasks.translation.search import TranslationSearch
from nlp_suite.text.text_layer import END, PAD
from tests.pretrained.bart import BEAMS, FIXTURE, LIMIT, our_ids, translation_model

pytestmark = pytest.mark.slow  # importing KerasHub takes seconds


@pytest.fixture(scope="module")
def model():
    made, copied = translation_model()
    assert copied == 1 + 2 * 3 + 2 * 16 + 3 * 26, "tokens, positions and norm of both halves, blocks"
    return made


@pytest.fixture(scope="module")
def recorded():
    arrays = dict(np.load(FIXTURE / "logits.npz"))
    for name in ("source", "target", "greedy", "searched"):
        arrays[name] = our_ids(arrays[name])
    logits = arrays["logits"].astype("float64")
    top = logits.max(-1, keepdims=True)
    arrays["log_probs"] = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return arrays


def without_start(source):
    """Sources as the text layer gives them: what the model puts before them is its own business."""
    return source[:, 1:]


def test_logits_are_those_of_the_authors(model, recorded):
    target = recorded["target"][:, 1:]  # END stands before START
    order = np.argsort(our_ids(np.arange(40)))
    found = ops.convert_to_numpy(model({"source": without_start(recorded["source"]), "target_in": target}))
    counted = target != PAD
    np.testing.assert_allclose(found[counted], recorded["log_probs"][:, 1:][..., order][counted], atol=1e-4)


def test_steps_are_the_whole(model, recorded):
    source, target = without_start(recorded["source"]), recorded["target"][:1, 1:]
    memory = model.encode(source[:1])
    state, whole = model.initial_state(1, memory, 7), model.forced(memory, target)
    expected = ops.convert_to_numpy(model.log_probs(whole[0]))[0]
    for place, token in enumerate(target[0]):
        log_probs, state, weights = model.step_with_attention(np.array([token], "int32"), state, memory)
        np.testing.assert_allclose(ops.convert_to_numpy(log_probs)[0], expected[place], atol=1e-5)
        np.testing.assert_allclose(
            ops.convert_to_numpy(weights)[0], ops.convert_to_numpy(whole[1])[0, place], atol=1e-5
        )
        assert ops.convert_to_numpy(weights).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("beams, name", [(1, "greedy"), (BEAMS, "searched")])
def test_what_is_written_is_what_the_authors_write(model, recorded, beams, name):
    source = without_start(recorded["source"])
    options = {"limit": LIMIT, "beam_size": beams, "n_best": 1, "no_repeat_ngram": 0, "use_coverage": False}
    counts = np.full(len(source), LIMIT)
    best = TranslationSearch([model]).beam(source, counts, np.zeros_like(counts), 0.0, 0.0, **options)
    for tokens, length, expected in zip(best["tokens"][:, 0], best["length"][:, 0], recorded[name]):
        expected = expected[expected != PAD]
        end = expected.tolist().index(END) + 1 if END in expected else len(expected)
        assert tokens[:length].tolist() == expected[:end].tolist()
