"""How Apache Beam's RunInference runs a signature; imported where Beam is."""

from functools import lru_cache

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from nlp_suite.errors import ExportError
from nlp_suite.export.loaded import LoadedSignatures


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

    def load_model(self):
        return _opened(self._path)

    def batch_elements_kwargs(self):
        return {"min_batch_size": 1, "max_batch_size": 1}  # an element is a chunk

    def run_inference(self, batch, model, inference_args=None):
        alias = text_input(model, self._signature)
        for chunk, rows in batch:
            answers: dict = {}
            order = sorted((i for i, row in enumerate(rows) if row[2] is None), key=lambda i: len(rows[i][1]))
            for start in range(0, len(order), self._batch_size):
                some = order[start : start + self._batch_size]
                answers.update(zip(some, self._ask(model, alias, [rows[i][1] for i in some])))
            yield (
                chunk,
                [
                    (number, text, None, reason) if reason else (number, text, *answers[i])
                    for i, (number, text, reason) in enumerate(rows)
                ],
            )

    def _ask(self, model, alias, texts):
        """`(answer, None)` or `(None, reason)` of each text; where a batch fails, the texts are asked one by one."""
        try:
            found = model(self._signature, **{alias: [text.encode("utf-8") for text in texts]})
        except Exception as error:
            if len(texts) == 1:
                return [(None, " ".join(f"{type(error).__name__}: {error}".split())[:1000])]
            return [self._ask(model, alias, [text])[0] for text in texts]
        return [({name: _plain(array[i]) for name, array in found.items()}, None) for i in range(len(texts))]


@lru_cache(maxsize=1)
def _opened(path: str) -> LoadedSignatures:
    """A SavedModel, opened once in a process."""
    return LoadedSignatures(path)


def text_input(model, signature: str) -> str:
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


def _plain(value):
    """A row of an output as JSON has it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()] if value.dtype == object else value.tolist()
    return value.item() if isinstance(value, np.generic) else value
