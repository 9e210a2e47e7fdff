"""Language modelling: perplexity with its context, where the loss comes from, and what the model writes."""

import itertools

import numpy as np

from nlp_suite.data.prepare import open_source
from nlp_suite.errors import DataError
from nlp_suite.progress import track
from nlp_suite.tasks.language_model import stops_at_line_end, window_batch
from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor
from nlp_suite.tasks.language_model.report import language_model_report
from nlp_suite.text.text_layer import END, UNKNOWN

EXCERPT_TOKENS = 150
SAMPLE_TOKENS = 60
SHOWN_PROMPTS = 4


def measure(run, split: str, stores: dict) -> dict:
    """The language model report of a split; see `nlp_suite.tasks.language_model.report`.

    With `by_row`: of every window `[W, 3]` where its predicted tokens begin in the store, how many they are, and their nll.
    """
    store, task = stores[split], run.task
    model = run.model()
    train = stores.get("train")  # gone where a run is measured on other files
    kind = task.batching(model, train or store)
    if kind == "stream":
        model.carry(1, task.settings.evaluation_batch_size)
    windows, context = task.evaluation_windows(model, store, kind)
    batch, by_row = window_batch(store, windows, model.start_token), []
    counts = token_counts(train.flat() if train else [], run.text.vocabulary_size)  # [V]
    edges = [1, *(10**power for power in range(1, len(str(counts.max()))))]  # 0 | 1–9 | 10–99 | …
    nll, tokens = np.zeros(len(edges) + 1), np.zeros(len(edges) + 1, int)
    unknown = 0
    for n in track(range(windows.steps_per_epoch), f"measuring {split}", windows.steps_per_epoch, "batches"):
        inputs, targets, weights = batch(n)
        losses = np.asarray(model.predict_on_batch(inputs))  # [B, T]
        counted = weights > 0
        group = np.searchsorted(edges, counts[targets[counted]], side="right")
        nll += np.bincount(group, losses[counted].astype("float64"), len(nll))
        tokens += np.bincount(group, minlength=len(nll))
        unknown += int((targets[counted] == UNKNOWN).sum())
        sums = np.where(counted, losses, 0).sum(axis=1, dtype="float64")  # [B]
        by_row.append(np.stack([windows[n].begin + windows[n].context, counted.sum(axis=1), sums], axis=1))
    predictor = LanguageModelPredictor(model, run.text, task.settings, stops_at_line_end(run))
    excerpt, next_tokens = _excerpt(predictor, store)
    statistics = run.info["statistics"][split]
    report = language_model_report(
        nll=float(nll.sum()),
        tokens=int(tokens.sum()),
        words=statistics["words"],
        characters=statistics["characters"],
        unknown=unknown,
        context=context,
        entropy=_entropy(run) if unknown == 0 and tokens.sum() == statistics["words"] else None,
        excerpt=excerpt,
        next_tokens=next_tokens,
        samples=_samples(predictor, next_tokens),
        by_frequency=[
            {"group": name, "tokens": count, "nll": loss}
            for name, count, loss in zip(_names(edges), tokens, nll)
            if count and train
        ],
    )
    return {**report, "by_row": np.concatenate(by_row)}


def token_counts(tokens, vocabulary_size: int, at_once: int = 2**22) -> np.ndarray:
    """How often each id occurs, int64 `[V]`; the corpus is never in memory."""
    counts = np.zeros(vocabulary_size, "int64")
    for start in range(0, len(tokens), at_once):
        counts += np.bincount(tokens[start : start + at_once], minlength=vocabulary_size)
    return counts


def _names(edges) -> list[str]:
    """Names of the groups that the edges part, by how often a token occurs in the training split."""
    names = ["never in training"]
    for low, high in zip(edges, [*edges[1:], None]):
        names.append(f"{low:,} or more" if high is None else f"{low:,}–{high - 1:,}")
    return names


def _entropy(run) -> float | None:
    """Entropy a word of a sample corpus; None for texts whose entropy nobody knows."""
    try:
        return open_source(run.experiment).optimum.get("entropy")
    except DataError:
        return None


def _excerpt(predictor, store):
    """The beginning of the split, token by token, and what was expected at a few places of it."""
    excerpt, next_tokens = [], []
    for tokens in _beginnings(store, predictor.window):
        log_probs = predictor.all_log_probs(tokens)  # [T, V]
        token_log_probs = log_probs[np.arange(len(tokens)), tokens]
        ranks = (log_probs > token_log_probs[:, None]).sum(axis=1) + 1
        rows = zip(predictor.text.id_to_token(tokens), token_log_probs, ranks)
        excerpt += [{"token": token, "log_prob": float(value), "rank": int(rank)} for token, value, rank in rows]
        for position in _line_middles(tokens)[: SHOWN_PROMPTS - len(next_tokens)]:
            best = np.argsort(-log_probs[position])[:8]
            expected = zip(predictor.text.id_to_token(best), np.exp(log_probs[position][best]))
            prompt = predictor.decode(tokens[:position])
            next_tokens.append({"prompt": prompt, "next": [{"token": t, "probability": float(p)} for t, p in expected]})
    return excerpt, next_tokens


def _beginnings(store, window) -> list[np.ndarray]:
    """The first documents, `EXCERPT_TOKENS` tokens in all; of each at most a Transformer's window."""
    edges, rows, remaining = store.documents(), [], EXCERPT_TOKENS
    for begin, end in itertools.pairwise(edges):
        if remaining <= 0:
            break
        end = min(end, begin + min(remaining, window or remaining))
        rows.append(np.asarray(store.flat()[begin:end], "int32"))
        remaining -= end - begin
    return rows


def _line_middles(tokens) -> list[int]:
    """A position in the middle of each line."""
    ends = np.append(np.flatnonzero(tokens == END), len(tokens))
    begins = np.append(0, ends[:-1] + 1)
    return [int(begin + (end - begin) // 2) for begin, end in zip(begins, ends) if end - begin > 1]


def _samples(predictor, next_tokens) -> list[dict]:
    """Continuations of the first prompts."""
    prompts = [row["prompt"] for row in next_tokens[:2]] or [""]
    variants = [
        ("most probable token each time", {"temperature": 0.0}),
        ("temperature 0.8", {"temperature": 0.8}),
    ]
    limit = min(SAMPLE_TOKENS, predictor.settings.max_generated)
    samples = []
    for how, options in variants:
        seeds = list(range(1, len(prompts) + 1))
        for prompt, answer in zip(prompts, predictor.generate(prompts, max_tokens=limit, seed=seeds, **options)):
            samples.append({"prompt": prompt, "text": answer["text"], "how": how})
    return samples
