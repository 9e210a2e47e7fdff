"""One training step of OpenNMT-tf's Transformer, as a worker of `transformer_step.py`; runs in OpenNMT-tf's environment.

That is made, and then used, so:

    python3 -m venv opennmt && opennmt/bin/pip install OpenNMT-tf==2.32.0 tensorflow==2.13.1 'setuptools<70'
    python tests/benchmarks/transformer_step.py --opennmt-python opennmt/bin/python
"""

import tempfile
from pathlib import Path

import numpy as np


def opennmt_step(options, source, target, tf):
    """Returns a function that does one step and returns the loss.

    Args:
        options: with `vocabulary`, `layers`, `units`, `heads`, `feed_forward`, `dropout`, `label_smoothing`.
        source: int32 [B, S], target: int32 [B, T]; token ids without padding.
        tf: TensorFlow.
    """
    import opennmt
    from opennmt.models.sequence_to_sequence import EmbeddingsSharingLevel

    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocabulary.txt"
        words = ["<blank>", "<s>", "</s>", *(f"w{i}" for i in range(options.vocabulary - 4))]  # and an unknown one
        vocabulary.write_text("\n".join(words), "utf-8")
        model = opennmt.models.Transformer(
            source_inputter=opennmt.inputters.WordEmbedder(embedding_size=options.units),
            target_inputter=opennmt.inputters.WordEmbedder(embedding_size=options.units),
            num_layers=options.layers,
            num_units=options.units,
            num_heads=options.heads,
            ffn_inner_dim=options.feed_forward,
            dropout=options.dropout,
            attention_dropout=0.0,
            ffn_dropout=options.dropout,
            share_embeddings=EmbeddingsSharingLevel.ALL,
        )
        files = {"source_vocabulary": str(vocabulary), "target_vocabulary": str(vocabulary)}
        model.initialize(files, {"label_smoothing": options.label_smoothing})
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
