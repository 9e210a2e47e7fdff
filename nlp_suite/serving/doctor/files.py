"""The doctor's checks of files: version folders, variables, assets, sizes."""

import math
import re
from pathlib import Path
from typing import Any

from nlp_suite.errors import ExportError
from nlp_suite.export.staging import versions
from nlp_suite.serving.doctor.checks import Check, verdict
from nlp_suite.serving.doctor.graph import dtype, signatures

_MIB = 1 << 20
_PROTOBUF_LIMIT = 2 << 30  # bytes of one message
_GRPC_DEFAULT = 4 << 20  # bytes of an answer that a gRPC client takes unless told otherwise
_MIN_ROWS = 256  # of an answer; fewer in the default limit are reported
_READS_FILES = {
    "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2",
    "InitializeTableFromTextFile",
    "InitializeTableFromTextFileV2",
    "MatchingFiles",
    "ReadFile",
    "TFRecordDataset",
    "TFRecordDatasetV2",
    "TextLineDataset",
}
_ABSOLUTE = re.compile(r"(/[^/\s]+){2,}|[A-Za-z]:\\\S+|(gs|s3|hdfs)://\S+")


def version_folder(path: Path) -> Path:
    """`path` if it is a version folder, else the newest version in it.

    Raises:
        ExportError: neither.
    """
    if not path.is_dir():
        raise ExportError(f"{str(path)!r} {'is no folder' if path.exists() else 'does not exist'}")
    if _holds_model(path):
        return path
    if numbered := versions(path):
        return numbered[max(numbered)]
    if path.resolve().name.isdigit():
        return path
    raise ExportError(f"{str(path)!r} holds neither saved_model.pb nor versions (folders whose name is a number)")


def _holds_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file() or (folder / "saved_model.pbtxt").is_file()


def check_versions(folder: Path) -> Check:
    """Whether the server sees the folder as a version, and what lies beside it."""
    folder = folder.resolve()
    folders = versions(folder.parent)
    if not (folder.name.isascii() and folder.name.isdigit() and int(folder.name) < 1 << 63):
        return Check("version", False, f"{folder.name!r} is no number: put it into a folder such as {folder.name}/1")
    number = int(folder.name)
    broken = [other for other, path in folders.items() if other != number and not _holds_model(path)]
    faults = [f"version {n} beside it holds no saved_model.pb (half-copied?)" for n in broken]
    if newer := [n for n in broken if n > number]:
        faults.append(f"the server tries version {max(newer)} first")
    names = [child.name for child in folder.parent.iterdir() if child.name.isascii() and child.name.isdigit()]
    duplicates = sorted(name for name in names if str(int(name)) != name and int(name) in map(int, set(names) - {name}))
    faults += [f"{name!r} is the same version as {str(int(name))!r}" for name in duplicates]
    newest = number == max(folders, default=number)
    fine = f"{number}, the newest" if newest else f"{number}; the server takes the newest, {max(folders)}"
    return verdict("version", faults, fine, False if newer else None)


def check_variables(folder: Path, meta_graph: Any) -> Check:
    """Reads every variable and its checksum, and compares their names with those that the graph restores."""
    restored = _restored(meta_graph) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
    prefix = folder / "variables" / "variables"
    if not restored:
        return Check("variables", True, "none")
    if not Path(f"{prefix}.index").is_file():
        text = f"variables/variables.index is missing: the server would load the graph without its {len(restored)} variables"
        return Check("variables", False, text)
    shards = sorted(path.name for path in prefix.parent.glob("variables.data-*-of-*"))
    total = max((int(name.rsplit("-", 1)[1]) for name in shards), default=1)
    expected = [f"variables.data-{n:05}-of-{total:05}" for n in range(total)]
    if missing := [name for name in expected if name not in shards]:
        return Check("variables", False, f"variables/{', '.join(missing)} missing (of {total} parts)")
    faults, names, size = _read_variables(prefix)
    missing = sorted(restored - names) if not faults else []
    faults += [f"the graph restores {name!r}, which is not in the files" for name in missing]
    return verdict("variables", faults, f"{len(restored)}, {size / _MIB:,.1f} MiB, all read and their checksums right")


def _read_variables(prefix: Path) -> tuple[list[str], set[str], int]:
    """Faults, names and bytes of a checkpoint, one variable in memory at a time."""
    import tensorflow as tf

    names: set[str] = set()
    size = 0
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in sorted(reader.get_variable_to_shape_map()):
            value = reader.get_tensor(name)
            size += getattr(value, "nbytes", 0)
            names.add(name)
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError) as error:  # by the kind of damage
        return [f"variables cannot be read: {str(error).splitlines()[0]} (truncated or half-copied?)"], names, size
    return [], names, size


def _restored(meta_graph: Any) -> set[str]:
    """Names that the graph reads from the files."""
    names: set[str] = set()
    graph = meta_graph.graph_def
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        constants = {node.name: node.attr["value"].tensor for node in nodes if node.op == "Const"}
        for node in nodes:
            source = node.input[1].split(":")[0] if node.op == "RestoreV2" else None
            if source in constants:
                names.update(value.decode("utf-8", "replace") for value in constants[source].string_val)
    return names


def check_assets(folder: Path, meta_graph: Any) -> Check:
    """Whether all asset files exist, and none is read from a path of the machine that wrote the model."""
    assets = sorted({asset.filename for asset in meta_graph.asset_file_def})
    faults = [f"assets/{name} is missing" for name in assets if not (folder / "assets" / name).is_file()]
    fed = {asset.tensor_info.name.split(":")[0] for asset in meta_graph.asset_file_def}
    graph = meta_graph.graph_def
    functions = [("", graph.node), *((f.signature.name, f.node_def) for f in graph.library.function)]
    if any(node.op in _READS_FILES for _, nodes in functions for node in nodes):
        for function, nodes in functions:
            for node in nodes:
                if node.op != "Const" or (not function and node.name in fed):
                    continue
                values = node.attr["value"].tensor.string_val
                scalar = not node.attr["value"].tensor.tensor_shape.dim
                if scalar and values and _ABSOLUTE.fullmatch(path := values[0].decode("utf-8", "replace")):
                    faults.append(f"{path!r} is read where the model runs, and is not among its assets")
    return verdict("assets", faults, f"{len(assets)} files, all there" if assets else "none")


def check_sizes(folder: Path, meta_graph: Any) -> list[Check]:
    """Size of the files, and how many rows an answer may have."""
    graph = (folder / "saved_model.pb").stat().st_size
    variables = sum(path.stat().st_size for path in (folder / "variables").glob("*") if path.is_file())
    assets = sum(path.stat().st_size for path in (folder / "assets").rglob("*") if path.is_file())
    sizes = {"graph": graph, "variables": variables, "assets": assets}
    listed = ", ".join(f"{name} {size / _MIB:,.1f} MiB" for name, size in sizes.items())
    large = [f"{listed}: the graph is beyond 2 GiB, protobuf's limit"] if graph >= _PROTOBUF_LIMIT else []
    checks = [verdict("sizes", large, listed)]
    rows = {name: _row_bytes(signature) for name, signature in signatures(meta_graph).items()}
    if rows:
        name = max(rows, key=lambda name: rows[name])
        fit = _GRPC_DEFAULT // max(rows[name], 1)
        text = f"a row of the largest answer ({name}) takes {rows[name]:,} bytes or more: {fit:,} rows at most in 4 MiB"
        few = [f"{text}, the limit of gRPC clients that set no other"] if fit < _MIN_ROWS else []
        checks.append(verdict("message size", few, f"{text}, the default limit of gRPC clients", None))
    return checks


def _row_bytes(signature: Any) -> int:
    """Bytes that a row of an answer has at least; a free size counts as 1."""
    import tensorflow as tf

    total = 0
    for info in signature.outputs.values():
        item_bytes = 1 if dtype(info) == "string" else tf.as_dtype(info.dtype).size
        total += item_bytes * math.prod(max(dim.size, 1) for dim in info.tensor_shape.dim[1:])
    return total
