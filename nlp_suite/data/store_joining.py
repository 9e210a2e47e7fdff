"""Token stores that several processes wrote, made into the one that a single process writes, byte for byte."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.selection import CHUNK_EXAMPLES
from nlp_suite.data.store import COLUMNS, store_record
from nlp_suite.files import contents_of

ENDS = {"offsets": "tokens", "text_offsets": "text"}  # where rows end: of which file


def join_split(parts: Sequence[Path], directory: Path) -> None:
    """Joins the stores of a split.

    Args:
        parts: folders that a corpus kind wrote, one for each `Part`, by its number: a token store each, or several in folders.
        directory: to be made.
    """
    for meta in sorted(parts[0].rglob("meta.json")):
        inside = meta.parent.relative_to(parts[0])
        _join([part / inside for part in parts], directory / inside)


def _join(parts: Sequence[Path], directory: Path) -> None:
    """Joins token stores; of their rows a chunk at a time is in memory."""
    metas = [store_record(part).read() for part in parts]
    directory.mkdir(parents=True)
    dtypes = {**COLUMNS, "tokens": metas[0]["token_dtype"]}
    dtypes["labels"] = metas[0].get("label_dtype", COLUMNS["labels"])
    width = metas[0].get("labels_per_row", 1)
    columns = [{name: _open(part / name, dtype) for name, dtype in dtypes.items()} for part in parts]
    files = {name: open(directory / name, "wb") for name in dtypes}  # noqa: SIM115
    ends = dict.fromkeys(ENDS, 0)
    for name in ENDS:
        files[name].write(np.zeros(1, dtypes[name]).tobytes())
    rows = [meta["rows"] for meta in metas]
    for chunk in range(sum(-(-count // CHUNK_EXAMPLES) for count in rows)):
        number = chunk % len(parts)
        part, begin = columns[number], chunk // len(parts) * CHUNK_EXAMPLES
        end = min(begin + CHUNK_EXAMPLES, rows[number])
        for name, of in ENDS.items():
            offsets = part[name][begin : end + 1]
            files[of].write(part[of][offsets[0] : offsets[-1]].tobytes())
            files[name].write((offsets[1:] - offsets[0] + ends[name]).tobytes())
            ends[name] += int(offsets[-1] - offsets[0])
        files["labels"].write(part["labels"][begin * width : end * width].tobytes())
        files["full_lengths"].write(part["full_lengths"][begin:end].tobytes())
    for file in files.values():
        file.close()
    meta = {**metas[0], "rows": sum(rows), "tokens": ends["offsets"]}
    store_record(directory).write({**meta, "files": contents_of(directory, map(directory.joinpath, files))})


def _open(path: Path, dtype: str) -> NDArray[Any]:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
