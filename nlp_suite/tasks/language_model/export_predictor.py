"""A language model's SavedModel in Python, with the methods and answers of `LanguageModelPredictor`."""

from collections.abc import Sequence

import numpy as np

from nlp_suite.decoding.sampling import Options
from nlp_suite.errors import ExportError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.language_model.text import BATCH_ROWS, stop_strings, token_counts
from nlp_suite.tasks.shared.request_checks import as_bytes, checked_int
from nlp_suite.tasks.shared.scores import score_answers


class SavedModelLanguageModel(Predictor):
    """The signatures `generate`, `score` and `next` of an export.

    Args:
        signatures: the opened SavedModel.
    """

    task_name = "language_model"
    stream = None  # a signature answers at once

    def __init__(self, signatures: LoadedSignatures):
        self._ask = signatures

    def score(self, texts: Sequence[str | bytes]) -> list[dict]:
        """See `LanguageModelPredictor.score`; `truncated` too where a text had more than `task.max_scored` tokens."""
        return [
            answer for chunk in _chunks(as_bytes(texts)) for answer in score_answers(self._ask("score", text=chunk))
        ]

    def next_tokens(self, prompts: Sequence[str | bytes], top: int = 10) -> list[list[tuple[str, float]]]:
        """See `LanguageModelPredictor.next_tokens`; an export names a fixed number of tokens at most."""
        answers = []
        for chunk in _chunks(as_bytes(prompts)):
            answer = self._ask("next", prompt=chunk)
            top = checked_int("top", top, 1, answer["tokens"].shape[1], "what this export names")
            for tokens, probabilities in zip(answer["tokens"], answer["probabilities"]):
                names = [token.decode("utf-8", "replace") for token in tokens[:top]]
                answers.append(list(zip(names, probabilities[:top].tolist())))
        return answers

    def generate(
        self,
        prompts: Sequence[str | bytes] = (),
        *,
        chat: Sequence = (),
        max_tokens=None,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        seed=0,
        stop: Sequence[str] = (),
        beam_size: int = 1,
        length_penalty: float = 0.0,
    ) -> list[dict]:
        """See `LanguageModelPredictor.generate`.

        Raises:
            ExportError: a chat, beam search or several stop strings, which the signature does not offer.
            RequestError: an option out of range.
        """
        if chat:
            raise ExportError(
                "an export takes no chat, as special tokens in a prompt are ordinary text: use its run folder"
            )
        if beam_size != 1 or length_penalty:
            raise ExportError("an export has no beam search: use its run folder, or leave beam_size and length_penalty")
        stop = stop_strings(stop)
        if len(stop) > 1:
            raise ExportError(f"an export takes one stop string, got {stop}")
        raw = as_bytes(prompts)
        counts = token_counts(max_tokens, len(raw), self._ask.experiment().task.max_generated)
        options = Options.broadcast(
            len(raw),
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
        )
        numbers = {name: np.asarray(value) for name, value in options._asdict().items()}
        numbers["max_tokens"] = counts
        ends = as_bytes(stop) or [b""]
        answers = []
        for start in range(0, len(raw), BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            batch = {name: values[rows] for name, values in numbers.items()}
            answer = self._ask("generate", prompt=raw[rows], stop=ends * len(raw[rows]), **batch)
            for text, log_prob, length in zip(answer["text"], answer["log_prob"], answer["length"]):
                answers.append({"text": text.decode("utf-8"), "log_prob": float(log_prob), "length": int(length)})
        return answers


def _chunks(rows):
    return (rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS))
