"""Greedy and sampled text: batch = alone, padding, stops, streaming."""

from functools import partial

import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.generate import generate, make_advance, stream
from nlp_suite.decoding.prefix import read_prompt
from nlp_suite.decoding.sampling import Options
from tests.decoding.step_functions import END, Trigram, arrays, tensor

MODEL = Trigram()
PROMPTS = [[5, 6, 4], [4], [6, 5], [4, 5, 6, 5, 4]]
KINDS = {
    "greedy": {"temperature": 0.0},
    "sampled": {"seed": [3, 4, 5, 6]},
    "mixed": {
        "temperature": [0.0, 1.5, 0.7, 1.0],
        "top_k": [0, 0, 3, 4],
        "top_p": [1.0, 0.8, 1.0, 0.9],
        "repetition_penalty": [1.3, 1.0, 1.2, 1.0],
        "seed": [1, 2, 3, 4],
    },
}


def padded(prompts, filler=0):
    width = max(map(len, prompts))
    return tensor([p + [filler] * (width - len(p)) for p in prompts]), tensor([len(p) for p in prompts])


def run(prompts, max_tokens, options, *, limit=9, forbidden=(0, 1, 2), stop_at_end=True, filler=0):
    prompt, length = padded(prompts, filler)
    arguments = (
        MODEL.initial_state(len(prompts)),
        prompt,
        length,
        tensor(max_tokens),
        Options.broadcast(len(prompts), **options),
    )
    rules = {"end_token": END, "forbidden": forbidden, "stop_at_end": stop_at_end}
    return arrays(generate(MODEL.step, *arguments, limit=limit, **rules)), (arguments, rules)


def token_log_probs(prompt, tokens):
    """The model's own log-probability of each token: it gives scores that do not sum to 1."""
    scores = [MODEL.log_probs([*prompt, *tokens[:n]]) for n in range(len(tokens))]
    return [row[token] - np.log(np.exp(row).sum()) for row, token in zip(scores, tokens, strict=True)]


def row_of(options, row):
    return {name: values[row] if isinstance(values, list) else values for name, values in options.items()}


def test_greedy_is_the_best_token_each_time():
    answer, _ = run(PROMPTS, [9, 9, 9, 9], KINDS["greedy"])
    for row, prompt in enumerate(PROMPTS):
        tokens = []
        while len(tokens) < 9 and tokens[-1:] != [END]:
            tokens.append(3 + int(np.argmax(MODEL.log_probs([*prompt, *tokens])[3:])))
        assert answer["length"][row] == len(tokens)
        assert answer["tokens"][row].tolist() == tokens + [0] * (9 - len(tokens))
        assert answer["log_prob"][row] == pytest.approx(sum(token_log_probs(prompt, tokens)), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_is_co_batched(kind):
    answer, _ = run(PROMPTS, [9, 2, 5, 7], KINDS[kind], filler=6)
    for row, prompt in enumerate(PROMPTS):
        alone, _ = run([prompt], [[9, 2, 5, 7][row]], row_of(KINDS[kind], row))
        for name in alone:
            np.testing.assert_array_equal(alone[name][0], answer[name][row])


@pytest.mark.parametrize("kind", KINDS)
def test_stream_is_generate(kind):
    answer, (arguments, rules) = run(PROMPTS, [9, 2, 5, 7], KINDS[kind])
    steps = list(stream(partial(read_prompt, MODEL.step), make_advance(MODEL.step, **rules), *arguments, limit=9))
    assert all(step.dtype == np.int32 and (step >= 0).any() for step in steps)
    for row, length in enumerate(answer["length"]):
        tokens = [int(step[row]) for step in steps if step[row] >= 0]
        assert tokens == answer["tokens"][row, :length].tolist()


def test_sampling_reports_the_models_own_log_probability():
    answer, _ = run(PROMPTS, [6] * 4, KINDS["mixed"])
    for row, prompt in enumerate(PROMPTS):
        tokens = answer["tokens"][row, : answer["length"][row]].tolist()
        single = token_log_probs(prompt, tokens)
        assert answer["log_prob"][row] == pytest.approx(sum(single), abs=1e-5)
        padding = [0.0] * (9 - len(tokens))
        np.testing.assert_allclose(answer["token_log_probs"][row], single + padding, atol=1e-6)


def test_the_noise_counts_generated_tokens():
    """The same seed gives the same first choice of equal probabilities, wherever the prompt ends."""
    flat = tensor(np.full((7, 7), np.log(1 / 7)), "float32")
    options = Options.broadcast(2, seed=[8, 8])
    answer = generate(
        lambda tokens, state: (ops.take(flat, tokens, axis=0), state),
        (),
        *padded([[4], [4, 5, 6]]),
        tensor([5, 5]),
        options,
        limit=5,
        end_token=END,
        stop_at_end=False,
    )
    tokens = arrays(answer)["tokens"]
    assert tokens[0].tolist() == tokens[1].tolist() and len(set(tokens[0].tolist())) > 1


def test_ends():
    """No token at all, the end first, a row that ends early beside one that does not, and ends that do not stop."""
    certain = np.full((7, 7), np.log((1 - np.exp(-0.5)) / 6), "float32")
    certain[4, END] = certain[END, 5] = certain[5, 6] = certain[6, 5] = -0.5
    table = ops.convert_to_tensor(certain)

    def continued(max_tokens, **rules):
        answer = generate(
            lambda tokens, state: (ops.take(table, tokens, axis=0), state),
            (),
            *padded([[5], [4], [6], [4]]),
            tensor(max_tokens),
            Options.broadcast(4, temperature=0.0),
            limit=4,
            end_token=END,
            **rules,
        )
        return arrays(answer)

    answer = continued([0, 4, 99, -3])
    assert answer["tokens"].tolist() == [[0, 0, 0, 0], [END, 0, 0, 0], [5, 6, 5, 6], [0, 0, 0, 0]]
    assert answer["length"].tolist() == [0, 1, 4, 0]
    assert answer["log_prob"].tolist() == pytest.approx([0.0, -0.5, -2.0, 0.0], abs=1e-6)
    answer = continued([0, 4, 99, 2], stop_at_end=False)
    assert answer["tokens"].tolist() == [[0, 0, 0, 0], [END, 5, 6, 5], [5, 6, 5, 6], [END, 5, 0, 0]]
    assert continued([0] * 4)["length"].tolist() == [0] * 4


def test_the_loop_ends_with_the_last_row():
    calls = []

    def step(tokens, state):
        calls.append(1)
        return MODEL.step(tokens, state)

    prompt, length = padded([[4], [5, 6]])
    options = Options.broadcast(2, temperature=0.0)
    advance = make_advance(step, end_token=END, stop_at_end=False)
    read = partial(read_prompt, MODEL.step)
    list(stream(read, advance, MODEL.initial_state(2), prompt, length, tensor([3, 1]), options, limit=50))
    assert len(calls) == 3


def test_the_penalty_of_a_sure_token_works_and_that_of_the_end_never_does():
    """Logits 9, 4, 1 are p = 0.993, 0.007, 0.0003: a penalty of 3 makes them 3, 4/3, 1/3, on log-probabilities nothing."""
    logits = np.full((7, 7), -20.0, "float32")
    logits[:, [4, 5, END]] = [9.0, 4.0, 3.5]
    table = ops.convert_to_tensor(logits)

    def tokens(prompt, penalty):
        answer = generate(
            lambda tokens, state: (ops.take(table, tokens, axis=0), state),
            (),
            *padded([prompt]),
            tensor([4]),
            Options.broadcast(1, temperature=0.0, repetition_penalty=penalty),
            limit=4,
            end_token=END,
        )
        return arrays(answer)["tokens"][0].tolist()

    assert tokens([END, 6], 1.0) == [4, 4, 4, 4]
    assert tokens([END, 4], 3.0) == [5, END, 0, 0], "4 and then 5 were seen; the end, which stands first, was not"
