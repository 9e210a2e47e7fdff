"""The numbers of a translation model: sacreBLEU, chrF++ and TER with signatures, perplexity, where it fails."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER

from nlp_suite.errors import DataError
from nlp_suite.tasks.shared.report_numbers import checked_nll, finite

GROUP_STARTS = (0, 1, 6, 11, 16, 21, 31, 41, 61)  # words of the shortest sentences of each group
RESAMPLES = 1000
RESAMPLING_SEED = 12345  # that of sacreBLEU


def translation_report(
    *,
    sources: Sequence[str],
    references: Sequence[str],
    hypotheses: Sequence[str],
    nll: float,
    tokens: int,
    correct: int,
    truncated: int = 0,
    search: Mapping = {},
    attention: Sequence[Mapping] = (),
    worst: int = 20,
) -> dict:
    """Everything that is reported about translations, as numbers that strict JSON can hold.

    BLEU (Papineni et al. 2002), chrF++ (Popović 2017) and TER (Snover et al. 2006) are sacreBLEU's (Post 2018) over the
    whole corpus, of texts as they are, 13a-tokenised by sacreBLEU itself; each has the signature that others need in
    order to compare. BLEU and chrF++ are better the higher, TER the lower. BLEU's interval is that of the percentile
    bootstrap over sentences (1,000 resamples, fixed seed).

    Args:
        sources: texts that were translated.
        references: a right translation of each, as people wrote it.
        hypotheses: the model's translation of each.
        nll: negative log-likelihood of all target tokens together under teacher forcing, END counted and padding not,
            in nats, summed in float64.
        tokens: number of these tokens.
        correct: how many of them the model gave the highest probability of all.
        truncated: sources of which only the beginning was read.
        search: settings of the search, such as `{"beam_size": 4, "length_penalty": 0.6}`.
        attention: some translations with attention: `{"source", "translation", "source_tokens" [S], "target_tokens" [T],
            "weights" [T][S]}`, perhaps `"reference"`; see `nlp_suite.tasks.translation.attention_map`.
        worst: how many of the worst sentences to list.

    Returns:
        `kind`, `sentences`, `tokens`, `truncated`, `search`; `bleu` (`score`, `signature`, `interval`, `precisions` of 1
        to 4 words in percent, `brevity_penalty`, `length_ratio`, `hypothesis_words`, `reference_words`), `bleu_lowercase`,
        `chrf` and `ter` (`score` and `signature`); `exact_match` (share of the hypotheses that equal their reference up to
        white space); `cross_entropy` (nats a token), `perplexity_per_token` and `token_accuracy`; `by_length` (`group` of
        source words, `sentences`, `reference_words`, `bleu`); `worst` (`index`, `source`, `reference`, `hypothesis`,
        `chrf`, the worst first; those that match exactly never); `attention`. What is too large for a float is null, and
        so is the interval of a single sentence.

    Raises:
        DataError: there is nothing to evaluate.
        RunError: `nll` is not a number or below 0.
        ValueError: the three lists differ in length, or weights of attention do not fit their tokens.

    Example:
        >>> report = translation_report(
        ...     sources=["a dog"], references=["ein Hund"], hypotheses=["ein Hund"], nll=0.3, tokens=3, correct=3)
        >>> report["exact_match"], report["chrf"]["score"]
        (1.0, 100.0)
    """
    _check(sources, references, hypotheses, tokens)
    nll = checked_nll(nll, tokens)
    exact = [h.split() == r.split() for h, r in zip(hypotheses, references)]
    return {
        "kind": "translation",
        "sentences": len(sources),
        "tokens": int(tokens),
        "truncated": int(truncated),
        "search": {str(key): value for key, value in search.items()},
        "bleu": _bleu(hypotheses, references),
        "bleu_lowercase": _scored(BLEU(lowercase=True, force=True), hypotheses, references),
        "chrf": chrf(hypotheses, references),
        "ter": _scored(TER(), hypotheses, references),
        "exact_match": sum(exact) / len(exact),
        "cross_entropy": finite(float, nll / tokens),
        "perplexity_per_token": finite(math.exp, nll / tokens),
        "token_accuracy": int(correct) / int(tokens),
        "by_length": _by_length(sources, references, hypotheses),
        "worst": _worst(sources, references, hypotheses, exact, worst),
        "attention": [_attention(row) for row in attention],
    }


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> dict:
    """chrF++ of a corpus: `score` and `signature`."""
    return _scored(CHRF(word_order=2), hypotheses, references)


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Cased sacreBLEU (13a) of a corpus, 0 to 100."""
    return float(BLEU(force=True).corpus_score(list(hypotheses), [list(references)]).score)


def _check(sources, references, hypotheses, tokens) -> None:
    counts = {"sources": len(sources), "references": len(references), "hypotheses": len(hypotheses)}
    for name in ("references", "hypotheses"):
        if counts[name] != counts["sources"]:
            raise ValueError(f"every source needs one of each: {counts['sources']:,} sources, {counts[name]:,} {name}")
    if not counts["sources"]:
        raise DataError("there is nothing to evaluate: 0 sentences")
    if tokens < 1:
        raise DataError(f"there is nothing to evaluate: {tokens} target tokens")


def _scored(metric, hypotheses, references) -> dict:
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return {"score": float(score), "signature": str(metric.get_signature())}


def _bleu(hypotheses, references) -> dict:
    metric = BLEU(force=True)
    result = metric.corpus_score(list(hypotheses), [list(references)])
    return {
        "score": float(result.score),
        "signature": str(metric.get_signature()),
        "interval": _interval(hypotheses, references),
        "precisions": [float(value) for value in result.precisions],
        "brevity_penalty": float(result.bp),
        "length_ratio": finite(float, result.sys_len / result.ref_len) if result.ref_len else None,
        "hypothesis_words": int(result.sys_len),
        "reference_words": int(result.ref_len),
    }


def _interval(hypotheses, references) -> list[float] | None:
    """95 % interval of BLEU when sentences are drawn anew with replacement; None for a single sentence."""
    count = len(hypotheses)
    if count < 2:
        return None
    statistics = bleu_statistics(hypotheses, references)
    generator = np.random.default_rng(RESAMPLING_SEED)
    drawn = []
    for _ in range(RESAMPLES):
        times = np.bincount(generator.integers(count, size=count), minlength=count)  # [N]
        drawn.append(bleu_of(times @ statistics))
    return [float(value) for value in np.quantile(drawn, (0.025, 0.975))]


def bleu_statistics(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """What BLEU is made of, of every sentence: words of both, n-grams that match and all n-grams, int `[N, 10]`."""
    metric = BLEU(effective_order=True, force=True)
    scores = [metric.sentence_score(h, [r]) for h, r in zip(hypotheses, references)]
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores])


def bleu_of(statistics: np.ndarray) -> float:
    """BLEU of a corpus of which the statistics were added up, `[10]`."""
    sums = [int(value) for value in statistics]
    return float(BLEU.compute_bleu(sums[2:6], sums[6:], sums[0], sums[1], smooth_method="exp").score)


def _by_length(sources, references, hypotheses) -> list[dict]:
    """BLEU of each group of sentences that have so many words in the source."""
    groups = np.searchsorted(GROUP_STARTS, [len(source.split()) for source in sources], side="right") - 1
    rows = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        score = BLEU(force=True).corpus_score([hypotheses[i] for i in members], [[references[i] for i in members]])
        rows.append(
            {
                "group": _name(group),
                "sentences": len(members),
                "reference_words": int(score.ref_len),
                "bleu": float(score.score),
            }
        )
    return rows


def _name(group: int) -> str:
    if group + 1 == len(GROUP_STARTS):
        return f"{GROUP_STARTS[-1]} or more"
    low, high = GROUP_STARTS[group], GROUP_STARTS[group + 1] - 1
    return f"{low}–{high}" if high > low else str(low)


def _worst(sources, references, hypotheses, exact, count) -> list[dict]:
    metric = CHRF(word_order=2)
    scores = [
        math.inf if same else float(metric.sentence_score(h, [r]).score)
        for h, r, same in zip(hypotheses, references, exact)
    ]
    chosen = [int(i) for i in np.argsort(scores, kind="stable")[:count] if not exact[i]]
    return [
        {
            "index": i,
            "source": sources[i],
            "reference": references[i],
            "hypothesis": hypotheses[i],
            "chrf": scores[i],
        }
        for i in chosen
    ]


def _attention(row: Mapping) -> dict:
    shown = {key: str(row[key]) for key in ("source", "reference", "translation") if key in row}
    source, target = [str(t) for t in row["source_tokens"]], [str(t) for t in row["target_tokens"]]
    weights = np.asarray(row["weights"] if target else [], "float64")  # [T, S]
    if target and weights.shape != (len(target), len(source)):
        raise ValueError(
            f"attention weights {list(weights.shape)} do not fit {len(target)} target and {len(source)} source tokens"
        )
    rounded = [[finite(float, round(weight, 4)) for weight in line] for line in weights.tolist()]
    return {**shown, "source_tokens": source, "target_tokens": target, "weights": rounded}
