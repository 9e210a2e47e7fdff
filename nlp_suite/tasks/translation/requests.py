"""Requests for translations: their options, checked, and what a run and an export refuse alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp_suite.errors import RequestError
from nlp_suite.tasks.shared.request_checks import MAX_BEAMS, checked_int, checked_non_negative, checked_texts

BATCH_ROWS = 32  # sentences of a batch


@dataclass(frozen=True)
class TranslationRequest:
    """The options of a translation, checked."""

    beam_size: int
    n_best: int
    length_penalty: float
    coverage_penalty: float
    no_repeat_ngram: int
    min_length: int
    max_length: int
    sampling: dict[str, Any] | None  # options of `Options`, where one samples
    attention: bool
    before: int


def checked_request(
    settings: Any,
    *,
    beam_size: Any = None,
    n_best: Any = 1,
    length_penalty: Any = None,
    coverage_penalty: Any = None,
    no_repeat_ngram: Any = None,
    min_length: Any = None,
    max_length: Any = None,
    temperature: Any = None,
    top_k: Any = None,
    top_p: Any = None,
    seed: Any = None,
    attention: bool = False,
    before: int = 0,
) -> TranslationRequest:
    """The options of `TranslationPredictor.translate`, filled up from the task's settings.

    Raises:
        RequestError: one out of range, or options that exclude each other.
    """
    limit = settings.max_tokens
    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    sampling = {name: value for name, value in sampling.items() if value is not None}
    search = {"coverage_penalty": coverage_penalty, "no_repeat_ngram": no_repeat_ngram, "min_length": min_length}
    if sampling:
        wrong = [name for name, value in search.items() if value not in (None, 0)]
        wrong = ["beam_size"] * (beam_size not in (None, 0, 1)) + wrong
        if wrong or n_best != 1:
            wrong = wrong or ["n_best"]
            raise RequestError(f"{', '.join(wrong)}: of a beam search; leave it out, or {', '.join(sampling)}")
        beam_size, search = 1, dict.fromkeys(search, 0)
        sampling["seed"] = 0 if seed is None else seed
    elif seed is not None:
        raise RequestError("seed: a search draws nothing at random; give a temperature (1 samples from the model)")

    def or_default(value: Any, name: str) -> Any:
        return getattr(settings, name) if value is None else value

    beam_size = checked_int("beam_size", or_default(beam_size, "beam_size"), 1, MAX_BEAMS)
    n_best = checked_int("n_best", n_best, 1, beam_size, f"beam_size is {beam_size}")
    search = {name: or_default(value, name) for name, value in search.items()}
    bound = "task.max_tokens" if max_length is None else "max_length"
    max_length = checked_int("max_length", limit if max_length is None else max_length, 1, limit, "task.max_tokens")
    return TranslationRequest(
        beam_size=beam_size,
        n_best=n_best,
        length_penalty=checked_non_negative("length_penalty", or_default(length_penalty, "length_penalty")),
        coverage_penalty=checked_non_negative("coverage_penalty", search["coverage_penalty"]),
        no_repeat_ngram=checked_int("no_repeat_ngram", search["no_repeat_ngram"], 0, limit, "0: off; task.max_tokens"),
        min_length=checked_int("min_length", search["min_length"], 0, max_length, bound),
        max_length=max_length,
        sampling=sampling or None,
        attention=bool(attention),
        before=before,
    )


def checked_pairs(
    sources: Sequence[str | bytes], targets: Sequence[str | bytes]
) -> tuple[list[str | bytes], list[str | bytes]]:
    """Sources and a target of each.

    Raises:
        RequestError: as many sources as targets are needed.
    """
    sources, targets = checked_texts(sources), checked_texts(targets)
    if len(sources) != len(targets):
        raise RequestError(f"{len(sources)} sources and {len(targets)} targets: give a target for every source")
    return sources, targets
