"""Token store: one split of a corpus, tokenised once, as memory-mapped arrays that training reads without text ops.

A folder holds `tokens` (all rows end to end), `offsets`, `labels`, `full_lengths` (tokens before truncation), the texts
(`text`, `text_offsets`) and `meta.json`, the record of the others. It is written under another name and renamed when
complete, so a folder that can be opened is complete; a file that was damaged since is never used.

Where several processes wrote a split, its folder holds their stores (`0`, `1`, …) and a `meta.json` that counts them.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.store_parts import ChunkOrder
from nlp_suite.files import Record, contents_of

SCHEMA = 2
COLUMNS = {  # file: dtype
    "offsets": "int64",
    "labels": "int32",
    "full_lengths": "int32",
    "text": "uint8",
    "text_offsets": "int64",
}


class StoreWriter:
    """Appends rows to a new store; the folder is complete when `close` has written `meta.json`.

    Args:
        directory: folder to create; the caller renames it, or a parent of it, into place.
        vocabulary_size: decides the width of a token (16 or 32 bits).
        label_dtype: of a row's label, or of each of its labels.
        labels_per_row: how many labels a row has, where it has several; None: one.
    """

    def __init__(
        self,
        directory: Path,
        vocabulary_size: int,
        label_dtype: str = COLUMNS["labels"],
        labels_per_row: int | None = None,
    ):
        directory.mkdir(parents=True)
        self._directory = directory
        self._dtypes = {**COLUMNS, "labels": label_dtype}
        self._labels_per_row = labels_per_row
        self._token_dtype = "uint16" if vocabulary_size <= 2**16 else "uint32"
        self._files = {name: open(directory / name, "wb") for name in ("tokens", *COLUMNS)}  # noqa: SIM115
        self._rows = self._tokens = self._bytes = 0
        self._write("offsets", [0])
        self._write("text_offsets", [0])

    def _write(self, name: str, values: Any) -> None:
        dtype = self._token_dtype if name == "tokens" else self._dtypes[name]
        self._files[name].write(np.asarray(values, dtype).tobytes())

    def append(
        self, rows: Sequence[NDArray[Any]], full_lengths: Any, labels: Any, texts: Iterable[str | bytes]
    ) -> None:
        """Adds examples: token id rows, their lengths before truncation, labels (ids, unless told otherwise), texts."""
        for tokens, text in zip(rows, texts):
            raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
            self._tokens += len(tokens)
            self._bytes += len(raw)
            self._write("tokens", tokens)
            self._write("offsets", [self._tokens])
            self._files["text"].write(raw)
            self._write("text_offsets", [self._bytes])
        self._write("labels", labels)
        self._write("full_lengths", full_lengths)
        self._rows += len(rows)

    def close(self, **meta: Any) -> None:
        """Ends the store and writes its `meta.json`."""
        for file in self._files.values():
            file.close()
        meta = {"schema": SCHEMA, "rows": self._rows, "tokens": self._tokens, "token_dtype": self._token_dtype, **meta}
        if self._dtypes["labels"] != COLUMNS["labels"]:
            meta["label_dtype"] = self._dtypes["labels"]
        if self._labels_per_row is not None:
            meta["labels_per_row"] = self._labels_per_row
        files = contents_of(self._directory, (self._directory / name for name in self._files))
        store_record(self._directory).write({**meta, "files": files})


def gather_parts(parts: Sequence[Path], directory: Path) -> None:
    """Makes one split of the stores that several processes wrote, without reading them.

    Args:
        parts: folders that a corpus kind wrote, one for each `Part`, by its number: a token store each, or several in folders.
            They are moved.
        directory: to be made, on the same file system.
    """
    for inside in [meta.parent.relative_to(parts[0]) for meta in sorted(parts[0].rglob("meta.json"))]:
        (directory / inside).mkdir(parents=True)
        for number, part in enumerate(parts):
            (part / inside).rename(directory / inside / str(number))
        metas = [store_record(directory / inside / str(number)).read() for number in range(len(parts))]
        counts = {name: sum(meta[name] for meta in metas) for name in ("rows", "tokens")}
        files = {f"{number}/{name}": of for number, meta in enumerate(metas) for name, of in meta["files"].items()}
        store_record(directory / inside).write({**metas[0], **counts, "parts": len(parts), "files": files})
    for part in filter(Path.exists, parts):  # which held several stores, as those of pairs do
        shutil.rmtree(part)


def store_record(directory: Path) -> Record:
    """The record of a store's files."""
    remedy = "remove the folder that holds it and prepared.json, which is then made again"
    return Record(directory, "meta.json", lambda _: remedy)


class TokenStore:
    """One tokenised split, opened without reading it into memory.

    Its files are checked once a process (0.5 s a GB): the texts before the first of them is read, the others when it is
    opened.

    Attributes:
        lengths: int64 `[N]`, tokens a row.
        labels: int32 `[N]`, label ids; of lines of text, 1 where a line begins a document; or what the corpus kind told
            the writer: of another dtype, several a row `[N, C]`.
        full_lengths: int32 `[N]`, tokens a row before truncation.
        meta: what `meta.json` holds.

    Raises:
        DamagedFileError: a file is missing or damaged.
    """

    def __init__(self, directory: str | Path):
        directory = Path(directory)
        self.directory = directory
        self._record = store_record(directory)
        self.meta = self._record.read()
        self._tokens: Any
        self._offsets: NDArray[Any]
        self.labels: NDArray[Any]
        self.full_lengths: NDArray[Any]
        self._parts = [TokenStore(directory / str(number)) for number in range(self.meta.get("parts", 0))]
        if self._parts:
            self._order = ChunkOrder([len(part) for part in self._parts])
            tokens, offsets = [part._tokens for part in self._parts], [part._offsets for part in self._parts]
            self._tokens, self._offsets = self._order.pieces(tokens, offsets)
            self.full_lengths = self._order.rows([part.full_lengths for part in self._parts])
            self.labels = self._order.rows([part.labels for part in self._parts])
        else:
            self._tokens = self._open("tokens", self.meta["token_dtype"])
            self._offsets, self.full_lengths = map(self._open, ("offsets", "full_lengths"))
            self.labels = self._open("labels", self.meta.get("label_dtype", ""))
            if "labels_per_row" in self.meta:
                self.labels = self.labels.reshape(-1, self.meta["labels_per_row"])
        self.lengths: NDArray[Any] = np.diff(self._offsets)

    def _open(self, name: str, dtype: str = "") -> NDArray[Any]:
        path, dtype = self._record.check(name), dtype or COLUMNS[name]
        return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)

    @cached_property
    def _texts(self) -> tuple[Any, NDArray[Any]]:
        """All texts end to end, and where each begins."""
        if self._parts:
            texts, offsets = zip(*(part._texts for part in self._parts))
            return self._order.pieces(texts, offsets)
        return self._open("text"), self._open("text_offsets")

    def __len__(self) -> int:
        return int(self.meta["rows"])

    def tokens(self, row: int) -> NDArray[Any]:
        """Token ids of one row, int32."""
        tokens: NDArray[Any] = self._tokens[self._offsets[row] : self._offsets[row + 1]].astype("int32")
        return tokens

    def flat(self) -> Any:
        """All tokens end to end, a mapped array or `Pieces` of some: a row's are `[offsets[row], offsets[row + 1])`."""
        return self._tokens

    def documents(self) -> NDArray[Any]:
        """Where documents begin in `flat()`, and where the last ends, int64 `[documents + 1]` (corpora of lines)."""
        return np.append(self._offsets[:-1][np.asarray(self.labels) == 1], self._offsets[-1])

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.tokens(row) for row in range(len(self)))

    def text(self, row: int) -> str:
        """The text of one row, as it was given."""
        texts, offsets = self._texts
        return bytes(texts[offsets[row] : offsets[row + 1]]).decode("utf-8", "replace")

    def padded(self, rows: Sequence[int] | NDArray[Any], length: int) -> NDArray[Any]:
        """Token ids of several rows, right-padded with 0, int32 `[B, T]`."""
        batch = np.zeros((len(rows), length), "int32")  # [B, T]
        for i, row in enumerate(rows):
            start, end = self._offsets[row], self._offsets[row + 1]
            batch[i, : end - start] = self._tokens[start:end]
        return batch
