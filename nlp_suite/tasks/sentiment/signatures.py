"""Serving signatures of sentiment classification: text in, labels and probabilities out, all in one graph.

Every input and output has the batch in dim 0, and a row's answer does not depend on the rows beside it.
"""

import numpy as np

METHODS = {"classify": "tensorflow/serving/classify"}  # signature → method name, where it is not Predict
EXAMPLE = "A wonderful film, well worth the wait."


def signatures(model, predictor):
    """Traces the signatures of a sentiment model.

    * `serving_default`: `text` string `[B]` → `label` string `[B]`, `probability` float `[B]` (the label's),
      `probabilities` float `[B, C]`, `labels` string `[B, C]` (the names that the probabilities belong to).
    * `tokens`: `tokens` int32 `[B, T]`, `length` int32 `[B]` → the same. What stands at or after `length` is ignored; a
      row of length 0 is the empty text; an id that is no token counts as unknown; ids beyond the text layer's
      `max_length` are cut off.
    * `classify` (TensorFlow Serving's Classify): `inputs`, serialized `tf.Example` `[B]` with one bytes feature `text`
      → `classes` string `[B, C]`, `scores` float `[B, C]`, in the order of `labels`. An example without the feature is
      an error: it is a misspelt request, not an empty text.

    Args:
        model: token ids int32 `[B, T]` → logits `[B, C]`, under the TensorFlow backend.
        predictor: the same model at work in Python, with its `text` layer and C `labels`.

    Returns:
        A `tf.Module` that holds all resources, and a mapping of signature names to functions.
    """
    import tensorflow as tf

    text, labels = predictor.text, predictor.labels
    module = tf.Module()
    module.text = text.graph()
    module.weights = [variable.value for variable in model.variables]

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])  # traced once for all signatures
    def network(tokens):
        return tf.nn.softmax(tf.cast(model(tokens, training=False), tf.float32))  # [B, C]

    def answer(tokens):
        """tokens int32 `[B, T]`, at least one a row → the outputs."""
        probabilities = network(tokens)  # [B, C]
        names = tf.constant([label.encode("utf-8") for label in labels])  # [C]
        return {
            "label": tf.gather(names, tf.argmax(probabilities, axis=1)),  # [B]
            "probability": tf.reduce_max(probabilities, axis=1),  # [B]
            "probabilities": probabilities,
            "labels": tf.tile(names[None, :], [tf.shape(probabilities)[0], 1]),  # [B, C]
        }

    def answer_texts(texts):
        """texts string `[B]`, also B = 0: a row is added for the network and taken off again."""
        rows = tf.shape(texts)[0]
        texts = tf.concat([texts, tf.fill([tf.cast(tf.equal(rows, 0), tf.int32)], "")], axis=0)
        tokens, _ = module.text.encode(texts)  # [B, T]
        return {name: value[:rows] for name, value in answer(tokens).items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(text):
        return answer_texts(tf.reshape(text, [-1]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(inputs):
        feature = {"text": tf.io.FixedLenFeature([], tf.string)}
        outputs = answer_texts(tf.io.parse_example(tf.reshape(inputs, [-1]), feature)["text"])
        return {"classes": outputs["labels"], "scores": outputs["probabilities"]}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="tokens"),
            tf.TensorSpec([None], tf.int32, name="length"),
        ]
    )
    def tokens(tokens, length):
        rows = tf.shape(tokens)[0]
        tokens, length = _at_least_one_row(tf, tokens, tf.reshape(length, [-1]))
        clean = _clean(tf, tokens, length, text)
        return {name: value[:rows] for name, value in answer(clean).items()}

    return module, {"serving_default": serving_default, "classify": classify, "tokens": tokens}


def _at_least_one_row(tf, tokens, length):
    """An empty batch gets one row of length 0."""
    extra = tf.cast(tf.equal(tf.shape(tokens)[0], 0), tf.int32)
    return tf.pad(tokens, [[0, extra], [0, 0]]), tf.pad(length, [[0, extra]])


def _clean(tf, tokens, length, text):
    """Only ids that the network knows, PAD exactly from `length` on, and at least one token a row."""
    from nlp_suite.text.text_layer import PAD, UNKNOWN

    tokens = tokens[:, : text.settings.max_length]  # [B, T]
    empty = tf.constant(text.encode([""])[0][None, :])  # [1, T0], what an empty text becomes
    width = tf.maximum(tf.shape(tokens)[1], empty.shape[1])
    tokens = tf.pad(tokens, [[0, 0], [0, width - tf.shape(tokens)[1]]])
    empty = tf.pad(empty, [[0, 0], [0, width - empty.shape[1]]])  # [1, T]
    known = tf.logical_and(tokens > PAD, tokens < text.vocabulary_size)
    tokens = tf.where(known, tokens, UNKNOWN)
    tokens = tf.where(tf.range(width)[None, :] < length[:, None], tokens, PAD)
    return tf.where(length[:, None] > 0, tokens, empty)


def cases(predictor, texts: list[bytes]) -> list:
    """Requests with expected answers: one of every signature, over the same texts.

    Args:
        predictor: the model in Python, with its `text` layer and C `labels`.
        texts: N texts.

    Returns:
        (signature, inputs, expected outputs) three times; arrays, or (lists of) lists of bytes. The label is expected
        only where no text stands on the border between two.
    """
    text, names = predictor.text, [label.encode("utf-8") for label in predictor.labels]
    probabilities = predictor.probabilities(texts)  # [N, C]
    outputs = {"probabilities": probabilities, "probability": probabilities.max(axis=1), "labels": [names] * len(texts)}
    top = np.sort(probabilities, axis=1)[:, -2:]  # [N, 2]
    if (top[:, 1] - top[:, 0] > 1e-4).all():
        outputs["label"] = [names[i] for i in probabilities.argmax(axis=1)]
    rows = text.encode(texts)
    token_inputs = {"tokens": text.pad(rows), "length": np.array([len(row) for row in rows], "int32")}
    return [
        ("serving_default", {"text": list(texts)}, outputs),
        ("tokens", token_inputs, outputs),
        ("classify", {"inputs": [_example(t) for t in texts]}, {"classes": outputs["labels"], "scores": probabilities}),
    ]


def _example(text: bytes) -> bytes:
    """A serialized `tf.Example` with the bytes feature `text`."""
    import tensorflow as tf

    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
    return tf.train.Example(features=tf.train.Features(feature={"text": feature})).SerializeToString()
