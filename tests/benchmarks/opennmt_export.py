"""OpenNMT-tf's Transformer as its own SavedModel, for `translation_decode.py`; runs in OpenNMT-tf's environment.

`opennmt_step.py` says how that environment is made. Random weights, 25 tokens of every translation.

    opennmt/bin/python tests/benchmarks/opennmt_export.py FOLDER BEAM
"""

import sys
import tempfile
from pathlib import Path

SIZES = {"layers": 3, "units": 256, "heads": 4, "feed_forward": 1024, "vocabulary": 8000}
TARGET = 25  # ids that a translation has


def transformer(vocabulary_file, parameters, *, layers, units, heads, feed_forward, dropout=0.1):
    """OpenNMT-tf's model, initialised.

    Args:
        vocabulary_file: a word a line.
        parameters: OpenNMT-tf's params.
        layers, units, heads, feed_forward: sizes.
        dropout: rate.
    """
    import opennmt
    from opennmt.models.sequence_to_sequence import EmbeddingsSharingLevel

    model = opennmt.models.Transformer(
        source_inputter=opennmt.inputters.WordEmbedder(embedding_size=units),
        target_inputter=opennmt.inputters.WordEmbedder(embedding_size=units),
        num_layers=layers,
        num_units=units,
        num_heads=heads,
        ffn_inner_dim=feed_forward,
        dropout=dropout,
        attention_dropout=0.0,
        ffn_dropout=dropout,
        share_embeddings=EmbeddingsSharingLevel.ALL,
    )
    files = {"source_vocabulary": str(vocabulary_file), "target_vocabulary": str(vocabulary_file)}
    model.initialize(files, parameters)
    return model


def write_vocabulary(folder, size):
    """A file of `size` words, an unknown one not among them; its path."""
    file = Path(folder) / "vocabulary.txt"
    file.write_text("\n".join(["<blank>", "<s>", "</s>", *(f"w{i}" for i in range(size - 4))]), "utf-8")
    return file


def main(folder, beam):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        sizes = dict(SIZES)
        file = write_vocabulary(scratch, sizes.pop("vocabulary"))
        search = {"beam_width": beam, "minimum_decoding_length": TARGET, "maximum_decoding_length": TARGET}
        model = transformer(file, {**search, "num_hypotheses": 1}, **sizes)
        model.create_variables()
        model.export(folder)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
