"""Layer normalisation with a written-out gradient: about half the passes over memory of automatic differentiation."""

import keras
from keras import ops

from nlp_suite.layers.custom_gradient import custom_gradient


def layer_norm(layer, x, training=None):
    """What `layer` computes (Ba et al. 2016), over the last axis; its gradient is written out in training.

    With x̂ = (x - mean) / √(variance + ε) and y = γ x̂ + β, the gradient of x is (γ dy - mean(γ dy) - x̂ mean(γ dy x̂))
    / √(variance + ε): of the tensors as large as x only x̂ is kept. Statistics are float32, as in Keras.

    Args:
        layer: a built `keras.layers.LayerNormalization` over the last axis, with scale and offset; it has the weights.
        x: `[..., D]`; symbolic tensors (`keras.KerasTensor`) get the Keras layer itself into their graph.
        training: whether a gradient will be taken; if not, an automatic gradient is right as well, only slower.

    Returns:
        `[..., D]` in the layer's compute dtype.

    Example:
        >>> norm = keras.layers.LayerNormalization(epsilon=1e-6)
        >>> norm.build((None, 8))
        >>> layer_norm(norm, x, training=True)
    """
    if isinstance(x, keras.KerasTensor):
        return layer(x)
    axes, size = tuple(range(len(x.shape) - 1)), x.shape[-1]

    def forward(x, gamma, beta):
        x = ops.cast(x, "float32")
        centered = x - ops.mean(x, axis=-1, keepdims=True)  # [..., D]
        inverse = ops.rsqrt(ops.mean(ops.square(centered), axis=-1, keepdims=True) + layer.epsilon)  # [..., 1]
        normal = centered * inverse  # [..., D]
        return ops.cast(normal * gamma + beta, layer.compute_dtype), normal, inverse

    if not training:
        return forward(x, layer.gamma, layer.beta)[0]

    def function(x, gamma, beta):
        result, normal, inverse = forward(x, gamma, beta)

        def gradient(upstream):
            dy = ops.cast(upstream[0], "float32")  # [..., D]
            mean_of = ops.expand_dims(gamma, 1) / size  # [D, 1]: y @ mean_of is mean(γ y)
            d_gamma = dy * normal  # [..., D], to be summed
            scaled = dy * gamma - ops.matmul(dy, mean_of) - normal * ops.matmul(d_gamma, mean_of)  # [..., D]
            return ops.cast(scaled * inverse, x.dtype), ops.sum(d_gamma, axis=axes), ops.sum(dy, axis=axes)

        return (result,), gradient

    return custom_gradient(function, (x, layer.gamma, layer.beta))[0]
