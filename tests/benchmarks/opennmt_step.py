"""One training step of OpenNMT-tf's Transformer, as a worker of `transformer_step.py`; runs in OpenNMT-tf's environment.

That is made, and then used, so:

    python3 -m venv opennmt && opennmt/bin/pip install OpenNMT-tf==2.32.0 tensorflow==2.13.1 'setuptools<70'
    python tests/benchmarks/transformer_step.py --opennmt-python opennmt/bin/python
"""

import tempfile

import numpy as np


def opennmt_step(options, source, target, tf):
    """Returns a function that does one step and returns the loss.

    Args:
        options: with `vocabulary`, `layers`, `units`, `heads`, `feed_forward`, `dropout`, `label_smoothing`.
        source: int32 [B, S], target: int32 [B, T]; token ids without padding.
        tf: TensorFlow.
    """
    import opennmt
    from opennmt_export import transformer, write_vocabulary

    with tempfile.TemporaryDirectory() as folder:
        model = transformer(
            write_vocabulary(folder, options.vocabulary),
            {"label_smoothing": options.label_smoothing},
            layers=options.layers,
            units=options.units,
            heads=options.heads,
            feed_forward=options.feed_forward,
            dropout=options.dropout,
        )
    optimizer = opennmt.optimizers.make_optimizer("LazyAdam", 1e-3)
    lengths = np.full(len(target), target.shape[1], "int32")
    features = {"ids": tf.constant(source, tf.int64), "length": tf.constant(np.full_like(lengths, source.shape[1]))}
    ends = np.full((len(target), 1), 2)
    labels = {
        "ids": tf.constant(np.concatenate([np.full_like(ends, 1), target[:, :-1]], axis=1), tf.int64),
        "ids_out": tf.constant(np.concatenate([target[:, :-1], ends], axis=1), tf.int64),
        "length": tf.constant(lengths),
    }
    open_dims = {"ids": tf.TensorSpec([None, None], tf.int64), "length": tf.TensorSpec([None], tf.int32)}
    signature = [open_dims, {**open_dims, "ids_out": tf.TensorSpec([None, None], tf.int64)}]

    @tf.function(input_signature=signature)
    def train(features, labels):
        with tf.GradientTape() as tape:
            outputs, _ = model(features, labels, training=True)
            total, normalizer, _ = model.compute_loss(outputs, labels, training=True)
            loss = total / normalizer
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    return lambda: float(train(features, labels))
