"""Times the exported graph of a classifier over a pretrained encoder beside onnxruntime, with the same weights.

Of a run whose backbone is `preset`, two exports are made once in the folder `--models`: a SavedModel, in the session that
`nlp-suite serve` makes, and Hugging Face's layout, which torch writes as ONNX (encoder, pooling and classifier in one graph,
float32). Both answer texts of exactly `--tokens` tokens: from ids, and from strings, which before onnxruntime the package
tokenizers turns into ids. Each implementation has a process of its own, they run in turns, and their answers are compared.

    pip install onnxruntime onnx onnxscript
    nlp-suite train sentiment_imdb_minilm --run-dir runs/minilm
    python tests/benchmarks/classifier_onnx.py runs/minilm --rows 32 --tokens 128 --threads 1
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import turns

IMPLEMENTATIONS = {
    "ids": "SavedModel, ids",
    "onnx_ids": "onnxruntime, ids",
    "text": "SavedModel, strings",
    "onnx_text": "tokenizers + onnxruntime, strings",
}


def make(options):
    """Writes the exports and the ONNX file, unless they are there."""
    from nlp_suite.export import run_export

    folder = Path(options.models)
    if not (folder / "saved_model").exists():
        run_export(options.run, folder / "saved_model")
    if not (folder / "huggingface").exists():
        run_export(options.run, folder / "huggingface", format="huggingface")
    if not (folder / "model.onnx").exists():
        write_onnx(folder / "huggingface", folder / "model.onnx")


def write_onnx(folder, path):
    """Encoder, pooling and classifier: `input_ids`, `attention_mask` int64 `[B, T]` → probabilities `[B, C]`."""
    import torch
    import transformers

    sys.path.insert(0, str(folder))

    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            if (folder / "head.py").exists():
                import head

                self.encoder, opened = transformers.AutoModel.from_pretrained(folder), head.open_head(folder)
                self.logits = lambda states, mask: head.logits(states, mask, opened)
            else:
                self.encoder = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
                self.logits = None

        def forward(self, input_ids, attention_mask):
            answer = self.encoder(input_ids, attention_mask)
            logits = self.logits(answer.last_hidden_state, attention_mask) if self.logits else answer.logits
            return logits.softmax(-1)

    ids = torch.randint(200, 400, (2, 16))
    batch, length = torch.export.Dim("batch", max=1024), torch.export.Dim("length", max=512)
    shapes = {name: {0: batch, 1: length} for name in ("input_ids", "attention_mask")}
    inputs = (ids, torch.ones_like(ids))
    torch.onnx.export(
        Classifier().eval(), inputs, path, input_names=list(shapes), dynamic_shapes=shapes, external_data=False
    )


def step_of(name, options):
    """A function that answers the batch once, and returns the first probability of the first text."""
    folder = Path(options.models)
    text = " ".join(["film"] * (options.tokens - 2))
    if name.startswith("onnx"):
        import onnxruntime
        from tokenizers import Tokenizer

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = options.threads, 1
        session = onnxruntime.InferenceSession(folder / "model.onnx", settings, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(folder / "huggingface" / "tokenizer.json"))

        def encode():
            encoded = tokenizer.encode_batch([text] * options.rows)
            ids, mask = ([getattr(each, key) for each in encoded] for key in ("ids", "attention_mask"))
            return {"input_ids": np.array(ids, "int64"), "attention_mask": np.array(mask, "int64")}

        feeds = encode()
        assert feeds["input_ids"].shape == (options.rows, options.tokens), feeds["input_ids"].shape
        made = encode if name == "onnx_text" else lambda: feeds
        return lambda: float(session.run(None, made())[0][0, 0])
    from nlp_suite.serving.servable import Servable, SessionSettings

    servable = Servable(
        "model", 1, folder / "saved_model" / "1", SessionSettings(intra_op_threads=options.threads, inter_op_threads=1)
    )
    if name == "text":
        signature, feeds = "serving_default", {"text": np.array([text.encode()] * options.rows, object)}
    else:
        from nlp_suite.text.text_layer import TextLayer

        row = TextLayer.load(folder / "saved_model" / "1" / "assets.extra" / "text").encode([text])[0]
        assert len(row) == options.tokens, len(row)
        lengths = np.full(options.rows, options.tokens, "int32")
        signature, feeds = "tokens", {"tokens": np.tile(row, (options.rows, 1)), "length": lengths}
    outputs = sorted(servable.signatures[signature].outputs)
    return lambda: float(servable.run(signature, feeds, outputs)["probabilities"][0, 0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    turns.common_options(parser, IMPLEMENTATIONS)
    parser.add_argument("run", help="run folder of a classifier over a preset")
    parser.add_argument("--models", default=str(Path(tempfile.gettempdir(), "classifier_onnx")), help="of the exports")
    parser.add_argument("--rows", type=int, default=1, help="texts at once")
    parser.add_argument("--tokens", type=int, default=128, help="of a text, the special ones included")
    options = parser.parse_args()
    if options.worker:
        if not options.worker.startswith("onnx"):
            turns.limit_tensorflow(options.threads)
        product = np.ones((1024, 1024), "float32")
        turns.worker(
            options,
            step_of(options.worker, options),
            lambda: 2 * 1024**3 / turns.seconds(lambda: product @ product, 3) / 1e9,
        )
        return
    make(options)
    rows = turns.measure(options, __file__)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{options.rows} rows of {options.tokens} tokens, {options.threads} threads; ms, quartiles of the turns")
    for name, row in rows.items():
        low, middle, high = np.percentile(np.array(row["seconds"]) * 1e3, [25, 50, 75])
        beside = rows.get("onnx_ids" if name.endswith("ids") else "onnx_text")
        ratio = f"{middle / np.median(beside['seconds']) / 1e3:6.2f}x" if beside else ""
        print(
            f"{IMPLEMENTATIONS[name]:36}{low:9.2f}{middle:9.2f}{high:9.2f}{ratio}  "
            f"CPU {np.median(row['cpu_seconds']) * 1e3:.2f} ms, first probability {row['losses'][0]:.6f}"
        )


if __name__ == "__main__":
    main()
