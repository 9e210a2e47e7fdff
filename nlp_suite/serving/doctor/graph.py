"""The doctor's checks of the graph's signatures: tags, batch dimension, Classify and Regress, label names."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlp_suite.serving.doctor.checks import Check, verdict
from nlp_suite.serving.signature_names import CLASSIFY, DEFAULT_SIGNATURE, REGRESS

_NOT_IN_JSON = ("half", "bfloat16", "complex", "qint", "quint", "resource", "variant")  # beginnings of types
_CLASS_OUTPUTS = {"label", "labels", "classes"}


def read(folder: Path) -> tuple[list[Check], Any]:
    """Checks of `saved_model.pb` and its tags, and the meta graph that the server loads (`None` if there is none)."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / "saved_model.pb"
    if not file.is_file():
        text = " (only saved_model.pbtxt, which is not examined)" if (folder / "saved_model.pbtxt").is_file() else ""
        return [Check("graph", False, f"{str(folder)!r} holds no saved_model.pb{text}")], None
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except (DecodeError, OSError) as error:
        return [Check("graph", False, f"{str(file)!r} cannot be read: {error} (truncated or half-copied?)")], None
    if not saved_model.meta_graphs:
        return [Check("graph", False, f"{str(file)!r} holds no graph (truncated or half-copied?)")], None
    tags = [sorted(meta_graph.meta_info_def.tags) for meta_graph in saved_model.meta_graphs]
    if ["serve"] not in tags:
        listed = "; ".join(", ".join(names) or "none" for names in tags)
        return [Check("tags", False, f"the server loads the graph with the tag serve alone; there are: {listed}")], None
    meta_graph = saved_model.meta_graphs[tags.index(["serve"])]
    info = meta_graph.meta_info_def
    checks = [Check("graph", True, f"written by TensorFlow {info.tensorflow_version}"), Check("tags", True, "serve")]
    return checks, meta_graph


def signatures(meta_graph: Any) -> dict[str, Any]:
    """Name → SignatureDef of all that can be asked, sorted."""
    return {name: info for name, info in sorted(meta_graph.signature_def.items()) if not name.startswith("__")}


def check_signatures(meta_graph: Any) -> list[Check]:
    """The checks of all signatures' tensors."""
    named = signatures(meta_graph)
    checks = [_check_names(named, meta_graph), _check_batch(named), _check_methods(named)]
    return checks + _check_rest(named)


def tensors(signature: Any) -> Iterator[tuple[str, str, Any]]:
    """(`"input"` or `"output"`, alias, TensorInfo) of a signature."""
    for kind, side in (("input", signature.inputs), ("output", signature.outputs)):
        for alias, info in sorted(side.items()):
            yield kind, alias, info


def dtype(info: Any) -> str:
    """The name of a tensor's type, such as `string`."""
    from tensorflow.core.framework import types_pb2

    name: str = types_pb2.DataType.Name(info.dtype).removeprefix("DT_").lower()
    return name


def _check_names(named: dict[str, Any], meta_graph: Any) -> Check:
    if not named:
        return Check("signatures", False, "there is none, so nothing can be asked")
    nodes = {node.name for node in meta_graph.graph_def.node}
    faults = [
        f"{name}: {kind} {alias!r} is the tensor {info.name!r}, which the graph does not have"
        for name, signature in named.items()
        for kind, alias, info in tensors(signature)
        if info.WhichOneof("encoding") == "name" and info.name.split(":")[0] not in nodes
    ]
    names = ", ".join(named)
    if faults or DEFAULT_SIGNATURE in named:
        return verdict("signatures", faults, names)
    return Check("signatures", None, f"{names}; no {DEFAULT_SIGNATURE}, so every request must name one")


def _check_batch(named: dict[str, Any]) -> Check:
    """Server-side batching joins requests along dim 0 of every input and cuts every output there."""
    faults, notes = [], []
    for name, signature in named.items():
        for kind, alias, info in tensors(signature):
            shape = info.tensor_shape
            if shape.unknown_rank:
                notes.append(f"{name}: the rank of {kind} {alias!r} is unknown, so batching may fail")
            elif not shape.dim:
                faults.append(f"{name}: {kind} {alias!r} is a scalar: no batching, and no rows over REST")
            elif shape.dim[0].size >= 0:
                faults.append(f"{name}: {kind} {alias!r} has a fixed dim 0 of {shape.dim[0].size}: no batching")
    ok = False if faults else None
    return verdict("batch dimension", faults + notes, "free in dim 0 of every input and output: safe to batch", ok)


def _check_methods(named: dict[str, Any]) -> Check:
    faults = []
    for name, signature in named.items():
        method = signature.method_name
        if method == CLASSIFY:
            faults += [f"{name} (Classify): {fault}" for fault in classify_faults(signature)]
        elif method == REGRESS:
            faults += [f"{name} (Regress): {fault}" for fault in regress_faults(signature)]
    of_method = [name for name, signature in named.items() if signature.method_name in (CLASSIFY, REGRESS)]
    fine = f"well-formed: {', '.join(of_method)}" if of_method else "none (Predict only)"
    return verdict("Classify and Regress", faults, fine)


def _example_faults(signature: Any) -> list[str]:
    if list(signature.inputs) != ["inputs"]:
        return [f"its inputs are {', '.join(sorted(signature.inputs)) or 'none'}; one named 'inputs' is expected"]
    if dtype(signature.inputs["inputs"]) != "string":
        return [f"'inputs' is {dtype(signature.inputs['inputs'])}; serialized tf.Example strings are expected"]
    return []


def classify_faults(signature: Any) -> list[str]:
    """What prevents the server from answering Classify with a signature."""
    faults = _example_faults(signature)
    outputs = set(signature.outputs)
    if not outputs or not outputs <= {"classes", "scores"}:
        faults.append(f"its outputs are {', '.join(sorted(outputs)) or 'none'}; 'classes' and/or 'scores' are expected")
    for alias, expected in (("classes", "string"), ("scores", "float")):
        info = signature.outputs[alias] if alias in outputs else None
        if info is None:
            continue
        if dtype(info) != expected:
            faults.append(f"{alias!r} is {dtype(info)}; {expected} is expected")
        if not info.tensor_shape.unknown_rank and len(info.tensor_shape.dim) != 2:
            faults.append(f"{alias!r} has {len(info.tensor_shape.dim)} dimensions; [batch, classes] is expected")
    return faults


def regress_faults(signature: Any) -> list[str]:
    """What prevents the server from answering Regress with a signature."""
    faults = _example_faults(signature)
    if list(signature.outputs) != ["outputs"]:
        return [*faults, f"its outputs are {', '.join(sorted(signature.outputs)) or 'none'}; 'outputs' is expected"]
    info = signature.outputs["outputs"]
    if dtype(info) != "float":
        faults.append(f"'outputs' is {dtype(info)}; float is expected")
    sizes = [dim.size for dim in info.tensor_shape.dim]
    if not info.tensor_shape.unknown_rank and (len(sizes) not in (1, 2) or sizes[1:] not in ([], [1], [-1])):
        faults.append(f"'outputs' has the shape {sizes}; [batch] or [batch, 1] is expected")
    return faults


def _check_rest(named: dict[str, Any]) -> list[Check]:
    notes = [
        f"{name}: {kind} {alias!r} is {dtype(info)}"
        for name, signature in named.items()
        for kind, alias, info in tensors(signature)
        if dtype(info).startswith(_NOT_IN_JSON)
    ]
    notes += [f"{name}: takes no input" for name, signature in named.items() if not signature.inputs]
    return [Check("REST", None, "over gRPC only: " + "; ".join(notes))] if notes else []


def check_labels(folder: Path, meta_graph: Any) -> Check:
    """Whether a classifier's answers name their labels."""
    classifiers = {name: info for name, info in signatures(meta_graph).items() if _classifies(info)}
    if not classifiers:
        return Check("label names", True, "no classifier")
    card = _card_labels(folder)
    nameless = [
        f"{name}: no string output among {', '.join(sorted(info.outputs))} names the labels"
        for name, info in classifiers.items()
        if not any(dtype(info.outputs[alias]) == "string" for alias in _CLASS_OUTPUTS & set(info.outputs))
    ]
    if nameless:
        hint = f"; assets.extra/model_card.json has them: {', '.join(card)}" if card else ""
        return Check("label names", None, "\n".join(nameless) + hint)
    in_card = f"; assets.extra/model_card.json: {', '.join(card)}" if card else "; none in assets.extra"
    return Check("label names", True, f"in the answers of {', '.join(classifiers)}{in_card}")


def _classifies(signature: Any) -> bool:
    if signature.method_name == CLASSIFY or _CLASS_OUTPUTS & set(signature.outputs):
        return True
    return "probabilities" in signature.outputs and not any(dtype(i) == "string" for i in signature.outputs.values())


def _card_labels(folder: Path) -> list[str]:
    try:
        card = json.loads((folder / "assets.extra" / "model_card.json").read_text("utf-8"))
        return [str(label) for label in card.get("labels") or []]
    except (OSError, ValueError, AttributeError):
        return []
