"""How Apache Beam's RunInference runs a signature; imported where Beam is."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from nlp_suite.errors import ExportError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.serving.client.tensors import json_value


class SignatureHandler(ModelHandler):
    """Answers the lines of a chunk with a signature of one text.

    Args:
        path: an exported version.
        signature: the signature's name.
        batch_size: lines that run together at most; lines of similar length do.
    """

    def __init__(self, path: str, signature: str, batch_size: int):
        super().__init__()
        self._path, self._signature, self._batch_size = path, signature, batch_size

    def load_model(self) -> LoadedSignatures:
        """The model."""
        return _load(self._path)

    def batch_elements_kwargs(self) -> dict[str, int]:
        """One element at a time, as an element is a chunk."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def run_inference(self, batch: Sequence[Any], model: LoadedSignatures, inference_args: Any = None) -> Iterator[Any]:
        """The chunks with their answers: `(chunk, [(line number, text, answer or None, reason or None)])`."""
        alias = text_input(model, self._signature)
        for chunk, rows in batch:
            answers: dict[int, tuple[Any, str | None]] = {}
            by_length = sorted((i for i, row in enumerate(rows) if row[2] is None), key=lambda i: len(rows[i][1]))
            for start in range(0, len(by_length), self._batch_size):
                indices = by_length[start : start + self._batch_size]
                answers.update(zip(indices, self._ask(model, alias, [rows[i][1] for i in indices])))
            yield (
                chunk,
                [
                    (number, text, None, reason) if reason else (number, text, *answers[i])
                    for i, (number, text, reason) in enumerate(rows)
                ],
            )

    def _ask(self, model: LoadedSignatures, alias: str, texts: list[str]) -> list[tuple[Any, str | None]]:
        """`(answer, None)` or `(None, reason)` of each text; where a batch fails, the texts are asked one by one."""
        try:
            outputs = model(self._signature, **{alias: [text.encode("utf-8") for text in texts]})
        except Exception as error:
            if len(texts) == 1:
                return [(None, " ".join(f"{type(error).__name__}: {error}".split())[:1000])]
            return [self._ask(model, alias, [text])[0] for text in texts]
        return [({name: json_value(array[i]) for name, array in outputs.items()}, None) for i in range(len(texts))]


@lru_cache(maxsize=1)
def _load(path: str) -> LoadedSignatures:
    """A SavedModel, loaded once in a process."""
    return LoadedSignatures(path)


def text_input(model: LoadedSignatures, signature: str) -> str:
    """The one string input `[B]` of a signature.

    Raises:
        ExportError: there is no such signature, or it takes something else.
    """
    names = model.inputs(signature)
    if len(names) != 1:
        raise ExportError(
            f"signature {signature!r} of {str(model.path)!r} has the inputs {names}; one text is expected"
        )
    return names[0]
