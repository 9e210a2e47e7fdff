"""Truncated BPTT with carried state: segments, what is carried and what is not, exact resume, and the refusals."""

import keras
import numpy as np
import pytest
from keras import ops

import nlp_suite
from nlp_suite.data.series_history import NONE, History
from nlp_suite.tasks.forecasting.inputs import NetworkInputs
from nlp_suite.tasks.forecasting.network import ForecastModel
from nlp_suite.tasks.forecasting.segments import SeriesSegments, training_plan, validation_plan
from nlp_suite.tasks.forecasting.settings import ForecastingSettings
from nlp_suite.training.run import Run
from tests.tasks.forecasting.test_forecasting import arrays, config
from tests.training.test_language_model_training import Killed, stop_after

HORIZON, CONTEXT, HISTORY = 2, 4, 20
TASK = {"scale_over": "training", "history": 60, "context": 16, "stride": 6, "calibration": "none"}


class Store:
    """Series of which all steps are predicted from `begins` on."""

    covariates, categories, frequency = {kind: [] for kind in ("past", "future", "static")}, {}, "step"

    def __init__(self, *series, begins=None, beside=None):
        self.beside = beside
        self._series = [np.array(each, float) for each in series]
        self.offsets = np.cumsum([0, *map(len, series)])
        self.begins = np.array(begins or [0] * len(series))

    def __len__(self):
        return len(self._series)

    def series(self, row):
        return self._series[row]

    def history(self, row, cutoff):
        past, future, static = self.beside[row] if self.beside else (NONE, NONE, NONE.ravel())
        return History(self._series[row][:cutoff], past[:cutoff], future, static)


def long_series(steps, seed=0, missing=()):
    values = np.random.default_rng(seed).normal(10, 3, steps)
    values[list(missing)] = np.nan
    return values


def network(backbone="gru", covariates=None, **task):
    keras.utils.set_random_seed(1)
    given = {"horizon": HORIZON, "context": CONTEXT, "history": HISTORY, "scale_over": "training", **task}
    settings = ForecastingSettings(name="forecasting", **given)
    made = nlp_suite.registry.BACKBONES.get(backbone)(
        vocabulary_size=None, embedding_size=3, units=4, layers=2, bidirectional=False
    )
    model = ForecastModel(made, settings.context, settings.model_dump(exclude={"name"}), 3, covariates)
    model.build()
    model.scaling.fitted.assign([10.0, 3.0])
    return model


# ---- segments


def test_training_reads_every_series_in_order_and_cuts_it_elsewhere_in_every_epoch():
    store = Store(long_series(50), long_series(31, 1), long_series(3, 2), long_series(40, 3, missing=range(7)))
    plan = training_plan(store, CONTEXT, HORIZON, 6, rows=3, seed=5)
    cutoffs = []
    for epoch in (0, 1, 0):
        made = plan(epoch)
        cutoffs.append({row: made.cutoff[made.series == row].tolist() for row in range(4)})
        for row, begin in enumerate((0, 0, 0, 7)):
            ends = cutoffs[-1][row]
            steps = np.diff([begin, *ends])
            assert (steps == made.new[made.series == row]).all() and steps.min() >= 1 and steps.max() <= CONTEXT
            assert ends[-1] <= len(store.series(row)) - HORIZON < ends[-1] + CONTEXT
        assert made.first.sum() == 4 and (made.counted == (made.cutoff >= 6)).all()
        assert len(made.series) == 12 + 8 + 1 + 8 and np.diff(made.cuts).tolist() == [9, 10, 10]
    assert cutoffs[0] == cutoffs[2] != cutoffs[1]


def test_a_batch_is_a_function_of_seed_and_number_and_its_rows_go_on():
    store = Store(long_series(50), long_series(31, 1, missing=(4, 20)))
    plan = training_plan(store, CONTEXT, HORIZON, 1, rows=2, seed=5)
    one, two = (SeriesSegments(store, NetworkInputs(CONTEXT, HORIZON), plan) for _ in range(2))
    steps = one.steps_per_epoch
    later = {n: two[n] for n in (steps + 3, 2, 0)}
    for n, (read, truth, known) in later.items():
        again, truth_again, known_again = one[n]
        assert read.keys() == {"values", "mask", "new", "reset"}
        assert all(np.array_equal(read[name], again[name]) for name in read)
        assert np.array_equal(truth, truth_again) and np.array_equal(known, known_again)
    batches = [one[n] for n in range(steps)]
    assert batches[0][0]["reset"].all() and sum(read["reset"].sum() for read, _, _ in batches) == 3
    made, found = plan(0), [[], []]
    for read, truth, known in batches:
        assert not truth[known == 0].any()
        for row, new in enumerate(read["new"]):
            values, mask = (read[name][row, CONTEXT - new :] for name in ("values", "mask"))
            found[row] += np.where(mask > 0, values, np.nan).tolist()
    order = made.series[made.first]
    whole = [store.series(row)[: made.cutoff[made.series == row].max()] for row in order]
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(whole), rtol=1e-6)


def test_validation_reads_up_to_each_cutoff_and_measures_there():
    store = Store(long_series(60), long_series(50, 1, missing=range(12, 17)), begins=[40, 30])
    made = validation_plan(store, CONTEXT, HORIZON, 1, rows=3, history=18, stride=7)(0)
    assert made.cutoff[made.counted].tolist() == [40, 47, 54, 30, 37, 44]
    assert (made.new <= CONTEXT).all() and (made.new >= 1).all() and made.first.sum() == 2
    read = [made.new[made.series == row].sum() for row in (0, 1)]
    assert read == [54 - 22, 44 - 17]  # from 18 steps before the first on, or from the first value after that
    assert set(made.cuts) <= {0, int((made.series == 0).sum()), len(made.series)}


# ---- the network


@pytest.mark.parametrize(
    "backbone, difference",
    [("lstm", "none"), ("rnn", "none"), ("gru", "last"), ("gru", "seasonal")],
)
def test_segments_say_what_one_long_pass_says(backbone, difference):
    kinds = dict.fromkeys(("past", "future", "static"), 1)
    model = network(backbone, kinds, difference=difference)
    model.ahead[1].kernel.assign(np.ones(model.ahead[1].kernel.shape))
    model.carry(2)
    draw = np.random.default_rng(7)
    beside = [(draw.normal(size=(20, 1)), draw.normal(size=(24, 1)), draw.normal(size=1)) for _ in range(2)]
    ends = [17, 18]  # 17 steps each, from the first that is known
    store = Store(long_series(19, 1, missing=(8, 13)), long_series(20, 2, missing=(0, 9)), begins=ends, beside=beside)
    plan = validation_plan(store, CONTEXT, HORIZON, 1, rows=2, history=HISTORY, stride=1)
    names = {kind: [kind] for kind in kinds}
    segments = SeriesSegments(store, NetworkInputs(model.segment, HORIZON, names), plan)
    assert segments.steps_per_epoch == 5
    for n in range(5):
        carried = ops.convert_to_numpy(model(segments[n][0]))
    whole = NetworkInputs(HISTORY, HORIZON, names).arrays([store.history(row, end) for row, end in enumerate(ends)])
    np.testing.assert_allclose(carried, ops.convert_to_numpy(model(whole)), rtol=1e-4, atol=1e-5)
    far = {**whole, "values": whole["values"].copy()}
    far["values"][:, 6] += 5  # long before the last segment, and known
    assert np.abs(ops.convert_to_numpy(model(far)) - carried).max(axis=(1, 2)).min() > 1e-6


def test_values_flow_from_segment_to_segment_and_gradients_do_not():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients of TensorFlow")
    import tensorflow as tf

    model = network()
    model.carry(1)
    draw = np.random.default_rng(3)
    values = tf.constant(draw.normal(10, 3, (1, 2 * CONTEXT)).astype("float32"))

    def segment(part, reset):
        read = {
            "values": part,
            "mask": tf.ones_like(part),
            "new": tf.constant([CONTEXT]),
            "reset": tf.constant([reset]),
        }
        return model(read, training=True)

    def both(values):
        segment(values[:, :CONTEXT], True)
        return segment(values[:, CONTEXT:], False)

    with tf.GradientTape() as tape:
        tape.watch(values)
        after = both(values)[..., :-2]
    gradient = tape.gradient(after, values).numpy()
    assert not gradient[:, :CONTEXT].any() and gradient[:, CONTEXT:].all()
    moved = both(values + np.array([[1.0] + [0.0] * (2 * CONTEXT - 1)], "float32"))[..., :-2]
    assert np.abs((moved - after).numpy()).max() > 1e-5
    front = [[0, 0], [HISTORY - 2 * CONTEXT, 0]]
    with tf.GradientTape() as tape:
        tape.watch(values)
        whole = model({"values": tf.pad(values, front), "mask": tf.pad(tf.ones_like(values), front)})[..., :-2]
    np.testing.assert_allclose(whole, after, rtol=1e-4, atol=1e-5)
    assert tape.gradient(whole, values).numpy()[:, :CONTEXT].all()


def test_what_lies_before_the_first_value_is_not_read():
    model, values = network("rnn"), long_series(9)
    short, padded = (
        NetworkInputs(HISTORY, HORIZON).arrays([History(np.concatenate([front, values]))])
        for front in ([], [np.nan] * 7)
    )
    np.testing.assert_array_equal(model(short), model(padded))
    model.projection.bias.assign([1.0, -1.0, 2.0])  # of steps that are read
    np.testing.assert_array_equal(model(short), model(padded))
    assert np.isfinite(model({name: np.zeros_like(array) for name, array in short.items()})).all()


def test_forecasts_beyond_the_horizon_go_on_from_the_state_after_the_history():
    model = network("rnn", max_horizon=5)
    given = NetworkInputs(HISTORY, 5).arrays([History(long_series(17, 1, missing=(8,))), History(long_series(40))])
    forecast, quantiles = (ops.convert_to_numpy(each) for each in model.forecasts(given))
    near, _ = model.answers(model(given))
    np.testing.assert_allclose(forecast[:, :HORIZON], near, rtol=1e-5)
    assert forecast.shape == (2, 5) and (np.diff(quantiles, axis=-1) >= 0).all()
    far = {**given, "values": given["values"] + np.eye(HISTORY, dtype="float32")[4] * 9}  # long before the last C steps
    assert (np.abs(ops.convert_to_numpy(model.forecasts(far)[0]) - forecast) > 1e-6).all()


# ---- runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("segments")


def experiment(folder, batch_size=4, **task):
    given = config(folder, **{**TASK, **task})
    given["backbone"]["name"] = "rnn"
    return nlp_suite.load_experiment(
        {**given, "training": {**given["training"], "batch_size": batch_size, "epochs": 1}}
    )


@pytest.mark.slow
def test_a_run_that_was_stopped_amid_an_epoch_ends_with_the_same_weights(folder, monkeypatch):
    run = nlp_suite.train(experiment(folder), folder / "run")
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Killed):
            nlp_suite.train(run.experiment, folder / "stopped")
    assert Run(folder / "stopped").history[-1]["step"] == 7
    resumed = nlp_suite.train(run.experiment, folder / "stopped")
    for one, other in zip(arrays(run.weights("last")), arrays(resumed.weights("last")), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [row["val_loss"] for row in resumed.history] == [row["val_loss"] for row in run.history]


def test_what_does_not_go_with_a_carried_state_is_refused(folder):
    for task, message in [
        ({"history": 16}, "history 16 must be above context 16"),
        ({"pooling": ["mean"]}, r"pooling must be \[last\], got \['mean'\]"),
        ({"scale_over": "context"}, "history needs scale_over: training"),
    ]:
        with pytest.raises(nlp_suite.NlpSuiteError, match=message):
            experiment(folder, **task)
    given = config(folder, **TASK)
    for backbone in ({"name": "gru"}, {"name": "transformer", "embedding_size": 4, "heads": 1}, {"name": "cnn"}):
        with pytest.raises(nlp_suite.NlpSuiteError, match="task.history goes on from the state of a recurrent network"):
            nlp_suite.train(nlp_suite.load_experiment({**given, "backbone": backbone}), folder / "refused")
    spread = {**given, "training": {**given["training"], "distribution": "data_parallel"}}
    with pytest.raises(nlp_suite.NlpSuiteError, match="training.distribution is data_parallel: leave one of them out"):
        nlp_suite.train(nlp_suite.load_experiment(spread), folder / "spread")
    with pytest.raises(
        nlp_suite.NlpSuiteError, match="training.batch_size 64 cuts the 48 segments .* take 24 or fewer"
    ):
        nlp_suite.train(experiment(folder, batch_size=64), folder / "wide")
