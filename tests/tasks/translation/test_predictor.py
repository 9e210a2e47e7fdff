"""Translations from strings: search against an exhaustive loop over `step`, batches, n-best, attention, scores, bad input."""

import math

import numpy as np
import pytest
from keras import ops

from nlp_suite.errors import RequestError
from nlp_suite.tasks.translation import TranslationSettings
from nlp_suite.tasks.translation.predictor import TranslationPredictor
from nlp_suite.tasks.translation.signatures import MISSING, TranslationSignatures
from nlp_suite.text.text_layer import END, START
from tests.translation_models import NETWORKS, PAIRS, network, text_layers

SOURCES = [source for source, _ in PAIRS]
TEXTS = {True: text_layers(True), False: text_layers(False)}


def inference(chosen="gru", shared=True, seeds=(5,), **settings):
    text, target_text = TEXTS[shared]
    settings = TranslationSettings(name="translation", **{"max_tokens": 12, "max_length_extra": 3, **settings})
    models = [network(chosen, text, target_text, seed) for seed in seeds]
    return TranslationPredictor(models, text, target_text, settings)


@pytest.fixture(scope="module")
def gru():
    return inference()


@pytest.mark.parametrize("chosen", NETWORKS)
@pytest.mark.parametrize("shared", [True, False])
def test_greedy_is_an_argmax_loop_over_step(chosen, shared):
    made = inference(chosen, shared)
    (model,) = made.search.models
    for text, answer in zip(SOURCES, made.translate(SOURCES, beam_size=1), strict=True):
        row = made.text.encode([text])[0]
        memory = model.encode(ops.convert_to_tensor(row[None]))
        state, tokens, total = model.initial_state(1, memory), [START], 0.0
        most = min(12, int(1.5 * (len(row) - 1)) + 3)
        while len(tokens) <= most and tokens[-1] != END:
            log_probs, state = model.step(ops.convert_to_tensor(tokens[-1:], "int32"), state, memory)
            log_probs = ops.convert_to_numpy(log_probs)[0]
            tokens.append(3 + int(log_probs[3:].argmax()))
            total += float(log_probs[tokens[-1]])
        assert answer["tokens"] == made.target_text.id_to_token(tokens[1:])
        assert answer["log_prob"] == pytest.approx(total, abs=1e-4)
        assert answer["length"] == len(tokens) - 1
        assert answer["score"] == pytest.approx(total / ((5 + answer["length"]) / 6) ** 0.6, abs=1e-4)
        assert answer["translation"] == made.target_text.decode([tokens[1:]])[0]


def test_hypotheses_are_scored_as_score_does(gru):
    answers = gru.translate(SOURCES, beam_size=5, n_best=3, min_length=2)
    for source, answer in zip(SOURCES, answers, strict=True):
        assert len(answer["hypotheses"]) == 3 and answer["hypotheses"][0]["score"] == answer["score"]
        scores = [each["score"] for each in answer["hypotheses"]]
        assert scores == sorted(scores, reverse=True) and len({tuple(h["tokens"]) for h in answer["hypotheses"]}) == 3
        for each in answer["hypotheses"]:
            if each["tokens"][-1] == "</s>":
                (again,) = gru.score([source], [each["translation"]])
                assert again["tokens"] == each["tokens"] and again["num_tokens"] == each["length"]
                assert again["log_prob"] == pytest.approx(each["log_prob"], abs=1e-4)
                assert again["perplexity"] == pytest.approx(math.exp(-again["log_prob"] / again["num_tokens"]))
                assert sum(again["token_log_probs"]) == pytest.approx(again["log_prob"], abs=1e-5)


def test_score_is_the_sum_over_steps(gru):
    (model,) = gru.search.models
    source, target = PAIRS[0]
    (answer,) = gru.score([source], [target])
    memory = model.encode(ops.convert_to_tensor(gru.text.encode([source])[0][None]))
    state, before = model.initial_state(1, memory), START
    for token, log_prob in zip(gru.text.encode([target])[0], answer["token_log_probs"], strict=True):
        log_probs, state = model.step(ops.convert_to_tensor([before], "int32"), state, memory)
        assert ops.convert_to_numpy(log_probs)[0, token] == pytest.approx(log_prob, abs=1e-5)
        before = int(token)


@pytest.mark.parametrize(
    "options", [{"beam_size": 3, "coverage_penalty": 0.3}, {"temperature": 1.0, "seed": 4}], ids=str
)
def test_alone_is_co_batched_and_order_is_kept(gru, options):
    texts = [*SOURCES, "", "zz", SOURCES[0]] * 2
    together = gru.translate(texts, **options)
    assert together[0]["translation"] == together[6]["translation"] == together[7]["translation"]
    for text, answer in zip(texts[:7], together, strict=False):
        (alone,) = gru.translate([text], **options)
        assert alone["tokens"] == answer["tokens"] and alone["source_tokens"] == answer["source_tokens"]
        assert alone["score"] == pytest.approx(answer["score"], abs=1e-5)


def test_iterates_without_reading_everything(gru):
    read = []

    def texts():
        for n in range(1200):
            read.append(n)
            yield "the cat"

    answers = gru.translate_iter(texts(), beam_size=1, max_length=2)
    assert next(answers)["length"] <= 2 and len(read) < 1200
    assert sum(1 for _ in answers) == 1199


@pytest.mark.parametrize("chosen", NETWORKS)
def test_attention_is_that_of_the_steps(chosen):
    made = inference(chosen)
    (model,) = made.search.models
    for text, answer in zip(SOURCES, made.translate(SOURCES, beam_size=3, n_best=2, attention=True), strict=True):
        row = made.text.encode([text])[0]
        memory = model.encode(ops.convert_to_tensor(row[None]))
        for each in answer["hypotheses"]:
            weights = np.array(each["attention"])
            assert weights.shape == (each["length"], len(answer["source_tokens"]))
            state, before = model.initial_state(1, memory), START
            for place, token in enumerate(each["tokens"]):
                tokens = ops.convert_to_tensor([before], "int32")
                _, state, expected = model.step_with_attention(tokens, state, memory)
                np.testing.assert_allclose(weights[place], ops.convert_to_numpy(expected)[0], atol=1e-5)
                before = made.target_text.tokenizer.tokens.index(token)


def test_coverage_penalty_counts_the_attention(gru):
    options = {"beam_size": 4, "n_best": 4, "attention": True, "length_penalty": 0.5}
    for answer in gru.translate(SOURCES, coverage_penalty=0.7, **options):
        for each in answer["hypotheses"]:
            received = np.clip(np.sum(each["attention"], axis=0), 1e-6, 1.0)
            expected = each["log_prob"] / ((5 + each["length"]) / 6) ** 0.5 + 0.7 * np.log(received).sum()
            assert each["score"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_ensemble_is_the_mean_probability():
    both = inference(seeds=(5, 6))
    alone = [inference(seeds=(seed,)) for seed in (5, 6)]
    targets = [target for _, target in PAIRS]
    each = [one.score(SOURCES, targets) for one in alone]
    for row, answer in enumerate(both.score(SOURCES, targets)):
        mean = np.log(np.mean(np.exp([scores[row]["token_log_probs"] for scores in each]), axis=0))
        np.testing.assert_allclose(answer["token_log_probs"], mean, atol=1e-5)
    for source, answer in zip(
        SOURCES, both.translate(SOURCES, beam_size=4, min_length=2, coverage_penalty=0.1), strict=True
    ):
        if answer["tokens"][-1] == "</s>":
            (again,) = both.score([source], [answer["translation"]])
            assert again["log_prob"] == pytest.approx(answer["log_prob"], abs=1e-4)


def test_rules_of_the_search(gru):
    for answer in gru.translate(SOURCES, no_repeat_ngram=2, min_length=5, max_length=9):
        pairs = list(zip(answer["tokens"], answer["tokens"][1:]))
        assert len(set(pairs)) == len(pairs) and 5 <= answer["length"] <= 9
        assert not {"<pad>", "<unk>", "<s>"} & set(answer["tokens"])


@pytest.mark.parametrize("options", [{}, {"beam_size": 1}, {"max_length": 11}])
def test_the_least_length_asked_for_has_room(gru, options):
    """It is above what the source's length allows: 1.5 tokens for one, and 3."""
    free, least = (gru.translate(["cat", ""], min_length=n, **options) for n in (0, 10))
    assert free[0]["length"] <= 4 and least[0]["length"] == 11 and least[1]["translation"] == ""
    (whole,) = gru.translate(["cat"], min_length=12)
    assert whole["length"] == 12 and "</s>" not in whole["tokens"]


def test_the_least_length_of_the_settings_has_room_in_a_graph():
    tf = pytest.importorskip("tensorflow")
    made = inference(min_length=10)
    found = TranslationSignatures(made.search.models[0], made).functions()
    answer = found["serving_default"](tf.constant(["cat", ""]))
    assert answer["length"].numpy().tolist() == [11, 0]
    assert answer["translation"].numpy()[0].decode() == made.translate(["cat"])[0]["translation"]


def test_sampling(gru):
    ask = {"temperature": 1.0, "top_k": 20}
    once, again = (gru.translate(SOURCES, seed=[1, 2, 3, 4], **ask) for _ in range(2))
    assert once == again
    assert [a["tokens"] for a in gru.translate(SOURCES, seed=[5, 6, 7, 8], **ask)] != [a["tokens"] for a in once]
    greedy = gru.translate(SOURCES, beam_size=1)
    assert [a["tokens"] for a in gru.translate(SOURCES, temperature=0.0)] == [a["tokens"] for a in greedy]


@pytest.mark.parametrize("texts", [[""], ["", "  \n ", "\x00"], []])
def test_nothing_to_translate(gru, texts):
    for options in ({"beam_size": 3, "n_best": 3, "attention": True, "min_length": 2}, {"temperature": 1.0}):
        for answer in gru.translate(texts, **options):
            numbers = [answer[name] for name in ("translation", "score", "log_prob", "length", "tokens", "truncated")]
            assert numbers == ["", 0.0, 0.0, 0, [], False] and len(answer["hypotheses"]) == 1


def test_long_sources(gru):
    long = " ".join(["cat"] * 60)
    short, cut = gru.translate(["cat", long], max_length=3)
    assert cut["truncated"] and not short["truncated"] and len(cut["source_tokens"]) == 40
    refusing = inference(long_sources="refuse")
    with pytest.raises(RequestError, match=r"text 2 has 61 tokens; allowed: 40 \(text.max_length\)"):
        refusing.translate(["cat", long])
    with pytest.raises(RequestError, match="text 302 has 61 tokens"):
        refusing.translate(["cat", long], before=300)
    with pytest.raises(RequestError, match=r"target 1 has 61 tokens"):
        refusing.score(["cat"], [long])


def test_a_beam_larger_than_the_vocabulary(gru):
    size = gru.target_text.vocabulary_size
    (answer,) = gru.translate(["the cat"], beam_size=size + 20, n_best=size + 20, max_length=1)
    assert len(answer["hypotheses"]) == size - 3  # one token each


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beam_size": 0}, "beam_size is 0; allowed: whole numbers from 1 to 1024"),
        ({"beam_size": 2.5}, "beam_size is 2.5"),
        ({"n_best": 5}, r"n_best is 5; allowed: whole numbers from 1 to 4 \(beam_size is 4\)"),
        ({"n_best": 0}, "n_best is 0"),
        ({"length_penalty": -1}, "length_penalty is -1; allowed: finite numbers, 0 or above"),
        ({"coverage_penalty": float("nan")}, "coverage_penalty is nan"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1"),
        ({"min_length": 13}, r"min_length is 13; allowed: whole numbers from 0 to 12 \(task.max_tokens\)"),
        ({"min_length": 6, "max_length": 5}, r"min_length is 6; allowed: whole numbers from 0 to 5 \(max_length\)"),
        ({"max_length": 0}, "max_length is 0; allowed: whole numbers from 1 to 12"),
        ({"max_length": True}, "max_length is True"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_p": 2.0}, "top_p is 2.0"),
        ({"temperature": 1.0, "beam_size": 3}, "beam_size: of a beam search"),
        ({"temperature": 1.0, "n_best": 2}, "n_best: of a beam search"),
        ({"seed": 3}, "seed: a search draws nothing"),
        ({"temperature": [1.0, 2.0]}, "temperature has 2 values; allowed: one, or one for each of 1 texts"),
    ],
)
def test_refused_options(gru, options, message):
    with pytest.raises(ValueError, match=message):
        gru.translate(["the cat"], **options)


def test_refused_texts(gru):
    with pytest.raises(TypeError, match="a list of texts"):
        gru.translate("the cat")
    with pytest.raises(TypeError, match="not int"):
        gru.translate(["the cat", 3])
    with pytest.raises(RequestError, match="2 sources and 1 targets"):
        gru.score(["the cat", "a dog"], ["die Katze"])


def test_nothing_is_left_to_say():
    """No word twice, and more of them than there are."""
    made = inference(max_tokens=40)
    with pytest.raises(RequestError, match="text 2 has no translation with min_length 40 and no_repeat_ngram 1"):
        made.translate(["", "the cat"], min_length=40, no_repeat_ngram=1)


def test_nothing_is_left_to_say_in_a_graph():
    """There no request can be refused, and JSON has no -inf."""
    tf = pytest.importorskip("tensorflow")
    made = inference(max_tokens=40, min_length=40, no_repeat_ngram=1)
    found = TranslationSignatures(made.search.models[0], made).functions()
    answer = found["serving_default"](tf.constant(["", "the cat"]))
    assert answer["translation"].numpy().tolist() == [b"", b""]
    assert answer["score"].numpy().tolist() == answer["log_prob"].numpy().tolist() == [0.0, MISSING]
