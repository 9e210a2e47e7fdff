"""What is translated after every round: fixed sentences, the averaged weights, a metric that the rest of training sees."""

import io
from types import SimpleNamespace

import keras
import pytest
import sacrebleu
from rich.console import Console

from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError
from nlp_suite.task import Assets
from nlp_suite.tasks.translation import TranslationSettings, TranslationTask
from nlp_suite.tasks.translation.measure import TranslateValidation, evenly_spaced
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.train import check_monitor, train


class Store:
    """Pairs of sentences, numbered."""

    def __init__(self, count):
        self.source = SimpleNamespace(text=lambda row: f"source [b]{row}[/b]")
        self.target = SimpleNamespace(text=lambda row: f"the reference number {row} ends here")
        self._count = count

    def __len__(self):
        return self._count


class Inference:
    """Answers with the reference where the only weight is 1, and else with something shorter."""

    def __init__(self, model):
        self.model, self.asked = model, []

    def translate_iter(self, texts, beam_size):
        assert beam_size == 1
        self.asked.append(texts)
        rows = [text.removeprefix("source [b]").removesuffix("[/b]") for text in texts]
        right = float(self.model.weights[0][0, 0]) == 1.0
        return [{"translation": f"the reference number {row}{' ends here' if right else ''}"} for row in rows]


def model_and_inference():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    return model, Inference(model)


def callback(model, inference, count=9, **settings):
    out = io.StringIO()
    made = TranslateValidation(
        inference, Store(count), TranslationSettings(name="translation", **settings), Console(file=out)
    )
    made.set_model(model)
    return made, out


def test_val_bleu_is_that_of_the_averaged_weights_and_these_are_put_back():
    model, inference = model_and_inference()
    made, _ = callback(model, inference)
    logs = {"val_loss": 1.0}
    made.on_epoch_end(0, logs)
    references = [f"the reference number {row} ends here" for row in range(9)]
    short = [text.removesuffix(" ends here") for text in references]
    assert logs == {"val_loss": 1.0, "val_bleu": pytest.approx(sacrebleu.corpus_bleu(short, [references]).score)}
    assert 0 < logs["val_bleu"] < 90
    for average in model.optimizer._model_variables_moving_average:
        average.assign([[1.0]])
    made.on_epoch_end(1, logs)
    assert logs["val_bleu"] == pytest.approx(100)
    assert float(model.weights[0][0, 0]) == 0.0


def test_the_same_evenly_spaced_sentences_every_round():
    model, inference = model_and_inference()
    made, out = callback(model, inference, count=10, validation_bleu_sentences=4, shown_sentences=2)
    made.on_epoch_end(0, {})
    made.on_epoch_end(1, {})
    assert inference.asked == [[f"source [b]{row}[/b]" for row in (0, 2, 5, 7)]] * 2
    shown = out.getvalue().splitlines()
    assert shown[:3] == [
        "  source     source [b]0[/b]",  # not markup
        "  reference  the reference number 0 ends here",
        "  model      the reference number 0",
    ]
    assert "source [b]5[/b]" in shown[3] and len(shown) == 12


def test_nothing_is_printed_where_only_the_metric_is_wanted():
    made, out = callback(*model_and_inference(), shown_sentences=0)
    made.on_epoch_end(0, {})
    assert out.getvalue() == ""


def test_evenly():
    assert (
        evenly_spaced(3, 5) == [0, 1, 2]
        and evenly_spaced(10, 3) == [0, 3, 6]
        and evenly_spaced(4, 0) == []
        and evenly_spaced(0, 3) == []
    )


@pytest.mark.parametrize(
    "monitor, shown, wanted", [("val_loss", 0, False), ("val_loss", 1, True), ("val_bleu", 0, True)]
)
def test_only_where_something_asks_for_it(monkeypatch, monitor, shown, wanted):
    monkeypatch.setattr("nlp_suite.tasks.translation.measure.TranslationPredictor", lambda *_: None)
    experiment = SimpleNamespace(training=SimpleNamespace(monitor=monitor))
    callbacks = TranslationTask(shown_sentences=shown).interval_callbacks(
        experiment, None, {"validation": Store(2)}, Assets(), Console()
    )
    assert [type(each) for each in callbacks] == ([TranslateValidation] if wanted else [])


@pytest.mark.slow
def test_val_bleu_may_choose_the_best_interval_and_the_report_agrees(tmp_path):
    numbers = [
        ("one", "eins"),
        ("two", "zwei"),
        ("three", "drei"),
        ("four", "vier"),
        ("five", "fünf"),
        ("six", "sechs"),
    ]
    pairs = [
        [a, b, c, d, e] for a in numbers for b in numbers[:3] for c in numbers[3:] for d in numbers[:2] for e in (a,)
    ]
    for side, name in enumerate(("en", "de")):
        lines = [" ".join(word[side] for word in pair) for pair in pairs]
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
    values = {
        "task": {"name": "translation", "decoder": {"name": "gru", "units": 16}, "shown_sentences": 1},
        "data": {
            "source": {"name": "parallel", "train": {"source": str(tmp_path / "en"), "target": str(tmp_path / "de")}},
            "cache": str(tmp_path / "cache"),
        },
        "text": {"tokenizer": "word"},
        "backbone": {"name": "gru", "units": 16, "embedding_size": 16},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.02, "buckets": 1, "monitor": "val_bleu"},
    }
    out = io.StringIO()
    run = train(Experiment.model_validate(values), tmp_path / "run", console=Console(file=out, width=200))
    history = run.history
    assert [0 <= row["val_bleu"] <= 100 for row in history] == [True, True]
    assert run.info["best"]["metric"] == "val_bleu"
    assert run.info["best"]["value"] == max(row["val_bleu"] for row in history)
    assert out.getvalue().count("reference ") == 2 and "val_bleu" in out.getvalue()

    report = evaluate(run, "validation")
    best = history[run.info["best"]["round"] - 1]
    assert report["perplexity_per_token"] == pytest.approx(best["val_perplexity"], rel=1e-4)
    assert report["search"]["beam_size"] == 4 and report["sentences"] == len(run.stores()["validation"])
    assert 0 <= report["token_accuracy"] <= 1
    for row in report["attention"]:
        assert len(row["weights"]) == len(row["target_tokens"])
        assert all(sum(weights) == pytest.approx(1, abs=0.01) for weights in row["weights"])


def test_a_misspelt_metric_is_told_of_val_bleu():
    with pytest.raises(ConfigError, match="did you mean 'val_bleu'"):
        check_monitor("val_blue", TranslationTask, [])
