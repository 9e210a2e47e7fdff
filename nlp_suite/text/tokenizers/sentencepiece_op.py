"""TF Text's tokenizer of a SentencePiece model, which stays whatever else the process does."""

import hashlib
from typing import Any

from nlp_suite.native_output import suppress_native_log


def sentencepiece_op(model: bytes) -> Any:
    """A `tensorflow_text.SentencepieceTokenizer`; of one model there is one resource in a process.

    TF Text gives the resource no name, so that it goes with the kernel that made it, and TensorFlow drops all kernels when
    a seed is set, as every training does: a tokenizer that was opened before could not be used any more.

    Args:
        model: SentencePiece's own format.
    """
    import tensorflow as tf
    import tensorflow_text
    from tensorflow_text.python.ops.sentencepiece_tokenizer import gen_sentencepiece_tokenizer

    class NamedModel(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self) -> Any:
            name = hashlib.sha256(model).hexdigest()
            return gen_sentencepiece_tokenizer.sentencepiece_op(model=model, shared_name=name)

    with suppress_native_log():
        tokenizer = tensorflow_text.SentencepieceTokenizer(model)
        tokenizer._model_resource = NamedModel()
        _ = tokenizer._model_resource.resource_handle  # made here, and not in the graph that uses it first
    return tokenizer
