"""The text graph inside an exported module: saved, moved, loaded in a process without this package."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nlp_suite.registry import is_installed
from tests.text.nasty import NASTY
from tests.text.tokenizer_checks import CORPUS, PRESETS, VARIANTS, whole_rows

TEXTS = [f"{text}." for text in [*CORPUS, *NASTY.values()] if isinstance(text, str) and len(text) < 10_000]
BYTES = np.array([text.encode("utf-8", "surrogatepass") for text in TEXTS])  # the full stop: NumPy drops a final NUL
LABELS = [*VARIANTS, *(PRESETS if is_installed("tokenizers") else ())]
by_tokenizer = pytest.mark.parametrize("label", LABELS)
# What TF Text 2.12 has, which TensorFlow Serving 2.13 to 2.19 links, of all ops that are not core TensorFlow.
TEXT_OPS = {
    "FastWordpieceTokenizeWithOffsets",
    "NormalizeUTF8",
    "SentencepieceDetokenizeOp",
    "SentencepieceOp",
    "SentencepieceTokenizeOp",
}
PROGRAM = """
import sys, pathlib
import numpy as np, tensorflow as tf, tensorflow_text
folder = pathlib.Path(sys.argv[1])
for path in folder.glob("*/saved_model.pb"):
    module = tf.saved_model.load(str(path.parent))
    tokens, length = module.run(tf.constant(np.load(folder / "texts.npy")))
    np.save(path.parent / "tokens.npy", tokens)
    np.save(path.parent / "decoded.npy", [text.decode() for text in module.back(tokens, length).numpy()])
assert not any(name.startswith(("nlp_suite", "keras_hub")) for name in sys.modules)
"""


def save(layer, directory):
    module = tf.Module()
    module.text = layer.graph()
    module.run = tf.function(lambda text: module.text.encode(text), input_signature=[tf.TensorSpec([None], tf.string)])
    signature = module.text.decode.input_signature
    module.back = tf.function(lambda tokens, length: module.text.decode(tokens, length), input_signature=signature)
    tf.saved_model.save(module, directory, signatures={"serving_default": module.run})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of SavedModels, one per tokenizer, moved after saving, with what another process made of TEXTS."""
    first = tmp_path_factory.mktemp("saved") / "first"
    for label in LABELS:
        save(whole_rows(label), first / label)
    moved = first.with_name("moved")
    shutil.move(first, moved)
    np.save(moved / "texts.npy", BYTES)
    subprocess.run([sys.executable, "-c", PROGRAM, moved], check=True, cwd=moved, timeout=300)
    return moved


@by_tokenizer
def test_saved_model_after_moving(label, saved):
    layer = whole_rows(label)
    rows = layer.encode(TEXTS)
    np.testing.assert_array_equal(np.load(saved / label / "tokens.npy"), layer.pad(rows))
    assert np.load(saved / label / "decoded.npy").tolist() == layer.decode(rows)


@by_tokenizer
def test_only_ops_that_old_servers_have(label, saved):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph = SavedModel.FromString((saved / label / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    ops = {node.op for node in graph.node}
    ops |= {node.op for function in graph.library.function for node in function.node_def}
    assert {op for op in ops if not hasattr(tf.raw_ops, op)} <= TEXT_OPS
    assert not any("PyFunc" in op or op.startswith("Xla") for op in ops)
