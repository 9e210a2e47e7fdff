"""The numbers of a language model: perplexity by token and by word, bits a character, where the loss comes from."""

import math
from collections.abc import Sequence

from nlp_suite.errors import DataError
from nlp_suite.tasks.shared.report_numbers import checked_nll, finite


def language_model_report(
    *,
    nll: float,
    tokens: int,
    words: int,
    characters: int,
    unknown: int,
    context: str,
    entropy: float | None = None,
    excerpt: Sequence[dict] = (),
    next_tokens: Sequence[dict] = (),
    samples: Sequence[dict] = (),
    by_frequency: Sequence[dict] = (),
) -> dict:
    """Everything that is reported about a language model's predictions, as numbers that strict JSON can hold.

    All measures are one total divided by different counts: perplexity per token is exp(nll / tokens), perplexity per
    word exp(nll / words), bits per character nll / (characters · ln 2). Only the last two compare models with different
    vocabularies; all of them flatter a model that reads many tokens as unknown.

    Args:
        nll: negative log-likelihood of all predicted tokens together, in nats, summed in float64.
        tokens: number of predicted tokens, the END of every line among them.
        words: words between white space, and one for each line's end.
        characters: characters of the normalised text, and one for each line break.
        unknown: how many of the predicted tokens were the unknown token.
        context: how it was evaluated, such as `"sliding window of 256 tokens, at least 128 of context"`.
        entropy: the least possible cross-entropy in nats a token, where it is known (sample corpus).
        excerpt: tokens of a piece of text in order, `{"token", "log_prob", "rank"}`: nats, and the place of the token
            among all by probability (from 1, or None). The token `</s>` ends a line.
        next_tokens: `{"prompt", "next": [{"token", "probability"}, …]}`, the most probable token first.
        samples: `{"prompt", "text", "how"}`: what the model wrote after the prompt, and how it was drawn.
        by_frequency: `{"group", "tokens", "nll"}`: sums over the tokens whose frequency in the training text lies in
            a range, such as `"1–10"`.

    Returns:
        `kind`, `context`, `nll`, the counts `tokens`, `words` and `characters`, `unknown_rate`, `cross_entropy` (nats a
        token), `perplexity_per_token`, `perplexity_per_word`, `bits_per_character`, `best_possible`
        (`perplexity_per_token` and `excess`, the ratio of perplexities minus 1; null if unknown), `excerpt`,
        `next_tokens`, `samples`, and `by_frequency` with `group`, `tokens`, `cross_entropy`,
        `perplexity_per_token` and `loss_share`. What is too large for a float is null, as is a mean over nothing.

    Raises:
        DataError: nothing was predicted.
        RunError: `nll` is not a number or below 0.

    Example:
        >>> report = language_model_report(nll=9.2, tokens=4, words=2, characters=8, unknown=0, context="whole lines")
        >>> round(report["perplexity_per_token"], 2), round(report["perplexity_per_word"], 2)
        (9.97, 99.48)
    """
    for name, count in (("tokens", tokens), ("words", words), ("characters", characters)):
        if count < 1:
            raise DataError(f"there is nothing to evaluate: {count} {name}")
    nll = checked_nll(nll, tokens)
    best = None
    if entropy is not None:
        excess = finite(math.expm1, nll / tokens - entropy)
        best = {"perplexity_per_token": finite(math.exp, entropy), "excess": excess}
    return {
        "kind": "language_model",
        "context": context,
        "tokens": int(tokens),
        "words": int(words),
        "characters": int(characters),
        "unknown_rate": int(unknown) / int(tokens),
        "nll": finite(float, nll),
        "cross_entropy": finite(float, nll / tokens),
        "perplexity_per_token": finite(math.exp, nll / tokens),
        "perplexity_per_word": finite(math.exp, nll / words),
        "bits_per_character": finite(float, nll / characters / math.log(2)),
        "best_possible": best,
        "by_frequency": _groups(by_frequency),
        "excerpt": [
            {
                "token": str(row["token"]),
                "log_prob": finite(float, row["log_prob"]),
                "rank": None if row.get("rank") is None else int(row["rank"]),
            }
            for row in excerpt
        ],
        "next_tokens": [
            {
                "prompt": str(row["prompt"]),
                "next": [{"token": str(n["token"]), "probability": float(n["probability"])} for n in row["next"]],
            }
            for row in next_tokens
        ],
        "samples": [{key: str(row[key]) for key in ("prompt", "text", "how")} for row in samples],
    }


def _groups(rows: Sequence[dict]) -> list[dict]:
    total = sum(float(row["nll"]) for row in rows)
    result = []
    for row in rows:
        count, nll = int(row["tokens"]), float(row["nll"])
        mean = nll / count if count else None
        result.append(
            {
                "group": str(row["group"]),
                "tokens": count,
                "cross_entropy": finite(float, mean),
                "perplexity_per_token": finite(math.exp, mean),
                "loss_share": finite(float, nll / total) if total > 0 else None,
            }
        )
    return result
