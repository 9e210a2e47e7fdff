"""Probabilistic context-free grammars: sentences, their exact probability, and the exact entropy of them all."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Rules = Mapping[str, Sequence[tuple[float, tuple[str, ...]]]]


class Grammar:
    """A probabilistic context-free grammar (PCFG; Booth & Thompson 1973) in which every sentence has one derivation.

    What makes it usable: no empty right-hand sides, no left recursion, and one derivation a sentence, so that the
    probability of a sentence is that of its derivation and the entropy of sentences is the entropy of derivations. The
    first two are checked here; the third is the author's duty, and a test counts derivations.

    Args:
        rules: nonterminal → `(weight, right-hand side)` each; weights are made probabilities. A symbol without rules is
            a terminal, a token.
        start: the nonterminal that derives sentences.

    Raises:
        ValueError: an empty right-hand side, a weight that is not positive, left recursion, or sentences without end.

    Example:
        >>> grammar = Grammar({"S": [(1, ("a",)), (1, ("a", "S"))]}, "S")
        >>> round(grammar.entropy() / math.log(2), 6), round(grammar.mean_tokens(), 6)
        (2.0, 2.0)
    """

    def __init__(self, rules: Rules, start: str):
        self.start = start
        self.rules: dict[str, list[tuple[float, tuple[str, ...]]]] = {}
        for symbol, choices in rules.items():
            total = sum(weight for weight, _ in choices)
            if any(weight <= 0 for weight, _ in choices) or not all(right for _, right in choices):
                raise ValueError(f"{symbol}: weights must be positive and right-hand sides not empty")
            self.rules[symbol] = [(weight / total, tuple(right)) for weight, right in choices]
        self._draws = {
            symbol: (list(itertools.accumulate(p for p, _ in choices)), [right[::-1] for _, right in choices])
            for symbol, choices in self.rules.items()
        }
        self._order = self._first_symbols_first()
        # log-probability of (left corner word, nonterminal) for rules that are one word, and the other rules
        self._lexicon: dict[str, dict[str, float]] = {}
        self._longer: dict[str, list[tuple[float, tuple[str, ...]]]] = {}
        for symbol, choices in self.rules.items():
            for p, right in choices:
                if len(right) == 1 and right[0] not in self.rules:
                    self._lexicon.setdefault(right[0], {})[symbol] = math.log(p)
                else:
                    self._longer.setdefault(symbol, []).append((math.log(p), right))
        self._expected = self._expected_counts()

    @property
    def words(self) -> set[str]:
        """All terminals."""
        return {s for choices in self.rules.values() for _, right in choices for s in right if s not in self.rules}

    def _first_symbols_first(self) -> list[str]:
        """Nonterminals so that each stands after those its right-hand sides begin with."""
        order: list[str] = []
        state: dict[str, str] = {}

        def visit(symbol: str) -> None:
            if state.get(symbol) == "done" or symbol not in self.rules:
                return
            if state.get(symbol) == "open":
                raise ValueError(f"{symbol}: left recursion")
            state[symbol] = "open"
            for _, right in self.rules[symbol]:
                visit(right[0])
            state[symbol] = "done"
            order.append(symbol)

        for symbol in self.rules:
            visit(symbol)
        return order

    def sample(self, rng: random.Random) -> list[str]:
        """The tokens of one sentence, of any length."""
        tokens, open_symbols = [], [self.start]
        while open_symbols:
            symbol = open_symbols.pop()
            if symbol in self._draws:
                weights, rights = self._draws[symbol]
                open_symbols += rng.choices(rights, cum_weights=weights)[0]
            else:
                tokens.append(symbol)
        return tokens

    def _expected_counts(self) -> dict[str, float]:
        r"""How often each nonterminal stands in a derivation, on average.

        With M[A, B] the mean number of B on the right-hand sides of A, the counts c solve c = start + Mᵀ c, which has a
        finite answer where the spectral radius of M is below 1.
        """
        place = {symbol: i for i, symbol in enumerate(self.rules)}
        means = np.zeros((len(place), len(place)))
        for symbol, choices in self.rules.items():
            for p, right in choices:
                for other in right:
                    if other in place:
                        means[place[symbol], place[other]] += p
        if max(abs(np.linalg.eigvals(means))) >= 1:
            raise ValueError("sentences of this grammar have no finite mean length")
        start = np.zeros(len(place))
        start[place[self.start]] = 1
        counts = np.linalg.solve(np.eye(len(place)) - means.T, start)
        return dict(zip(place, counts.tolist()))

    def entropy(self) -> float:
        """Entropy of a sentence in nats: every nonterminal's expected count times the entropy of its choice."""
        return sum(
            count * -sum(p * math.log(p) for p, _ in self.rules[symbol]) for symbol, count in self._expected.items()
        )

    def mean_tokens(self) -> float:
        """Mean number of tokens of a sentence."""
        return sum(
            count * sum(p * sum(s not in self.rules for s in right) for p, right in self.rules[symbol])
            for symbol, count in self._expected.items()
        )

    def log_prob(self, tokens: Sequence[str]) -> float:
        """Log-probability of a sentence in nats; minus infinity for what is none.

        A chart from the right to the left: for every position and nonterminal, the ends of what it derives from there.
        Exact because a sentence has one derivation; of several, it would be that of their sum.
        """
        chart: list[dict[str, dict[int, float]]] = [{} for _ in range(len(tokens) + 1)]
        for begin in range(len(tokens) - 1, -1, -1):
            here, word = chart[begin], tokens[begin]
            for symbol, log_p in self._lexicon.get(word, {}).items():
                here[symbol] = {begin + 1: log_p}
            for symbol in self._order:
                for log_p, right in self._longer.get(symbol, ()):
                    if right[0] != word and right[0] not in here:
                        continue
                    ends = {begin: log_p}
                    for inner in right:
                        ends = self._after(ends, inner, tokens, chart)
                    _add(here.setdefault(symbol, {}), ends)
                if symbol in here and not here[symbol]:
                    del here[symbol]
        return chart[0].get(self.start, {}).get(len(tokens), -math.inf) if tokens else -math.inf

    def _after(
        self, ends: dict[int, float], symbol: str, tokens: Sequence[str], chart: list[dict[str, dict[int, float]]]
    ) -> dict[int, float]:
        """Where `symbol` ends, and how probably, if it begins at `ends`."""
        next_ends: dict[int, float] = {}
        for end, log_p in ends.items():
            if symbol in self.rules:
                _add(next_ends, {e: log_p + q for e, q in chart[end].get(symbol, {}).items()})
            elif end < len(tokens) and tokens[end] == symbol:
                _add(next_ends, {end + 1: log_p})
        return next_ends


def _add(ends: dict[int, float], more: dict[int, float]) -> None:
    for end, log_p in more.items():
        ends[end] = log_p if end not in ends else float(np.logaddexp(ends[end], log_p))


def sentences(grammar: Grammar, rng: random.Random) -> Iterator[str]:
    """Endless sentences, tokens with a space between them."""
    while True:
        yield " ".join(grammar.sample(rng))
