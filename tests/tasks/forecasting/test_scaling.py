"""Scaling in the graph: inverted exactly, missing values masked, constant series; outputs and their quantiles."""

import itertools

import numpy as np
import pytest
import scipy.stats
from keras import ops

from nlp_suite.config import load_experiment
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.forecasting.counts import log_probability, quantiles_of_counts
from nlp_suite.tasks.forecasting.fitting import losses_of
from nlp_suite.tasks.forecasting.intervals import fit_width
from nlp_suite.tasks.forecasting.network import ForecastModel
from nlp_suite.tasks.forecasting.outputs import step_output, student_t_quantile
from nlp_suite.tasks.forecasting.scaling import SeriesScaling
from nlp_suite.tasks.forecasting.settings import ForecastingSettings


def settings(**values):
    return ForecastingSettings(name="forecasting", **values)


def scaled(values, mask=None, season=3, horizon=5, **arguments):
    values = np.array(values, "float32")
    mask = np.ones_like(values) if mask is None else np.array(mask, "float32")
    layer = SeriesScaling(horizon, season, **arguments)
    layer.build((None, values.shape[1]))
    return layer, [ops.convert_to_numpy(part) for part in layer(values, mask)]


VALUES = [[3.0, 5, 4, 6, 8, 7, 9, 11, 12]]


@pytest.mark.parametrize("kind, middle, spread", [("standard", np.mean, np.std), ("minmax", np.min, np.ptp)])
def test_scales_are_those_of_numpy(kind, middle, spread):
    _, (x, _, center, size) = scaled(VALUES, scaling=kind)
    assert center[0, 0] == pytest.approx(middle(VALUES)) and size[0, 0] == pytest.approx(spread(VALUES))
    np.testing.assert_allclose(x, (VALUES - middle(VALUES)) / spread(VALUES), rtol=1e-5)


def test_a_mean_scale_and_a_log():
    _, (x, *_) = scaled(VALUES, scaling="mean")
    np.testing.assert_allclose(x, VALUES / np.mean(VALUES), rtol=1e-5)
    layer, (x, *_) = scaled(VALUES, scaling="none", transform="log")
    np.testing.assert_allclose(x, np.log1p(VALUES), rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.restored(x)), VALUES, rtol=1e-5)


def test_differences_are_added_to_the_naive_and_the_seasonal_naive_forecast():
    _, (x, known, center, _) = scaled(VALUES, difference="last", scaling="none")
    assert x[0].tolist() == [0, 2, -1, 2, 2, -1, 2, 2, 1] and known[0].tolist() == [0] + [1] * 8
    assert center[0].tolist() == [12] * 5
    _, (x, known, center, _) = scaled(VALUES, difference="seasonal", scaling="none")
    assert x[0].tolist() == [0, 0, 0, 3, 3, 3, 3, 3, 5] and known[0].tolist() == [0] * 3 + [1] * 6
    assert center[0].tolist() == [9, 11, 12, 9, 11]


def test_a_missing_value_is_masked_whatever_stands_there():
    mask = [[1, 1, 1, 1, 1, 1, 1, 0, 1]]
    other = [[*VALUES[0][:7], -999, 12]]
    for arguments in itertools.product(("none", "last", "seasonal"), ("standard", "minmax", "mean"), ("none", "log")):
        names = dict(zip(("difference", "scaling", "transform"), arguments))
        for one, two in zip(scaled(VALUES, mask, **names)[1], scaled(other, mask, **names)[1]):
            np.testing.assert_array_equal(one, two)
    _, (_, _, center, _) = scaled(VALUES, mask, difference="seasonal", scaling="none")
    assert center[0].tolist() == [9, 8, 12, 9, 8]  # the season before has the missing place


@pytest.mark.parametrize("difference", ["none", "last", "seasonal"])
@pytest.mark.parametrize("scaling", ["standard", "minmax", "mean"])
def test_a_constant_context_is_forecast_as_that_constant(difference, scaling):
    _, (x, _, center, spread) = scaled([[7.0] * 9], difference=difference, scaling=scaling)
    assert np.isfinite(x).all() and spread.max() == 0
    assert center[0].tolist() == pytest.approx([7] * 5)
    _, (_, _, center, spread) = scaled([np.arange(9.0)], difference="last", scaling=scaling)
    assert center[0, 0] + spread[0, 0] > 8  # a line has a scale where its differences are read


def test_losses_are_those_of_scipy_and_quantiles_too():
    given = np.array([[[0.3, 0.2]]], "float32")
    width = np.log1p(np.exp(0.2)) + 1e-3
    truth = np.array([[1.1]], "float32")
    for name, law in (("gaussian", scipy.stats.norm), ("student_t", scipy.stats.t(4.0))):
        output = step_output(settings(output=name))
        (loss,) = ops.convert_to_numpy(output.losses(ops.convert_to_tensor(truth), ops.convert_to_tensor(given), None))[
            0
        ]
        assert loss == pytest.approx(-law.logpdf((1.1 - 0.3) / width) + np.log(width), rel=1e-4)
        quantiles = ops.convert_to_numpy(output.quantiles(ops.convert_to_tensor(given), None))[0, 0]
        np.testing.assert_allclose(quantiles, 0.3 + width * law.ppf([0.1, 0.5, 0.9]), rtol=1e-4)
    assert student_t_quantile(0.975, 7.0) == pytest.approx(scipy.stats.t.ppf(0.975, 7.0), rel=1e-6)


def test_quantiles_do_not_cross_and_the_median_alone_has_the_absolute_error():
    output = step_output(settings())
    quantiles = ops.convert_to_numpy(output.quantiles(ops.convert_to_tensor([[[3.0, 1.0, 2.0]]]), None))
    assert quantiles.tolist() == [[[1, 2, 3]]]
    median = step_output(settings(quantiles=[0.5]))
    loss = median.losses(ops.convert_to_tensor([[2.0]]), ops.convert_to_tensor([[[5.0]]]), None)
    assert float(loss[0, 0]) == 3


def test_a_constant_context_counts_nowhere_in_the_loss():
    outputs = np.array([[[0.5, 0.5, 0.5, 7.0, 0.0]]], "float32")  # three quantiles, center, spread
    assert (
        float(losses_of(settings(horizon=1))(ops.convert_to_tensor([[9.0]]), ops.convert_to_tensor(outputs))[0, 0]) == 0
    )


def small_model(name, **task):
    experiment = load_experiment({"backbone": {"name": name, "embedding_size": 8}})
    backbone = BACKBONES.get(name)(vocabulary_size=None, **experiment.backbone.arguments())
    model = ForecastModel(backbone, 9, settings(horizon=4, context=9, **task).model_dump(exclude={"name"}), season=3)
    model.build()
    return model


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "cnn", "transformer"])
def test_every_backbone_reads_numbers_and_no_answer_depends_on_its_neighbours(name):
    model = small_model(name, pooling=["last", "mean"], difference="last")
    values = np.random.default_rng(0).normal(20, 5, (3, 9)).astype("float32")
    mask = np.array([[1] * 9, [0] * 4 + [1] * 5, [1, 0] * 4 + [1]], "float32")
    together = model.answers(model({"values": values, "mask": mask}))
    for row in range(3):
        changed = np.where(mask[row : row + 1] > 0, values[row : row + 1], 1e9)
        alone = model.answers(model({"values": changed, "mask": mask[row : row + 1]}))
        for one, two in zip(together, alone):
            np.testing.assert_allclose(one[row : row + 1], two, rtol=1e-5, atol=1e-5)
    assert together[0].shape == (3, 4) and together[1].shape == (3, 4, 3)


def test_intervals_are_widened_as_validation_asks_for():
    draw = np.random.default_rng(0)
    sizes = np.linspace(1, 3, 5)  # of the steps ahead
    truth = 7 + draw.normal(0, 1, (400, 5)) * sizes
    forecast, levels = np.full((400, 5), 7.0), [0.1, 0.25, 0.5, 0.75, 0.9]
    law = scipy.stats.norm.ppf(levels)
    narrow = 7 + np.broadcast_to(law * sizes[:, None] / 2, (400, 5, 5))
    found = fit_width(truth, forecast, narrow, levels)
    assert found["width"] == pytest.approx(2, rel=0.05) and found["before"] == pytest.approx(0.478, abs=0.02)
    assert found["after"] == pytest.approx(0.8, abs=0.001) and found["values"] == 2000
    assert fit_width(truth, forecast, 7 + 3 * (narrow - 7), levels)["width"] == 1, "never narrower"
    assert fit_width(truth[:1], forecast[:1], narrow[:1], levels) == {}, "one forecast is too little"
    assert fit_width(truth, forecast, narrow[:, :, :2], [0.1, 0.5]) == {}
    model, outputs = small_model("gru", output="gaussian"), draw.normal(0, 1, (2, 4, 4)).astype("float32")
    (forecast, learned), (_, wide) = model.answers(outputs), model.answers(outputs, width=2.5)
    middle = ops.convert_to_numpy(forecast)[:, :, None]
    np.testing.assert_allclose(np.array(wide) - middle, 2.5 * (np.array(learned) - middle), rtol=1e-4, atol=1e-5)


def test_counts_are_those_of_scipy():
    mean, dispersion = np.array([[0.3, 2.0, 40.0, 9000.0]], "float32"), np.array([[0.5, 4.0, 0.05, 0.2]], "float32")
    law = scipy.stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))
    for count in (0.0, 1.0, 7.0, 60.0):
        found = ops.convert_to_numpy(log_probability(np.full_like(mean, count), mean, dispersion))
        np.testing.assert_allclose(found, law.logpmf(count), rtol=2e-4, atol=5e-3)
    quantiles = ops.convert_to_numpy(quantiles_of_counts(mean, dispersion, [0.1, 0.5, 0.9, 0.99]))
    wanted = np.stack([law.ppf(level) for level in (0.1, 0.5, 0.9, 0.99)], axis=-1)
    np.testing.assert_array_equal(quantiles[0, :3], wanted[0, :3])
    np.testing.assert_allclose(quantiles[0, 3], wanted[0, 3], rtol=0.002)
    output = step_output(settings(output="negative_binomial", scaling="mean"))
    given, spread = ops.convert_to_tensor([[[0.5, -1.0]]]), ops.convert_to_tensor([[20.0]])
    mean, dispersion = 20 * np.log1p(np.exp(0.5)), np.log1p(np.exp(-1.0)) + 1e-4
    law = scipy.stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))
    assert 20 * float(output.forecast(given)[0, 0]) == pytest.approx(mean, rel=1e-5)
    assert float(output.losses(ops.convert_to_tensor([[1.5]]), given, spread)[0, 0]) == pytest.approx(
        -law.logpmf(30), rel=1e-3
    )
    quantiles = 20 * ops.convert_to_numpy(output.quantiles(given, spread))[0, 0]
    np.testing.assert_allclose(quantiles, law.ppf([0.1, 0.5, 0.9]), rtol=1e-5)
    with pytest.raises(ValueError, match="is for counts as they are: set scaling: mean"):
        settings(output="negative_binomial", difference="last", scaling="mean")
