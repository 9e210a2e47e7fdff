"""A trained classifier exported in every form, in float32 and quantised: bytes, and accuracy on the same rows of its test split.

    nlp-suite train sentiment_imdb_gru --run-dir runs/gru --set training.epochs=3
    python -m tests.benchmarks.quantized_exports runs/gru --rows 5000 --length 128

Files are those of `nlp-suite export`, self-check and all, and are asked by the programs that they are for. A LiteRT file reads
`--length` tokens of a text, so its forms are compared with each other.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import tensorflow as tf

from nlp_suite.export import run_export
from nlp_suite.training.run import Run
from tests.benchmarks.export_formats import size

FORMS = {
    "keras": ("none", "int8"),
    "saved_model": ("none", "int8"),
    "onnx": ("none", "int8"),
    "litert": ("none", "float16", "int8"),
}
FILE = {"onnx": "model.onnx", "litert": "model.tflite"}
BATCH = 64


def opened(form, path, length):
    """What answers a batch of token ids with a number for every label."""
    if form == "keras":
        model = keras.saving.load_model(path)
        compiled = tf.function(lambda tokens: model(tokens, training=False), [tf.TensorSpec([None, None], "int32")])
        return lambda tokens: compiled(tokens).numpy()
    if form == "saved_model":
        loaded = tf.saved_model.load(str(path))
        lengths = lambda tokens: (tokens != 0).sum(1).astype("int32")  # noqa: E731
        return lambda tokens: loaded.signatures["tokens"](
            tokens=tf.constant(tokens), length=tf.constant(lengths(tokens))
        )["probabilities"].numpy()
    if form == "onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda tokens: session.run(None, {"tokens": tokens})[0]
    runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
    fitted = lambda row: np.pad(row[:length], (0, max(0, length - len(row))))[None]  # noqa: E731
    return lambda tokens: np.concatenate([runner(tokens=fitted(row))["logits"] for row in tokens])


def main() -> None:
    """Prints a row of a table for every form."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--formats", nargs="*", default=list(FORMS), choices=FORMS)
    options = parser.parse_args()
    store = Run(options.run).stores()["test"]
    lengths, chosen = np.asarray(store.lengths), np.linspace(0, len(store) - 1, options.rows).astype(int)
    chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
    truth = np.asarray(store.labels)[chosen]
    print("| format | quantize | bytes | size | accuracy | difference | other answers |\n|---|---|---|---|---|---|---|")
    for form in options.formats:
        whole = None
        for quantize in FORMS[form]:
            keras.backend.clear_session()  # so that layers have the names that they have in a new process
            with tempfile.TemporaryDirectory() as folder:
                settings = {"length": options.length} if form == "litert" else {}
                to = Path(folder) / ("model.keras" if form == "keras" else "model")
                file = run_export(options.run, to, form, quantize=quantize, **settings).path / FILE.get(form, "")
                answer, answers = opened(form, file, options.length), []
                for first in range(0, len(chosen), BATCH):
                    rows = chosen[first : first + BATCH]
                    answers.append(answer(store.padded(rows, int(lengths[rows].max())).astype("int32")).argmax(1))
                found, bytes_ = np.concatenate(answers), size(file)
            right = 100 * float((found == truth).mean())
            whole = whole or (right, bytes_, found)
            print(
                f"| {form} | {quantize} | {bytes_:,} | {bytes_ / whole[1]:.2f} | {right:.2f} % | {right - whole[0]:+.2f} | "
                f"{int((found != whole[2]).sum())} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
