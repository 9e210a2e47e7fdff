"""The sentiment task: loss and metrics against NumPy and scikit-learn, several classes, and every kind of odd text."""

import html
import io

import keras
import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import f1_score

from nlp_suite.data.inspect import format_inspection, inspect_experiment
from nlp_suite.errors import ConfigError, RequestError
from nlp_suite.evaluation.report import terminal_report
from nlp_suite.export.load import load
from nlp_suite.tasks.sentiment import SentimentTask
from nlp_suite.tasks.sentiment.metrics import MacroF1
from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.train import train

QUIET = Console(quiet=True)
RANDOM = np.random.default_rng(0)
TRUTH, LOGITS = RANDOM.integers(0, 4, 50), RANDOM.normal(size=(50, 4)).astype("float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_by_hand(smoothing):
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    target = np.eye(4)[TRUTH] * (1 - smoothing) + smoothing / 4
    weights = RANDOM.random(50).astype("float32")
    expected = -(target * log_p).sum(axis=1) @ weights / 50
    loss = SentimentTask(label_smoothing=smoothing).loss()
    assert float(loss(TRUTH, LOGITS, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)


def test_rows_of_weight_0_count_nowhere():
    weights = np.r_[np.ones(30), np.zeros(20)].astype("float32")
    task = SentimentTask()
    loss = task.loss()
    counted = float(loss(TRUTH[:30], LOGITS[:30]))
    assert float(loss(TRUTH, LOGITS, weights)) == pytest.approx(counted * 30 / 50, rel=1e-6)
    for metric in task.metrics(list("abcd")):
        metric.update_state(TRUTH, LOGITS, sample_weight=weights)
        weighted = float(metric.result())
        metric.reset_state()
        metric.update_state(TRUTH[:30], LOGITS[:30])
        assert weighted == pytest.approx(float(metric.result()), rel=1e-5), metric.name


def test_macro_f1_is_scikit_learns():
    metric = MacroF1(5)  # one class occurs nowhere
    for part in np.split(np.arange(50), [20, 21]):
        metric.update_state(TRUTH[part], np.pad(LOGITS[part], ((0, 0), (0, 1)), constant_values=-99))
    assert float(metric.result()) == pytest.approx(f1_score(TRUTH, LOGITS.argmax(1), average="macro"), rel=1e-5)


BY_LABEL = {"average": "l2", "idf": True}


@pytest.mark.parametrize(
    "classes, classifier, backbone", [(3, "identity", {**BY_LABEL, "embedding_size": 3}), (5, "dense", {})]
)
def test_several_classes(small, tmp_path, classes, classifier, backbone):
    words = ["awful", "bad", "fair", "good", "great"][:classes]
    rows = [f"{i % classes + 1}\t{words[i % classes]} film number{i % 11}" for i in range(200)]
    for split in ("train", "test"):
        (tmp_path / f"{split}.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    source = {"name": "files", "train": str(tmp_path / "train.tsv"), "test": str(tmp_path / "test.tsv")}
    experiment = small(
        data={"source": source},
        task={"classifier": classifier},
        backbone=backbone,
        training={"epochs": 8, "learning_rate": 0.05, "class_weights": "balanced"},
    )
    run = train(experiment, tmp_path / "run", console=QUIET)
    assert run.labels == [str(i + 1) for i in range(classes)]
    report = evaluate(run)
    assert report["accuracy"] > 0.95 and len(report["confusion_matrix"]) == classes
    easy = report["baseline"]
    assert easy["majority"]["accuracy"] == pytest.approx(1 / classes, abs=0.01)  # of 200 rows, all classes alike
    assert easy["tfidf"]["accuracy"] == 1 and easy["tfidf"]["macro"]["f1"] == 1
    assert easy["tfidf"]["lead"]["accuracy"]["value"] == pytest.approx(report["accuracy"] - 1)
    assert "TF-IDF" in report["baseline_remark"] and "the most frequent" not in report["baseline_remark"]
    assert "baseline" not in evaluate(run, baseline=False) and "baseline" not in evaluate(run, "train")
    answer = load(run.directory).predict("a great film" if classes == 5 else "a fair film")
    assert answer["label"] == str(classes) and sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_bag_of_weights_by_label_has_no_classifier_over_it(small, tmp_path):
    task = {"classifier": "identity", "pooling": ["mean"]}
    run = train(small(task=task, backbone={**BY_LABEL, "embedding_size": 2}), tmp_path / "run", console=QUIET)
    model = run.model()
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in model.classifier.weights)
    np.testing.assert_array_equal(kernel, np.eye(2), err_msg="is not trained")
    assert (bias != 0).all() and len(model.classifier.trainable_variables) == 1
    vectors, logits = model.vectors_and_logits(np.array([[4, 5, 6, 0]], "int32"))
    np.testing.assert_allclose(np.asarray(logits), np.asarray(vectors) + bias, rtol=1e-6)
    with pytest.raises(ConfigError, match=r"there are 4 features for 2: set backbone\.embedding_size .* to 2"):
        train(small(task=task), tmp_path / "other", console=QUIET)
    for other in ({"hidden": 3}, {"problem": "ordinal"}):
        with pytest.raises(ConfigError, match=f"classifier: identity does not go with {next(iter(other))}: "):
            small(task={"classifier": "identity", **other})


def test_what_a_user_may_not_expect_is_said_in_training_inspection_and_evaluation(small, tmp_path):
    """Texts that are cut, unknown tokens, a warm-up that never ends, too small an embedding, classes never answered."""
    for split in ("train", "test"):
        rows = [f"{'abc'[i % 3 if i < 40 else 0]}\tword{i} and more words than are read" for i in range(60)]
        (tmp_path / f"{split}.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    experiment = small(
        data={"source": {"name": "files", "train": str(tmp_path / "train.tsv"), "test": str(tmp_path / "test.tsv")}},
        text={"max_length": 4, "tokenizer": "word"},
        backbone={"embedding_size": 1, "naive_bayes": True},
        training={"epochs": 1, "schedule": {"name": "constant", "warmup_steps": 5000}},
    )
    too_small = "backbone.embedding_size is 1, which cannot tell 3 classes apart: give 2 or more"
    before = inspect_experiment(experiment)
    copies, are_cut, are_unknown, *others = before["remarks"]
    assert copies.startswith("50.0% of validation and 95.0% of test have a near copy in training, which flatters")
    assert copies.endswith("all 54 training texts are such copies"), "the remedy would leave nothing to train on"
    assert are_cut.startswith("of the first 54 training texts: 100.0% of the texts are cut (text.max_length=4")
    assert are_unknown.startswith("of the first 54 training texts: 25.0% of the tokens are unknown ('word")
    assert others == [too_small] and before["estimate"]["text"]["truncated_share"] == 1
    whole = inspect_experiment(small(data=experiment.data, text={"max_length": 4, "tokenizer": "byte"}))
    assert whole["estimate"] == {}
    assert "95% of the training texts or more have more words than text.max_length=4" in whole["remarks"][1]
    said = Console(file=io.StringIO(), width=400)
    run = train(experiment, tmp_path / "run", console=said)
    cut = "100.0% of the texts are cut (text.max_length=4"
    lines = said.file.getvalue()
    assert cut in lines and "raise text.max_length to read more" in lines
    assert "warmup_steps is 5,000 and the training has" in lines
    unknown = "25.0% of the tokens are unknown ('word0', 'word"
    assert unknown in lines and too_small in lines and "lower text.tokenizer.min_count" in lines
    inspection = inspect_experiment(experiment)
    assert inspection["remarks"][0] == copies and inspection["remarks"][3:] == [too_small]
    assert [cut in inspection["remarks"][1], unknown in inspection["remarks"][2]] == [True, True]

    report = evaluate(run)
    assert report["truncated_share"] == 1 and 0.4 < report["dropped_share"] < 0.6
    assert report["never_answered"], "a network that has learned nothing answers one label or two"
    expected = (cut, "of the tokens are unknown", "never answered", too_small, "warmup_steps is 5,000")
    assert [part in remark for part, remark in zip(expected, report["remarks"], strict=True)] == [True] * 5
    page = html.unescape((run.directory / "report.html").read_text("utf-8"))
    assert page.index("What to know of these numbers") < page.index("How it learned")
    shown = Console(file=io.StringIO(), width=400)
    shown.print(terminal_report(report, run.task.report_view()), format_inspection(inspection))
    for remark in report["remarks"]:
        assert page.count(remark) == 1 and remark in shown.file.getvalue()
    assert shown.file.getvalue().count(cut) == 2
    measured = (
        f"test split · 60 examples · 100.0% of the texts and {report['dropped_share']:.1%} of their tokens cut off"
    )
    assert measured in page and measured in shown.file.getvalue()


ODD = ["", " ", "\x00", "é" * 3, "\u202eabc", "x" * 1_000_000, "word " * 200_000, "😀" * 50, "<br /><br />", "\ufffd"]


def test_odd_texts_are_answered_and_do_not_change_their_neighbours(small, tmp_path):
    run = train(small(training={"epochs": 1}), tmp_path / "run", console=QUIET)
    predictor = load(run.directory)
    plain = predictor.predict(["a good film", "dull"])
    mixed = predictor.predict(["a good film", *ODD, "dull"])
    assert len(mixed) == len(ODD) + 2
    assert all(np.isfinite(list(answer["probabilities"].values())).all() for answer in mixed)
    for alone, among in zip(plain, (mixed[0], mixed[-1])):
        assert among["probability"] == pytest.approx(alone["probability"], abs=1e-6)


def test_word_dropout_and_seeds_stay_out_of_the_weights_file(small, tmp_path):
    run = train(small("backbone.word_dropout=0.5", "training.epochs=1"), tmp_path / "run", console=QUIET)
    model = run.model()
    assert isinstance(model, keras.Model) and not any("seed" in weight.path for weight in model.weights)


class HalfAndHalf(ClassifierPredictor):
    """Answers everything the same way."""

    labels = ["one", "other"]  # noqa: RUF012

    def _prepare(self, texts):
        return texts, [len(text) for text in texts]

    def _batch(self, items):
        return np.full((len(items), 2), 0.5), np.zeros(len(items), bool)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, None, True, 2**20 + 1])
def test_a_batch_size_that_is_none_is_refused(batch_size):
    predictor = HalfAndHalf()
    for ask in (predictor.predict, predictor.predict_iter, predictor.probabilities):
        with pytest.raises(RequestError, match="batch_size is .*; allowed: whole numbers from 1 to 1048576"):
            ask(["text"], batch_size=batch_size)
    assert len(predictor.predict(["text"] * 40, batch_size=1)) == 40 and predictor.predict([]) == []


@pytest.mark.parametrize("texts", [[None], ["text", None], [3], [["text"]]])
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(TypeError, match=f"a text is str or bytes, not {type(texts[-1]).__name__}"):
        HalfAndHalf().predict(texts)
