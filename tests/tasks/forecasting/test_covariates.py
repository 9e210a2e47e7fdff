"""Covariates and the calendar from a table to forecasts: read, scaled, known ahead or refused with their name, exported."""

from datetime import date, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

import nlp_suite
from nlp_suite.cli import app
from nlp_suite.config import load_recorded
from nlp_suite.data.calendar import check_calendar, days_before, months_and_days, phases, seconds_of, stamp_of
from nlp_suite.data.series_history import History
from nlp_suite.data.time_steps import Frequency, read_stamp
from nlp_suite.serving.flags import Options
from nlp_suite.tasks.forecasting.inputs import NetworkInputs
from tests.serving import chromium
from tests.serving.endpoint import free_port

FIRST = date(2023, 1, 2)
STEPS, AHEAD = 150, 3


def table(path, steps=STEPS, begin=0, ahead=0):
    """Two shops: sales hang on the price of the day, on its weekday, and on the size of the shop."""
    lines = ["ds,shop,y,price,visitors,area,kind\n"]
    for shop, area in (("north", 1), ("south", 3)):
        draw = np.random.default_rng(area)
        prices, visitors = draw.integers(1, 4, (2, begin + steps + ahead))
        for step in range(begin, begin + steps + ahead):
            day = FIRST + timedelta(days=step)
            y = 20 * area - 4 * prices[step] + 6 * (day.weekday() == 5)
            known = f"{y}" if step < begin + steps else ""
            lines.append(
                f"{day},{shop},{known},{prices[step]},{visitors[step]},{area},{'kiosk' if area == 1 else ''}\n"
            )
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("covariates")


@pytest.fixture(scope="module")
def run(folder):
    source = {
        "name": "series", "train": str(table(folder / "sales.csv")), "series": "shop",
        "past_covariates": ["visitors"], "future_covariates": ["price"], "static_covariates": ["area"],
        "static_categories": ["shop", "kind"],
    }  # fmt: skip
    experiment = {
        "task": {
            "name": "forecasting",
            "horizon": AHEAD,
            "context": 9,
            "calendar": ["day_of_week"],
            "test": 14,
            "stride": 1,
            "output": "negative_binomial",
            "scaling": "mean",
        },
        "data": {"source": source, "cache": str(folder / "cache")},
        "backbone": {"name": "gru", "embedding_size": 8, "units": 8, "bidirectional": False},
        "training": {"epochs": 20, "batch_size": 32, "learning_rate": 0.03, "tensorboard": False, "save_every": 70},
    }
    return nlp_suite.train(nlp_suite.load_experiment(experiment), folder / "run")


def truth(shop, step):
    area = {"north": 1, "south": 3}[shop]
    price = np.random.default_rng(area).integers(1, 4, (2, STEPS + AHEAD))[0, step]
    return 20 * area - 4 * price + 6 * ((FIRST + timedelta(days=step)).weekday() == 5)


def command(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False).stdout


# ---- the calendar


def test_the_calendar_is_that_of_python():
    days = np.array([-719_162, -25_567, -1, 0, 59, 11_016, 19_782, 19_723, 2_932_896])  # from year 1 to 9999
    months, of_month = months_and_days(days)
    for place, day in enumerate(days):
        known = date(1970, 1, 1) + timedelta(days=int(day))
        assert (months[place], of_month[place]) == (12 * known.year + known.month - 1, known.day - 1)
        assert days_before(months[place]) == int(day) - known.day + 1
        stamps = np.array([int(day) * 86_400 + 3600])
        names = ["time_of_day", "day_of_week", "day_of_month", "day_of_year", "month", "quarter"]
        found = [int(value[0]) for value, _ in phases(stamps, Frequency.parse("hour"), names)]
        of_year = known.timetuple().tm_yday - 1
        assert found == [3600, known.weekday(), known.day - 1, of_year, known.month - 1, (known.month - 1) // 3]
    month = Frequency.parse("month")
    stamp = read_stamp("2024-08").value
    assert stamp_of(np.array([seconds_of(stamp, month)]), month) == [stamp]
    assert [int(value) for value, _ in phases(np.array(stamp), month, ["month", "quarter"])] == [7, 2]


@pytest.mark.parametrize(
    "feature, frequency, allowed",
    [
        ("day_of_week", "month", "month, quarter"),
        ("time_of_day", "day", "day_of_week, day_of_month"),
        ("day_of_week", "week", "day_of_month, day_of_year"),
        ("month", "year", "none"),
        ("month", "step", "none"),
    ],
)
def test_a_feature_that_is_the_same_for_all_steps_is_refused(feature, frequency, allowed):
    with pytest.raises(nlp_suite.NlpSuiteError, match=f"task.calendar {feature}: steps of a {frequency} .*{allowed}"):
        check_calendar([feature], Frequency.parse(frequency))


def test_what_a_network_reads_of_a_short_history():
    covariates = {"past": ["a"], "future": ["b"], "static": ["c"]}
    inputs = NetworkInputs(3, 2, covariates, ["month"], Frequency.parse("month"))
    end = read_stamp("2024-02").value
    history = History(np.array([5.0, 6]), np.array([[1.0], [2]]), np.array([[3.0], [4], [5]]), np.array([7.0]), end)
    read = inputs.arrays([history])
    assert read["values"].tolist() == [[0, 5, 6]] and read["static"].tolist() == [[7]]
    np.testing.assert_array_equal(read["past"][0, :, 0], [np.nan, 1, 2])
    np.testing.assert_array_equal(read["future"][0, :, 0], [np.nan, 3, 4, 5, np.nan])
    np.testing.assert_allclose(read["calendar"][0, :, 0] * 12, [10, 11, 0, 1, 2], rtol=1e-6)
    assert {name: array.shape[1:] for name, array in read.items()} == inputs.shapes


# ---- training and forecasts


def test_a_forecaster_uses_what_is_known_of_the_future(run):
    report = nlp_suite.evaluate(run)
    assert report["mae"] < 0.6 * min(easy["mae"] for easy in report["baseline"].values())
    store = run.stores()["train"]
    end = store.history(0, 20).end
    assert store.frequency.written(end) == str(FIRST + timedelta(days=20)) and len(store.future) == len(store.past)


def test_counts_are_required_of_the_distribution_of_counts(run, folder):
    (folder / "halves.csv").write_text((folder / "sales.csv").read_text().replace(",16,", ",16.5,"))
    experiment = load_recorded(run.directory / "config.yaml").model_dump(mode="json")
    experiment["data"]["source"]["train"] = str(folder / "halves.csv")
    with pytest.raises(nlp_suite.NlpSuiteError, match="needs counts, and the training split has 16.5"):
        nlp_suite.train(nlp_suite.load_experiment(experiment), folder / "halves")


def test_rows_after_the_last_value_hold_the_future(run, folder):
    known = table(folder / "known.csv", ahead=AHEAD)
    lines = [
        line.split("\t")
        for line in command("forecast", run.directory, "--input", known, "--format", "tsv").splitlines()
    ]
    assert [row[:2] for row in lines[1:4]] == [["north", str(FIRST + timedelta(days=STEPS + h))] for h in range(AHEAD)]
    wanted = [truth(shop, STEPS + h) for shop in ("north", "south") for h in range(AHEAD)]
    assert np.abs(np.array([float(row[2]) for row in lines[1:]]) - wanted).mean() < 2.5
    with pytest.raises(
        nlp_suite.NlpSuiteError, match=r"series 'north': the future covariate 'price' is not known for 3 of the 3"
    ):
        command("forecast", run.directory, "--input", table(folder / "unknown.csv"))


def asked(steps=12, ahead=AHEAD):
    return {
        "values": [16.0, 8, None, 14, 16, 8, 12, 16, 12, 8, 16, 8][:steps],
        "last": str(FIRST + timedelta(days=STEPS - 1)),
        "past": {"visitors": [1.0, 2, 3] * (steps // 3)},
        "future": {"price": [1, 3, 2] * (steps // 3) + [1.0, 2, 3][:ahead]},
        "static": {"area": 1, "shop": "north", "kind": "kiosk"},
    }


def test_a_history_is_a_mapping_with_all_that_the_model_reads(run):
    forecaster = nlp_suite.load(run.directory)
    (whole,), (part,) = forecaster.forecast([asked()]), forecaster.forecast([asked(ahead=1)], horizon=1)
    assert len(whole["forecast"]) == AHEAD and part["forecast"] == pytest.approx(whole["forecast"][:1], rel=1e-5)
    for change, message in [
        ({"future": {}}, "history 1: future covariates are missing: price"),
        ({"future": {"price": [1, 2]}}, "'price' is not known for 3 of the 3 steps that are forecast .2023-06-01, 2023-06-02"),
        ({"future": {"price": [1] * 14 + [None]}}, "'price' is not known for 1 of the 3 steps that are forecast .2023-06-03"),
        ({"past": {"visitors": [1]}}, "past covariates have 1 values and the series has 12"),
        ({"past": {"visitor": [1]}}, "unknown past covariate 'visitor'"),
        ({"static": {"area": 1, "kind": None}}, "static categories are missing: shop"),
        ({"static": {"shop": "south", "kind": None}}, "static covariates are missing: area"),
        ({"static": {"area": 1, "shop": "nort", "kind": None}}, "unknown word of the category 'shop', 'nort'"),
        ({"last": None}, "'None' is no date"),
        ({"last": "2023-05"}, "'2023-05' is no date of a step, which is a day"),
        ({"price": [1]}, "unknown key 'price'"),
    ]:  # fmt: skip
        with pytest.raises(nlp_suite.NlpSuiteError, match=message):
            forecaster.forecast([{**asked(), **change}])
    without = asked()
    del without["last"]
    with pytest.raises(nlp_suite.NlpSuiteError, match="reads the calendar .day_of_week.: give `last`"):
        forecaster.forecast([without])


def test_words_are_numbers_of_the_training_split_and_have_a_vector_each(run):
    inputs = run.task.inputs(run.assets.facts)
    assert inputs.categories == {"shop": ["north", "south"], "kind": ["kiosk"]}
    assert inputs.numbers([["south", ""], ["west", "kiosk"]]).tolist() == [[2, 0], [0, 1]]
    store = run.stores()["test"]
    assert list(store.history(1, 20).words) == ["south", ""] and run.model().words[0].embeddings.shape == (3, 4)
    forecaster, south = nlp_suite.load(run.directory), asked()
    south["static"] = {**south["static"], "shop": "south"}
    (one,), (two,) = forecaster.forecast([asked()]), forecaster.forecast([south])
    assert one["forecast"] != pytest.approx(two["forecast"], rel=1e-3)


def check_page(model, answer):
    """The endpoint's page reads a pasted table with the covariates of the steps ahead below the last value."""
    given = asked()
    rows = zip(given["values"] + [None] * AHEAD, given["past"]["visitors"] + [""] * AHEAD, given["future"]["price"])
    lines = ["price\tvalue\tvisitors", *(f"{price}\t{'' if y is None else y}\t{v}" for y, v, price in rows)]
    typed = {
        "values": "\n".join(lines),
        "last": given["last"],
        "static:area": 1,
        "static:shop": "north",
        "static:kind": "kiosk",
    }
    from nlp_suite.serving.server import Server

    port = free_port()
    options = Options(rest_api_port=port, port=0, host="127.0.0.1", model_name="f", model_base_path=str(model))
    with Server(options), chromium.Tab() as tab:
        server = f"http://127.0.0.1:{port}/"
        tab.look(1200, dark=False)
        chromium.deep(tab, server, model="f", **typed)
        shown = [float(cell) for cell in chromium.texts(tab, ".answer td")[1::3]]
        assert shown == pytest.approx(answer["forecast"], rel=1e-4)
        chromium.check_clean(tab, server)
        for change, message in [
            ({"values": "\n".join(lines[:-1])}, "price must be known for the 3 steps ahead: 2 lines below"),
            ({"last": "May"}, "Give the date of the last value"),
            ({"static:area": "big"}, "area: big is no number"),
            ({"values": "\n".join(lines).replace("visitors", "guests")}, "missing: visitors"),
        ]:
            chromium.deep(tab, server, model="f", **{**typed, **change})
            assert message in chromium.texts(tab, ".answer")[0]


@pytest.mark.slow
def test_an_export_reads_covariates_and_the_calendar_as_python_does(run, folder):
    export = nlp_suite.export_run(run.directory, folder / "models" / "sales")
    assert export.report["self_check"]["largest_difference"] < 1e-5
    python, saved = (nlp_suite.load(path).forecast([asked(), asked(steps=3)]) for path in (run.directory, export.path))
    for one, two in zip(python, saved):
        np.testing.assert_allclose(one["forecast"], two["forecast"], rtol=1e-5)
    known = "--input", table(folder / "ahead.csv", ahead=AHEAD), "--format", "tsv"
    alone, both = (command("forecast", run.directory, *more, *known) for more in ((), ("--ensemble", export.path)))
    numbers = [[float(line.split("\t")[2]) for line in out.splitlines()[1:]] for out in (alone, both)]
    np.testing.assert_allclose(*numbers, rtol=1e-4)
    if chromium.BINARY:
        check_page(export.path.parent.resolve(), python[0])
    nlp_suite.export_run(run.directory, folder / "sales.keras", format="keras")
    (answer,) = nlp_suite.load(folder / "sales.keras").forecast([asked()])
    np.testing.assert_allclose(answer["forecast"], python[0]["forecast"], rtol=1e-5)
