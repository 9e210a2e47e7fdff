"""Prediction of files with Apache Beam: a line in, a JSON line out, on one machine or on a cluster.

Files are cut into chunks of whole lines. A chunk's answers appear in one piece, under a name that identifies the chunk;
so a run that was interrupted continues with what is missing, and a worker that is tried again does no harm.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nlp_suite.beam import BeamRunner
from nlp_suite.data.staging import flush_folder
from nlp_suite.errors import ExportError
from nlp_suite.files import FIRST_SCHEMA, Record, contents_of, is_unfinished, read_json, write_file, write_json

CHUNK_BYTES = 4 * 2**20
_DIRECT_CHUNKS = 16  # in one pipeline of the direct runner, which keeps all its elements until its end


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a file: bytes `start` to `end`, the first of them line `line` (from 1), and a digest of them."""

    file: str
    start: int
    end: int
    line: int
    name: str
    digest: str


def batch_predict(
    model: str | Path,
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    runner: str = "direct",
    signature: str = "serving_default",
    batch_size: int = 64,
    max_line_bytes: int = 2**20,
    chunk_bytes: int = CHUNK_BYTES,
    pipeline_arguments: Sequence[str] = (),
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Answers every line of the files, through a signature of one text.

    Args:
        model: an exported version, or the folder of its versions (the newest is taken).
        inputs: text files, a text a line, UTF-8.
        output: folder for `NAME.jsonl`, one a chunk: `{"file", "line", "text", …outputs}`, and for `NAME.bad.jsonl`: lines
            that could not be answered, with `reason`.
        runner: direct (in this process), flink, spark or dataflow.
        signature: the signature to ask; it must have one string input `[B]`.
        batch_size: maximum lines that run together.
        max_line_bytes: longer lines go into `NAME.bad.jsonl`.
        chunk_bytes: about how many bytes a chunk has.
        pipeline_arguments: for the runner, as `--flink_master=…`.
        progress: called with a line of text now and then.

    Returns:
        `{"lines", "bad", "chunks", "skipped"}`; skipped are chunks that an earlier run had done.

    Raises:
        ExportError: no such files or model, the model's signature takes anything but a text, or `output` holds
            answers to other files or of another model.
        DamagedFileError: the answers of an earlier run to a chunk are missing or damaged.
        UsageError: no such runner, or Apache Beam is not installed.
    """
    machines = BeamRunner(runner, pipeline_arguments)
    beam = machines.beam
    from apache_beam.ml.inference.base import RunInference

    from nlp_suite.serving.batch_model import SignatureHandler

    path, output = _version(Path(model)), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    chunks = [chunk for file in inputs for chunk in cut(Path(file), chunk_bytes)]
    check_plan(output, path, signature, chunks)
    for file in output.iterdir():  # of a process that was killed while it wrote
        if is_unfinished(file):
            file.unlink(missing_ok=True)
    pending = [chunk for chunk in chunks if not (output / f"{chunk.name}.done").exists()]
    for chunk in chunks:
        if chunk not in pending:
            _record(output, chunk).check_all()
    step = _DIRECT_CHUNKS if runner == "direct" else max(1, len(pending))
    for first in range(0, len(pending), step):
        current = pending[first : first + step]
        with machines.pipeline() as pipeline:
            (
                pipeline
                | beam.Create(current)
                | "spread" >> beam.Reshuffle()
                | "read" >> beam.Map(read_chunk, max_line_bytes)
                | "answer" >> RunInference(SignatureHandler(str(path), signature, batch_size))
                | "write" >> beam.Map(write_chunk, str(output))
            )
        progress(f"{len(chunks) - len(pending) + first + len(current)} of {len(chunks)} chunks")
    done = [_record(output, chunk).read() for chunk in chunks]
    totals = {key: sum(counts[key] for counts in done) for key in ("lines", "bad")}
    return {**totals, "chunks": len(chunks), "skipped": len(chunks) - len(pending)}


def _record(output: Path, chunk: Chunk) -> Record:
    """The record of the answers to a chunk, which says that they are complete."""
    mark = f"{chunk.name}.done"
    return Record(output, mark, lambda _: f"remove {mark}, and the same command answers the chunk again")


def _version(path: Path) -> Path:
    from nlp_suite.export.staging import versions

    if (path / "saved_model.pb").is_file():
        return path.resolve()
    exported = {n: folder for n, folder in versions(path).items() if (folder / "saved_model.pb").is_file()}
    if not exported:
        raise ExportError(f"{str(path)!r} is neither an exported version nor a folder of versions")
    return exported[max(exported)].resolve()


def cut(file: Path, size: int = CHUNK_BYTES) -> list[Chunk]:
    """The chunks of a file: each ends with a line, and has about `size` bytes.

    Raises:
        ExportError: there is no such file.
    """
    if not file.is_file():
        raise ExportError(f"{str(file)!r} is no file")
    chunks: list[Chunk] = []
    start, line, path = 0, 1, str(file.resolve())
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in file.name)
    with file.open("rb") as stream:
        while lines := stream.readlines(size):
            end = start + sum(map(len, lines))
            chunks.append(Chunk(path, start, end, line, f"{name}-{len(chunks):05d}", _digest(b"".join(lines))))
            start, line = end, line + len(lines)
    return chunks


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_of_folder(folder: Path) -> str:
    """A digest of all files of a folder and of their names."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def check_plan(output: Path, model: Path, signature: str, chunks: Sequence[Chunk]) -> None:
    """Writes the plan of a run into its folder, or compares it with that of an interrupted run.

    Raises:
        ExportError: the folder holds answers of another model or to other files.
    """
    duplicates = sorted(name for name, times in Counter(chunk.name for chunk in chunks).items() if times > 1)
    if duplicates:
        raise ExportError(f"two input files have the same name, {duplicates[0].rsplit('-', 1)[0]!r}: give them apart")
    plan: dict[str, Any] = {"model": str(model), "model_digest": _digest_of_folder(model), "signature": signature}
    plan["chunks"] = [asdict(chunk) for chunk in chunks]
    file = output / "plan.json"
    if file.exists():
        if difference := _difference(read_json(file, "remove the folder, and the same command begins again"), plan):
            raise ExportError(f"{str(output)!r} holds the answers of another run: {difference}; choose another folder")
        return
    if any(output.iterdir()):
        raise ExportError(f"{str(output)!r} is not empty and holds no batch prediction: choose another folder")
    write_json(file, {"schema": FIRST_SCHEMA, **plan})


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs between the plan of an earlier run and that of this one; empty where they are the same."""
    for key in ("model", "signature"):
        if before[key] != now[key]:
            return f"its {key} was {before[key]!r}, now {now[key]!r} is given"
    if before.get("model_digest") != now["model_digest"]:
        return f"the model {now['model']!r} has changed since"
    chunks_before, chunks_now = _chunks_by_file(before), _chunks_by_file(now)
    for file in sorted(chunks_before.keys() | chunks_now.keys()):
        if file not in chunks_now:
            return f"it read {file!r} too, which is not given now"
        if file not in chunks_before:
            return f"it did not read {file!r}"
        if chunks_before[file] != chunks_now[file]:
            return f"the file {file!r} has changed since, or was cut into other chunks"
    return ""


def _chunks_by_file(plan: dict[str, Any]) -> dict[str, list[Any]]:
    chunks: dict[str, list[Any]] = {}
    for chunk in plan["chunks"]:
        chunks.setdefault(chunk["file"], []).append(chunk)
    return chunks


def read_chunk(chunk: Chunk, max_line_bytes: int) -> tuple[Chunk, list[tuple[int, str | None, str | None]]]:
    """The lines of a chunk: `(chunk, [(line number, text or None, reason or None)])`.

    Raises:
        ExportError: the file has changed since it was cut.
    """
    with open(chunk.file, "rb") as stream:
        stream.seek(chunk.start)
        content = stream.read(chunk.end - chunk.start)
    if _digest(content) != chunk.digest:
        raise ExportError(f"{chunk.file!r} has changed while it was read")
    lines = content.removesuffix(b"\n").split(b"\n")
    rows: list[tuple[int, str | None, str | None]] = []
    for number, line in enumerate((line.removesuffix(b"\r") for line in lines), chunk.line):
        if len(line) > max_line_bytes:
            rows.append((number, None, f"{len(line):,} bytes; at most {max_line_bytes:,} are read"))
            continue
        try:
            rows.append((number, line.decode("utf-8"), None))
        except UnicodeDecodeError as error:
            rows.append((number, None, f"no UTF-8 at byte {error.start}"))
    return chunk, rows


def write_chunk(answered: tuple[Chunk, list[tuple[int, str | None, Any, str | None]]], output: str) -> None:
    """Writes a chunk's answers and its bad lines, then the mark that it is done."""
    chunk, rows = answered
    folder, lines = Path(output), [{"file": chunk.file, "line": number, "text": text} for number, text, _, _ in rows]
    good = [{**line, **answer} for line, (_, _, answer, reason) in zip(lines, rows) if reason is None]
    bad = [{**line, "reason": reason} for line, (_, _, _, reason) in zip(lines, rows) if reason is not None]
    written = []
    for suffix, records in (("jsonl", good), ("bad.jsonl", bad)):
        if records or suffix == "jsonl":
            written.append(folder / f"{chunk.name}.{suffix}")
            write_file(written[-1], "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in records))
    flush_folder(folder)
    counts = {"lines": len(rows), "bad": len(bad)}
    _record(folder, chunk).write({"schema": FIRST_SCHEMA, **counts, "files": contents_of(folder, written)})
