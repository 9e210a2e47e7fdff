"""Series from tables: dates and frequencies, gaps and duplicates, long and wide, and the cut into splits by time."""

import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.data.inspect import inspect_experiment
from nlp_suite.data.prepare import prepare
from nlp_suite.data.remarks import remarks
from nlp_suite.data.time_steps import Frequency, read_stamp
from nlp_suite.errors import DataError, NlpSuiteError
from nlp_suite.registry import SOURCES


@pytest.fixture
def series(tmp_path):
    """A function that writes a table and reads its series."""

    def read(text, **settings):
        path = tmp_path / "table.csv"
        path.write_text(text, "utf-8")
        source = SOURCES.get("series")(kind="series", train=str(path), **settings)
        return list(source.examples("train")), source.remarks("train")

    return read


def test_a_long_table_of_several_series_in_any_order(series):
    rows = "unique_id,ds,y\na,2024-02,2\nb,2023-12,7\na,2024-01,1\nb,2024-01,\nb,2024-02,9\n"
    (a, b), remarks = series(rows)
    assert (a["series"], a["start"], a["frequency"], a["values"].tolist()) == ("a", "2024-01", "month", [1, 2])
    assert b["start"] == "2023-12" and np.isnan(b["values"][1]) and b["values"][2] == 9
    assert "a step is a month" in remarks[0]


def test_a_wide_table_and_one_column(series):
    (north, south), _ = series(
        "day,north,south\n2024-01-01,1,3\n2024-01-02,2,4\n", time="day", value=["north", "south"]
    )
    assert north["series"] == "north" and south["values"].tolist() == [3, 4] and south["frequency"] == "day"
    (only,), _ = series("5\n6\n7\n", time=None, value=0)
    assert only["values"].tolist() == [5, 6, 7] and only["frequency"] == "step" and only["start"] == "0"


@pytest.mark.parametrize(
    "dates, frequency",
    [
        (["2024-01-31", "2024-02-29", "2024-03-31"], "month"),
        (["2024-01-01", "2024-04-01", "2024-07-01"], "quarter"),
        (["2024", "2025", "2026"], "year"),
        (["1-01", "1-02", "1-03"], "month"),
        (["2024-01-01 00:15", "2024-01-01 00:30", "2024-01-01 00:45"], "15 minutes"),
        (["2024-01-01T00:00:00+02:00", "2024-01-01T01:00:00+02:00", "2024-01-01T02:00:00+02:00"], "hour"),
        (["2024-01-07", "2024-01-14", "2024-01-21"], "week"),
    ],
)
def test_the_frequency_is_found(series, dates, frequency):
    (found,), _ = series("ds,y\n" + "".join(f"{date},1\n" for date in dates))
    assert found["frequency"] == frequency and len(found["values"]) == 3
    assert Frequency.parse(frequency) == Frequency.parse(str(Frequency.parse(frequency)))


def test_a_stamp_is_written_as_it_is_read():
    for text, unit in (("1981-12-31", "day"), ("2024-03", "month"), ("2024-01-31 18:00:00", "hour"), ("17", "step")):
        assert Frequency.parse(unit).written(read_stamp(text).value) == text


def test_gaps_are_refused_or_missing_values(series):
    table = "ds,y\n1984-12-29,1\n1984-12-30,2\n1985-01-01,3\n1985-01-02,4\n"
    with pytest.raises(
        DataError, match=r"a step is a day, and 1 of 5 steps have no row \(1984-12-31\); .*gaps: missing"
    ):
        series(table)
    (found,), remarks = series(table, gaps="missing")
    assert np.isnan(found["values"]).tolist() == [False, False, True, False, False]
    assert any("1 steps had no row" in remark for remark in remarks)


@pytest.mark.parametrize("how, value", [("first", 2), ("last", 4), ("mean", 3), ("sum", 6)])
def test_duplicates_are_refused_or_made_one_value(series, how, value):
    table = "ds,y\n2024-01-01,2\n2024-01-01,4\n2024-01-02,5\n"
    with pytest.raises(DataError, match=r"1 dates have several rows \(2024-01-01\)"):
        series(table)
    assert series(table, duplicates=how)[0][0]["values"].tolist() == [value, 5]


@pytest.mark.parametrize(
    "table, message",
    [
        ("ds,y\n2024-01-01,1\nsoon,2\n", r"table.csv, line 3, column 'ds': 'soon' is no date \(allowed: 2024-01-31"),
        ("ds,y\n2024-13,1\n", "'2024-13' is no date"),
        ("ds,y\n2024-01-01,one\n", r"line 2, column 'y': 'one' is no number"),
        ("ds,y\n2024-01-01,inf\n", "infinite values cannot be used"),
        ('ds,y\n2024-01-01,"1,5"\n', "decimals are written with a point"),
        ("ds,y\n2024-01-01T00:00+01:00,1\n2024-01-02T00:00+02:00,1\n", "line 3.*in another time zone"),
        ("ds,y\n2024-01-01T00:00+01:00,1\n2024-01-02T00:00,1\n", "in another time zone"),
        ("ds,y\n2024-01,1\n2024-01-02,1\n", "written otherwise than the dates"),
        ("ds,y\n2024-01-01,1\n2024-01-03,1\n2024-01-05,1\n2024-01-06,1\n", "1 dates lie between two steps"),
        ("date,y\n2024-01-01,1\n", "unknown column 'ds'.*allowed: date, y"),
        ("ds,y\n2024-01-01,1\n", "no series has two dates"),
    ],
)
def test_bad_tables_are_refused_with_their_place(series, table, message):
    with pytest.raises(DataError, match=message):
        series(table)


# ---- splits


def experiment(tmp_path, rows, **task):
    path = tmp_path / "s.csv"
    path.write_text("unique_id,ds,y\n" + "".join(rows), "utf-8")
    data = {"source": {"name": "series", "train": str(path)}, "cache": str(tmp_path / "cache"), "validation": 0.25}
    return load_experiment({"task": {"name": "forecasting", "horizon": 2, "context": 4, **task}, "data": data})


def rows_of(name, count, begin=0):
    return [f"{name},{step},{step * 10}\n" for step in range(begin, begin + count)]


def test_splits_are_cut_by_time_and_no_split_holds_what_comes_after_it(tmp_path):
    prepared = prepare(experiment(tmp_path, rows_of("a", 23) + rows_of("b", 15, begin=8), test=3))
    stores = prepared.stores
    assert [stores[split].series(0).max() for split in ("train", "validation", "test")] == [140, 190, 220]
    assert [stores[split].begins.tolist() for split in ("train", "validation", "test")] == [[0, 0], [15, 9], [20, 12]]
    assert stores["test"].stamp(1, 0) == "8" and stores["test"].frequency == Frequency("step", 1)
    assert prepared.statistics["test"] == {"series": 2, "steps": 38, "predicted": 6, "missing": 0, "constant": 0}


def test_folds_at_random_are_refused(tmp_path):
    values = experiment(tmp_path, rows_of("a", 23)).model_dump(mode="json")
    with pytest.raises(DataError, match="folds at random would train on the future"):
        prepare(load_experiment(values, ["data.fold=1/3"]))


def test_other_cuts_are_other_prepared_data(tmp_path):
    short, long = (prepare(experiment(tmp_path, rows_of("a", 30), test=test)) for test in (2, 6))
    assert short.directory != long.directory and len(long.stores["train"].values) < len(short.stores["train"].values)


def test_series_that_are_too_short_are_refused_left_out_or_padded(tmp_path):
    rows = rows_of("a", 30) + rows_of("b", 8)
    with pytest.raises(
        DataError, match=r"1 of 2 series are shorter than the 10 steps .*'b'.*drop leaves such series out"
    ):
        prepare(experiment(tmp_path, rows))
    config = experiment(tmp_path, rows, short_series="drop")
    dropped = prepare(config)
    assert dropped.stores["train"].names == ["a"]
    (said,) = remarks(config, dropped.statistics, [])
    assert said == "1 of 2 series are left out: they are shorter than the 10 steps that are needed"
    assert prepare(experiment(tmp_path, rows, short_series="pad")).stores["train"].names == ["a", "b"]


def test_inspect_shows_ends_and_missing_values(tmp_path):
    report = inspect_experiment(experiment(tmp_path, [*rows_of("a", 20), "a,20,\n"]))
    facts = report["splits"]["train"]
    assert facts["steps"] == 21 and facts["missing"] == 1 and report["examples"] == [["a", "0", "20", 21]]


def test_a_sample_of_a_process_with_a_known_optimum():
    from nlp_suite.data.sources import seasonal_process

    source = SOURCES.get("sample")(kind="series", size=200)
    series = np.stack([example["values"] for example in source.examples("train")])
    angles = [2 * np.pi * np.arange(240) * k / 12 for k in (1, 2)]
    known = np.stack([np.ones(240), *(f(angle) for angle in angles for f in (np.cos, np.sin))], axis=1)
    noise = series - (known @ np.linalg.lstsq(known, series.T, rcond=None)[0]).T
    error = noise[:, 1:] - seasonal_process.MEMORY * noise[:, :-1]
    assert np.abs(error).mean() == pytest.approx(source.optimum["mae"], rel=0.02)
    assert source.optimum["rmse"] == 1 and seasonal_process.best_errors(12)[0] > source.optimum["mae"]


def test_a_source_with_splits_of_its_own_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"series": "a", "start": "2024-01", "frequency": "month", "values": [1, null, 3]}\n'
    )
    files = {split: str(tmp_path / "a.jsonl") for split in ("train", "test")}
    settings = {"task": {"name": "forecasting"}, "data": {"source": {"name": "files", **files}, "cache": str(tmp_path)}}
    with pytest.raises(NlpSuiteError, match="series are cut by time: give whole series as train, and no test"):
        prepare(load_experiment(settings))
    (example,) = SOURCES.get("files")(kind="series", train=files["train"]).examples("train")
    assert np.isnan(example["values"][1]) and example["frequency"] == "month"


def test_covariates_stand_beside_values_and_go_on_after_the_last_one(series):
    table = "ds,y,price,area\n2024-01,1,5,9\n2024-02,2,6,9\n2024-03,,7,\n2024-04,,8,9\n"
    (plain,), _ = series(table)
    assert "covariates" not in plain and len(plain["values"]) == 4
    settings = {"future_covariates": ["price"], "static_covariates": ["area"]}
    (found,), _ = series(table, **settings)
    assert found["values"].tolist() == [1, 2] and found["covariates"]["static"].tolist() == [9]
    assert found["covariates"]["future"].tolist() == [[5], [6], [7], [8]]
    with pytest.raises(DataError, match=r"series 'y', column 'area': 3 and 9 in one series"):
        series(table.replace("2,6,9", "2,6,3"), **settings)
    with pytest.raises(ValueError, match="column 'price' is given twice"):
        series(table, past_covariates=["price"], **settings)
    with pytest.raises(DataError, match="unknown column 'cost'"):
        series(table, past_covariates=["cost"])


def test_categories_are_words_that_are_the_same_in_all_rows_of_a_series(series):
    table = "unique_id,ds,y,group\na,2024-01,1,food\na,2024-02,2,\nb,2024-01,3,NA\nb,2024-02,4,\n"
    found, _ = series(table, static_categories=["group", "unique_id"], series="unique_id")
    assert [each["categories"] for each in found] == [
        {"group": "food", "unique_id": "a"},
        {"group": "", "unique_id": "b"},
    ]
    with pytest.raises(DataError, match="line 3, column 'group': 'toys', and 'food' in a row before"):
        series(table.replace("2,\n", "2,toys\n"), static_categories=["group"])


def test_a_series_without_any_value_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("unique_id,ds,y\n" + "".join(f"a,2024-01-{day:02d},\n" for day in range(1, 32)))
    source = {"name": "series", "train": str(tmp_path / "a.csv")}
    settings = {
        "task": {"name": "forecasting", "horizon": 2, "context": 3},
        "data": {"source": source, "cache": str(tmp_path)},
    }
    with pytest.raises(NlpSuiteError, match="the series 'a' has no value"):
        prepare(load_experiment(settings))
