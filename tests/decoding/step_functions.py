"""Tiny step functions with known log-probabilities; shared by the tests of decoding."""

import itertools

import numpy as np
from keras import ops

END = 3


class Trigram:
    """Log-probabilities by the two tokens before, lowered by 0.25 for each time that the token was read.

    The state is a nested tree. Sums of such numbers are the same in any batch, so answers can be compared exactly.
    """

    def __init__(self, vocabulary_size=7, seed=0):
        logits = np.random.default_rng(seed).normal(size=(vocabulary_size,) * 3) * 1.5
        table = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        self.table = (np.round(table * 1024) / 1024).astype("float32")  # [V, V, V]
        self.size = vocabulary_size

    def initial_state(self, batch_size):
        return {"last": ops.zeros((batch_size,), "int32"), "read": (ops.zeros((batch_size, self.size)),)}

    def step(self, tokens, state):
        rows = ops.take(ops.reshape(self.table, (-1, self.size)), state["last"] * self.size + tokens, axis=0)  # [B, V]
        read = state["read"][0] + ops.cast(ops.expand_dims(tokens, -1) == ops.arange(self.size), "float32")
        return rows - 0.25 * read, {"last": tokens, "read": (read,)}

    def log_probs(self, tokens):
        """Log-probabilities [V] after a list of tokens, in NumPy."""
        last = tokens[-2] if len(tokens) > 1 else 0
        return self.table[last, tokens[-1]] - 0.25 * np.bincount(tokens, minlength=self.size).astype("float32")

    def log_prob(self, prompt, tokens):
        return sum(float(self.log_probs([*prompt, *tokens[:i]])[token]) for i, token in enumerate(tokens))

    def all_hypotheses(self, prompt, max_tokens, forbidden=(), min_tokens=0):
        """Every (tokens, log-probability) that ends with END or at `max_tokens`."""
        words = [t for t in range(self.size) if t not in (END, *forbidden)]
        for n in range(max_tokens):
            for body in itertools.product(words, repeat=n):
                if n >= min_tokens:
                    yield [*body, END], self.log_prob(prompt, [*body, END])
        for body in itertools.product(words, repeat=max_tokens):
            yield list(body), self.log_prob(prompt, list(body))


class Attending(Trigram):
    """A `Trigram` that attends to four source tokens, the fewer in odd rows; its state sums the attention up."""

    def __init__(self, vocabulary_size=7, seed=0):
        super().__init__(vocabulary_size, seed)
        self.attention = np.random.default_rng(seed).dirichlet(np.ones(4) / 2, vocabulary_size).astype("float32")

    def initial_state(self, batch_size):
        received = ops.zeros((batch_size, 4), "float32")
        return {**super().initial_state(batch_size), "received": received}

    def step(self, tokens, state):
        log_probs, new = super().step(tokens, state)
        return log_probs, {**new, "received": state["received"] + ops.take(self.attention, tokens, axis=0)}

    @staticmethod
    def coverage(sizes):
        """The function that `beam_search` takes, for sources of so many tokens."""
        mask = ops.convert_to_tensor(np.arange(4) < np.array(sizes)[:, None])  # [B, 4]
        return lambda state: (state["received"], mask)

    def covered(self, prompt, tokens, size):
        """`sum_s log(min(sum_t a_ts, 1))` in NumPy; every token is chosen while its predecessor is attended from."""
        read = [prompt[-1], *tokens[:-1]]
        return np.log(np.clip(self.attention[read].sum(0)[:size], 1e-6, 1.0)).sum()


def normalised_step(step):
    """A step function whose log-probabilities are those of a distribution."""

    def normalised(tokens, state):
        scores, state = step(tokens, state)
        return ops.log_softmax(scores), state

    return normalised


def repeats(tokens, n):
    """Whether n tokens in a row occur twice."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) < len(grams)


def tensor(values, dtype="int32"):
    return ops.convert_to_tensor(np.array(values, dtype))


def arrays(answer):
    return {name: ops.convert_to_numpy(value) for name, value in answer.items()}
