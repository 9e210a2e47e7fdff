"""Kneser–Ney n-grams: a case by hand, sums to 1, and the formula spelled out over dictionaries."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from nlp_suite.tasks.language_model import kneser_ney
from nlp_suite.tasks.language_model.kneser_ney import KneserNey, discounts

START, V = 3, 9


def corpus(seed, size=300):
    random = np.random.default_rng(seed)
    tokens = random.choice(V, size, p=random.dirichlet(np.full(V, 0.4)))
    return tokens, np.array([0, 1, size // 3, size // 2, size])


def test_bigrams_by_hand():
    """Of `4 5 4 5` after the start: 4 occurs after two tokens (start, 5), 5 after one; the discounts are 0.5 and 1."""
    model = KneserNey(np.array([4, 5, 4, 5]), np.array([0, 4]), vocabulary_size=6, start=START, order=2)
    four = (2 - 1) / 3 + (1 + 0.5) / 3 / 6
    five = (1 - 0.5) / 3 + (1 + 0.5) / 3 / 6
    expected = [(1 - 0.5) / 1 + 0.5 / 1 * four, (2 - 1) / 2 + 1 / 2 * five, (1 - 0.5) / 1 + 0.5 / 1 * four]
    assert np.exp(-model.nll(np.array([4, 5, 4]), np.array([0, 3]))) == pytest.approx(expected, rel=1e-12)
    unseen = np.exp(-model.nll(np.array([1, 5]), np.array([0, 2])))
    assert unseen == pytest.approx([0.5 * (1 + 0.5) / 3 / 6, five], rel=1e-12)


def test_discounts_by_hand():
    counts = np.array([1] * 10 + [2] * 4 + [3] * 2 + [4] + [9])
    share = 10 / 18
    assert discounts(counts) == pytest.approx((1 - 2 * share * 0.4, 2 - 3 * share * 0.5, 3 - 4 * share * 0.5))
    assert discounts(np.array([1, 1, 2, 5])) == (0.5, 1.0, 1.5)
    assert min(discounts(np.array([1] * 10 + [2] + [3] * 5))) == 0.1, "no token becomes impossible"


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_add_up_to_1_after_any_context(order):
    tokens, documents = corpus(order)
    model = KneserNey(tokens, documents, V, START, order)
    for context in ([], [8], [1, 2, 3, 4, 5], tokens[5:9].tolist(), tokens[100:102].tolist()):
        one_a_document = np.concatenate([[*context, word] for word in range(V)])
        edges = np.arange(V + 1) * (len(context) + 1)
        after = -model.nll(one_a_document, edges)[len(context) :: len(context) + 1]
        assert np.exp(after).sum() == pytest.approx(1, abs=1e-12)


def spelled_out(train, test, order):
    """The same from its definition: dictionaries of tuples, one probability at a time."""
    padded = [(START,) * (order - 1) + tuple(document) for document in train]
    grams = Counter(text[i - order + 1 : i + 1] for text in padded for i in range(order - 1, len(text)))
    levels = [grams]
    while len(levels) < order:
        levels.insert(0, Counter(gram[1:] for gram in levels[0]))
    by_context = [defaultdict(dict) for _ in levels]
    for level, contexts in zip(levels, by_context):
        for gram, count in level.items():
            contexts[gram[:-1]][gram[-1]] = count
    taken = [(0, *discounts(np.array(list(level.values())))) for level in levels]

    def probability(word, context):
        counts = by_context[len(context)].get(context)
        shorter = probability(word, context[1:]) if context else 1 / V
        if counts is None:
            return shorter
        discount, total = taken[len(context)], sum(counts.values())
        count = counts.get(word, 0)
        saved = sum(discount[min(c, 3)] for c in counts.values())
        return (count - discount[min(count, 3)] + saved * shorter) / total

    texts = [(START,) * (order - 1) + tuple(document) for document in test]
    return [probability(text[i], text[i - order + 1 : i]) for text in texts for i in range(order - 1, len(text))]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_the_formula_also_of_a_part_of_the_tokens_and_in_pieces(order, monkeypatch):
    (train, edges), (test, test_edges) = corpus(1), corpus(2, 90)
    expected = spelled_out(np.split(train, edges[1:-1]), np.split(test, test_edges[1:-1]), order)
    model = KneserNey(train.astype("uint16"), edges, V, START, order)
    assert np.exp(-model.nll(test.astype("uint16"), test_edges)) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(kneser_ney, "AT_ONCE", 7)
    assert np.exp(-model.nll(test, test_edges[1:])) == pytest.approx(expected[1:], rel=1e-9)
