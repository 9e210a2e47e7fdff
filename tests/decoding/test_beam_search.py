"""Beam search: one beam = greedy, all beams = exhaustive, batch = alone, and the stop is never early."""

import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.generate import generate
from nlp_suite.decoding.sampling import Options
from nlp_suite.errors import RequestError, UsageError
from tests.decoding.step_functions import END, Attending, Trigram, arrays, normalised_step, repeats, tensor

MODEL = Trigram()
PROMPTS = [[5, 6, 4], [4], [6, 5], [4, 5, 6, 5, 4]]


def search(prompts, max_tokens, model=MODEL, step=None, forbidden=(0, 1, 2), **options):
    width = max(map(len, prompts))
    prompt = tensor([p + [6] * (width - len(p)) for p in prompts])
    length = tensor([len(p) for p in prompts])
    options = {"limit": 9, "end_token": END, "forbidden": forbidden, **options}
    return arrays(
        beam_search(
            step or model.step, model.initial_state(len(prompts)), prompt, length, tensor(max_tokens), **options
        )
    )


def normalised(log_prob, length, alpha):
    return log_prob / ((5 + length) / 6) ** alpha


def test_one_beam_is_greedy():
    step = normalised_step(MODEL.step)
    answer = search(PROMPTS, [9, 2, 5, 7], step=step, beam_size=1, length_penalty=0.6)
    width = max(map(len, PROMPTS))
    prompt = tensor([p + [0] * (width - len(p)) for p in PROMPTS])
    greedy = generate(
        step,
        MODEL.initial_state(4),
        prompt,
        tensor([len(p) for p in PROMPTS]),
        tensor([9, 2, 5, 7]),
        Options.broadcast(4, temperature=0.0),
        limit=9,
        end_token=END,
        forbidden=(0, 1, 2),
    )
    greedy = arrays(greedy)
    for name in ("tokens", "length", "log_prob"):
        np.testing.assert_array_equal(answer[name][:, 0], greedy[name])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("min_tokens", [0, 2])
def test_all_beams_are_exhaustive_search(alpha, min_tokens):
    """4 tokens allowed, at most 4 long: at most 3^3 live prefixes, so 120 beams drop nothing."""
    answer = search(
        PROMPTS[:3], [4, 3, 4], beam_size=120, length_penalty=alpha, min_tokens=min_tokens, n_best=5, limit=4
    )
    for row, prompt in enumerate(PROMPTS[:3]):
        ranked = MODEL.all_hypotheses(prompt, [4, 3, 4][row], (0, 1, 2), min_tokens)
        ranked = sorted(((normalised(p, len(t), alpha), p, t) for t, p in ranked), reverse=True)[:5]
        np.testing.assert_allclose(answer["score"][row], [score for score, _, _ in ranked], atol=1e-5)
        for n, (_, log_prob, tokens) in enumerate(ranked):
            assert answer["tokens"][row, n].tolist() == tokens + [0] * (4 - len(tokens))
            assert answer["length"][row, n] == len(tokens)
            assert answer["log_prob"][row, n] == pytest.approx(log_prob, abs=1e-5)


ATTENDING = Attending(seed=3)


@pytest.mark.parametrize(
    "rules",
    [
        {"coverage_penalty": 0.4},
        {"coverage_penalty": 1.5, "length_penalty": 0.8},
        {"no_repeat_ngram": 1},
        {"no_repeat_ngram": 2, "length_penalty": 1.0, "min_tokens": [3, 0, 1]},
        {"no_repeat_ngram": 3, "coverage_penalty": 0.2, "length_penalty": 0.6, "min_tokens": [0, 2, 4]},
        {"coverage_penalty": [0.0, 0.5, 2.0], "length_penalty": [0.0, 1.0, 0.5]},
    ],
    ids=str,
)
def test_all_beams_are_exhaustive_search_with_every_rule(rules):
    """Up to 5 tokens of 4: at most 3^4 live prefixes."""
    prompts, max_tokens, sizes = [[4], [5], [6]], [5, 4, 5], [4, 3, 2]
    options = {
        name: tensor(v, "int32" if name == "min_tokens" else "float32") if isinstance(v, list) else v
        for name, v in rules.items()
    }
    answer = search(
        prompts, max_tokens, ATTENDING, beam_size=243, n_best=6, limit=5, coverage=Attending.coverage(sizes), **options
    )
    for row, prompt in enumerate(prompts):
        rule = {name: value[row] if isinstance(value, list) else value for name, value in rules.items()}
        n, alpha, beta = (rule.get(key, 0) for key in ("no_repeat_ngram", "length_penalty", "coverage_penalty"))
        ranked = []
        for tokens, log_prob in ATTENDING.all_hypotheses(prompt, max_tokens[row], (0, 1, 2), rule.get("min_tokens", 0)):
            if not n or not repeats(tokens, n):
                score = normalised(log_prob, len(tokens), alpha) + beta * ATTENDING.covered(prompt, tokens, sizes[row])
                ranked.append((score, log_prob, tokens))
        ranked = sorted(ranked, reverse=True)[:6]
        np.testing.assert_allclose(answer["score"][row], [score for score, _, _ in ranked], atol=2e-5)
        for place, (_, log_prob, tokens) in enumerate(ranked):
            assert answer["tokens"][row, place, : answer["length"][row, place]].tolist() == tokens
            assert answer["log_prob"][row, place] == pytest.approx(log_prob, abs=1e-5)


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_nothing_repeats(beam_size, n):
    """A model that says the same again and again."""
    loop = np.full((7, 7), -9.0, "float32")
    for token, next in ((4, 5), (5, 4), (6, 4)):
        loop[token, next] = -0.1
    loop[:, 6] = -0.7
    loop[:, END] = -8.0

    def step(tokens, state):
        return ops.take(ops.convert_to_tensor(loop), tokens, axis=0), state

    prompts = (tensor([[4], [6]]), tensor([1, 1]), tensor([12, 7]))
    rules = {"limit": 12, "beam_size": beam_size, "end_token": END, "forbidden": (0, 1, 2), "stop_at_end": False}
    free = arrays(beam_search(step, (), *prompts, **rules))
    blocked = arrays(beam_search(step, (), *prompts, no_repeat_ngram=n, **rules))
    assert repeats(free["tokens"][0, 0].tolist(), n)
    for row in range(2):
        texts = blocked["tokens"][row, 0, : blocked["length"][row, 0]].tolist()
        assert not repeats(texts, n)
        if n > 1:  # of single tokens there are not enough
            assert len(texts) == [12, 7][row]


def test_a_blocked_greedy_choice_gives_way_to_the_next_best():
    model, prompts = Trigram(10, seed=8), [[4], [5, 6], [7], [8, 8], [9]]
    rules = {"beam_size": 1, "min_tokens": 9}
    free, blocked = (
        search(prompts, [9] * 5, model, no_repeat_ngram=n, **rules)["tokens"][:, 0].tolist() for n in (0, 2)
    )
    for prompt, answer in zip(prompts, blocked, strict=True):
        tokens = []
        while len(tokens) < 9:
            ranking = np.argsort(-model.log_probs([*prompt, *tokens]), kind="stable").tolist()
            tokens.append(next(t for t in ranking if t > END and not repeats([*tokens, t], 2)))
        assert answer == tokens
    assert any(repeats(tokens, 2) for tokens in free)


def test_more_beams_than_tokens_in_the_vocabulary():
    answer = search([[4], [5]], [3, 1], beam_size=50, n_best=50, limit=3)
    ranked = sorted((p, t) for t, p in MODEL.all_hypotheses([4], 3, (0, 1, 2)))[::-1]
    assert (answer["length"][0] > 0).sum() == len(ranked) == 1 + 3 + 9 + 27
    assert answer["tokens"][0, 0, : answer["length"][0, 0]].tolist() == ranked[0][1]
    assert (answer["length"][1] > 0).sum() == 4  # four tokens are allowed, and one of them is all


def reference(model, prompt, max_tokens, beam_size, alpha, n_best, beta=0.0):
    """The same search in plain Python, without any early stop."""
    live, finished = [(0.0, [])], []
    for n in range(max_tokens):
        grown = []
        for log_prob, tokens in live:
            row = model.log_probs([*prompt, *tokens])
            grown += [(np.float32(log_prob) + row[t], [*tokens, t]) for t in range(3, model.size)]
        grown = sorted(grown, key=lambda h: -h[0])[:beam_size]
        ends = [h[1][-1] == END or n + 1 == max_tokens for h in grown]
        finished += [h for h, end in zip(grown, ends, strict=True) if end]
        live = [h for h, end in zip(grown, ends, strict=True) if not end]
    covered = [beta * model.covered(prompt, t, 4) if beta else 0.0 for _, t in finished]
    scored = [(normalised(p, len(t), alpha) + c, t) for (p, t), c in zip(finished, covered, strict=True)]
    return sorted(scored, reverse=True)[:n_best]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("n_best", [1, 3])
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_stops_never_too_early(alpha, n_best, beta):
    model = Attending(9, seed=5)
    model.table[:, :, END] += 1.0  # hypotheses end at all lengths
    model.table -= model.table.max()
    prompts = [[4, 8], [7], [5, 5, 6], [8], [6, 4]]
    coverage = Attending.coverage([4] * 5)
    if beta:  # attention is summed up from the first token generated on
        prompts = [prompt[-1:] for prompt in prompts]
    rules = {"coverage": coverage, "coverage_penalty": beta, "length_penalty": alpha}
    answer = search(prompts, [9] * 5, model, beam_size=3, n_best=n_best, **rules)
    lengths = set()
    for row, prompt in enumerate(prompts):
        expected = reference(model, prompt, 9, 3, alpha, n_best, beta)
        np.testing.assert_allclose(answer["score"][row], [score for score, _ in expected], atol=1e-5)
        for n, (_, tokens) in enumerate(expected):
            assert answer["tokens"][row, n, : answer["length"][row, n]].tolist() == tokens
            lengths.add(len(tokens))
    assert len(lengths) > 1


def test_waits_for_a_long_hypothesis_that_wins_late():
    """The end at once scores -0.3; what beats it, -1.36 / (14 / 6)^2, is behind at every length below 9."""
    table = np.full((7, 7), -12.0, "float32")
    table[4, END], table[4, 5], table[5, 5] = -0.3, -1.35, -0.001

    def step(tokens, state):
        return ops.take(ops.convert_to_tensor(table), tokens, axis=0), state

    prompts = (tensor([[4]]), tensor([1]), tensor([9]))
    answer = arrays(beam_search(step, (), *prompts, limit=9, beam_size=2, end_token=END, length_penalty=2.0))
    assert answer["tokens"].tolist() == [[[5] * 9]]
    assert answer["score"][0, 0] == pytest.approx(-1.358 / (14 / 6) ** 2, abs=1e-5)


def test_stops_as_soon_as_nothing_can_improve():
    """The end is nearly certain at once: one step answers, though 9 were allowed."""
    certain = np.full((7, 7), -8.0, "float32")
    certain[:, END] = -0.01
    calls = []

    def step(tokens, state):
        calls.append(1)
        return ops.take(ops.convert_to_tensor(certain), tokens, axis=0), state

    prompts = (tensor([[4]]), tensor([1]), tensor([9]))
    answer = beam_search(step, (), *prompts, limit=9, beam_size=3, end_token=END, length_penalty=1.0)
    assert arrays(answer)["length"].tolist() == [[1]] and len(calls) == 1


@pytest.mark.parametrize("beam_size", [2, 5])
def test_alone_is_co_batched(beam_size):
    limits = [9, 2, 5, 7]
    options = {"beam_size": beam_size, "length_penalty": 0.6, "n_best": 2, "min_tokens": 1}
    options |= {"no_repeat_ngram": 2, "coverage_penalty": 0.3}
    sizes = [4, 2, 3, 1]
    answer = search(PROMPTS, limits, ATTENDING, coverage=Attending.coverage(sizes), **options)
    for row, prompt in enumerate(PROMPTS):
        alone = search([prompt], [limits[row]], ATTENDING, coverage=Attending.coverage(sizes[row : row + 1]), **options)
        for name in alone:
            np.testing.assert_array_equal(alone[name][0], answer[name][row])


def test_length_penalty_of_each_row():
    both = search([[5], [5]], [9, 9], beam_size=4, length_penalty=tensor([0.0, 2.0], "float32"))
    for row, alpha in enumerate((0.0, 2.0)):
        one = search([[5]], [9], beam_size=4, length_penalty=alpha)
        np.testing.assert_array_equal(both["tokens"][row], one["tokens"][0])
    assert both["length"][1, 0] > both["length"][0, 0]


def test_nothing_to_generate_and_too_few_hypotheses():
    answer = search([[4], [5], [6]], [0, 1, -2], forbidden=(0, 1, 2, 4, 6), beam_size=4, n_best=4)
    assert answer["length"].tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert answer["score"][0].tolist() == [0.0, -np.inf, -np.inf, -np.inf]
    assert set(answer["tokens"][1, :2, 0].tolist()) == {END, 5} and np.isinf(answer["log_prob"][1, 2:]).all()


def test_ends_that_do_not_stop():
    answer = search([[4]], [5], beam_size=3, stop_at_end=False, min_tokens=3, forbidden=(0, 1, 2, 4, 5, 6))
    assert answer["tokens"][0, 0].tolist() == [END] * 5 + [0] * 4


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"beam_size": 0}, RequestError, "beam_size is 0"),
        ({"beam_size": 2, "n_best": 3}, RequestError, r"n_best is 3; allowed: 1 to beam_size \(2\)"),
        ({"beam_size": 2, "length_penalty": -0.1}, RequestError, "length_penalty is -0.1"),
        ({"beam_size": 2, "coverage_penalty": -1}, RequestError, "coverage_penalty is -1"),
        ({"beam_size": 2, "coverage_penalty": 0.1}, UsageError, "needs coverage"),
        ({"beam_size": 2, "no_repeat_ngram": -1}, RequestError, "no_repeat_ngram is -1"),
    ],
)
def test_errors_name_what_was_given(options, error, message):
    with pytest.raises(error, match=message):
        search([[4]], [3], **options)
