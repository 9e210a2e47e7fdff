"""Times one training step of an LSTM language model: this package, keras.layers and PyTorch, in turns.

The model is Embedding → LSTM layers with carried state → softmax over the vocabulary → cross-entropy → gradient clipping
→ SGD (Zaremba et al. 2014, small: 2 x 200, vocabulary 10,000, 20 streams of 35 tokens). `suite` trains through
`LanguageModel` as `nlp-suite train` does, its loss computed in chunks; `keras` is the same from `keras.layers` with a
dense softmax. Tokens are drawn from Zipf's law.

    python tests/benchmarks/language_model_step.py
    python tests/benchmarks/language_model_step.py --vocabulary 33278 --only suite suite_adaptive
"""

import argparse
import json

import numpy as np
import turns

IMPLEMENTATIONS = {
    "suite": "nlp_suite, full softmax",
    "suite_adaptive": "nlp_suite, adaptive softmax",
    "keras": "keras.layers, dense softmax",
    "torch": "torch.nn",
}


def batch(options):
    """Token ids [B, T] and their targets [B, T]."""
    rng = np.random.default_rng(options.seed)
    chances = 1 / np.arange(1, options.vocabulary - 3)
    ids = 4 + rng.choice(len(chances), (options.batch, options.time + 1), p=chances / chances.sum())
    return ids[:, :-1].astype("int32"), ids[:, 1:].astype("int32")


def suite_step(options, adaptive):
    """Returns a function that does one step and returns the loss."""
    tf = turns.limit_tensorflow(options.threads)
    import keras

    from nlp_suite.backbones.lstm import LSTMBackbone
    from nlp_suite.tasks.language_model.network import LanguageModel

    keras.utils.set_random_seed(options.seed)
    backbone = LSTMBackbone(
        options.vocabulary,
        embedding_size=options.units,
        units=options.units,
        layers=options.layers,
        bidirectional=False,
    )
    cutoffs = [cutoff for cutoff in (2_000, 10_000) if cutoff < options.vocabulary] if adaptive else None
    model = LanguageModel(backbone, tie_embeddings=False, cutoffs=cutoffs)
    model.build((None, None))
    model.carry(options.batch, options.batch)
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=0.25)
    optimizer.build(model.trainable_variables)
    spec = {
        "tokens": tf.TensorSpec([None, None], tf.int32),
        "targets": tf.TensorSpec([None, None], tf.int32),
        "weights": tf.TensorSpec([None, None], tf.float32),
        "reset": tf.TensorSpec([None], tf.bool),
    }

    @tf.function(input_signature=[spec])
    def train(inputs):
        with tf.GradientTape() as tape:
            model(inputs, training=True)
            loss = sum(model.losses)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)
        return loss

    tokens, targets = (tf.constant(a) for a in batch(options))
    inputs = {
        "tokens": tokens,
        "targets": targets,
        "weights": tf.ones(tokens.shape),
        "reset": tf.zeros(options.batch, tf.bool),
    }
    return lambda: float(train(inputs))


def keras_step(options):
    """As `suite_step`, of Keras's layers."""
    tf = turns.limit_tensorflow(options.threads)
    import keras

    keras.utils.set_random_seed(options.seed)
    embedding = keras.layers.Embedding(options.vocabulary, options.units)
    layers = [keras.layers.LSTM(options.units, return_sequences=True, return_state=True) for _ in range(options.layers)]
    softmax = keras.layers.Dense(options.vocabulary)
    for layer in (embedding, *layers, softmax):
        layer.build((None, None, options.units))
    weights = [w for layer in (embedding, *layers, softmax) for w in layer.trainable_variables]
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=0.25)
    optimizer.build(weights)
    state = [[tf.Variable(tf.zeros((options.batch, options.units))) for _ in range(2)] for _ in layers]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def train(tokens, targets):
        with tf.GradientTape() as tape:
            x = embedding(tokens)
            for layer, variables in zip(layers, state):
                x, *after = layer(x, initial_state=[v.read_value() for v in variables], training=True)
                for variable, value in zip(variables, after):
                    variable.assign(value)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, softmax(x)))
        optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)
        return loss

    tokens, targets = (tf.constant(a) for a in batch(options))
    return lambda: float(train(tokens, targets))


def torch_step(options):
    """As `suite_step`, of PyTorch."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    embedding = torch.nn.Embedding(options.vocabulary, options.units)
    layers = torch.nn.LSTM(options.units, options.units, options.layers, batch_first=True)
    softmax = torch.nn.Linear(options.units, options.vocabulary)
    model = torch.nn.ModuleList([embedding, layers, softmax])
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    tokens, targets = (torch.tensor(a).long() for a in batch(options))
    state = None

    def train():
        nonlocal state
        optimizer.zero_grad()
        x, after = layers(embedding(tokens), state)
        state = tuple(s.detach() for s in after)
        loss = torch.nn.functional.cross_entropy(softmax(x).flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        return float(loss.detach())

    return train


def table(options, rows):
    """Prints times, tokens a second, the ratio to ours within a turn, GFLOP/s and peak resident memory.

    GFLOP/s counts a forward and a backward pass of LSTM and full softmax, and no recomputation.
    """
    tokens = options.batch * options.time
    products = options.layers * 8 * options.units**2 + options.units * options.vocabulary
    flops = 3 * 2 * tokens * products
    print(
        f"{options.layers} x {options.units} LSTM, vocabulary {options.vocabulary:,}, batch {options.batch} x"
        f" {options.time}, {options.threads} threads, {options.rounds} turns of {options.steps} steps"
    )
    print(
        f"{'implementation':32}{'ms':>8}{'least':>8}{'tokens/s':>10}{'/ suite':>9}{'quartiles':>13}{'GFLOP/s':>9}"
        f"{'GEMM':>6}{'MiB':>6}{'step':>6}"
    )
    first = rows.get("suite") or next(iter(rows.values()))
    for name, row in rows.items():
        taken = np.array(row["seconds"])
        low, middle, high = np.percentile(taken / np.array(first["seconds"]), [25, 50, 75])
        rate = f"{flops / np.median(taken) / 1e9:.1f}" if name != "suite_adaptive" else "–"
        print(
            f"{IMPLEMENTATIONS[name]:32}{np.median(taken) * 1e3:8.1f}{taken.min() * 1e3:8.1f}"
            f"{tokens / np.median(taken):10,.0f}{middle:9.2f}{f'{low:.2f}-{high:.2f}':>13}{rate:>9}"
            f"{np.median(row['gemm']):6.0f}{row['peak_mib']:6.0f}{row['step_mib']:6.0f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--time", type=int, default=35)
    turns.common_options(parser, IMPLEMENTATIONS)
    options = parser.parse_args()
    if options.worker == "torch":
        turns.worker(options, torch_step(options), turns.gemm_torch)
    elif options.worker == "keras":
        turns.worker(options, keras_step(options), turns.gemm_tensorflow)
    elif options.worker:
        step = suite_step(options, adaptive=options.worker == "suite_adaptive")
        turns.worker(options, step, turns.gemm_tensorflow)
    elif options.json:
        print(json.dumps(turns.measure(options, __file__)))
    else:
        table(options, turns.measure(options, __file__))


if __name__ == "__main__":
    main()
