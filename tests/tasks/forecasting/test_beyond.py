"""Forecasts beyond the trained horizon: what is read again, the paths, and the refusals."""

import keras
import numpy as np
import pytest
from keras import ops

import nlp_suite
from nlp_suite.backbones.gru import GRUBackbone
from nlp_suite.tasks.forecasting.beyond import path_weights, sample_weights
from nlp_suite.tasks.forecasting.network import ForecastModel
from nlp_suite.tasks.forecasting.settings import ForecastingSettings
from tests.tasks.forecasting.test_forecasting import config

VALUES = np.array([[3, 5, 4, 6, 5, 7], [0, 2, 9, 4, 0, 1]], "float32")
MASK = np.array([[1] * 6, [0, 1, 1, 1, 0, 1]], "float32")


def settings(**task):
    return ForecastingSettings(name="forecasting", **{"horizon": 2, "max_horizon": 5, "context": 6, **task})


def network(covariates=None, **task):
    keras.utils.set_random_seed(1)
    backbone = GRUBackbone(vocabulary_size=None, embedding_size=3, units=4, bidirectional=False)
    model = ForecastModel(backbone, 6, settings(**task).model_dump(exclude={"name"}), season=3, covariates=covariates)
    model.build()
    return model


def test_a_forecast_is_read_one_step_at_a_time_from_the_state_after_the_context():
    model = network(output="point", horizon=1, max_horizon=4, linear_path=False)
    forecast = ops.convert_to_numpy(model.forecasts({"values": VALUES[:1], "mask": MASK[:1]})[0])[0]
    middle, spread = VALUES[0].mean(), VALUES[0].std()
    state, found = model.backbone.initial_state(1), []
    for value in (*VALUES[0], *forecast[:3]):
        x = model.projection(np.array([[(value - middle) / spread, 1]], "float32"))
        features, state = model.backbone.step(x, state)
        found.append(middle + spread * float(model.head(features)[0, 0]))
    np.testing.assert_allclose(forecast, found[5:], rtol=1e-5)


@pytest.mark.parametrize(
    "task", [{"output": "gaussian", "difference": "last", "transform": "log"}, {"difference": "seasonal"}]
)
def test_what_is_trained_is_answered_as_ever_and_what_follows_spreads(task):
    model = network(**task)
    given = {"values": VALUES, "mask": MASK}
    forecast, quantiles = (ops.convert_to_numpy(each) for each in model.forecasts(given, 1.5))
    near, near_quantiles = model.answers(model(given), 1.5)
    np.testing.assert_allclose(forecast[:, :2], near, rtol=1e-5)
    np.testing.assert_allclose(quantiles[:, :2], near_quantiles, rtol=1e-5)
    assert forecast.shape == (2, 5) and quantiles.shape == (2, 5, 3) and np.isfinite(quantiles).all()
    np.testing.assert_allclose(forecast[:, 2:], quantiles[:, 2:, 1])  # the median
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    alone, _ = model.forecasts({name: array[1:] for name, array in given.items()}, 1.5)
    np.testing.assert_allclose(alone, forecast[1:], rtol=1e-5)
    changed, _ = model.forecasts({"values": np.where(MASK > 0, VALUES, 99).astype("float32"), "mask": MASK}, 1.5)
    np.testing.assert_allclose(changed, forecast, rtol=1e-5)


def test_what_is_known_ahead_is_read_at_its_step():
    model, draw = network({"future": 1, "static": 2}, output="point"), np.random.default_rng(0)
    for layer in model.ahead:
        layer.bias.assign(draw.normal(size=layer.bias.shape))
    given = {"values": VALUES, "mask": MASK, "static": np.ones((2, 2), "float32")}
    future = draw.normal(size=(2, 11, 1)).astype("float32")
    before = ops.convert_to_numpy(model.forecasts({**given, "future": future})[0])
    for step in (1, 2):
        moved = future.copy()
        moved[:, 6 + step] += 3
        after = ops.convert_to_numpy(model.forecasts({**given, "future": moved})[0])
        changed = np.abs(after - before).max(axis=0) > 1e-6
        block = step // 2 * 2  # from the next block on it is in the state, too
        assert changed[step] and not changed[:block].any() and not changed[block : block + 2].all()
        assert changed[block + 2 :].all()


def test_paths_by_hand():
    known = [-1.2815516, 0.0, 1.2815516]  # of a normal distribution, at 0.1, 0.5 and 0.9
    values = path_weights([0.1, 0.5, 0.9], 49) @ np.array(known)
    assert (
        values[4] == pytest.approx(known[0])
        and values[24] == pytest.approx(0)
        and values[44] == pytest.approx(known[2])
    )
    assert values[0] == pytest.approx(-2.0537, abs=1e-3) and values[30] == pytest.approx(0.30548, abs=1e-4)
    assert np.array([1.0, 2, 4]) @ sample_weights([0.25, 0.5, 0.6, 0.99], 3) == pytest.approx([1, 2, 2.8, 4])


def test_what_cannot_go_on_is_refused(tmp_path):
    for task, message in [
        ({"max_horizon": 2}, "max_horizon 2 must be above horizon 2, and 24 times"),
        ({"max_horizon": 49}, "max_horizon 49 must be"),
        ({"pooling": ["mean"]}, "pooling must be .last., got"),
        ({"output": "negative_binomial", "scaling": "mean"}, "max_horizon is not for output: negative_binomial"),
        ({"test": 4}, "test 4 is less than max_horizon 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            settings(**task)
    experiment = {**config(tmp_path, max_horizon=8), "backbone": {"name": "cnn", "embedding_size": 4}}
    with pytest.raises(nlp_suite.NlpSuiteError, match="max_horizon goes on from the state of a recurrent network"):
        nlp_suite.train(nlp_suite.load_experiment(experiment), tmp_path / "run")


@pytest.mark.slow
def test_a_report_and_an_export_reach_as_far_as_python(tmp_path):
    experiment = nlp_suite.load_experiment(config(tmp_path, max_horizon=10, difference="last"))
    run = nlp_suite.train(experiment, tmp_path / "run")
    report = nlp_suite.evaluate(run)
    assert len(report["by_horizon"]) == 10 and report["trained_horizon"] == 4
    export = nlp_suite.export_run(run.directory, tmp_path / "models" / "far")
    assert export.report["self_check"]["largest_difference"] < 1e-5
    nlp_suite.export_run(run.directory, tmp_path / "far", format="onnx")
    histories = [np.arange(1.0, 60), [3.0, None, 9.0], [5.0] * 24]
    python, saved = (nlp_suite.load(path).forecast(histories) for path in (run.directory, export.path))
    for one, two in zip(python, saved):
        assert len(one["forecast"]) == 10
        np.testing.assert_allclose(one["forecast"], two["forecast"], rtol=1e-5)
    with pytest.raises(nlp_suite.NlpSuiteError, match="forecasts 1 to 10 steps ahead"):
        nlp_suite.load(run.directory).forecast(histories, 11)
