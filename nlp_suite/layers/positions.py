"""Position information: sinusoidal and learned embeddings to add, angles to rotate queries and keys by.

The caller gives the positions, int32 `[B, T]`, so a single step at position p equals position p of a sequence.
"""

import math

import keras
from keras import ops

from nlp_suite.layers.inline import constant


def token_positions(tokens):
    """Positions 0, 1, 2, … of every row, int32 `[B, T]`; works where T is unknown."""
    return ops.cumsum(ops.ones_like(tokens, dtype="int32"), axis=1) - 1


def _angles(positions, size):
    """Angle of every position and frequency, float32 `[B, T, size/2]`; frequencies fall from 1 to 1/10,000."""
    frequencies = ops.exp(ops.arange(0, size, 2, dtype="float32") * (-math.log(10_000.0) / size))  # [size/2]
    return ops.expand_dims(ops.cast(positions, "float32"), -1) * constant(frequencies, positions)  # [B, T, size/2]


def sinusoidal(positions, size, dtype="float32"):
    """Sine and cosine position vectors (Vaswani et al. 2017, §3.5), sines first.

    Args:
        positions: int32 `[B, T]`.
        size: even number of features E.

    Returns:
        `[B, T, E]`.
    """
    angles = _angles(positions, size)
    return ops.cast(ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1), dtype)  # [B, T, E]


def rotate(x, positions):
    """Rotary position embedding (Su et al. 2021): rotates feature pairs (i, i + size/2) by their position's angle.

    Args:
        x: queries or keys `[B, H, T, size]`, size even.
        positions: int32 `[B, T]`.

    Returns:
        `[B, H, T, size]`; dot products then depend only on the distance between two positions.
    """
    return rotated(x, _rotation(_angles(positions, x.shape[-1]), x.dtype))


def rotation(positions, frequencies, dtype="float32"):
    """What `rotated` multiplies by, for many layers at once.

    Args:
        positions: int32 `[B, T]`.
        frequencies: radians a position of each pair of features, `size/2` numbers.
        dtype: of the queries and keys.

    Returns:
        For each feature the cosine of its angle, and the sine with the sign that the other one of its pair gets,
        `[B, 1, T, size]` each.
    """
    frequencies = ops.convert_to_tensor(frequencies, "float32")  # [size/2]
    return _rotation(ops.expand_dims(ops.cast(positions, "float32"), -1) * frequencies, dtype)


def _rotation(angles, dtype):
    cosine, sine = (ops.cast(f(ops.expand_dims(angles, 1)), dtype) for f in (ops.cos, ops.sin))  # [B, 1, T, size/2]
    return ops.concatenate([cosine, cosine], axis=-1), ops.concatenate([-sine, sine], axis=-1)


def rotated(x, rotation):
    """Queries or keys `[B, H, T, size]`, their feature pairs (i, i + size/2) rotated by what `rotation` gave."""
    cosine, sine = rotation
    first, second = ops.split(x, 2, axis=-1)  # [B, H, T, size/2] each
    return x * cosine + ops.concatenate([second, first], axis=-1) * sine


@keras.saving.register_keras_serializable("nlp_suite")
class PositionEmbedding(keras.layers.Layer):
    """Adds position vectors to embeddings.

    Args:
        kind: `"sinusoidal"` (fixed), `"learned"` (a table of `max_length` rows) or `"rotary"` (adds nothing here; the
            attention layers rotate queries and keys instead).
        max_length: rows of the learned table; positions beyond it use its last row.

    Call arguments: `x` `[B, T, E]`, `positions` int32 `[B, T]`. Returns `[B, T, E]`. Masks have no effect.
    """

    def __init__(self, kind, size, max_length=512, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.size, self.max_length = kind, size, max_length
        self.supports_masking = True
        self.table = keras.layers.Embedding(max_length, size, dtype=self.dtype_policy) if kind == "learned" else None

    def build(self, input_shape) -> None:
        if self.table is not None:
            self.table.build((None, None))

    def call(self, x, positions):
        if self.kind == "sinusoidal":
            return x + sinusoidal(positions, self.size, x.dtype)
        if self.kind == "learned":
            return x + self.table(ops.minimum(positions, self.max_length - 1))
        return x

    def compute_output_spec(self, x, positions):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "size": self.size, "max_length": self.max_length}
