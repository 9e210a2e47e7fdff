"""What a client in another language needs beside a file of numbers: vocabularies, labels, config, and texts with their ids."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_suite.data.prepare import save_texts
from nlp_suite.export.parts import Part
from nlp_suite.export.samples import PLAIN_TEXTS, check_texts
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.training.run import Run

TEXTS = 20
FOLDER = "client"


def write_client_folder(folder: Path, run: Run, parts: Mapping[str, Part]) -> None:
    """Makes `client` in a folder.

    It has `tensors.json` (of every file its inputs and outputs, and which output is which input of the next call),
    `labels.json`, `config.yaml`, `facts.json` where the training split gave any, such as the words of categories, and, of
    tasks that read texts, `vocabulary.json` (tokens by id), `target_vocabulary.json`
    where the targets have another one, the text layers, and `texts.json`: 20 texts with their ids.

    Args:
        folder: where.
        run: the run.
        parts: file name → the part that it holds.
    """
    client = folder / FOLDER
    client.mkdir()
    _write(client / "tensors.json", {name: _tensors(part) for name, part in parts.items()})
    _write(client / "labels.json", list(run.labels))
    (client / "config.yaml").write_text(run.task.freeze_data_defaults(run).to_yaml(), "utf-8")
    if run.assets.facts:
        _write(client / "facts.json", run.assets.facts)
    if run.text is None:
        return
    save_texts(client, run.text, run.target_text)
    _write(client / "vocabulary.json", _tokens(run.text))
    if run.target_text not in (None, run.text):
        _write(client / "target_vocabulary.json", _tokens(run.target_text))
    texts = _texts(run)
    ids = [row.tolist() for row in run.text.encode(texts)]
    _write(client / "texts.json", [{"text": text, "ids": row} for text, row in zip(texts, ids)])


def _tensors(part: Part) -> dict[str, Any]:
    inputs = {name: {"dtype": dtype, "shape": ["batch", *sizes]} for name, (sizes, dtype) in part.inputs.items()}
    return {"inputs": inputs, "carried": dict(part.carried), "says": part.says}


def _tokens(text: TextLayer) -> list[str]:
    return text.id_to_token(range(text.vocabulary_size))


def _texts(run: Run) -> list[str]:
    """Texts as they come, those that are hard to tokenize, and where there are too few halves of them put together."""
    found = []
    for text in check_texts(run, TEXTS - 5):
        try:
            found.append(text.decode("utf-8"))
        except UnicodeDecodeError:  # no text of JSON
            continue
    halves = [text.decode("utf-8").split() for text in PLAIN_TEXTS]
    mixed = (
        " ".join([*one[: len(one) - i], *other[i:]])
        for i in range(TEXTS)
        for one in halves
        for other in reversed(halves)
    )
    return list(islice(dict.fromkeys([*found, *mixed]), TEXTS))


def _write(file: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")
