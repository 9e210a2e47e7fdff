"""Asks an ONNX export with NumPy and onnxruntime alone: on the texts of its folder `client`, or to continue a series.

nlp-suite export runs/mine --to saved_models/mine-onnx --format onnx
python pipelines/onnx_client.py saved_models/mine-onnx --tokens 20
python pipelines/onnx_client.py saved_models/air-onnx --values "112 118 ? 129"
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

START, END, NEVER = 2, 3, [0, 1, 2]  # of every tokenizer: padding, unknown and START are never written


class Model:
    """One file of an export: arrays by name in, arrays by name out."""

    def __init__(self, folder: Path, name: str):
        self.session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        tensors = json.loads((folder / "client" / "tensors.json").read_text("utf-8"))[name]
        self.inputs, self.carried = tensors["inputs"], tensors["carried"]

    def __call__(self, **arrays: Any) -> dict[str, Any]:
        arrays = {name: np.asarray(arrays[name], spec["dtype"]) for name, spec in self.inputs.items()}
        return dict(zip(self.outputs, self.session.run(self.outputs, arrays)))


def continued(step: Model, tokens: list[int], known: dict[str, Any], limit: int) -> list[int]:
    """The most probable ids after some that are given, one row: those are read first, then what was written."""
    written: list[int] = []
    for place in range(len(tokens) + limit - 1):
        answer = step(token=[[*tokens, *written][place]], **known)
        known |= {read: answer[name] for name, read in step.carried.items()}
        if place >= len(tokens) - 1:
            answer["logits"][:, NEVER] = -np.inf
            written.append(int(answer["logits"].argmax()))
            if written[-1] == END:
                break
    return written


def answer(folder: Path, ids: list[int], limit: int = 20) -> tuple[int, list[int]]:
    """Of token ids of one text: the number of its label; and the ids of its continuation or translation."""
    files = {file.stem for file in folder.glob("*.onnx")}
    if "step" not in files:
        return int(Model(folder, "model.onnx")(tokens=[ids])["logits"].argmax()), []
    step = Model(folder, "step.onnx")
    if "encoder" in files:
        return 0, continued(step, [START], Model(folder, "encoder.onnx")(tokens=[ids]), limit)
    states = {name: np.zeros((1, *spec["shape"][1:])) for name, spec in step.inputs.items() if name != "token"}
    return 0, continued(step, [END, *ids], states, limit)


def forecast(folder: Path, values: list[float]) -> dict[str, Any]:
    """Of a series, the oldest value first and NaN where one is missing: `forecast` [H] and perhaps `quantiles` [H, Q]."""
    model = Model(folder, "model.onnx")
    if more := sorted({*model.inputs} - {"values", "mask"}):
        raise SystemExit(
            f"this network also reads {', '.join(more)}: give them to Model, see {folder}/client/tensors.json"
        )
    (_, context), known = model.inputs["values"]["shape"], np.array(values, "float32")
    row = np.concatenate([np.full(context, np.nan), known])[None, -context:]
    answer = model(values=np.nan_to_num(row), mask=np.isfinite(row))
    return {name: array[0] for name, array in answer.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--values", help='of a series, "?" where one is missing')
    given = parser.parse_args()
    if given.values:
        print(forecast(given.folder, [float(each.replace("?", "nan")) for each in given.values.split()]))
        raise SystemExit
    client = given.folder / "client"
    labels = json.loads((client / "labels.json").read_text("utf-8"))
    words = client / "target_vocabulary.json"
    vocabulary = json.loads((words if words.exists() else client / "vocabulary.json").read_text("utf-8"))
    for row in json.loads((client / "texts.json").read_text("utf-8")):
        label, written = answer(given.folder, row["ids"], given.tokens)
        print(f"{row['text'][:60]!r}\n    {labels[label] if labels else ' '.join(vocabulary[i] for i in written)}")
