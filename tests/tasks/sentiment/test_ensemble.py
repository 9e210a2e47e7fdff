"""Several classifiers as one run: weights, the folder that stands alone, its figures, the graph, and what is refused."""

import shutil

import numpy as np
import pytest

import nlp_suite
from nlp_suite.cli import main
from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError, DamagedFileError, ExportError, NlpSuiteError, RequestError, RunError
from nlp_suite.export.load import load
from nlp_suite.export.run_export import check_export
from nlp_suite.files import read_json, write_json
from nlp_suite.tasks.sentiment.calibration import probabilities_of
from nlp_suite.tasks.sentiment.ensemble.measure import answers_of
from nlp_suite.tasks.sentiment.ensemble.network import EnsembleModel
from nlp_suite.tasks.sentiment.ensemble.predictor import EnsembleClassifier, fit_weights
from nlp_suite.tasks.sentiment.ensemble.signatures import EnsembleSignatures
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests.export.conftest import SMALL, make_run
from tests.tasks.sentiment.test_serving import PAIRS, check_cases, model_of

TEXTS = ["a fine film and a great cast", "the plot is dull", "", "word " * 50]


def made(folder, name, backbone="bag", **settings):
    (folder / name).mkdir(parents=True)
    return make_run(folder / name, SMALL[backbone], **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs whose names are not in order, each with a tokenizer and a backbone of its own."""
    folder = tmp_path_factory.mktemp("runs")
    made(folder, "words")
    made(folder, "letters", "cnn", text={"tokenizer": "character", "max_length": 60})
    return folder


@pytest.fixture(scope="module")
def both(folder):
    return nlp_suite.ensemble([folder / "words", folder / "letters"], folder / "both")


def test_weights_are_those_of_the_least_cross_entropy():
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 500)
    chances = [probabilities_of(draw.normal(0, s, (500, 2)) + lean * np.eye(2)[truth]) for s, lean in ((1, 1), (2, 2))]
    of_truth = np.stack([p[np.arange(500), truth] for p in chances])
    first, second = fit_weights(of_truth)
    assert first + second == pytest.approx(1) and 0.02 < first < 0.98
    losses = {share: -np.log([share, 1 - share] @ of_truth).mean() for share in np.linspace(0, 1, 1001)}
    assert first == pytest.approx(min(losses, key=losses.get), abs=2e-3)
    assert fit_weights(np.stack([of_truth[0], np.full(500, 1e-3)])) == pytest.approx([1, 0], abs=1e-3)
    assert fit_weights(np.stack([of_truth[0]] * 3)) == pytest.approx([1 / 3] * 3)


def test_it_answers_the_weighted_mean_when_its_members_are_gone(folder, both):
    members = [load(folder / name) for name in ("words", "letters")]
    weights = both.experiment.task.members
    assert list(weights) == list(both.assets.members) == ["words", "letters"] and both.network == "bag + cnn"
    store = both.stores()["validation"]
    answers = answers_of(members, store)
    of_truth = answers[:, np.arange(len(store)), np.array(store.labels)]
    assert list(weights.values()) == pytest.approx(fit_weights(of_truth)) and min(weights.values()) > 0.01
    mean = np.tensordot(list(weights.values()), [member.probabilities(TEXTS) for member in members], 1)
    moved = shutil.copytree(both.directory, folder / "elsewhere" / "moved")
    temperature = Run(moved).assets.fitted["calibration"]["temperature"]
    for name in weights:
        (folder / name).rename(folder / f"{name}-gone")
    predictor = load(moved)
    for name in weights:
        (folder / f"{name}-gone").rename(folder / name)
    np.testing.assert_allclose(predictor.probabilities(TEXTS), probabilities_of(np.log(mean), temperature), atol=1e-6)
    assert [answer["truncated"] for answer in predictor.predict(TEXTS)] == [False, False, False, True]
    assert predictor.predict(TEXTS)[0]["label"] in both.labels
    with pytest.raises(RequestError, match="one of its members"):
        predictor.embed(TEXTS)
    (moved / "members" / "letters" / "config.yaml").write_text("task: sentiment\n", "utf-8")
    with pytest.raises(DamagedFileError, match="members/letters/config.yaml is damaged"):
        Run(moved)


def test_the_report_has_the_figures_of_every_member(folder, both):
    report = evaluate(both, baseline=False)
    assert report["examples"] == 20 and list(report["members"]) == ["words", "letters"]
    for name, figures in report["members"].items():
        run = Run(folder / name)
        alone = run.task.measure(run, "test", run.stores())
        for key in ("accuracy", "cross_entropy", "ece", "accuracy_interval"):
            assert figures[key] == pytest.approx(alone[key], abs=1e-6), (name, key)
        assert figures["macro"]["f1"] == pytest.approx(alone["macro"]["f1"])
        assert figures["weight"] == both.experiment.task.members[name]
        lead = figures["lead"]["accuracy"]
        assert lead["value"] == pytest.approx(report["accuracy"] - alone["accuracy"])
        assert lead["interval"][0] <= lead["value"] <= lead["interval"][1]
        doubtful = min(lead["interval"][0] for lead in figures["lead"].values()) <= 0
        assert any(f"its member {name} alone: " in remark for remark in report["remarks"]) == doubtful
    page = (both.directory / "report.html").read_text("utf-8")
    assert "Is it better than its members" in page and "bag + cnn, test split" in page


@pytest.mark.slow
def test_its_graph_of_pairs():
    members = [model_of("single_label", text_pairs=True)[0] for _ in range(2)]
    for variable in members[1].model.trainable_variables:
        variable.assign(variable.value * -2)
    predictor = EnsembleClassifier(members, [0.3, 0.7], temperature=0.6)
    signatures = EnsembleSignatures(EnsembleModel([member.model for member in members]), predictor)
    check_cases(signatures, ["\t".join(pair).encode() for pair in PAIRS])
    one, other = (member.probabilities(PAIRS) for member in members)
    expected = probabilities_of(np.log(0.3 * one + 0.7 * other), 0.6)
    np.testing.assert_allclose(predictor.probabilities(PAIRS), expected, atol=1e-6)


@pytest.mark.slow
def test_equal_weights_and_names_that_are_taken(folder, tmp_path):
    other = shutil.copytree(folder / "letters", tmp_path / "words")
    run = nlp_suite.ensemble([folder / "words", other], tmp_path / "new" / "equal", weights="equal")
    assert run.experiment.task.members == {"words": 0.5, "words-2": 0.5}


def test_what_is_no_member_is_refused(folder, both, tmp_path, capsys):
    words, to = str(folder / "words"), tmp_path / "to"
    named = {"labels": ["bad", "good"]}
    kinds = {
        "labels": (named, ["bad, good", "negative, positive"]),
        "several": ({"problem": "multi_label"}, ["problem: multi_label", "problem: single_label"]),
    }
    refused = {}
    for name, (settings, said) in kinds.items():
        refused[name] = (made(tmp_path, name, **settings), said)
    for name, said, change in (
        ("unfinished", ["state: running"], lambda text: text),
        (
            "split",
            ["data.source.seed: 0 → 3", "may know the texts"],
            lambda text: text.replace("  seed: 0", "  seed: 3", 1),
        ),
        ("task", ["task: language_model", "task: sentiment"], None),
    ):
        run = shutil.copytree(folder / "words", tmp_path / name)
        if change is None:
            (run / "config.yaml").write_text(load_experiment({"task": "language_model"}).to_yaml(), "utf-8")
        else:
            (run / "config.yaml").write_text(change((run / "config.yaml").read_text("utf-8")), "utf-8")
        state = "running" if name == "unfinished" else "finished"
        write_json(run / "run.json", {**read_json(run / "run.json", ""), "state": state})
        refused[name] = (run, said)
    refused["ensemble"] = (both.directory, ["is an ensemble itself", "words, letters"])
    refused["twice"] = (folder / "elsewhere" / ".." / "words", ["given 2 times"])
    refused["none"] = (tmp_path / "nowhere", ["not a run folder"])
    for name, (run, said) in refused.items():
        with pytest.raises(NlpSuiteError) as error:
            nlp_suite.ensemble([words, run], to)
        assert all(part in str(error.value) for part in said), (name, str(error.value))
        assert name in ("twice", "none") or str(run) in str(error.value)
    for arguments, said in (
        ([words], "two runs or more, and only"),
        ([words, str(folder / "letters"), "--weights", "test"], "allowed: validation, equal"),
    ):
        with pytest.raises(SystemExit):
            main(["ensemble", *arguments, "--to", str(to)])
        assert said in capsys.readouterr().err
    with pytest.raises(RunError, match="--to .* is not empty"):
        nlp_suite.ensemble([words, folder / "letters"], both.directory)
    assert not to.exists()


def test_it_is_not_trained_and_other_formats_do_not_hold_it(both, small, tmp_path):
    with pytest.raises(ConfigError, match="nlp-suite ensemble"):
        train(small(task={"members": {"a": 1.0}}), tmp_path / "run")
    origin = {"init_from": str(both.directory)}
    for section in ("training", "backbone"):
        with pytest.raises(ConfigError, match=rf"(?s){section}.init_from: .*both .*words"):
            train(small(**{section: origin}), tmp_path / "run")
    with pytest.raises(ExportError, match=r"an ensemble of 2.*saved_model"):
        check_export(both.directory, tmp_path / "x.keras", "keras")
    with pytest.raises(ExportError, match="not for sentiment classification by an ensemble"):
        check_export(both.directory, tmp_path / "x", "saved_model", quantize="int8")


@pytest.mark.slow
def test_from_runs_to_the_endpoints_answer(folder, tmp_path, capsys):
    from tensorflow_serving.apis import classification_pb2

    from nlp_suite.serving import inference
    from nlp_suite.serving.doctor import examine
    from nlp_suite.serving.servable import Servable, SessionSettings

    to, models = tmp_path / "both", tmp_path / "models" / "both"
    main_done("ensemble", str(folder / "words"), str(folder / "letters"), "--to", str(to))
    main_done("evaluate", str(to), "--no-baseline")
    main_done("export", str(to), "--to", str(models), "--weights", "float16")
    said = capsys.readouterr().out
    assert "weights: words 0." in said and "beside members" in said
    exported = load(models)
    with pytest.raises(RequestError, match="gives no vectors"):
        exported.embed(["a"])
    card = read_json(models / "1" / "assets.extra" / "model_card.json", "")
    assert list(card["members"]) == ["words", "letters"] and card["metrics"]["members"]
    assert examine(models / "1").ok
    expected = load(to).predict(TEXTS)
    request = classification_pb2.ClassificationRequest()
    request.model_spec.signature_name = "classify"
    for text in TEXTS:
        request.input.example_list.examples.add().features.feature["text"].bytes_list.value.append(text.encode())
    servable = Servable("both", 1, models / "1", SessionSettings())
    try:
        answers = inference.classify(servable, request).result
    finally:
        servable.close()
    for row, answer, wanted in zip(answers.classifications, exported.predict(TEXTS), expected, strict=True):
        near = pytest.approx(wanted["probabilities"], abs=2e-3)  # half precision
        assert {entry.label: entry.score for entry in row.classes} == near and answer["probabilities"] == near


def main_done(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert not ended.value.code
