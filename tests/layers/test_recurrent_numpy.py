"""The recurrent layers against cells written in NumPy from the equations, forward and backward, in float64."""

import numpy as np
import pytest

from nlp_suite.layers.gru import GRU
from nlp_suite.layers.lstm import LSTM
from nlp_suite.layers.simple_rnn import SimpleRNN
from tests.layers.recurrent_gradients import output_weights, values_and_gradients

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
MASK = np.array([[1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]], bool)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class NumpyRNN:
    """h' = tanh(x W + h R + b)"""

    def __init__(self, kernel, recurrent, bias):
        self.weights = [kernel, recurrent, bias]

    def forward(self, x, states):
        kernel, recurrent, bias = self.weights
        h = np.tanh(x @ kernel + states[0] @ recurrent + bias)
        return [h], (x, states[0], h)

    def backward(self, d_states, saved):
        """Gradients of x, the previous states and the weights."""
        kernel, recurrent, _ = self.weights
        x, h, new = saved
        d = d_states[0] * (1 - new**2)
        return d @ kernel.T, [d @ recurrent.T], [x.T @ d, h.T @ d, d.sum(0)]


class NumpyLSTM:
    """i, f, o = s(x W + h R + b), g = tanh(x W + h R + b), c' = f c + i g, h' = o tanh(c'); columns i, f, g, o"""

    def __init__(self, kernel, recurrent, bias):
        self.weights = [kernel, recurrent, bias]

    def forward(self, x, states):
        kernel, recurrent, bias = self.weights
        h, c = states
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new = f * c + i * g
        return [o * np.tanh(new), new], (x, h, c, i, f, g, o, new)

    def backward(self, d_states, saved):
        kernel, recurrent, _ = self.weights
        x, h, c, i, f, g, o, new = saved
        dh, dc = d_states
        dc = dc + dh * o * (1 - np.tanh(new) ** 2)
        d = [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * np.tanh(new) * o * (1 - o)]
        d = np.concatenate(d, axis=-1)
        return d @ kernel.T, [d @ recurrent.T, dc * f], [x.T @ d, h.T @ d, d.sum(0)]


class NumpyGRU:
    """z, r = s(x W + b + h R + b'), n = tanh(x W + b + r (h R + b')), h' = z h + (1 - z) n; columns z, r, n"""

    def __init__(self, kernel, recurrent, bias):
        self.weights = [kernel, recurrent, bias]

    def forward(self, x, states):
        kernel, recurrent, bias = self.weights
        h = states[0]
        x_z, x_r, x_n = np.split(x @ kernel + bias[0], 3, axis=-1)
        h_z, h_r, h_n = np.split(h @ recurrent + bias[1], 3, axis=-1)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        n = np.tanh(x_n + r * h_n)
        return [z * h + (1 - z) * n], (x, h, z, r, n, h_n)

    def backward(self, d_states, saved):
        kernel, recurrent, _ = self.weights
        x, h, z, r, n, h_n = saved
        dh = d_states[0]
        d_n = dh * (1 - z) * (1 - n**2)
        d_zr = [dh * (h - n) * z * (1 - z), d_n * h_n * r * (1 - r)]
        d_x, d_h = np.concatenate([*d_zr, d_n], axis=-1), np.concatenate([*d_zr, d_n * r], axis=-1)
        weights = [x.T @ d_x, h.T @ d_h, np.stack([d_x.sum(0), d_h.sum(0)])]
        return d_x @ kernel.T, [d_h @ recurrent.T + dh * z], weights


CELLS = {SimpleRNN: NumpyRNN, LSTM: NumpyLSTM, GRU: NumpyGRU}


def through_time(cell, x, states, mask, backwards):
    """Outputs [B, T, U] in the order of computation and last states, with the gradients of sum_k <output_k, weight_k>.

    A masked step keeps the states. Its output is the last output before it; there must be one, or zero states.
    """
    order = range(x.shape[1])[::-1] if backwards else range(x.shape[1])
    outputs, saved, output = [], [], np.zeros_like(states[0])
    for t in order:
        new, step = cell.forward(x[:, t], states)
        keep = mask[:, t : t + 1]
        states = [np.where(keep, n, s) for n, s in zip(new, states, strict=True)]
        output = np.where(keep, new[0], output)
        outputs.append(output)
        saved.append(step)
    values = [np.stack(outputs, axis=1), *states]

    d_outputs, *d_states = output_weights(values)
    dx, d_weights, d_held = np.zeros_like(x), [np.zeros_like(w) for w in cell.weights], 0
    for k, t in reversed(list(enumerate(order))):
        keep = mask[:, t : t + 1]
        d_output = d_outputs[:, k] + d_held  # of this step's output, and of those that repeat it
        d_held = np.where(keep, 0, d_output)
        d_new = [np.where(keep, d, 0) for d in d_states]
        d_new[0] = d_new[0] + np.where(keep, d_output, 0)
        dx[:, t], d_previous, d_step = cell.backward(d_new, saved[k])
        d_states = [np.where(keep, p, d) for p, d in zip(d_previous, d_states, strict=True)]
        d_weights = [total + d for total, d in zip(d_weights, d_step, strict=True)]
    return values, [dx, *d_states, *d_weights]


@pytest.mark.parametrize("layer_class", CELLS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_values_and_gradients(layer_class, masked, backwards):
    rng = np.random.default_rng(11)
    layer = layer_class(UNITS, return_sequences=True, return_state=True, go_backwards=backwards)
    layer.build((BATCH, TIME, FEATURES))
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape, scale=0.5).astype("float32"))
    x = rng.normal(size=(BATCH, TIME, FEATURES))
    states = [rng.normal(size=(BATCH, UNITS)) for _ in layer.state_size]
    cell = CELLS[layer_class](*(np.asarray(w, "float64") for w in layer.get_weights()[:3]))
    mask = MASK if masked else np.ones((BATCH, TIME), bool)

    expected, d_expected = through_time(cell, x, states, mask, backwards)
    values, gradients = values_and_gradients(layer, x, states, mask if masked else None)
    for got, true in zip(values, expected, strict=True):
        np.testing.assert_allclose(got, true, atol=2e-6)
    for got, true in zip(gradients, d_expected, strict=True):
        np.testing.assert_allclose(got, true, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell_class", CELLS.values(), ids=lambda c: c.__name__)
def test_the_oracle_agrees_with_finite_differences(cell_class):
    rng = np.random.default_rng(2)
    gates, count = {NumpyRNN: (1, 1), NumpyLSTM: (4, 2), NumpyGRU: (3, 1)}[cell_class]
    bias = (2, gates * UNITS) if cell_class is NumpyGRU else (gates * UNITS,)
    shapes = [(FEATURES, gates * UNITS), (UNITS, gates * UNITS), bias]
    weights = [rng.normal(size=s, scale=0.5) for s in shapes]
    x, states = rng.normal(size=(BATCH, TIME, FEATURES)), [rng.normal(size=(BATCH, UNITS)) for _ in range(count)]

    def loss():
        values, gradients = through_time(cell_class(*weights), x, states, MASK, backwards=False)
        return sum((v * w).sum() for v, w in zip(values, output_weights(values), strict=True)), gradients

    _, gradients = loss()
    for array, gradient in zip([x, *states, *weights], gradients, strict=True):
        index = tuple(rng.integers(0, n) for n in array.shape)
        original = array[index]
        array[index] = original + 1e-6
        above = loss()[0]
        array[index] = original - 1e-6
        below = loss()[0]
        array[index] = original
        np.testing.assert_allclose(gradient[index], (above - below) / 2e-6, rtol=1e-5, atol=1e-7)
