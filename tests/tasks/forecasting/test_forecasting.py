"""Forecasting from a table to forecasts: windows, training, the report, exports and the verbs."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import nlp_suite
from nlp_suite.cli import app
from nlp_suite.data.prepare import prepare
from nlp_suite.data.series_history import History
from nlp_suite.data.time_steps import Frequency
from nlp_suite.serving.flags import Options
from nlp_suite.tasks.forecasting import baseline, measure
from nlp_suite.tasks.forecasting.ensemble import ForecastEnsemble
from nlp_suite.tasks.forecasting.inputs import NetworkInputs
from nlp_suite.tasks.forecasting.predictor import Forecaster
from nlp_suite.tasks.forecasting.seen import begin_after
from nlp_suite.tasks.forecasting.windows import SeriesWindows
from nlp_suite.training.run import Run
from tests.serving import chromium
from tests.serving.endpoint import free_port
from tests.tasks.forecasting.test_measures import Series
from tests.training.test_language_model_training import Killed, stop_after

INPUTS = NetworkInputs(24, 4)


def config(folder, **task):
    return {
        "task": {
            "name": "forecasting",
            "horizon": 4,
            "context": 24,
            "difference": "seasonal",
            "test": 24,
            "dropout": 0.05,
            **task,
        },
        "data": {"source": {"name": "sample", "size": 4}, "cache": str(folder / "cache")},
        "backbone": {"name": "gru", "embedding_size": 4, "units": 4, "bidirectional": False},
        "training": {
            "epochs": 3,
            "batch_size": 64,
            "learning_rate": 0.01,
            "save_every": 7,
            "clip_norm": 1.0,
            "tensorboard": False,
        },
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("forecasting")


@pytest.fixture(scope="module")
def run(folder):
    return nlp_suite.train(nlp_suite.load_experiment(config(folder)), folder / "run")


@pytest.fixture(scope="module")
def report(run):
    return nlp_suite.evaluate(run)


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout


def arrays(path):
    """All arrays of a file of weights."""
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.slow
def test_a_run_that_was_stopped_amid_an_epoch_ends_with_the_same_weights(run, folder, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Killed):
            nlp_suite.train(run.experiment, folder / "stopped")
    stopped = Run(folder / "stopped")
    assert stopped.info["state"] == "running" and len(stopped.history) == 2
    steps = SeriesWindows(run.stores()["train"], INPUTS, 64, seed=0, least=24).steps_per_epoch
    assert stopped.history[-1]["step"] == 14 and 14 % steps
    resumed = nlp_suite.train(run.experiment, folder / "stopped")
    for checkpoint in ("last", "best"):
        for one, other in zip(arrays(run.weights(checkpoint)), arrays(resumed.weights(checkpoint)), strict=True):
            np.testing.assert_array_equal(one, other)
    assert resumed.info["best"] == run.info["best"] and resumed.info["fitted"] == run.info["fitted"]
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in run.history]


# ---- windows


@pytest.fixture
def store(folder):
    return prepare(nlp_suite.load_experiment(config(folder))).stores["train"]


def test_a_batch_is_a_function_of_seed_and_number(store):
    first, again = (SeriesWindows(store, INPUTS, 16, seed=3) for _ in range(2))
    for n in (7, 0, first.steps_per_epoch + 2):
        for one, two in zip(first[n][0].values(), again[n][0].values()):
            np.testing.assert_array_equal(one, two)
    other = SeriesWindows(store, INPUTS, 16, seed=4)
    assert not np.array_equal(first[0][0]["values"], other[0][0]["values"])


def test_an_epoch_has_every_window_once_and_all_of_it_lies_in_the_split(store):
    windows = SeriesWindows(store, INPUTS, 50, seed=0, least=24)
    lengths = np.diff(store.offsets)
    assert windows.count == sum(lengths - 24 - 4 + 1)
    rows = [known.any(axis=1).sum() for _, _, known in (windows[n] for n in range(windows.steps_per_epoch))]
    assert sum(rows) == windows.count and rows[-1] == windows.count % 50
    series, cutoffs = windows.places(np.arange(windows.count))
    assert cutoffs.min() == 24 and (cutoffs + 4 <= lengths[series]).all()
    assert len(set(zip(series.tolist(), cutoffs.tolist()))) == windows.count


def test_a_context_is_padded_in_front_and_masks_what_is_missing():
    read = NetworkInputs(5, 2).arrays([History(np.array([1.0, np.nan, 3.0]))])
    assert read["values"].tolist() == [[0, 0, 1, 0, 3]] and read["mask"].tolist() == [[0, 0, 1, 0, 1]]


def test_a_report_beside_easy_methods(run, report):
    assert report["examples"] == 4 * 6 and report["horizon"] == 4 and len(report["by_horizon"]) == 4
    assert set(report["baseline"]) >= {"naive", "drift", "mean", "seasonal_naive"}
    assert report["mae"] < report["baseline"]["seasonal_naive"]["mae"]
    assert report["baseline"]["naive"]["lead"]["MAE"]["interval"][0] > 0
    assert 0.5 < report["coverage"][0]["share"] <= 1
    page = (run.directory / "report.html").read_text("utf-8")
    assert all(text in page for text in ("Forecasts beside what came", "Backtest", "seasonal naive", "Coverage"))
    fitted = run.assets.fitted["intervals"]
    assert fitted["values"] == 4 * 5 * 4 and fitted["after"] >= max(fitted["before"], 0.8) and "% interval held" in page
    assert "MASE" in command("evaluate", run.directory)[1]


def test_fitted_methods_are_named_where_their_package_is_missing(report):
    if not baseline.is_installed("statsforecast"):
        assert any("pip install" in note for note in report["baseline"]["naive"]["notes"])


def test_fitted_methods_are_asked_once_a_cutoff(monkeypatch):
    class Constant:
        def __init__(self, season_length):
            self.season = season_length

        def forecast(self, y, h):
            return {"mean": np.full(h, y[-1] + self.season)}

    models = SimpleNamespace(AutoETS=Constant, AutoARIMA=Constant)
    monkeypatch.setitem(sys.modules, "statsforecast", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "statsforecast.models", models)
    monkeypatch.setattr(baseline, "is_installed", lambda package: True)
    store = Series([1.0, 2, 3, 4, 5, 6], 4)
    test = measure.Backtest(store, np.array([0]), np.array([4]), np.array([[5.0, 6]]), np.array([1.0]))
    made, notes = baseline._fitted(test, np.array([[5.0, 7]]), [np.arange(1.0, 5)], season=2)
    assert [made[name]["title"] for name in made] == ["AutoETS", "AutoARIMA"] and notes == []
    assert made["auto_ets"]["mae"] == 0.5 and made["auto_ets"]["lead"]["MAE"]["value"] == 0
    _, notes = baseline._fitted(test, np.array([[5.0, 7]]), [np.arange(1.0, 5)], season=365)
    assert "a season has 365 steps" in notes[0]


def test_a_run_is_measured_on_another_table(run, folder):
    rows = [f"{2020 + n // 12}-{n % 12 + 1:02d},{100 + n % 12}\n" for n in range(40)]
    table = "".join(["unique_id,ds,y\n", *(f"long,{row}" for row in rows), *(f"short,{row}" for row in rows[:27])])
    (folder / "other.csv").write_text(table)
    report = nlp_suite.evaluate(run, data=folder / "other.csv")
    assert report["examples"] == 4 and report["series"] == 1 and report["mae"] < 3
    assert "1 of 2 series are left out: they are shorter than the 28 steps that are needed" in report["remarks"]
    (folder / "short.csv").write_text("ds,y\n" + "".join(rows[:27]))
    with pytest.raises(nlp_suite.NlpSuiteError, match=r"short\.csv: 1 of 1 series are left out: .* the 28 steps"):
        nlp_suite.evaluate(run, data=folder / "short.csv")
    (folder / "days.csv").write_text("ds,y\n" + "".join(f"2024-01-{day:02d},1\n" for day in range(1, 32)))
    with pytest.raises(nlp_suite.NlpSuiteError, match="a step is a day, and the model forecasts steps of a month"):
        nlp_suite.evaluate(run, data=folder / "days.csv")


def test_several_runs_are_measured_as_one(run, report, folder, monkeypatch):
    other, shift = Run(run.directory), 4.0
    predictor = run.task.predictor(run.model(), run.assets, run.experiment)
    moved = SimpleNamespace(levels=predictor.levels, inputs=predictor.inputs, experiment=None, horizon=4)
    moved.ask = lambda rows: tuple(answer + shift for answer in predictor.ask(rows))
    made = iter([predictor, moved])
    monkeypatch.setattr(type(run.task), "predictor", lambda *arguments: next(made))
    both = nlp_suite.evaluate(run, ensemble=[other], baseline=False)
    assert both["page"] == str(run.directory / "ensemble" / "report.html") and len(both["members"]) == 2
    assert [row["bias"] - report["bias"] for row in both["members"]] == pytest.approx([0, shift], abs=1e-4)
    assert both["bias"] - report["bias"] == pytest.approx(shift / 2, abs=1e-4)
    assert "The runs of the ensemble" in (run.directory / "ensemble" / "report.html").read_text("utf-8")
    other.assets = replace(other.assets, facts={**run.assets.facts, "cut": {**run.assets.facts["cut"], "test": 12}})
    with pytest.raises(nlp_suite.NlpSuiteError, match="task.test 12 and .* with 24: one saw in training"):
        nlp_suite.evaluate(run, ensemble=[other])


def test_what_training_saw_is_not_tested_on():
    def store(names, starts, series, begins):
        found = SimpleNamespace(names=names, starts=starts, frequency=Frequency("step", 1), begins=np.array(begins))
        found.series = lambda row: np.array(series[row], float)
        found.offsets = np.cumsum([0, *map(len, series)])
        return found

    seen = store(["a", "b"], [10, 0], [[1, 2, np.nan, 4], [5, 6]], [2, 2])
    given = store(["a", "a2", "b"], [11, 10, 0], [[2, np.nan, 4, 7, 8], [1, 2, 3], [5, 7, 8]], [1, 1, 1])
    (said,) = begin_after(given, seen, "new.csv")
    assert given.begins.tolist() == [3, 1, 1] and "1 series begin with steps that training or validation saw" in said
    assert begin_after(given, seen, "new.csv") == []
    with pytest.raises(nlp_suite.NlpSuiteError, match="training or validation saw all of its steps"):
        begin_after(store(["b"], [0], [[5, 6]], [1]), seen, "old.csv")


# ---- forecasts


def test_forecasts_of_histories(run):
    forecaster = nlp_suite.load(run.directory)
    history = (100 + 5 * np.cos(np.arange(40) * np.pi / 6)).tolist()
    (whole,) = forecaster.forecast([history])
    assert len(whole["forecast"]) == 4 and set(whole["quantiles"]) == {0.1, 0.5, 0.9}
    assert whole["forecast"] == whole["quantiles"][0.5]
    assert np.abs(np.array(whole["forecast"]) - (100 + 5 * np.cos(np.arange(40, 44) * np.pi / 6))).max() < 3
    assert forecaster.forecast([history], horizon=1)[0]["forecast"] == whole["forecast"][:1]
    (gap,) = forecaster.forecast([[*history[:30], None, *history[31:]]])
    assert np.isfinite(gap["forecast"]).all() and forecaster.forecast([[7.0] * 30])[0]["forecast"] == [7.0] * 4
    assert forecaster.forecast([]) == []


class Constant(Forecaster):
    """Answers with one number."""

    def __init__(self, value, **inputs):
        self.value, self.levels, self.experiment = value, [0.5], None
        self.inputs = NetworkInputs(24, **{"horizon": 2, **inputs})

    def ask(self, rows):
        return np.full((len(rows), 2), self.value), np.full((len(rows), 2, 1), 2 * self.value)


def test_an_ensemble_answers_with_the_mean():
    (answer,) = ForecastEnsemble([Constant(1.0), Constant(4.0)]).forecast([[7.0, 8.0]])
    assert answer == {"forecast": [2.5, 2.5], "quantiles": {0.5: [5.0, 5.0]}}
    for other, message in (({"horizon": 3}, "task.horizon: 3, not 2"), ({"covariates": {"past": ["a"]}}, "covariates")):
        with pytest.raises(nlp_suite.NlpSuiteError, match=f"model 2 of the ensemble has another {message}"):
            ForecastEnsemble([Constant(1.0), Constant(4.0, **other)])
    with pytest.raises(nlp_suite.NlpSuiteError, match="give `last`"):
        ForecastEnsemble([Constant(1.0), Constant(4.0, calendar=["month"])]).forecast([[7.0]])


@pytest.mark.parametrize(
    "history, horizon, message",
    [
        ([1.0, 2.0], 5, "horizon 5: this model forecasts 1 to 4 steps ahead"),
        ([1.0, 2.0], 0, "horizon 0"),
        ([None, None], 1, "history 1 has no value"),
        ([1.0, float("inf")], 1, "finite numbers and null"),
        (["one"], 1, "list of numbers and null"),
    ],
)
def test_histories_that_cannot_be_continued(run, history, horizon, message):
    with pytest.raises(nlp_suite.NlpSuiteError, match=message):
        nlp_suite.load(run.directory).forecast([history], horizon)


def test_the_verb_continues_the_runs_own_data_or_a_table(run, folder):
    code, out = command("forecast", run.directory, "--horizon", 2, "--format", "tsv")
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and lines[0] == ["series", "date", "forecast", "quantile_0.1", "quantile_0.5", "quantile_0.9"]
    assert [row[:2] for row in lines[1:3]] == [["series 1", "2020-01"], ["series 1", "2020-02"]] and len(lines) == 9
    table = "ds,y\n" + "".join(f"2020-{month:02d},{month}\n" for month in range(1, 13))
    (folder / "year.csv").write_text(table)
    code, _ = command("forecast", run.directory, "--input", folder / "year.csv", "--output", folder / "out.jsonl")
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert code == 0 and [row["date"] for row in rows] == ["2021-01", "2021-02", "2021-03", "2021-04"]
    with pytest.raises(nlp_suite.NlpSuiteError, match="no such file"):
        command("forecast", run.directory, "--input", folder / "absent.csv")


def test_what_the_task_cannot_do_is_refused(folder):
    for settings, message in [
        ({"backbone": "bag"}, "reads tokens, and forecasting reads numbers"),
        ({"backbone": {"name": "gru", "word_dropout": 0.1}}, "word_dropout is about tokens"),
    ]:
        experiment = nlp_suite.load_experiment({**config(folder), **settings})
        with pytest.raises(nlp_suite.NlpSuiteError, match=message):
            nlp_suite.train(experiment, folder / "refused")
    for task, message in [
        ({"quantiles": [0.9, 0.1]}, "ascend"),
        ({"quantiles": [0.1, 0.9]}, "must hold 0.5"),
        ({"test": 2}, "less than horizon"),
        ({"output": "gaussian", "point_loss": "mse"}, "point_loss is for output: point"),
    ]:
        with pytest.raises(nlp_suite.NlpSuiteError, match=message):
            nlp_suite.load_experiment(config(folder, **task))


def check_page(model):
    """The endpoint's page draws a chart of a history and its forecast, and says what it cannot read."""
    if not chromium.BINARY:
        return
    from nlp_suite.serving.server import Server

    port = free_port()
    options = Options(
        rest_api_port=port, port=0, host="127.0.0.1", model_name="f", model_base_path=str(model.resolve())
    )
    with Server(options), chromium.Tab() as tab:
        server = f"http://127.0.0.1:{port}/"
        tab.look(1200, dark=False)
        chromium.deep(tab, server, model="f", values="101.5 103 ? 99")
        assert chromium.texts(tab, ".kind") == ["forecasts the next steps of a series"]
        assert tab.run("document.querySelectorAll('.answer svg polyline').length") == 2
        rows = chromium.texts(tab, ".answer td")
        instance = {"values": [101.5, 103, 0, 99], "mask": [1, 1, 0, 1], "length": 4}
        (answer,) = chromium.ask(server, "f", instances=[instance])["predictions"]
        assert [float(cell) for cell in rows[1::3]] == pytest.approx(answer["forecast"], rel=1e-4)
        chromium.check_clean(tab, server)
        chromium.deep(tab, server, model="f", values="101,5 many")
        assert "Give numbers" in chromium.texts(tab, ".answer")[0]


@pytest.mark.slow
@pytest.mark.parametrize("output, history", [("quantiles", None), ("point", 50)])
def test_an_export_answers_as_python_does(folder, output, history):
    task = {"output": output, "transform": "log", "scale_over": "training", "difference": "none", "history": history}
    given = config(folder, **task)
    given["training"] |= {"batch_size": 4 if history else 64}
    run = nlp_suite.train(nlp_suite.load_experiment(given), folder / output)
    export = nlp_suite.export_run(run.directory, folder / "models" / output)
    assert export.report["self_check"]["largest_difference"] < 1e-5
    histories = [np.arange(1.0, 60), [3.0, None, 9.0], [5.0] * 24]
    python, saved = (nlp_suite.load(path).forecast(histories) for path in (run.directory, folder / "models" / output))
    for one, two in zip(python, saved):
        np.testing.assert_allclose(one["forecast"], two["forecast"], rtol=1e-5)
        assert one.keys() == two.keys() and ("quantiles" in one) == (output != "point")
    if history:
        nlp_suite.export_run(run.directory, folder / "p.keras", format="keras-plain")
    if output == "quantiles":
        nlp_suite.export_run(run.directory, folder / "f.keras", format="keras")
        (answer,) = nlp_suite.load(folder / "f.keras").forecast(histories[:1])
        np.testing.assert_allclose(answer["forecast"], python[0]["forecast"], rtol=1e-5)
        check_page(export.path.parent)
        assert Run(run.directory).task.freeze_data_defaults(run).task.season == 12
