"""A classifier in every form that is exported: size, and milliseconds of a call at batch 1 and 32, in one run.

python -m tests.benchmarks.export_formats --turns 9

Networks have random weights: 10,000 words of 128 features, recurrent layers of 64 units in both directions, and a Transformer of 2
layers, 4 heads and 512 features within; texts of 200 tokens, of which the rows have 20 to 200. Programs take turns; shown are the
median and, of a machine that others use, the least.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
from onnxruntime.quantization import quantize_dynamic

from nlp_suite.export.formats.onnx_graph import write_onnx
from nlp_suite.export.parts import network_part
from nlp_suite.export.plain_model import plain_model
from nlp_suite.layers.serving_graph import serving_graph
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.sentiment.network import SentimentModel

BACKBONE = {name: {"units": 64} for name in ("lstm", "gru", "rnn")} | {
    "transformer": {"layers": 2, "heads": 4, "feed_forward": 512},
    "cnn": {},
    "bag": {},
}
WORDS, LENGTH = 10_000, 200


def forms(name, folder) -> dict:
    """Name of a form → its bytes, and what answers token ids."""
    keras.utils.set_random_seed(0)
    model = SentimentModel(BACKBONES.get(name)(WORDS, embedding_size=128, **BACKBONE[name]), classes=2)
    model.build((None, None))
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    function = tf.function(lambda tokens: model(tokens, training=False), [tf.TensorSpec([None, None], "int32")])
    with serving_graph():
        tf.saved_model.save(module, str(folder / "saved"), function.get_concrete_function())
    loaded = tf.saved_model.load(str(folder / "saved")).signatures["serving_default"]
    part = network_part(model)
    write_onnx(plain_model(model), part, ["logits"], folder / "model.onnx", 17)
    found = {"saved_model": (loaded, size(folder / "saved"))}
    quantize_dynamic(folder / "model.onnx", folder / "int8.onnx", extra_options={"EnableSubgraph": True})
    for file in ("model.onnx", "int8.onnx"):
        session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
        found[file] = (lambda tokens, session=session: session.run(None, {"tokens": tokens})[0], size(folder / file))
    return found


def size(path) -> int:
    """Bytes of a file, or of all in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--backbones", nargs="*", default=list(BACKBONE), choices=BACKBONE)
    options = parser.parse_args()
    turns = options.turns
    draw = np.random.default_rng(0)
    tokens = draw.integers(4, WORDS, (32, LENGTH)).astype("int32")
    tokens *= np.arange(LENGTH) < np.linspace(20, LENGTH, 32).astype(int)[::-1, None]  # row 0 has them all
    for name in options.backbones:
        with tempfile.TemporaryDirectory() as folder:
            found = forms(name, Path(folder))
            times = {(form, rows): [] for form in found for rows in (1, 32)}
            for turn in range(turns + 1):
                for form, rows in times:
                    start = time.perf_counter()
                    found[form][0](tf.constant(tokens[:rows]) if form == "saved_model" else tokens[:rows])
                    if turn:
                        times[form, rows].append(time.perf_counter() - start)
            for form, (_, length) in found.items():
                shown = " ".join(
                    f"{rows:2}: {1000 * statistics.median(times[form, rows]):7.1f} ms, least {1000 * min(times[form, rows]):7.1f}"
                    for rows in (1, 32)
                )
                print(f"{name:12} {form:12} {length / 2**20:6.1f} MiB {shown}", flush=True)


if __name__ == "__main__":
    main()
