"""SavedModels with the signatures of classifiers and regressions whose answers are easy to know, for the page.

What a text holds is the number of times that it says `good`, less that of `bad`.
"""

from pathlib import Path
from typing import Any

from nlp_suite.export.serving_hints import ServingHints

LABELS = ["praise", "complaint", "nothing"]
THRESHOLDS = [0.6, 0.3, 0.9]
STARS = ["1", "2", "3", "4", "5"]


def write_page_models(folder: Path) -> dict[str, Path]:
    """Writes a model of each kind; name → its folder."""
    return {name: _write(folder / name, name, made) for name, made in KINDS.items()}


def _write(folder: Path, name: str, made) -> Path:
    import tensorflow as tf

    text = tf.TensorSpec([None], tf.string, "text")
    inputs = [text, tf.TensorSpec([None], tf.string, "text_b")] if name == "pairs" else [text]
    module = tf.Module()
    module.answer = tf.function(made, input_signature=inputs)
    signatures = {"serving_default": module.answer}
    if name != "pairs":
        module.embed = tf.function(_embed, input_signature=[text])
        signatures["embed"] = module.embed
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    ServingHints(
        page_form={"stars": "ordinal", "labels": "labels", "number": "regression"}.get(name, "classification")
    ).write(folder / "1")
    return folder


def _count(text, word: str) -> Any:
    import tensorflow as tf

    left = tf.strings.length(tf.strings.regex_replace(text, word, ""))
    return tf.cast(tf.strings.length(text) - left, tf.float32) / len(word)  # [B]


def _value(text) -> Any:
    return _count(text, "good") - _count(text, "bad")


def _embed(text) -> dict[str, Any]:
    """The counts of both words; nothing of other texts."""
    import tensorflow as tf

    vectors = tf.stack([_count(text, "good"), _count(text, "bad")], axis=1)  # [B, 2]
    return {"embedding": vectors, "truncated": tf.strings.length(text) > 100}


def _one_label(scores, names, text) -> dict[str, Any]:
    import tensorflow as tf

    probabilities = tf.nn.softmax(scores)  # [B, C]
    best = tf.argmax(scores, axis=1)
    names = tf.constant(names)
    return {
        "label": tf.gather(names, best),
        "labels": tf.tile(names[None], [tf.shape(text)[0], 1]),
        "probabilities": probabilities,
        "truncated": tf.strings.length(text) > 100,
    }


def _stars(text) -> dict[str, Any]:
    import tensorflow as tf

    distance = tf.range(5.0)[None] - 2.0 - _value(text)[:, None]  # [B, 5]
    return _one_label(-(distance**2), STARS, text)


def _labels(text) -> dict[str, Any]:
    import tensorflow as tf

    scores = tf.stack([3 * _count(text, "good") - 2, 3 * _count(text, "bad") - 2, _count(text, "good") * 0 - 3], axis=1)
    probabilities, rows = tf.sigmoid(scores), tf.shape(text)[0]  # [B, 3]
    thresholds = tf.tile(tf.constant(THRESHOLDS)[None], [rows, 1])
    names = tf.tile(tf.constant(LABELS)[None], [rows, 1])
    truncated = tf.strings.length(text) > 100
    chosen = probabilities >= thresholds
    return {
        "labels": names,
        "probabilities": probabilities,
        "thresholds": thresholds,
        "chosen": chosen,
        "truncated": truncated,
    }


def _number(text) -> dict[str, Any]:
    import tensorflow as tf

    return {"value": -1000.0 * _value(text), "truncated": tf.strings.length(text) > 100}


def _pairs(text, text_b) -> dict[str, Any]:
    import tensorflow as tf

    agree = 1.0 - tf.abs(_value(text) - _value(text_b))
    return _one_label(tf.stack([agree, -agree], axis=1), ["yes", "no"], text)


KINDS = {"stars": _stars, "labels": _labels, "number": _number, "pairs": _pairs}
