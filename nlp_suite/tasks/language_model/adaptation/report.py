"""What a report says of a language model that adapts to the text."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.evaluation.baseline import lead
from nlp_suite.tasks.language_model.adaptation.adapted import Adapted, Texts
from nlp_suite.tasks.language_model.adaptation.report_rows import TITLES
from nlp_suite.tasks.shared.report_numbers import checked_nll, finite

BLOCKS = 200  # of neighbouring tokens at most, that the bootstrap draws: what adapts gains by whole passages


def adapted_report(run: Any, split: str, stores: Mapping[str, Any], settings: Mapping[str, Any]) -> dict:
    """Figures of a split by name of what adapts.

    Args:
        run: the run.
        split: a key of `stores`.
        stores: by split.
        settings: of `LanguageModelAdaptation`.

    Returns:
        For `plain`, the network as it is in the same pass (one row, in order, where `measure` may read several parts of the text at
        a time), and for each name `title` and the figures of `language_model_report`; of what adapts the complete
        `settings`, `chosen` (keys that were chosen on the validation split), and `lead` over the plain model on the same
        pass, in perplexity per word, with its 95 % interval (paired bootstrap over at most 200 passages).
    """
    adapted = Adapted.of_run(run, settings, stores)
    texts, counts, what = Texts.of(stores[split]), run.info["statistics"][split], f"measuring {split}"
    plain = adapted.reader.nll(texts, f"{what}, as it is")
    figures = {
        name: {
            "title": TITLES[name],
            "settings": adapted.settings[name].model_dump(),
            "chosen": adapted.chosen[name],
            **_figures(nll, counts),
            "lead": {"perplexity per word": _lead(nll, plain, counts)},
        }
        for name, nll in adapted.nll(texts, what).items()
    }
    return {"plain": {"title": TITLES["plain"], **_figures(plain, counts)}, **figures}


def _figures(nll: NDArray, counts: Mapping[str, int]) -> dict:
    """Figures of the nll `[N]` of all tokens."""
    total, tokens = checked_nll(float(nll.sum(dtype="float64")), len(nll)), len(nll)
    return {
        "nll": finite(float, total),
        "cross_entropy": finite(float, total / tokens),
        "perplexity_per_token": finite(math.exp, total / tokens),
        "perplexity_per_word": finite(math.exp, total / counts["words"]),
        "bits_per_character": finite(float, total / counts["characters"] / math.log(2)),
    }


def _lead(nll: NDArray, plain: NDArray, counts: Mapping[str, int]) -> dict:
    """By how much the perplexity per word of `nll` is below that of `plain`, both `[N]` by token."""
    tokens = len(nll)
    edges = np.linspace(0, tokens, min(BLOCKS, tokens), endpoint=False).astype(int)
    passages = np.add.reduceat(np.stack([np.ones(tokens), nll, plain], axis=1).astype("float64"), edges)  # [M, 3]

    def difference(drawn: NDArray) -> float:
        count, ours, theirs = drawn @ passages
        each = tokens / counts["words"] / count
        return _perplexity(theirs * each) - _perplexity(ours * each)

    once = np.ones(len(passages), int)
    return lead(difference(once), once, difference)


def _perplexity(nats: float) -> float:
    return finite(math.exp, nats) or float(np.finfo("f8").max) / 2
