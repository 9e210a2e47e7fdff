"""A language model in Python: scores and next tokens are the network's, alone and in a batch."""

import numpy as np
import pytest
from keras import ops

from nlp_suite.errors import RequestError
from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor
from nlp_suite.text.text_layer import END, TextLayer
from tests.tasks.language_model.predictors import log_probs_after


def test_lines_end_with_end_and_a_prompt_goes_on(lstm):
    the, cat, bird = (int(row[0]) for row in lstm.text.encode(["the", "cat", "bird"]))
    rows = lstm.encode(["the cat\nbird", "the\n", "the\n\n", "", "\n"])
    whole = [[the, cat, END, bird, END], [the, END], [the, END, END], [END], [END]]
    assert [row.tolist() for row in rows] == whole
    prompts = lstm.encode_prompts(["the cat\nbird", "the\n", "", "\n"])
    assert [row.tolist() for row in prompts] == [[the, cat, END, bird], [the, END], [], [END]]
    assert [lstm.decode(row) for row in rows[:3]] == ["the cat\nbird\n", "the\n", "the\n\n"]
    assert lstm.continuation(np.array([the, END]), np.array([cat, END])) == "cat\n"


# scores


@pytest.mark.parametrize("which", ["lstm", "transformer"])
def test_a_score_is_the_sum_of_the_models_log_probabilities(which, request):
    predictor = request.getfixturevalue(which)
    text = "the cat sees\na dog xyzzy"
    (row,) = predictor.encode([text])
    own = log_probs_after(predictor, row)[np.arange(len(row)), row]
    (answer,) = predictor.score([text])
    np.testing.assert_allclose(answer["token_log_probs"], own, atol=1e-5)
    assert answer["log_prob"] == pytest.approx(own.sum(), abs=1e-4)
    assert answer["perplexity"] == pytest.approx(np.exp(-own.mean()), rel=1e-5)
    assert answer["num_tokens"] == len(row) == 8
    assert answer["tokens"] == ["the", "cat", "sees", "</s>", "a", "dog", "<unk>", "</s>"]
    np.testing.assert_allclose(np.exp(predictor.all_log_probs(row)).sum(axis=-1), 1, atol=1e-4)


def test_a_text_cut_at_the_text_layers_length_is_said(lstm):
    settings = lstm.text.settings.model_copy(update={"max_length": 4})
    short = LanguageModelPredictor(lstm.model, TextLayer(settings, lstm.text.tokenizer), lstm.settings, False)
    answers = short.score(["the cat sees", "the cat sees a", "", "the\nthe cat sees a dog\na"])
    assert [answer["truncated"] for answer in answers] == [False, True, False, True]
    assert answers[1]["tokens"] == ["the", "cat", "sees", "</s>"]


def test_a_long_text_in_pieces_is_one_pass(lstm):
    text = "the cat sees a dog and\nthe bird sings " * 75
    (row,) = lstm.encode([text])
    assert len(row) > 2 * 256
    own = log_probs_after(lstm, row)[np.arange(len(row)), row]
    np.testing.assert_allclose(lstm.score([text])[0]["token_log_probs"], own, atol=1e-5)


def test_a_long_text_is_read_in_sliding_windows(transformer):
    text = "the cat sees a dog and the bird sings " * 6
    (row,) = transformer.encode([text])
    before = np.concatenate([[END], row[:-1]]).astype("int32")
    expected = np.zeros(len(row))
    begin, window, context = 0, 12, 6
    while True:  # each window of 12 predicts what the one before it has not
        part = slice(begin, begin + window)
        log_probs = ops.convert_to_numpy(transformer.model(before[None, part]))[0]
        own = log_probs[np.arange(len(log_probs)), row[part]]
        new = context if begin else 0
        expected[part][new:] = own[new:]
        if begin + window >= len(row):
            break
        begin += window - context
    np.testing.assert_allclose(transformer.score([text])[0]["token_log_probs"], expected, atol=1e-5)


HOSTILE = ["", " ", "\n", "the cat", "日本語 👍 zzz", b"bad \xff bytes \x00 inside", "the " * 40, "a\nb\n\nc", "\ud800"]


@pytest.mark.parametrize("which", ["lstm", "transformer", "bytes_model"])
def test_a_batch_is_scored_as_each_text_alone(which, request):
    predictor = request.getfixturevalue(which)
    texts = HOSTILE * 2 + ["the cat sees a dog"]
    together = predictor.score(texts)
    assert len(together) == len(texts) > 16, "more than one batch"
    for text, answer in zip(HOSTILE, together):
        (alone,) = predictor.score([text])
        np.testing.assert_allclose(alone["token_log_probs"], answer["token_log_probs"], atol=1e-5)
        assert alone["tokens"] == answer["tokens"] and np.isfinite(answer["log_prob"])
        assert answer["num_tokens"] >= 1 and answer["tokens"][-1] == "</s>"
    assert together[0]["tokens"] == ["</s>"] and together[0]["log_prob"] < 0, "an empty text is its end"


def test_no_texts_give_no_answers_and_one_text_must_stand_in_a_list(lstm, transformer):
    for predictor in (lstm, transformer):
        assert (
            predictor.score([]) == [] and predictor.generate([], max_tokens=5) == [] and predictor.next_tokens([]) == []
        )
    for ask in (lstm.score, lambda texts: lstm.generate(texts, max_tokens=5), lstm.next_tokens):
        with pytest.raises(TypeError, match="a list of texts is needed, got the single text 'the cat'"):
            ask("the cat")
        with pytest.raises(TypeError, match="not int"):
            ask([3])


# next tokens


@pytest.mark.parametrize("which", ["lstm", "transformer"])
def test_next_tokens_are_the_most_probable_ones(which, request):
    predictor = request.getfixturevalue(which)
    prompts = ["the cat", "", "a dog\n", "xyzzy"] * 5
    answers = predictor.next_tokens(prompts, top=7)
    assert len(answers) == 20
    for prompt, answer in zip(prompts[:4], answers):
        (row,) = predictor.encode_prompts([prompt])
        log_probs = log_probs_after(predictor, np.append(row, 0))[-1]
        values = [p for _, p in answer]
        assert len(answer) == 7 and values == sorted(values, reverse=True) and 0 < sum(values) <= 1 + 1e-6
        np.testing.assert_allclose(values, np.exp(np.sort(log_probs)[::-1][:7]), rtol=1e-4)
        assert [t for t, _ in answer] == predictor.text.id_to_token(np.argsort(-log_probs, kind="stable")[:7])
    size = predictor.text.vocabulary_size
    assert sum(p for _, p in predictor.next_tokens(["the"], top=size)[0]) == pytest.approx(1, abs=1e-4)
    for top in (0, size + 1, 2.5):
        with pytest.raises(RequestError, match=rf"top is {top}; allowed: whole numbers from 1 to {size} \(the voc"):
            predictor.next_tokens(["the"], top=top)


def test_next_tokens_after_a_long_prompt_follow_what_the_window_holds(transformer):
    prompt = "the cat sees a dog and the bird sings " * 3
    row = np.concatenate([[END], transformer.encode_prompts([prompt])[0]])[-12:].astype("int32")
    log_probs = ops.convert_to_numpy(transformer.model(row[None]))[0, -1]
    values = [p for _, p in transformer.next_tokens([prompt], top=5)[0]]
    np.testing.assert_allclose(values, np.exp(np.sort(log_probs)[::-1][:5]), rtol=1e-4)
