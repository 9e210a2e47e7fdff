"""Times one training step of a bidirectional recurrent classifier: this package, keras.layers and PyTorch, in turns.

The model is Embedding (with mask) → Bidirectional layers → Dense → binary cross-entropy → SGD, on a batch of token ids
whose lengths are distributed like IMDB reviews (log-normal, median 174) cut at `--time`. TensorFlow's step is traced
for an unknown batch size and length. Each implementation lives in a process of its own; they run in turns, so that the
machine's mood is the same for all, and all have the same number of threads.

    python tests/benchmarks/recurrent_step.py
    python tests/benchmarks/recurrent_step.py --cell gru --layers 2 --rounds 20
"""

import argparse
import json

import numpy as np
import turns

IMPLEMENTATIONS = {
    "suite": "nlp_suite.layers",
    "keras": "keras.layers",
    "torch_padded": "torch.nn, padded (ignores the mask)",
    "torch_packed": "torch.nn, packed",
}
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}


def batch(options):
    """Token ids [B, T] with 0 as right padding, lengths [B] and labels [B, 1]."""
    rng = np.random.default_rng(options.seed)
    lengths = np.exp(rng.normal(np.log(174), 0.65, options.batch)).astype(int).clip(10, options.time)
    tokens = rng.integers(1, options.vocabulary, (options.batch, options.time))
    tokens[np.arange(options.time) >= lengths[:, None]] = 0
    return tokens.astype("int32"), lengths, rng.integers(0, 2, (options.batch, 1)).astype("float32")


def tensorflow_step(options, own):
    """Returns a function that does one step and returns the loss."""
    tf = turns.limit_tensorflow(options.threads)
    import keras

    name = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}[options.cell]
    layer = getattr(keras.layers, name)
    if own:
        import importlib

        layer = getattr(importlib.import_module(f"nlp_suite.layers.{options.cell}"), name)
    keras.utils.set_random_seed(options.seed)
    tokens_in = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(options.vocabulary, options.features, mask_zero=True)(tokens_in)
    for i in range(options.layers):
        x = keras.layers.Bidirectional(layer(options.units, return_sequences=i + 1 < options.layers))(x)
    model = keras.Model(tokens_in, keras.layers.Dense(1)(x))
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, 1])])
    def train(tokens, labels):
        with tf.GradientTape() as tape:
            logits = model(tokens, training=True)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)
        return loss

    tokens, _, labels = batch(options)
    tokens, labels = tf.constant(tokens), tf.constant(labels)

    return lambda: float(train(tokens, labels))


def torch_step(options, packed):
    """As `tensorflow_step`, for PyTorch."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    layer = {"simple_rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[options.cell]
    embedding = torch.nn.Embedding(options.vocabulary, options.features, padding_idx=0)
    layers = layer(options.features, options.units, options.layers, batch_first=True, bidirectional=True)
    head = torch.nn.Linear(2 * options.units, 1)
    model = torch.nn.ModuleList([embedding, layers, head])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tokens, lengths, labels = (torch.tensor(a) for a in batch(options))
    tokens = tokens.long()

    def train():
        optimizer.zero_grad()
        x = embedding(tokens)
        if packed:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, state = layers(x)
        h = state[0] if options.cell == "lstm" else state  # [2 * layers, B, U]
        logits = head(torch.cat([h[-2], h[-1]], -1))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return train


def table(options, rows):
    """Prints times, the ratio to ours within a turn (median and quartiles), GFLOP/s, and peak resident memory.

    GFLOP/s counts a forward and a backward pass over all steps of the batch, padding included, and no recomputation.
    The last column is what the first ten steps (tracing included) added to the peak.
    """
    width = [options.features] + [2 * options.units] * (options.layers - 1)
    products = sum((w + options.units) * GATES[options.cell] * options.units for w in width)
    flops = 3 * 2 * 2 * options.batch * options.time * products  # forward + 2 x backward, two directions
    print(
        f"{options.cell}, {options.layers} bidirectional layer(s) of 2 x {options.units}, {options.features} features"
        f" in, batch {options.batch} x {options.time}, {options.threads} threads,"
        f" {options.rounds} turns of {options.steps} steps"
    )
    print(
        f"{'implementation':38}{'ms':>8}{'least':>8}{'CPU ms':>8}{'/ suite':>9}{'quartiles':>13}"
        f"{'GFLOP/s':>9}{'GEMM':>6}{'MiB':>6}{'step':>6}"
    )
    for name, row in rows.items():
        taken = np.array(row["seconds"])
        ratio = taken / np.array(rows["suite"]["seconds"]) if "suite" in rows else np.full(1, np.nan)
        low, middle, high = np.percentile(ratio, [25, 50, 75])
        print(
            f"{IMPLEMENTATIONS[name]:38}{np.median(taken) * 1e3:8.1f}{taken.min() * 1e3:8.1f}"
            f"{np.median(row['cpu_seconds']) * 1e3:8.1f}{middle:9.2f}{f'{low:.2f}-{high:.2f}':>13}"
            f"{flops / np.median(taken) / 1e9:9.1f}{np.median(row['gemm']):6.0f}"
            f"{row['peak_mib']:6.0f}{row['step_mib']:6.0f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=GATES, default="lstm")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--features", type=int, default=128, help="width of the embedding")
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--time", type=int, default=200)
    turns.common_options(parser, IMPLEMENTATIONS)
    options = parser.parse_args()
    if options.worker in ("suite", "keras"):
        turns.worker(options, tensorflow_step(options, own=options.worker == "suite"), turns.gemm_tensorflow)
    elif options.worker:
        turns.worker(options, torch_step(options, packed=options.worker == "torch_packed"), turns.gemm_torch)
    elif options.json:
        print(json.dumps(turns.measure(options, __file__)))
    else:
        table(options, turns.measure(options, __file__))


if __name__ == "__main__":
    main()
