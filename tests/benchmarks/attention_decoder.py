"""Times one training step of a recurrent decoder with attention: this package, its loop by autodiff, Keras, PyTorch.

The model is Embedding → decoder over an encoded source → mean square of the features → SGD, with the gradient of the
encoded source. `keras` is what one writes with Keras: `keras.layers.RNN` over a cell that attends; `torch` is the usual
loop over `GRUCell`. Lengths of sources are as in Multi30k (12 ± 4); TensorFlow's step is traced for unknown batch size
and lengths. Each implementation lives in a process of its own; they run in turns.

    python tests/benchmarks/attention_decoder.py
    python tests/benchmarks/attention_decoder.py --attention luong --cell lstm
"""

import argparse
import json

import numpy as np
import turns

IMPLEMENTATIONS = {
    "suite": "nlp_suite decoder",
    "autodiff": "the same loop, gradient by autodiff",
    "above": "nlp_suite decoder, input_feeding false",
    "keras": "keras.layers.RNN over a cell that attends",
    "torch": "PyTorch, loop over a cell (Bahdanau only)",
}


def batch(options):
    """Target ids [B, T], encoded source [B, S, D] and its mask [B, S]."""
    rng = np.random.default_rng(options.seed)
    lengths = rng.normal(12, 4, options.batch).astype(int).clip(3, options.source)
    mask = np.arange(options.source) < lengths[:, None]
    ids = rng.integers(1, options.vocabulary, (options.batch, options.time)).astype("int32")
    return ids, rng.normal(0, 1, (options.batch, options.source, options.memory)).astype("float32"), mask


def suite_decoder(options, name):
    """Our decoder as a function of embeddings, encoded source and mask, and its variables."""
    from nlp_suite.layers import attention_loop
    from nlp_suite.registry import DECODERS

    if name == "autodiff":
        attention_loop.custom_gradient = lambda function, args: function(*args)[0]
    decoder = DECODERS.get(options.cell)(
        embedding_size=options.features,
        units=options.units,
        attention=options.attention,
        input_feeding=name != "above",
        conditional=options.conditional,
    )
    decoder.build(options.memory)
    return lambda x, encoded, mask: decoder(x, None, decoder.memory(encoded, mask), training=True)[0], decoder


def keras_decoder(options):
    """A Keras RNN over a cell that attends to a memory set before: Bahdanau's wiring, or Luong's with input feeding."""
    import keras
    from keras import ops

    cell_class = {"rnn": keras.layers.SimpleRNNCell, "lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}
    additive = options.attention == "bahdanau"

    class Attending(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.cell = cell_class[options.cell](options.units)
            inner = self.cell.state_size
            self.inner = list(inner) if isinstance(inner, list | tuple) else [inner]
            self.state_size = self.inner if additive else [*self.inner, options.units]
            self.output_size = options.units + options.memory
            self.query = keras.layers.Dense(options.units, use_bias=False)
            self.v = keras.layers.Dense(1, use_bias=False)
            self.vector = keras.layers.Dense(options.units, "tanh", use_bias=False)

        def build(self, shape):
            self.cell.build((None, options.features + (options.memory if additive else options.units)))
            if additive:
                self.query.build((None, options.units))
                self.v.build((None, options.units))
            else:
                self.vector.build((None, options.units + options.memory))

        def attend(self, h):
            if additive:
                scores = self.v(ops.tanh(self.query(h)[:, None] + self.keys))[..., 0]
            else:
                scores = ops.einsum("bd,bsd->bs", h, self.keys)
            weights = ops.softmax(ops.where(self.mask, scores, -1e9))
            return ops.einsum("bs,bsd->bd", weights, self.memory)

        def call(self, x, states, training=None):
            if additive:
                context = self.attend(states[0])
                h, states = self.cell(ops.concatenate([x, context], -1), list(states))
                return ops.concatenate([h, context], -1), states
            h, inner = self.cell(ops.concatenate([x, states[-1]], -1), list(states[:-1]))
            context = self.attend(h)
            fed = self.vector(ops.concatenate([context, h], -1))
            return ops.concatenate([fed, context], -1), [*inner, fed]

    cell = Attending()
    keys = keras.layers.Dense(options.units, use_bias=additive)
    bridge = keras.layers.Dense(options.units, "tanh")
    readout = keras.layers.Dense(options.features, "tanh")
    rnn = keras.layers.RNN(cell, return_sequences=True)

    def decode(x, encoded, mask):
        cell.memory, cell.keys, cell.mask = encoded, keys(encoded), mask
        start = bridge(ops.mean(encoded, axis=1))
        outputs = rnn(x, initial_state=[start] * len(keras.tree.flatten(cell.state_size)))
        if not additive:
            return outputs[..., : options.units]
        return readout(ops.concatenate([outputs, x], -1))

    keys.build((None, None, options.memory))
    bridge.build((None, options.memory))
    rnn.build((None, None, options.features))
    layers = [rnn, keys, bridge]
    if additive:
        readout.build((None, None, options.units + options.memory + options.features))
        layers.append(readout)
    return decode, keras.Sequential(layers)


def tensorflow_step(options, name):
    """Returns a function that does one step and returns the loss."""
    tf = turns.limit_tensorflow(options.threads)
    import keras

    keras.utils.set_random_seed(options.seed)
    decode, model = keras_decoder(options) if name == "keras" else suite_decoder(options, name)
    embedding = keras.layers.Embedding(options.vocabulary, options.features)
    embedding.build()
    weights = [*embedding.trainable_variables, *model.trainable_variables]
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(weights)
    ids, encoded, mask = batch(options)
    kinds = [
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None, None, options.memory]),
        tf.TensorSpec([None, None], tf.bool),
    ]

    @tf.function(input_signature=kinds)
    def train(ids, encoded, mask):
        with tf.GradientTape() as tape:
            tape.watch(encoded)
            loss = tf.reduce_mean(tf.square(decode(embedding(ids), encoded, mask) - 0.1))
        *found, upstream = tape.gradient(loss, [*(w.value for w in weights), encoded])
        optimizer.apply(found, weights)
        return loss + 0 * tf.reduce_sum(upstream)

    ids, encoded, mask = tf.constant(ids), tf.constant(encoded), tf.constant(mask)
    return lambda: float(train(ids, encoded, mask))


def torch_step(options):
    """As `tensorflow_step`, for PyTorch and Bahdanau's wiring."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    make = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[options.cell]
    model = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(options.vocabulary, options.features),
            "cell": make(options.features + options.memory, options.units),
            "query": torch.nn.Linear(options.units, options.units, bias=False),
            "key": torch.nn.Linear(options.memory, options.units),
            "v": torch.nn.Linear(options.units, 1, bias=False),
            "bridge": torch.nn.Linear(options.memory, options.units),
            "readout": torch.nn.Linear(options.units + options.memory + options.features, options.features),
        }
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    ids, encoded, mask = (torch.tensor(a) for a in batch(options))
    ids, encoded = ids.long(), encoded.requires_grad_()

    def train():
        optimizer.zero_grad()
        x, keys = model["embedding"](ids), model["key"](encoded)
        h = torch.tanh(model["bridge"](encoded.mean(1)))
        state, outputs, contexts = ((h, h) if options.cell == "lstm" else h), [], []
        for t in range(options.time):
            scores = model["v"](torch.tanh(model["query"](h)[:, None] + keys))[..., 0]
            weights = scores.masked_fill(~mask, -1e9).softmax(-1)
            contexts.append(torch.bmm(weights[:, None], encoded)[:, 0])
            state = model["cell"](torch.cat([x[:, t], contexts[-1]], -1), state)
            h = state[0] if options.cell == "lstm" else state
            outputs.append(h)
        read = torch.cat([torch.stack(outputs, 1), torch.stack(contexts, 1), x], -1)
        loss = (torch.tanh(model["readout"](read)) - 0.1).square().mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return train


def table(options, rows):
    """Prints times and the ratio to ours within a turn: median and quartiles."""
    print(
        f"{options.cell} {options.units}, {options.attention}{' conditional' * options.conditional}, batch"
        f" {options.batch}, S {options.source}, T {options.time}, E {options.features}, D {options.memory},"
        f" {options.threads} threads, {options.rounds} turns of {options.steps} steps"
    )
    print(
        f"{'implementation':44}{'ms':>8}{'least':>8}{'CPU ms':>8}{'/ suite':>9}{'quartiles':>13}{'GEMM':>6}{'MiB':>6}"
    )
    for name, row in rows.items():
        taken = np.array(row["seconds"])
        ratio = taken / np.array(rows["suite"]["seconds"]) if "suite" in rows else np.full(1, np.nan)
        low, middle, high = np.percentile(ratio, [25, 50, 75])
        print(
            f"{IMPLEMENTATIONS[name]:44}{np.median(taken) * 1e3:8.1f}{taken.min() * 1e3:8.1f}"
            f"{np.median(row['cpu_seconds']) * 1e3:8.1f}{middle:9.2f}{f'{low:.2f}-{high:.2f}':>13}"
            f"{np.median(row['gemm']):6.0f}{row['step_mib']:6.0f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", choices=["rnn", "lstm", "gru"], default="gru")
    parser.add_argument("--attention", choices=["bahdanau", "luong", "scaled_dot"], default="bahdanau")
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--memory", type=int, default=256, help="features of the encoded source")
    parser.add_argument("--features", type=int, default=256, help="width of the embedding")
    parser.add_argument("--vocabulary", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=80)
    parser.add_argument("--source", type=int, default=16)
    parser.add_argument("--time", type=int, default=16)
    turns.common_options(parser, IMPLEMENTATIONS)
    options = parser.parse_args()
    if options.worker == "torch":
        turns.worker(options, torch_step(options), turns.gemm_torch)
    elif options.worker:
        turns.worker(options, tensorflow_step(options, options.worker), turns.gemm_tensorflow)
    elif options.json:
        print(json.dumps(turns.measure(options, __file__)))
    else:
        table(options, turns.measure(options, __file__))


if __name__ == "__main__":
    main()
