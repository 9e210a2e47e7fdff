"""Cross-validation, repetition and learning curves: every row is tested once, numbers against NumPy and SciPy, what is done stays done."""

import io
import json
import shutil

import numpy as np
import pytest
from rich.console import Console

from nlp_suite.data.prepare import open_source, splits
from nlp_suite.data.splits import parse_fold, stratified_folds
from nlp_suite.data.table_reading import open_table
from nlp_suite.errors import ConfigError, DataError, RunError, UsageError
from nlp_suite.evaluation.label_noise import doubted_rows
from nlp_suite.evaluation.learning_curve import advice
from nlp_suite.evaluation.several_runs import mean_with_interval
from nlp_suite.training import several_runs
from nlp_suite.training.cross_validation import check_cross_validation, cross_validate, view_of
from nlp_suite.training.learning_curve import check_learning_curve, learning_curve
from nlp_suite.training.repetition import check_repetition, repeat
from nlp_suite.training.repetition import view_of as view_of_seeds
from nlp_suite.training.run import Run, differences
from nlp_suite.training.several_runs import changed

QUIET = Console(quiet=True)


def test_folds_hold_every_row_once_and_every_class_in_its_share():
    labels = np.random.default_rng(0).choice(["a", "b", "c"], 1000, p=[0.7, 0.25, 0.05])
    fold = stratified_folds(labels, 7, seed=3)
    assert set(fold) == set(range(7)) and np.ptp(np.bincount(fold)) <= 1
    for label in "abc":
        assert np.ptp(np.bincount(fold[labels == label], minlength=7)) <= 1
    assert (fold == stratified_folds(labels, 7, seed=3)).all() and (fold != stratified_folds(labels, 7, seed=4)).any()


def test_more_folds_than_rows_of_the_rarest_label_are_refused():
    assert len(stratified_folds(["a", "b", "a", "b", "a"], 2, 0)) == 5
    with pytest.raises(DataError, match="3 folds need 3 rows of every label or more, and 'b' has 2"):
        stratified_folds(["a", "b", "a", "b", "a"], 3, 0)


@pytest.mark.parametrize("fold", ["1/1", "3/2"])
def test_what_is_no_fold_is_refused(fold):
    with pytest.raises(ConfigError, match=f"data.fold: '{fold}' is no fold"):
        parse_fold(fold)
    assert parse_fold("2/2") == (2, 2)


@pytest.mark.parametrize("task", ["sentiment", "language_model", "translation"])
def test_the_folds_of_every_kind_of_corpus_are_the_training_split(task):
    from nlp_suite.config import load_experiment

    experiment = load_experiment({"task": task, "data": {"source": {"name": "sample", "size": 50, "test": 5}}})
    source, seen = open_source(experiment), []
    for i in range(1, 4):
        parts = splits(changed(experiment, "data", fold=f"{i}/3"), source)
        assert parts["test"].origin == "train" and 10 <= len(parts["test"].rows) <= 24
        rows = [set(parts[split].rows) for split in ("train", "validation", "test")]
        assert sum(map(len, rows)) == 50 and set().union(*rows) == set(range(50))
        seen += rows[2]
    assert sorted(seen) == list(range(50))


def test_a_limit_of_the_training_split_leaves_the_others_whole_and_grows(small):
    experiment = small(data={"source": {"name": "sample", "size": 200, "test": 20}})
    source = open_source(experiment)
    whole, few, more = (splits(changed(experiment, "data", train_limit=n), source) for n in (None, 30, 90))
    assert [part["train"].count() for part in (whole, few, more)] == [180, 30, 90]
    assert set(few["train"].rows) < set(more["train"].rows) < set(whole["train"].rows)
    assert (few["validation"].rows == whole["validation"].rows).all() and few["test"].count() == 20


def test_intervals_are_those_of_students_t():
    values = [0.8, 0.82, 0.79, 0.85, 0.81]
    figure = mean_with_interval(values, highest=1)
    half = 2.7764451 * np.std(values, ddof=1) / np.sqrt(5)
    assert figure["mean"] == pytest.approx(np.mean(values))
    assert figure["interval"] == pytest.approx([np.mean(values) - half, np.mean(values) + half])
    assert mean_with_interval([0.01, 0.99], highest=1)["interval"] == [0.0, 1]
    assert mean_with_interval([0.5, None])["mean"] is None


def test_doubted_rows_are_those_answered_otherwise_the_least_probable_label_first():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.02, 0.98]])
    assert doubted_rows(np.array([0, 1, 0, 0]), probabilities).tolist() == [3, 1, 2]


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A cross-validation of two folds; in its data the labels of rows 8 and 31 are wrong."""
    from nlp_suite.config import load_experiment

    folder = tmp_path_factory.mktemp("folds")
    rows = [["neg", "pos"][i % 2] + f"\t{['dull', 'fine'][i % 2]} film number{i % 7}" for i in range(60)]
    rows[7], rows[30] = "neg\tfine film number0", "pos\tdull film number2"
    (folder / "train.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    experiment = load_experiment(
        {
            "data": {"source": {"name": "files", "train": str(folder / "train.tsv")}, "cache": str(folder / "cache")},
            "text": {"max_length": 10},
            "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 64},
            "training": {"epochs": 8, "batch_size": 8, "learning_rate": 0.1, "tensorboard": False, "buckets": 1},
        }
    )
    report = cross_validate(experiment, folder / "runs", 2, console=QUIET)
    return experiment, folder / "runs", report


def test_a_cross_validation_says_what_its_folds_say_and_finds_wrong_labels(validated):
    _, directory, report = validated
    of_folds = [json.loads((directory / f"fold-{i}/report.json").read_text("utf-8")) for i in (1, 2)]
    assert [one["examples"] for one in of_folds] == [30, 30]
    assert report["figures"]["accuracy"]["values"] == [one["accuracy"] for one in of_folds]
    assert report["figures"]["accuracy"]["mean"] == pytest.approx(58 / 60)
    written = json.loads((directory / "report.json").read_text("utf-8"))
    assert written == {key: value for key, value in report.items() if key != "page"}
    table = open_table(directory / "doubted_labels.tsv")
    found = [dict(zip(table.columns, row)) for _, row in table.rows()]
    assert {(int(row["row"]), row["label"], row["answered"]) for row in found} == {
        (8, "neg", "pos"),
        (31, "pos", "neg"),
    }
    assert {row["text"] for row in found} == {"fine film number0", "dull film number2"}
    assert report["doubted"]["rows"] == 2 and report["doubted"]["share"] == pytest.approx(2 / 60)
    page = (directory / "report.html").read_text("utf-8")
    shown = Console(file=io.StringIO(), width=300)
    shown.print(view_of(report).terminal(report))
    for text in ("For 2 of 60 rows", "95% interval over the folds"):
        assert text in page and text in shown.file.getvalue()
    assert "row 31" in page and "How it learned" not in page


def test_what_is_finished_is_not_done_again_and_other_folds_are_refused(validated):
    experiment, directory, report = validated
    before = {path: path.stat().st_mtime_ns for path in directory.glob("fold-*/**/*") if path.is_file()}
    assert cross_validate(experiment, directory, 2, console=QUIET) == report
    assert before == {path: path.stat().st_mtime_ns for path in before}
    with pytest.raises(RunError, match=r"(?s)fold-1 holds a run of another config.*data.fold: 1/2 → 1/3"):
        check_cross_validation(experiment, directory, 3)
    with pytest.raises(RunError, match="is a run folder: give another --run-dir"):
        check_cross_validation(experiment, directory / "fold-1", 2)


def test_a_killed_cross_validation_goes_on(validated, tmp_path):
    experiment, directory, report = validated
    shutil.copytree(directory, tmp_path / "runs", ignore=lambda folder, names: {"fold-2"} & set(names))
    weights = tmp_path / "runs/fold-1/checkpoints/best.weights.h5"
    before = weights.stat().st_mtime_ns
    again = cross_validate(experiment, tmp_path / "runs", 2, console=QUIET)
    assert again["figures"] == report["figures"] and weights.stat().st_mtime_ns == before


@pytest.mark.parametrize("folds", [1, 0, 101])
def test_folds_that_cannot_be_are_refused(small, tmp_path, folds):
    with pytest.raises(UsageError, match=f"--folds {folds}: a cross-validation has 2 to 100 folds"):
        check_cross_validation(small(), tmp_path / "runs", folds)


def test_a_config_of_a_fold_is_not_folded_again(small, tmp_path):
    with pytest.raises(UsageError, match="data.fold: '1/2' is set"):
        check_cross_validation(small("data.fold=1/2"), tmp_path / "runs", 2)
    with pytest.raises(UsageError, match="data.train_limit: 9 is set"):
        check_learning_curve(small("data.train_limit=9"), tmp_path / "runs", [1, 2])


@pytest.mark.parametrize(
    "sizes, error, message",
    [
        ([100], UsageError, "two sizes or more"),
        ([100, 100], UsageError, "two sizes or more"),
        ([0, 100], UsageError, "two sizes or more"),
        ([100, 271], DataError, "the training split has 270 examples .*; the largest size allowed is 270"),
    ],
)
def test_sizes_that_cannot_be_are_refused(small, tmp_path, sizes, error, message):
    with pytest.raises(error, match=message):
        check_learning_curve(small(), tmp_path / "runs", sizes)


def test_a_learning_curve_has_a_run_a_size_a_plot_and_a_sentence(small, tmp_path):
    report = learning_curve(small(training={"epochs": 1}), tmp_path / "runs", [80, 40], console=QUIET)
    assert report["sizes"] == [40, 80] and report["split"] == "test"
    for size, value in zip(report["sizes"], report["figures"]["accuracy"]["values"]):
        run = json.loads((tmp_path / f"runs/rows-{size}/run.json").read_text("utf-8"))
        assert run["statistics"]["train"]["texts"] == size and run["statistics"]["test"]["texts"] == 60
        assert json.loads((tmp_path / f"runs/rows-{size}/report.json").read_text("utf-8"))["accuracy"] == value
    page = (tmp_path / "runs/report.html").read_text("utf-8")
    assert report["advice"] in page and "rows of the training split" in page and "<svg" in page


def curve(name, sizes, values, half=None):
    intervals = [half and [value - half, value + half] for value in values]
    return {"sizes": sizes, "figures": {name: {"values": values, "intervals": intervals}}}


@pytest.mark.parametrize(
    "report, sentence",
    [
        (curve("accuracy", [500, 1000, 2000], [0.6, 0.8, 0.9], 0.01), "more data would probably help. If the trend goes on, 4,000 rows would bring about 0.95"),
        (curve("accuracy", [500, 1000], [0.80, 0.805], 0.02), "more data of this kind would hardly help"),
        (curve("accuracy", [500, 1000], [0.60, 0.68], 0.1), "too few measured rows to say whether more data would help"),
        (curve("accuracy", [100, 200], [0.75, 0.70], 0.14), "too few measured rows to say whether more data would help"),
        (curve("accuracy", [500, 1000], [0.80, 0.70], 0.02), "a loss of more than"),
        (curve("perplexity", [500, 1000], [80.0, 40.0]), "more data would probably help. If the trend goes on, 2,000 rows would bring about 20.00"),
        (curve("perplexity", [500, 1000], [80.0, 79.9]), "no more than one part in a hundred"),
        (curve("BLEU", [500, 1000], [10.0, 20.0], 1.0), "from 10.00 to 20.00, more than the 95% intervals leave to chance: more data would probably help."),
        (curve("accuracy", [500, 1000], [0.8, 1.0], 0.01), "more data would probably help."),
        (curve("BLEU", [500, 1000], [None, 20.0]), "undefined"),
    ],
)  # fmt: skip
def test_the_sentence_on_more_data(report, sentence):
    (name,) = report["figures"]
    assert sentence in advice(report, {name: "{:.2f}".format})


def test_a_run_folder_is_no_place_for_several_runs(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match="is a run folder"):
        several_runs.check_runs({}, tmp_path)


def test_a_repetition_differs_in_the_seed_alone_and_goes_on(small, tmp_path):
    experiment = small(training={"epochs": 1})
    report = repeat(experiment, tmp_path / "runs", 2, console=QUIET)
    assert report["seeds"] == [1, 2] and report["split"] == "test"
    runs = [Run(tmp_path / f"runs/seed-{seed}") for seed in (1, 2)]
    assert (
        differences(runs[0].experiment, runs[1].experiment) == ["training.seed: 1 → 2"]
        and runs[0].info["statistics"] == runs[1].info["statistics"]
    )
    measured = [json.loads((run.directory / "report.json").read_text("utf-8"))["accuracy"] for run in runs]
    assert report["figures"]["accuracy"] == mean_with_interval(measured, 1)
    assert report["best"]["values"] == [run.info["best"]["value"] for run in runs]
    shown = Console(file=io.StringIO(), width=200)
    shown.print(view_of_seeds(report).terminal(report))
    page = (tmp_path / "runs/report.html").read_text("utf-8")
    assert "seed 2" in page and "Seed by seed" in page and "95% from" in shown.file.getvalue()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("seed-*/**/*") if path.is_file()}
    assert repeat(experiment, tmp_path / "runs", 2, console=QUIET) == report
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize(
    "overrides, seeds, message",
    [
        ((), 1, "--seeds 1: an interval needs 2 to 1000 seeds"),
        ((), 1001, "--seeds 1001"),
        ((f"training.seed={2**32 - 2}",), 3, "from training.seed 4294967294 on there are not so many seeds"),
    ],
)
def test_seeds_that_cannot_be_are_refused(small, tmp_path, overrides, seeds, message):
    with pytest.raises(UsageError, match=message):
        check_repetition(small(*overrides), tmp_path / "runs", seeds)
