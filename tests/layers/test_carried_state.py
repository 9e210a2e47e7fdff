"""Carried state: it continues from call to call, row by row, and no file of weights knows of it."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.layers.carried_state import CarriedState
from tests.language_models import RECURRENT, network

ROWS = 4


def carrying(name, rows=ROWS, **task):
    model = network(name, **task)
    model.carry(rows + 1, rows)
    return model


def inputs(tokens, reset):
    return {
        "tokens": tokens,
        "targets": np.ones_like(tokens),
        "weights": np.ones(tokens.shape, "float32"),
        "reset": np.asarray(reset),
    }


def ids(length, rows=ROWS, seed=0):
    return np.random.default_rng(seed).integers(1, 40, (rows, length)).astype("int32")


@pytest.mark.parametrize("name", RECURRENT)
def test_windows_one_after_another_are_one_long_window(name):
    model, tokens = carrying(name), ids(15)
    at_once = ops.convert_to_numpy(model(inputs(tokens, [True] * ROWS), training=False))
    windows = [
        ops.convert_to_numpy(model(inputs(tokens[:, begin : begin + 5], [begin == 0] * ROWS), training=False))
        for begin in (0, 5, 10)
    ]
    np.testing.assert_allclose(np.concatenate(windows, axis=1), at_once, atol=1e-5)
    from_zero = ops.convert_to_numpy(model(inputs(tokens[:, 5:10], [True] * ROWS), training=False))
    assert np.abs(from_zero - windows[1]).max(axis=1).min() > 1e-3, "the state matters"


@pytest.mark.parametrize("name", RECURRENT)
def test_reset_clears_its_own_rows_only(name):
    model, tokens = carrying(name), ids(10)
    first, second = tokens[:, :5], tokens[:, 5:]

    def second_window(reset):
        model(inputs(first, [True] * ROWS), training=False)
        return ops.convert_to_numpy(model(inputs(second, reset), training=False))

    carried, cleared = second_window([False] * ROWS), second_window([True] * ROWS)
    some = second_window([True, False, False, True])
    np.testing.assert_array_equal(some[[0, 3]], cleared[[0, 3]])
    np.testing.assert_array_equal(some[[1, 2]], carried[[1, 2]])


def test_padding_carries_the_state_on():
    model, tokens = carrying("lstm"), ids(8)
    padded = np.where(np.arange(6) < 4, tokens[:, :6], 0).astype("int32")
    model(inputs(padded, [True] * ROWS), training=False)
    later = ops.convert_to_numpy(model(inputs(tokens[:, 4:], [False] * ROWS), training=False))
    at_once = ops.convert_to_numpy(model(inputs(tokens, [True] * ROWS), training=False))
    np.testing.assert_allclose(later, at_once[:, 4:], atol=1e-5)


def test_training_and_evaluation_have_a_state_each():
    model, tokens = carrying("gru"), ids(10)
    reset = [False] * ROWS
    expected = ops.convert_to_numpy(model(inputs(tokens, [True] * ROWS), training=False))[:, 5:]
    model(inputs(tokens[:, :5], [True] * ROWS), training=False)
    model(inputs(ids(5, rows=ROWS + 1), [True] * (ROWS + 1)), training=True)
    later = ops.convert_to_numpy(model(inputs(tokens[:, 5:], reset), training=False))
    np.testing.assert_allclose(later, expected, atol=1e-5)


def test_a_batch_of_other_rows_starts_from_zero_and_leaves_the_state_alone():
    model, tokens = carrying("gru"), ids(10)
    model(inputs(tokens[:, :5], [True] * ROWS), training=False)
    before = [ops.convert_to_numpy(v) for v in model.carried[0].variables]
    other_rows = ops.convert_to_numpy(model(inputs(tokens[:2], [False] * 2), training=False))
    fresh = ops.convert_to_numpy(network("gru")(inputs(tokens[:2], [True] * 2), training=False))
    np.testing.assert_allclose(other_rows, fresh, atol=1e-6)
    for value, old in zip(model.carried[0].variables, before):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), old)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_state_is_a_variable_but_no_weight(name, tmp_path):
    plain, model = network(name), carrying(name)
    states = [v for carried in model.carried for v in carried.variables]
    per_state = {"lstm": 4, "gru": 1}[name]
    assert len(states) == 2 * per_state
    assert {id(v) for v in states} <= {id(v) for v in model.variables}
    assert not {id(v) for v in states} & {id(v) for v in model.weights}
    assert not {id(v) for v in states} & {id(v) for v in model.trainable_variables}
    assert [w.shape for w in model.weights] == [w.shape for w in plain.weights]
    assert model.count_params() == plain.count_params()
    model(inputs(ids(5), [True] * ROWS), training=False)
    model.save_weights(tmp_path / "m.weights.h5")
    plain.save_weights(tmp_path / "plain.weights.h5")
    assert _arrays(tmp_path / "m.weights.h5") == _arrays(tmp_path / "plain.weights.h5")
    other = network(name, seed=9)
    other.load_weights(tmp_path / "m.weights.h5")
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    tokens = ids(6)
    for again in (other, loaded):
        np.testing.assert_array_equal(ops.convert_to_numpy(again(tokens)), ops.convert_to_numpy(model(tokens)))
        assert not any(carried.variables for carried in again.carried)


def _arrays(path):
    import h5py

    shapes = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: shapes.append((name, item.shape)) if hasattr(item, "shape") else None)
    assert shapes
    return sorted(shapes)


def test_any_tree_is_kept_and_an_empty_state_fits_nothing():
    carried = CarriedState()
    assert not carried.fits(None) and not carried.fits(2)
    carried.allocate({"a": ops.ones((2, 3)), "b": [ops.ones((2,)), ops.ones((2, 1, 4))]})
    assert carried.fits(2) and carried.fits(None) and not carried.fits(3)
    carried.write({"a": ops.ones((2, 3)), "b": [2 * ops.ones((2,)), ops.ones((2, 1, 4))]})
    state = carried.read(np.array([True, False]))
    assert sorted(state) == ["a", "b"] and ops.convert_to_numpy(state["b"][0]).tolist() == [0, 2]
    assert ops.convert_to_numpy(state["a"])[:, 0].tolist() == [0, 1]
    assert state["b"][1].shape == (2, 1, 4)
