"""Log-probabilities of a text as the answer of `score`, from a network and from an export."""

from collections.abc import Mapping, Sequence

import numpy as np

MAX_NLL_PER_TOKEN = 80.0  # nats, in a perplexity: beyond, float32 has no number for it


def score_answer(log_probs, tokens: Sequence[str], truncated: bool) -> dict:
    """The answer for one text.

    Args:
        log_probs: natural logarithms of its tokens' probabilities `[T]`, T above 0.
        tokens: their surface forms.
        truncated: whether the text was not read whole.

    Returns:
        `{"log_prob", "perplexity" (a token), "num_tokens", "tokens", "token_log_probs", "truncated"}`.
    """
    return {
        "log_prob": float(log_probs.sum(dtype="float64")),
        "perplexity": float(np.exp(min(-log_probs.mean(dtype="float64"), MAX_NLL_PER_TOKEN))),
        "num_tokens": len(log_probs),
        "tokens": list(tokens),
        "token_log_probs": log_probs.tolist(),
        "truncated": bool(truncated),
    }


def score_answers(outputs: Mapping[str, np.ndarray]) -> list[dict]:
    """The same from the outputs of an export's signature `score`, a row a text."""
    rows = len(outputs["length"])
    truncated = outputs.get("truncated", np.zeros(rows, bool))  # older exports lack it
    return [
        {
            "log_prob": float(outputs["log_prob"][row]),
            "perplexity": float(outputs["perplexity"][row]),
            "num_tokens": int(outputs["num_tokens"][row]),
            "tokens": [token.decode("utf-8", "replace") for token in outputs["tokens"][row][:length]],
            "token_log_probs": outputs["token_log_probs"][row][:length].tolist(),
            "truncated": bool(truncated[row]),
        }
        for row, length in enumerate(outputs["length"])
    ]
