"""RMS norm (Zhang & Sennrich 2019): features divided by their root mean square, times a gain."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class RMSNorm(keras.layers.Layer):
    """x / √(mean(x²) + ε) · gain, in float32.

    Args:
        epsilon: what is added to the mean square.
        plus_one: whether the gain is the weight and 1, so that weights of 0 change nothing (Gemma).

    Call arguments: `x` `[..., D]`. Returns `[..., D]` in the layer's compute dtype. Masks have no effect.

    Example:
        >>> RMSNorm(epsilon=1e-5)(x)
    """

    def __init__(self, epsilon=1e-6, plus_one=False, **kwargs):
        super().__init__(**kwargs)
        self.epsilon, self.plus_one = epsilon, plus_one
        self.supports_masking = True

    def build(self, input_shape) -> None:
        initializer = "zeros" if self.plus_one else "ones"
        # Keras would hand it over in the compute dtype.
        self.scale = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer=initializer, autocast=False)

    def call(self, x):
        x = ops.cast(x, "float32")
        inverse = ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon)  # [..., 1]
        gain = ops.cast(self.scale, "float32")
        if self.plus_one:
            gain = gain + 1.0
        return ops.cast(x * inverse * gain, self.compute_dtype)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon, "plus_one": self.plus_one}
