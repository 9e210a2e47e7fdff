"""The norm by the root of the mean square: the formula, with a gain in float32 whatever the layer computes in."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.layers.inline import apply
from nlp_suite.layers.rms_norm import RMSNorm


@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_it_is_the_formula(dtype, plus_one):
    random = np.random.default_rng(0)
    x = ops.cast(random.normal(size=(2, 3, 64)), "bfloat16")
    gain = random.uniform(1, 1.01, 64).astype("float32")  # few of which are bfloat16
    norm = RMSNorm(epsilon=0.1, plus_one=plus_one, dtype=dtype)
    norm.build((None, None, 64))
    norm.set_weights([gain - plus_one])
    values = ops.convert_to_numpy(ops.cast(x, "float32"))
    expected = values / np.sqrt((values**2).mean(-1, keepdims=True) + 0.1) * gain
    for given in (norm(x), apply(norm, x)):
        assert keras.backend.standardize_dtype(given.dtype) == norm.compute_dtype
        off = np.abs(ops.convert_to_numpy(ops.cast(given, "float32")) - expected) / np.abs(expected)
        assert off.max() < (2**-8 if dtype == "mixed_bfloat16" else 1e-5)  # one rounding at the end
