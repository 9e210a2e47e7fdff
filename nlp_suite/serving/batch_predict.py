"""Prediction of whole files with Apache Beam: a line in, a JSON line out, on one machine or on a cluster.

Files are cut into chunks of whole lines. A chunk's answers appear in one piece, under a name that says which chunk it is;
so a run that was interrupted goes on with what is missing, and a worker that is tried again does no harm.
"""

import hashlib
import json
import os
import uuid
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from nlp_suite.data.staging import flush, flush_folder
from nlp_suite.errors import ExportError

RUNNERS = {"direct": "DirectRunner", "flink": "FlinkRunner", "spark": "SparkRunner", "dataflow": "DataflowRunner"}
CHUNK_BYTES = 4 * 2**20
_WAVE = 16  # chunks that go through the direct runner at once: it keeps what it was given until its end


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
    inputs: list[str | Path],
    output: str | Path,
    *,
    runner: str = "direct",
    signature: str = "serving_default",
    batch_size: int = 64,
    max_line_bytes: int = 2**20,
    chunk_bytes: int = CHUNK_BYTES,
    pipeline_arguments: list[str] = (),
    progress=lambda line: None,
) -> dict[str, int]:
    """Answers every line of the files, through a signature of one text.

    Args:
        model: an exported version, or the folder of its versions (the newest is taken).
        inputs: text files, a text a line, UTF-8.
        output: folder for `NAME.jsonl`, one a chunk: `{"file", "line", "text", …outputs}`, and for `NAME.bad.jsonl`: lines
            that could not be answered, with `reason`.
        runner: direct (in this process), flink, spark or dataflow.
        signature: the signature to ask; it must have one string input `[B]`.
        batch_size: lines that run together at most.
        max_line_bytes: longer lines are set aside.
        chunk_bytes: about how many bytes a chunk has.
        pipeline_arguments: for the runner, as `--flink_master=…`.
        progress: called with a line of text now and then.

    Returns:
        `{"lines", "bad", "chunks", "skipped"}`; skipped are chunks that an earlier run had done.

    Raises:
        ExportError: no such files, model or runner, the model's signature takes anything but a text, or `output` holds
            answers to other files or of another model.
        ImportError: Apache Beam is not installed.
    """
    if runner not in RUNNERS:
        raise ExportError(f"runner {runner!r}; allowed: {', '.join(RUNNERS)}")
    try:
        import apache_beam as beam
        from apache_beam.ml.inference.base import RunInference
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ImportError(f"batch prediction needs Apache Beam: pip install 'nlp-suite[beam]' ({error})") from error
    from nlp_suite.serving.batch_model import SignatureHandler

    path, output = _version(Path(model)), Path(output)
    output.mkdir(parents=True, exist_ok=True)
    chunks = [chunk for file in inputs for chunk in cut(Path(file), chunk_bytes)]
    _same_run(output, path, signature, chunks)
    waiting = [chunk for chunk in chunks if not (output / f"{chunk.name}.done").exists()]
    options = PipelineOptions(["--runner", RUNNERS[runner], *pipeline_arguments])
    wave = _WAVE if runner == "direct" else max(1, len(waiting))
    for first in range(0, len(waiting), wave):
        now = waiting[first : first + wave]
        with beam.Pipeline(options=options) as pipeline:
            (
                pipeline
                | beam.Create(now)
                | "apart" >> beam.Reshuffle()
                | "read" >> beam.Map(read_chunk, max_line_bytes)
                | "answer" >> RunInference(SignatureHandler(str(path), signature, batch_size))
                | "write" >> beam.Map(write_chunk, str(output))
            )
        progress(f"{len(chunks) - len(waiting) + first + len(now)} of {len(chunks)} chunks")
    done = [json.loads((output / f"{chunk.name}.done").read_text("utf-8")) for chunk in chunks]
    totals = {key: sum(each[key] for each in done) for key in ("lines", "bad")}
    return {**totals, "chunks": len(chunks), "skipped": len(chunks) - len(waiting)}


def _version(path: Path) -> Path:
    from nlp_suite.export.staging import versions

    if (path / "saved_model.pb").is_file():
        return path.resolve()
    found = {n: folder for n, folder in versions(path).items() if (folder / "saved_model.pb").is_file()}
    if not found:
        raise ExportError(f"{str(path)!r} is neither an exported version nor a folder of versions")
    return found[max(found)].resolve()


def cut(file: Path, size: int = CHUNK_BYTES) -> list[Chunk]:
    """The chunks of a file: each ends with a line, and has about `size` bytes.

    Raises:
        ExportError: there is no such file.
    """
    if not file.is_file():
        raise ExportError(f"{str(file)!r} is no file")
    chunks, start, line = [], 0, 1
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in file.name)
    with file.open("rb") as stream:
        while lines := stream.readlines(size):
            end = start + sum(map(len, lines))
            where = (str(file.resolve()), start, end, line, f"{name}-{len(chunks):05d}")
            chunks.append(Chunk(*where, _digest(b"".join(lines))))
            start, line = end, line + len(lines)
    return chunks


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_of_folder(folder: Path) -> str:
    """A digest of all files of a folder and of their names."""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found.update(f"{path.relative_to(folder)}\0".encode())
            found.update(hashlib.file_digest(file, "blake2b").digest())
    return found.hexdigest()


def _same_run(output: Path, model: Path, signature: str, chunks: list[Chunk]) -> None:
    """Refuses a folder that holds answers of another model or to other files."""
    names = [chunk.name for chunk in chunks]
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ExportError(f"two input files have the same name, {twice[0].rsplit('-', 1)[0]!r}: give them apart")
    plan = {"model": str(model), "model_digest": _digest_of_folder(model), "signature": signature}
    plan["chunks"] = [asdict(chunk) for chunk in chunks]
    file = output / "plan.json"
    if file.exists():
        if difference := _difference(json.loads(file.read_text("utf-8")), plan):
            raise ExportError(f"{str(output)!r} holds the answers of another run: {difference}; choose another folder")
        return
    if any(output.iterdir()):
        raise ExportError(f"{str(output)!r} is not empty and holds no batch prediction: choose another folder")
    _place(file, json.dumps(plan, ensure_ascii=False))


def _difference(before: dict, now: dict) -> str:
    """What differs between the plan of an earlier run and that of this one; nothing where they are the same."""
    for what in ("model", "signature"):
        if before[what] != now[what]:
            return f"its {what} was {before[what]!r}, now {now[what]!r} is given"
    if before.get("model_digest") != now["model_digest"]:
        return f"the model {now['model']!r} has changed since"
    files = [{}, {}]  # file → its chunks
    for plan, chunks in zip((before, now), files):
        for chunk in plan["chunks"]:
            chunks.setdefault(chunk["file"], []).append(chunk)
    for file in sorted(files[0].keys() | files[1].keys()):
        if file not in files[1]:
            return f"it read {file!r} too, which is not given now"
        if file not in files[0]:
            return f"it did not read {file!r}"
        if files[0][file] != files[1][file]:
            return f"the file {file!r} has changed since, or was cut into other chunks"
    return ""


def read_chunk(chunk: Chunk, max_line_bytes: int):
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
    rows = []
    for number, line in enumerate((line.removesuffix(b"\r") for line in lines), chunk.line):
        if len(line) > max_line_bytes:
            rows.append((number, None, f"{len(line):,} bytes; at most {max_line_bytes:,} are read"))
            continue
        try:
            rows.append((number, line.decode("utf-8"), None))
        except UnicodeDecodeError as error:
            rows.append((number, None, f"no UTF-8 at byte {error.start}"))
    return chunk, rows


def write_chunk(answered, output: str) -> None:
    """Writes a chunk's answers and its bad lines, then the mark that it is done."""
    chunk, rows = answered
    folder, good, bad = Path(output), [], []
    for number, text, answer, reason in rows:
        where = {"file": chunk.file, "line": number}
        (good if reason is None else bad).append(
            {**where, "text": text, **answer} if reason is None else {**where, "text": text, "reason": reason}
        )
    for kind, lines in (("jsonl", good), ("bad.jsonl", bad)):
        if lines or kind == "jsonl":
            _place(folder / f"{chunk.name}.{kind}", "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines))
    _place(folder / f"{chunk.name}.done", json.dumps({"lines": len(rows), "bad": len(bad)}))


def _place(target: Path, text: str) -> None:
    """Writes a file beside its place and renames it."""
    staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    staged.write_text(text, "utf-8")
    flush(staged)
    os.replace(staged, target)
    flush_folder(target.parent)
