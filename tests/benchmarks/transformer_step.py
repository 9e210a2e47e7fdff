"""Times one training step of a Transformer for translation: this package, and the same from Keras and KerasHub, in turns.

3+3 layers of 256 units, 4 heads, feed-forward 1,024, 8,000 words, source, target and output tables tied, label smoothing
0.1, dropout 0.1, Adam: the model that OpenNMT-tf 2.32 trains with about 2,400 source and target tokens a second on 2
cores with AVX2. A batch has `--rows` pairs of `--time` tokens a side. `plain` is the same model from `keras.layers`,
`keras_hub.layers.TransformerEncoder` and `TransformerDecoder`, and a dense softmax. `opennmt` is OpenNMT-tf itself, in an
environment of its own (`opennmt_step.py` says how to make it); it takes part where `--opennmt-python` names it.

    python tests/benchmarks/transformer_step.py --threads 2
    python tests/benchmarks/transformer_step.py --only suite --dropout 0
    python tests/benchmarks/transformer_step.py --only suite opennmt --opennmt-python opennmt/bin/python
"""

import argparse
import json
import sys

import numpy as np
import turns

IMPLEMENTATIONS = {"suite": "nlp_suite", "plain": "keras_hub.layers, dense softmax", "opennmt": "OpenNMT-tf 2.32"}


def batch(options):
    """Source, target read and target wanted: ids [B, T] each, without padding."""
    random = np.random.default_rng(options.seed)
    shape = (options.rows, options.time + 1)
    source, target = random.integers(4, options.vocabulary, shape), random.integers(4, options.vocabulary, shape)
    return [ids.astype("int32") for ids in (source[:, 1:], target[:, :-1], target[:, 1:])]


def suite_model(options):
    """Returns a function to the summed loss, and the trainable variables."""
    from keras import ops

    from nlp_suite.backbones.decoders.transformer import TransformerDecoder
    from nlp_suite.backbones.transformer import TransformerBackbone
    from nlp_suite.layers.full_softmax import FullSoftmax

    size = options.units
    settings = {
        "layers": options.layers,
        "heads": options.heads,
        "feed_forward": options.feed_forward,
        "dropout": options.dropout,
    }
    encoder = TransformerBackbone(options.vocabulary, embedding_size=size, **settings)
    encoder.build((None, None))
    decoder = TransformerDecoder(size, **settings)
    decoder.build(size)
    softmax = FullSoftmax(options.vocabulary, tied=True, embedding_size=size)
    softmax.build((None, size))

    def loss(source, target, wanted):
        mask = ops.not_equal(source, 0)
        memory = decoder.memory(encoder(source, training=True), mask)
        features, _ = decoder(encoder.embedding(target), ops.not_equal(target, 0), memory, training=True)
        features, wanted = ops.reshape(features, (-1, size)), ops.reshape(wanted, (-1,))
        weights = ops.cast(ops.not_equal(wanted, 0), "float32")
        table = encoder.embedding.embeddings
        return softmax.loss(features, wanted, weights, table, label_smoothing=options.label_smoothing)[0]

    return loss, [v for layer in (encoder, decoder, softmax) for v in layer.trainable_variables]


def plain_model(options):
    """As `suite_model`, of Keras's and KerasHub's layers."""
    import keras
    import keras_hub
    from keras import ops

    size = options.units
    embedding = keras.layers.Embedding(options.vocabulary, size)
    embedding.build((None, None))
    positions = keras_hub.layers.SinePositionEncoding()
    shape, common = (
        (None, None, size),
        {"dropout": options.dropout, "layer_norm_epsilon": 1e-6, "normalize_first": True},
    )
    encoders = [
        keras_hub.layers.TransformerEncoder(options.feed_forward, options.heads, **common)
        for _ in range(options.layers)
    ]
    decoders = [
        keras_hub.layers.TransformerDecoder(options.feed_forward, options.heads, **common)
        for _ in range(options.layers)
    ]
    norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
    drop = keras.layers.Dropout(options.dropout)
    bias = keras.Variable(np.zeros(options.vocabulary, "float32"))
    for layer in (*encoders, *norms):
        layer.build(shape)
    for layer in decoders:
        layer.build(shape, shape)

    def embed(tokens):
        x = embedding(tokens) * size**0.5
        return drop(x + positions(x), training=True)

    def loss(source, target, wanted):
        mask, target_mask = ops.not_equal(source, 0), ops.not_equal(target, 0)
        x = embed(source)
        for layer in encoders:
            x = layer(x, padding_mask=mask, training=True)
        memory, y = norms[0](x), embed(target)
        for layer in decoders:
            y = layer(y, memory, decoder_padding_mask=target_mask, encoder_padding_mask=mask, training=True)
        logits = ops.matmul(norms[1](y), ops.transpose(embedding.embeddings)) + bias  # [B, T, V]
        share = options.label_smoothing / options.vocabulary
        smooth = ops.one_hot(wanted, options.vocabulary) * (1 - options.label_smoothing) + share
        nll = ops.categorical_crossentropy(smooth, logits, from_logits=True)
        return ops.sum(nll * ops.cast(ops.not_equal(wanted, 0), "float32"))

    layers = [embedding, *encoders, *decoders, *norms]
    return loss, [*(v for layer in layers for v in layer.trainable_variables), bias]


def training_step(options, name):
    """Returns a function that does one step and returns the loss of a token."""
    tf = turns.limit_tensorflow(options.threads)
    if name == "opennmt":
        from opennmt_step import opennmt_step

        tf.random.set_seed(options.seed)
        source, _, wanted = batch(options)
        return opennmt_step(options, source, wanted, tf)
    import keras

    keras.utils.set_random_seed(options.seed)
    loss, variables = {"suite": suite_model, "plain": plain_model}[name](options)
    from nlp_suite.training.fused_adam import fused

    optimizer = (fused(keras.optimizers.Adam) if name == "suite" else keras.optimizers.Adam)(1e-4)
    optimizer.build(variables)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 3, autograph=False)
    def train(source, target, wanted):
        with tf.GradientTape() as tape:
            total = loss(source, target, wanted) / tf.cast(tf.size(wanted), tf.float32)
        optimizer.apply(tape.gradient(total, [v.value for v in variables]), variables)
        return total

    arrays = [tf.constant(a) for a in batch(options)]
    return lambda: float(train(*arrays))


def flops(options):
    """Of the matrix products of one step, forward and twice as much backward."""
    size, tokens = options.units, options.rows * options.time
    attention = 4 * size**2 + 2 * options.time * size  # multiplications a token: projections, scores and mixture
    layer = 3 * attention + 2 * 2 * size * options.feed_forward  # one layer of each side
    return 3 * 2 * tokens * (options.layers * layer + size * options.vocabulary)


def table(options, rows):
    """Prints times, tokens a second of both sides, GFLOP/s, and the rate of a bare matrix product."""
    print(
        f"{options.layers}+{options.layers} x {options.units}, {options.heads} heads, feed-forward"
        f" {options.feed_forward}, vocabulary {options.vocabulary:,}, {options.rows} pairs of {options.time}, dropout"
        f" {options.dropout}, {options.threads} threads, {options.rounds} turns of {options.steps} steps;"
        f" {flops(options) / 1e9:.1f} GFLOP a step"
    )
    print(
        f"{'implementation':34}{'ms':>8}{'least':>8}{'CPU ms':>8}{'tokens/s':>10}{'best':>8}{'faster':>8}{'quartiles':>13}"
        f"{'GFLOP/s':>9}{'best':>6}{'GEMM':>6}{'best':>6}{'MiB':>7}"
    )
    base = rows.get("opennmt") or rows.get("plain") or next(iter(rows.values()))
    tokens = 2 * options.rows * options.time
    for name, row in rows.items():
        taken = np.array(row["seconds"])
        low, middle, high = np.percentile(np.array(base["seconds"]) / taken, [25, 50, 75])
        rate = flops(options) / 1e9
        print(
            f"{IMPLEMENTATIONS[name]:34}{np.median(taken) * 1e3:8.0f}{taken.min() * 1e3:8.0f}"
            f"{np.median(row['cpu_seconds']) * 1e3:8.0f}{tokens / np.median(taken):10,.0f}{tokens / taken.min():8,.0f}"
            f"{middle:8.2f}{f'{low:.2f}-{high:.2f}':>13}{rate / np.median(taken):9.0f}{rate / taken.min():6.0f}"
            f"{np.median(row['gemm']):6.0f}{max(row['gemm']):6.0f}{row['step_mib']:7.0f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--feed-forward", type=int, default=1024)
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--time", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--opennmt-python", help="interpreter of an environment with OpenNMT-tf")
    turns.common_options(parser, IMPLEMENTATIONS)
    options = parser.parse_args()
    if "opennmt" in options.only and not options.opennmt_python:
        options.only = [name for name in options.only if name != "opennmt"]
        if not options.only:
            parser.error("opennmt needs --opennmt-python")

    def python(name):
        return options.opennmt_python if name == "opennmt" else sys.executable

    if options.worker:
        turns.worker(options, training_step(options, options.worker), turns.gemm_tensorflow)
    elif options.json:
        print(json.dumps(turns.measure(options, __file__, python)))
    else:
        table(options, turns.measure(options, __file__, python))


if __name__ == "__main__":
    main()
