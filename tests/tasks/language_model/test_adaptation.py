"""A language model that adapts: the cache against its formula, dynamic evaluation against gradients written out, no look ahead."""

import json

import numpy as np
import pytest
from keras import ops
from rich.console import Console

import nlp_suite
from nlp_suite.cli import app
from nlp_suite.data.windows import window_arrays
from nlp_suite.errors import RequestError, RunError, UnknownNameError, UsageError
from nlp_suite.evaluation.report import terminal_report
from nlp_suite.task import Task
from nlp_suite.tasks.language_model.adaptation import CacheSettings, DynamicSettings, LanguageModelAdaptation
from nlp_suite.tasks.language_model.adaptation.adapted import Adapted, Reader, Texts
from nlp_suite.tasks.language_model.adaptation.cache import ContinuousCache, mixed_nll
from nlp_suite.tasks.language_model.adaptation.dynamic import Adapting, DynamicSteps, SquaredGradients
from nlp_suite.training.run import Run
from tests.language_models import make_run, network

draw = np.random.default_rng(0)
WORDS = draw.integers(4, 12, 50).astype("int32")
TEXTS = Texts(WORDS, np.array([0, 29, 50]))  # two documents
CACHE = CacheSettings(size=20, theta=0.5, share=0.3)


def reader(backbone):
    from nlp_suite.config import load_experiment

    settings = load_experiment({"task": {"name": "language_model", "window": 12}}).task
    model = network(backbone, 12, window=12)
    return Reader(model, settings, "stream" if model.backbone.carries_state else "windows")


# the cache


def test_the_cache_is_its_formula_in_any_pieces():
    features, targets, theta, size = draw.normal(size=(17, 3)).astype("float32"), draw.integers(0, 4, 17), 0.7, 5
    expected = np.full(17, np.nan)
    for t in range(1, 17):
        before = range(max(0, t - size), t)
        weights = {i: np.exp(theta * float(features[t] @ features[i])) for i in before}
        expected[t] = sum(w for i, w in weights.items() if targets[i] == targets[t]) / sum(weights.values())
    for pieces in ([17], [1] * 17, [4, 9, 4]):
        cache, ends = ContinuousCache(size, 3), np.cumsum(pieces)
        parts = [
            cache.read(features[end - n : end], targets[end - n : end], [0.0, theta]) for n, end in zip(pieces, ends)
        ]
        np.testing.assert_allclose(np.concatenate(parts, axis=1)[1], expected, rtol=1e-5)


def test_a_mixture_is_a_distribution_and_the_model_alone_where_the_cache_is_empty():
    features, targets = draw.normal(size=(9, 3)).astype("float32"), draw.integers(0, 4, 9)
    model = draw.dirichlet(np.ones(4))
    total = 0
    for word in range(4):
        cached = ContinuousCache(8, 3).read(features, np.append(targets[:-1], word), [0.4])[0]
        total += np.exp(-mixed_nll(-np.log(model[[word]]), cached[-1:], 0.2)[0])
    assert total == pytest.approx(1, abs=1e-9)
    assert mixed_nll(np.array([2.5]), np.array([np.nan]), 0.2)[0] == pytest.approx(2.5)
    assert mixed_nll(np.array([900.0]), np.array([0.0]), 0.5)[0] == pytest.approx(900 + np.log(2)), (
        "no float is so small"
    )


# what is read


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["lstm", "transformer-sinusoidal"])
def test_without_adapting_it_is_the_network_and_nothing_ahead_is_seen(backbone):
    both = reader(backbone)
    windows = both.windows(TEXTS)
    plain = both.nll(TEXTS, "")
    assert len(plain) == 50 and windows.steps_per_epoch > 2
    first = both.model.nll(*(window_arrays(WORDS, windows[0], 3)[key] for key in ("tokens", "targets")))
    np.testing.assert_allclose(plain[:12], ops.convert_to_numpy(first)[0], atol=1e-5)
    steps = both.steps(DynamicSettings(segment=4, method="sgd"), None, 2)
    dynamic = DynamicSettings(segment=4, method="sgd", learning_rate=0.2, decay=0.1)
    changed = Texts(np.append(WORDS[:36], draw.permutation(WORDS[36:])).astype("int32"), TEXTS.documents)
    for read in (lambda texts: both.with_cache(texts, CACHE, ""), lambda texts: steps.nll(texts, dynamic, "")):
        one, other = read(TEXTS), read(changed)
        assert len(one) == 50 and not np.allclose(one, plain, atol=1e-3)
        np.testing.assert_allclose(one[:36], other[:36], atol=1e-5)
        assert not np.allclose(one[36:], other[36:], atol=1e-2)
    np.testing.assert_allclose(both.nll(TEXTS, ""), plain, atol=1e-5, err_msg="the trained weights are back")
    still = steps.nll(TEXTS, dynamic.model_copy(update={"learning_rate": 0.0}), "")
    assert both.model.backbone.carries_state is False or np.allclose(still, plain, atol=1e-5)


# steps


def batch():
    tokens = {"tokens": WORDS[None, :3], "targets": WORDS[None, 1:4]}
    return {**tokens, "weights": np.ones((1, 3), "float32"), "reset": np.ones(1, bool)}


def bias_gradient(model):
    """Of the softmax's bias: the mean of p - 1 at the target."""
    probabilities = np.exp(ops.convert_to_numpy(model(WORDS[None, :3]))[0])
    return (probabilities - np.eye(12)[WORDS[1:4]]).mean(axis=0)


@pytest.mark.slow
def test_a_step_is_that_of_the_paper():
    model = network("rnn", 12, dropout=0.5, window=12)  # which must not act
    model.carry(1, 1)
    names = [variable.path for variable in model.trainable_variables]
    place = names.index(model.softmax.bias.path)
    gradient, start = bias_gradient(model), ops.convert_to_numpy(model.softmax.bias)
    squares = SquaredGradients()
    learner = Adapting(model, 1, 3).learn(squares)
    for _ in range(2):
        learner.train_on_batch(batch())
    scales = squares.root_mean()
    np.testing.assert_allclose(
        scales[place], abs(gradient), atol=1e-5, err_msg="two equal batches, the weights as they were"
    )
    np.testing.assert_allclose(ops.convert_to_numpy(model.softmax.bias), start)

    optimizer = DynamicSteps(scales)
    optimizer.build(model.trainable_variables)
    optimizer.begin(0.1, 0.02)
    learner = Adapting(model, 1, 3).learn(optimizer)
    mean = np.concatenate([scale.ravel() for scale in scales]).mean()
    divisor, pull = abs(gradient) + 0.1 * mean, np.minimum(0.02 * abs(gradient) / mean, 1)
    learner.train_on_batch(batch())
    once = ops.convert_to_numpy(model.softmax.bias)
    np.testing.assert_allclose(once, start - 0.1 * gradient / divisor, atol=1e-5)
    other = bias_gradient(model)
    learner.train_on_batch(batch())
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.softmax.bias), once - 0.1 * other / divisor + pull * (start - once), atol=1e-5
    )
    nll = -np.log(np.exp(ops.convert_to_numpy(model(WORDS[None, :3]))[0])[np.arange(3), WORDS[1:4]])
    learner.train_on_batch(batch())
    np.testing.assert_allclose(ops.convert_to_numpy(learner.nll)[0], nll, atol=1e-5, err_msg="before the step")
    optimizer.begin(0.0, 0.0)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.softmax.bias), start)


# a run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(make_run(tmp_path_factory.mktemp("adapting"), "lstm", scale=0.3))


@pytest.mark.slow
def test_a_report_has_the_adapted_figures_beside_the_plain_ones(run, capsys, monkeypatch):
    for name, nothing in {"_excerpt": ([], []), "_samples": []}.items():  # which are slow, and tested elsewhere
        monkeypatch.setattr(f"nlp_suite.tasks.language_model.measure.{name}", lambda *_, nothing=nothing: nothing)
    given = {"cache": {"size": 50}, "dynamic": {"method": "sgd", "segment": 10, "learning_rate": 0.5, "decay": 0.0}}
    report = nlp_suite.evaluate(run, baseline=False, adapt=given)
    plain = report["adapted"]["plain"]["perplexity_per_word"]
    assert plain == pytest.approx(report["perplexity_per_word"], rel=0.01)  # one stream there, ten here
    cache, dynamic = report["adapted"]["cache"], report["adapted"]["dynamic"]
    assert cache["chosen"] == ["theta", "share"] and dynamic["chosen"] == []
    assert cache["settings"]["share"] in (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
    for figures in (cache, dynamic):
        gain = figures["lead"]["perplexity per word"]
        assert gain["value"] == pytest.approx(plain - figures["perplexity_per_word"])
        assert gain["interval"][0] < gain["value"] < gain["interval"][1]
        assert figures["perplexity_per_word"] < plain, "random weights learn something"
    page = (run.directory / "report.html").read_text("utf-8")
    assert (
        "Where it adapts to the text" in page
        and "theta and share chosen on validation (at most its first 20,000 tokens)" in page
    )
    Console(width=200).print(terminal_report(report, run.task.report_view()))
    printed = capsys.readouterr().out
    assert "as it is" in printed and "with a cache" in printed and f"{dynamic['perplexity_per_word']:.2f}" in printed


def test_scores_have_the_adapted_ones_beside_them(run, tmp_path, capsys):
    text = "the cat sees\na dog\nthe cat sees\nthe cat sees\n"
    (tmp_path / "lines.txt").write_text(text, "utf-8")
    arguments = ["score", str(run.directory), str(tmp_path / "lines.txt"), "--format", "jsonl", "--tokens"]
    app(arguments, standalone_mode=False)
    plain = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    app([*arguments, "--adapt", "cache={size: 100, theta: 0.1, share: 0.3}"], standalone_mode=False)
    out = capsys.readouterr()
    rows = [json.loads(line) for line in out.out.splitlines()]
    assert [row["token_log_probs"] for row in rows] == [row["token_log_probs"] for row in plain]
    cached = [row["adapted"]["cache"] for row in rows]
    assert cached[0]["token_log_probs"][0] == pytest.approx(rows[0]["token_log_probs"][0], abs=1e-5), "nothing read yet"
    assert cached[3]["log_prob"] > cached[2]["log_prob"] > rows[2]["log_prob"], "read before"
    assert cached[3]["log_prob"] == pytest.approx(sum(cached[3]["token_log_probs"]))
    total = sum(row["log_prob"] for row in cached)
    assert f"cache: log-probability {total:,.2f}, perplexity" in out.err
    app([*arguments[:3], "--format", "tsv", "--adapt", "cache={theta: 0.1, share: 0.3}"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[0].split("\t")[-1] == "cache_log_prob"


def test_what_cannot_be_is_refused(run):
    with pytest.raises(UnknownNameError, match="unknown way to adapt 'cash': did you mean 'cache'"):
        nlp_suite.evaluate(run, adapt={"cash": {}})
    with pytest.raises(UsageError, match=r"adapt cache: unknown key 'thetta': did you mean 'theta'"):
        nlp_suite.evaluate(run, adapt={"cache": {"thetta": 1}})
    with pytest.raises(UsageError, match=r"adapt cache: share: .*less than 1.*got 1"):
        nlp_suite.evaluate(run, adapt={"cache": {"share": 1}})
    with pytest.raises(UsageError, match=r"--adapt 'cache=3': write it as"):
        app(["evaluate", str(run.directory), "--adapt", "cache=3"], standalone_mode=False)
    with pytest.raises(RunError, match="theta, share would be chosen on the validation split"):
        Adapted.of_run(run, LanguageModelAdaptation({"cache": {}}).settings, {})
    with pytest.raises(RunError, match="method: rms reads gradients of the training split"):
        Adapted.of_run(run, LanguageModelAdaptation({"dynamic": {"learning_rate": 1, "decay": 0}}).settings, {})

    class Other(Task):
        model_kind = "classifier"

    with pytest.raises(RequestError, match="a classifier does not adapt to what it reads"):
        Other.adaptation({"cache": {}})
