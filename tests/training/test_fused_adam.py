import keras
import numpy as np
import pytest

from nlp_suite.training.fused_adam import FusedAdam, fused

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the kernel is TensorFlow's")


def trained(optimizer, steps=5, sparse=False):
    """A model's weights after a few steps of the same gradients, compiled."""
    import tensorflow as tf

    random = np.random.default_rng(3)
    variables = [keras.Variable(random.normal(size=shape).astype("float32")) for shape in [(7, 5), (5,)]]
    optimizer.build(variables)
    gradients = random.normal(size=(steps, 7, 5)).astype("float32"), random.normal(size=(steps, 5)).astype("float32")

    @tf.function
    def step(first, second):
        if sparse:
            first = tf.IndexedSlices(first[:3], [0, 2, 2], [7, 5])
        optimizer.apply([first, second], variables)

    for first, second in zip(*gradients):
        step(tf.constant(first), tf.constant(second))
    return [keras.ops.convert_to_numpy(variable) for variable in variables + optimizer.variables]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "name, settings",
    [
        ("Adam", {}),
        ("Adam", {"beta_1": 0.7, "beta_2": 0.98, "epsilon": 1e-3, "global_clipnorm": 0.5}),
        ("Adam", {"amsgrad": True}),
        ("Adam", {"use_ema": True}),
        ("Adam", {"gradient_accumulation_steps": 2}),
        ("AdamW", {"weight_decay": 0.1}),
    ],
)
def test_it_does_what_keras_does(name, settings, sparse):
    if sparse and "global_clipnorm" in settings:
        pytest.skip("Keras itself does not clip sparse gradients that repeat a row")
    optimizer = getattr(keras.optimizers, name)
    ours, theirs = (trained(made(0.01, **settings), sparse=sparse) for made in (fused(optimizer), optimizer))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_graph_has_one_kernel_a_variable_and_other_optimisers_stay():
    import tensorflow as tf

    variable = keras.Variable(np.ones((3, 2), "float32"))
    optimizer = fused(keras.optimizers.Adam)(0.1)
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    graph = step.get_concrete_function(tf.TensorSpec([3, 2])).graph
    assert [operation.type for operation in graph.get_operations()].count("ResourceApplyAdam") == 1
    assert fused(keras.optimizers.SGD) is keras.optimizers.SGD
    assert issubclass(fused(keras.optimizers.AdamW), FusedAdam)
