"""Records models of Keras 2 as it writes them, with its answers, into tests/fixtures/keras2.

python tests/tasks/sentiment/imported/record_keras2.py      # where `pip install tf_keras` was run; the tests do not need it
"""

import json
from pathlib import Path

import numpy as np
import tf_keras
from tf_keras import layers

FOLDER = Path(__file__).parents[3] / "fixtures" / "keras2"
ROWS, LENGTH = 30, 8


def ids():
    draw = np.random.default_rng(1)
    rows = draw.integers(2, ROWS, (6, LENGTH))
    for row, count in zip(rows, (8, 8, 8, 5, 2, 1), strict=True):
        row[: LENGTH - count] = 0  # padded on the left, as pad_sequences does by default
    return rows.astype("int32")


def models():
    yield (
        "bilstm",
        [
            layers.Embedding(ROWS, 4, input_length=LENGTH, mask_zero=True),
            layers.SpatialDropout1D(0.1),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(2)),
            layers.Dense(5, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ],
    )
    yield (
        "gru",
        [
            layers.Embedding(ROWS, 4, input_length=LENGTH, mask_zero=True),
            layers.GRU(3),
            layers.Dense(3, activation="softmax"),
        ],
    )


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    answers = {}
    for name, parts in models():
        tf_keras.utils.set_random_seed(2)
        model = tf_keras.Sequential(parts)
        model.build((None, LENGTH))
        draw = np.random.default_rng(3)
        model.set_weights([draw.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
        model.compile("adam", "binary_crossentropy")
        model.save(FOLDER / f"{name}.h5", include_optimizer=False)
        answers[name] = model.predict(ids(), verbose=0).astype("float64").tolist()
    answers["ids"] = ids().tolist()
    (FOLDER / "answers.json").write_text(json.dumps(answers), "utf-8")


if __name__ == "__main__":
    main()
