"""The sentence grammar: one derivation a sentence, and entropy, length and probability that are exact."""

import itertools
import math
import random
from collections import Counter

import pytest

from nlp_suite.config import TextSettings
from nlp_suite.data.sources import sentence_grammar as grammar
from nlp_suite.data.sources.pcfg import Grammar
from nlp_suite.data.sources.sample import SampleSource
from nlp_suite.errors import DataError
from nlp_suite.text.text_layer import TextLayer

RULES = grammar.GRAMMAR.rules


def drawn(count, seed=0):
    return list(itertools.islice(grammar.sentences(seed, "check"), count))


def derivations(tokens, rules=RULES) -> int:
    """How many derivations a sentence has: a chart of spans (CKY on dotted rules), written without the grammar's own."""
    n = len(tokens)
    count = Counter()  # (symbol, begin, end) → derivations
    parts = Counter()  # (symbol, rule, dot, begin, end) → derivations of the first `dot` symbols
    unary = [(a, i, right[0]) for a in rules for i, (_, right) in enumerate(rules[a]) if len(right) == 1]

    def complete(begin, end, symbol, ways):
        """A symbol spans begin…end in so many more ways; rules of one symbol pass it on."""
        count[symbol, begin, end] += ways
        for above, _, only in unary:
            if only == symbol:
                complete(begin, end, above, ways)

    for width in range(1, n + 1):
        for begin in range(n - width + 1):
            end = begin + width
            if width == 1:
                complete(begin, end, tokens[begin], 1)
            for a in rules:
                for i, (_, right) in enumerate(rules[a]):
                    for dot in range(2, min(len(right), width) + 1):
                        ways = sum(
                            (count[right[0], begin, m] if dot == 2 else parts[a, i, dot - 1, begin, m])
                            * count[right[dot - 1], m, end]
                            for m in range(begin + 1, end)
                        )
                        if ways and dot < len(right):
                            parts[a, i, dot, begin, end] += ways
                        elif ways:
                            complete(begin, end, a, ways)
    return count["S", 0, n]


def test_the_counter_counts():
    """An ambiguous grammar: as many derivations as binary trees (Catalan numbers)."""
    ambiguous = {"S": [(0.5, ("S", "S")), (0.5, ("a",))]}
    assert [derivations(["a"] * n, ambiguous) for n in range(1, 6)] == [1, 1, 2, 5, 14]


def test_sampled_sentences_have_one_derivation():
    for sentence in drawn(60):
        assert derivations(sentence.split(" ")) == 1, sentence


def one_word_each():
    """The rules with one word a part of speech and number, so that all short sentences can be listed."""
    return grammar.rules({part: entries.split(" ")[0] for part, entries in grammar.WORDS.items()})


def all_derivations(rules, longest):
    """Tokens and probability of every derivation of at most `longest` tokens, by expanding the leftmost symbol."""
    open_ = [(1.0, (), ("S",))]
    while open_:
        p, done, rest = open_.pop()
        while rest and rest[0] not in rules:
            done, rest = (*done, rest[0]), rest[1:]
        if not rest:
            yield " ".join(done), p
            continue
        for q, right in rules[rest[0]]:
            if len(done) + len(right) + len(rest) - 1 <= longest:  # every symbol becomes a token or more
                open_.append((p * q, done, right + rest[1:]))


def test_no_two_derivations_give_one_sentence_and_probabilities_are_theirs():
    """Exhaustively, on the truncated grammar: every short derivation's sentence differs from all others'."""
    small = Grammar(one_word_each(), "S")
    found = list(all_derivations(small.rules, 13))
    sentences = dict(found)
    assert len(found) == len(sentences) > 5_000
    assert 0.5 < sum(sentences.values()) < 1
    for sentence, p in random.Random(0).sample(found, 500):
        assert small.log_prob(sentence.split(" ")) == pytest.approx(math.log(p), abs=1e-9)


def test_words_have_one_part_of_speech():
    parts = Counter()
    for entries in grammar.WORDS.values():
        forms = [form for entry in entries.split(" ") for form in entry.split("/")]
        parts.update(set(forms))
    assert max(parts.values()) == 1
    assert set(parts) | {",", ".", "that", "both", "who", "whom", "which"} == grammar.GRAMMAR.words
    assert 150 <= len(grammar.GRAMMAR.words) <= 300


def test_entropy_length_and_probability_agree_with_sampling():
    sentences = drawn(20_000)
    surprise = -sum(map(grammar.log_prob, sentences)) / len(sentences)
    assert surprise == pytest.approx(grammar.entropy(), rel=0.01)
    length = sum(len(sentence.split(" ")) + 1 for sentence in sentences) / len(sentences)
    assert length == pytest.approx(grammar.mean_length(), rel=0.01)
    assert sum(len(sentence.split(" ")) > 40 for sentence in sentences) < 40
    assert max(len(sentence.split(" ")) for sentence in sentences) > 40  # and there is no bound


@pytest.mark.parametrize("p", [0.3, 0.5, 0.9])
def test_a_grammar_solved_by_hand(p):
    """The geometric distribution: its entropy is h(p) / p, its mean 1 / p."""
    rules = {"S": [(p, ("a",)), (1 - p, ("a", "S"))]}
    made = Grammar(rules, "S")
    assert made.entropy() == pytest.approx(-(p * math.log(p) + (1 - p) * math.log(1 - p)) / p)
    assert made.mean_tokens() == pytest.approx(1 / p)
    assert made.log_prob(["a"] * 300) == pytest.approx(math.log(p) + 299 * math.log(1 - p))
    assert made.log_prob(["a", "b"]) == made.log_prob([]) == -math.inf


def test_probability_of_an_ambiguous_sentence_is_the_sum():
    rules = {"S": [(0.6, ("a", "S")), (0.3, ("A", "S")), (0.1, ("b",))], "A": [(1, ("a",))]}
    assert Grammar(rules, "S").log_prob(["a", "b"]) == pytest.approx(math.log(0.09))


@pytest.mark.parametrize(
    "rules, message",
    [
        ({"S": [(1, ("S", "a")), (1, ("a",))]}, "S: left recursion"),
        ({"S": [(1, ("A",))], "A": [(1, ("B", "a"))], "B": [(1, ("A",))]}, "left recursion"),
        ({"S": [(1, ())]}, "not empty"),
        ({"S": [(0, ("a",)), (1, ("b",))]}, "positive"),
        ({"S": [(1, ("a",)), (1, ("b", "S", "S"))]}, "no finite mean"),
    ],
)
def test_grammars_that_cannot_be_used(rules, message):
    with pytest.raises(ValueError, match=message):
        Grammar(rules, "S")


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("the dog near the bridges barks .", "the dog near the bridges bark ."),
        ("the old sailor who sees the birds sings .", "the old sailor who sees the birds sing ."),
        ("the sailor whom the birds see laughs .", "the sailor whom the birds sees laughs ."),
        (
            "when the young birds near the mill rest , clara thinks that the sailors who follow the dog are happy .",
            "when the young birds near the mill rest , clara thinks that the sailors who follow the dog is happy .",
        ),
        ("both anna and the girl work .", "both anna and the girl works ."),
        ("the king thinks that the dogs bark .", "the dogs think that the king barks ."),
        ("when the dog barks , the girl laughs .", "when the dog barks , and the girl laughs ."),
        ("the dog barks , and the girl laughs .", "the dog barks , the girl laughs ."),
    ],
)
def test_what_is_grammatical(right, wrong):
    assert grammar.log_prob(right) > -100 and grammar.log_prob(wrong) == -math.inf


def test_neighbouring_words_are_not_enough():
    """A model of word pairs, given the very statistics of the sentences it is judged on, is far above the grammar."""
    pairs, firsts, tokens = Counter(), Counter(), 0
    for sentence in drawn(20_000):
        words = ["</s>", *sentence.split(" "), "</s>"]
        pairs.update(itertools.pairwise(words))
        firsts.update(words[:-1])
        tokens += len(words) - 1
    surprise = -sum(n * math.log(n / firsts[first]) for (first, _), n in pairs.items()) / tokens
    assert math.exp(surprise) > 1.4 * SampleSource(kind="text").optimum["perplexity"]


def test_source():
    source = SampleSource(kind="text")
    assert source.splits() == ["train", "test"] and source.sizes == {"train": 40_000, "test": 5000}
    assert source.optimum["perplexity"] == pytest.approx(math.exp(grammar.entropy() / grammar.mean_length()))
    assert 8 < source.optimum["perplexity"] < 15
    train = list(source.examples("train"))
    assert len(train) == 40_000 and set(train[0]) == {"text"}
    assert train[:50] == list(SampleSource(kind="text", size=50).examples("train"))
    assert train[:50] != list(SampleSource(kind="text", size=50, seed=1).examples("train"))
    assert train[:50] != list(itertools.islice(source.examples("test"), 50))
    with pytest.raises(DataError, match="unknown split 'validation'"):
        next(source.examples("validation"))


def test_the_best_perplexity_of_a_split():
    source = SampleSource(kind="text", test=3)
    texts = [example["text"] for example in source.examples("test")]
    tokens = sum(len(text.split()) + 1 for text in texts)
    log_prob = sum(grammar.log_prob(text) for text in texts)
    assert source.best_perplexity("test") == pytest.approx(math.exp(-log_prob / tokens))
    with pytest.raises(DataError, match="known of sentences only; this task needs labels"):
        SampleSource().best_perplexity("test")


def test_kinds_have_their_own_sizes_and_fingerprints():
    assert SampleSource().sizes == {"train": 4000, "test": 1000}
    assert SampleSource().fingerprint() != SampleSource(kind="text").fingerprint()
    with pytest.raises(ValueError, match="unknown corpus kind 'texts': did you mean 'text'"):
        SampleSource(kind="texts")


def test_the_word_tokenizer_gives_one_token_a_terminal():
    texts = drawn(300)
    layer = TextLayer.train(TextSettings(tokenizer={"name": "word", "min_count": 1}, add_end=True), texts)
    for row, text in zip(layer.encode(texts), texts, strict=True):
        assert layer.id_to_token(row) == [*text.split(" "), "</s>"]
    assert layer.decode(layer.encode(texts)) == texts
