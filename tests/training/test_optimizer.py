"""The optimiser: averages of iterates, their trigger, rates by layer; on the backend that runs."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.config import load_experiment
from nlp_suite.registry import BACKBONES
from nlp_suite.training.averaging import StartAverage
from nlp_suite.training.optimizer import make_optimizer, optimizer_names


def training(**settings):
    return load_experiment({"training": {"learning_rate": 0.1, "monitor": "val_loss", **settings}}).training


def numpy(variable):
    return ops.convert_to_numpy(variable).copy()


class Weights:
    """Some variables, an optimiser built for them, and steps with given gradients."""

    def __init__(self, groups=None, **settings):
        values = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
        self.variables = [keras.Variable(value, name=f"kernel_{i}") for i, value in enumerate(values)]
        groups = groups and [[self.variables[i] for i in group] for group in groups]
        self.optimizer, self.callbacks = make_optimizer(training(**settings), 10, groups)
        self.inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self.optimizer.build(self.variables)

    def step(self, *gradients):
        gradients = [ops.convert_to_tensor(np.full((4, 3), g, "float32")) for g in gradients]
        if keras.backend.backend() == "jax":
            state = [v.value for v in self.optimizer.variables], gradients, [v.value for v in self.variables]
            values, own = self.optimizer.stateless_apply(*state)
            for variable, value in zip([*self.variables, *self.optimizer.variables], [*values, *own]):
                variable.assign(value)
        else:
            self.optimizer.apply(gradients, self.variables)
        return numpy(self.variables[0])

    @property
    def average(self):
        return numpy(self.inner._model_variables_moving_average[0])


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_average_is_the_mean_of_the_iterates(accumulation, precision):
    settings = {"optimizer": "sgd", "average_after": 1, "accumulation_steps": accumulation, "precision": precision}
    weights, gradients = Weights(**settings), iter(np.random.default_rng(1).normal(size=100) * 1000)
    weights.step(*[next(gradients)] * 2)
    for _ in range(3):
        now = weights.step(*[next(gradients)] * 2)
        np.testing.assert_array_equal(weights.average, now)
    weights.inner.start_average()
    iterates = [now]
    for n in range(12):
        now = weights.step(*[next(gradients)] * 2)
        if (n + 5) % accumulation == 0:
            iterates.append(now)
        np.testing.assert_allclose(weights.average, np.mean(iterates, axis=0), rtol=2e-5, atol=1e-5)
    assert int(numpy(weights.inner.averaged)) == len(iterates) == 1 + 12 // accumulation
    assert len({id(v) for v in weights.optimizer.variables}) == len(weights.optimizer.variables)


def test_an_overflow_is_no_iterate():
    weights = Weights(optimizer="sgd", average_after=1, precision="mixed_float16")
    first = weights.step(1.0, 1.0)
    weights.inner.start_average()
    np.testing.assert_array_equal(weights.step(np.inf, 1.0), first)
    assert int(numpy(weights.inner.averaged)) == 1
    np.testing.assert_array_equal(weights.average, first)


@pytest.mark.parametrize(
    "values, mode, starts",
    [
        ([5, 4, 3, 2, 1, 0], "min", None),
        ([5, 4, 4.5, 4.2, 4.0], "min", 4),  # of those before the last 2 rounds, the best is 4
        ([5, 4, 4.5, 3.9, 4.4, 3.8, 3.95], "min", 4),
        ([0.5, 0.6, 0.5, 0.55, 0.61, 0.5], "max", 5),
        ([1, 1, 1, 1], "min", 3),  # no better is enough
    ],
)
def test_the_trigger_is_not_monotonic(values, mode, starts):
    weights = Weights(optimizer="sgd", average_after=2)
    callback = StartAverage(2, "val_loss", mode)
    callback.set_model(type("Model", (), {"optimizer": weights.optimizer}))
    seen = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": value})
        seen.append(int(numpy(weights.inner.averaged)))
    assert seen == [int(starts is not None and epoch >= starts) for epoch in range(len(values))]


def test_weights_loaded_after_the_build_are_averaged_from_the_start():
    weights = Weights(optimizer="sgd", average_after=2)
    (callback,) = weights.callbacks
    callback.set_model(type("Model", (), {"optimizer": weights.optimizer}))
    weights.variables[0].assign(np.full((4, 3), 7.0))
    callback.on_train_begin()
    assert (weights.average == 7).all()


@pytest.mark.parametrize("name", sorted({*optimizer_names()} - {"multioptimizer", "ftrl"}))  # Ftrl makes no steps
@pytest.mark.parametrize("weight_decay", [None, 0.05])
def test_layers_below_learn_more_slowly(name, weight_decay):
    arguments = {"muon": {"adam_weight_decay": weight_decay or 0.0}}.get(name, {})
    if weight_decay or name == "adamw":
        arguments = {**arguments, "weight_decay": weight_decay or 0.0}
    settings = {"optimizer": name, "layer_rates": 0.5, "optimizer_arguments": arguments}
    weights = Weights(groups=[[0], [], [1]], **settings)
    same = np.random.default_rng(2).normal(size=(4, 3))
    for variable in weights.variables:
        variable.assign(same)
    if name == "schedulefreeadamw":  # keeps a copy of the weights
        weights.inner._momentums[0].assign(same), weights.inner._momentums[1].assign(same)
    weights.step(0.3, 0.3)
    low, high = (numpy(v) - same for v in weights.variables)
    assert np.abs(high).min() > 1e-5
    np.testing.assert_allclose(low, high / 4, rtol=0.02, atol=2e-6)


def test_rates_need_groups_that_are_complete():
    with pytest.raises(ValueError, match="needs the model's layer groups"):
        make_optimizer(training(layer_rates=0.5), 10)
    with pytest.raises(ValueError, match="no layer group has the variables kernel_1"):
        Weights(groups=[[0]], layer_rates=0.5)


def test_without_these_settings_the_class_is_keras_own():
    assert type(make_optimizer(training(optimizer="sgd"), 10)[0]).__module__.startswith("keras.")


class Classifier(keras.Model):
    """A backbone with all dropouts, and a dense layer."""

    def __init__(self):
        super().__init__()
        rates = dict.fromkeys(("word_dropout", "type_dropout", "embedding_dropout", "dropout", "weight_drop"), 0.3)
        self.backbone = BACKBONES.get("gru")(20, embedding_size=4, units=5, bidirectional=False, **rates)
        self.dense = keras.layers.Dense(2)
        self.backbone.build((None, None))
        self.dense.build((None, 5))
        self.built = True

    def call(self, tokens, training=None):
        return self.dense(ops.mean(self.backbone(tokens), axis=1))


def fitted(rounds, saved=None):
    """A model and its optimiser after some rounds of training, from the start or from saved state."""
    keras.utils.set_random_seed(4)
    model = Classifier()
    settings = {"optimizer": "sgd", "average_after": 1, "layer_rates": 0.5, "accumulation_steps": 2}
    groups = [*model.backbone.layer_groups(), model.dense.trainable_variables]
    optimizer, (average,) = make_optimizer(training(**settings, monitor="val_accuracy"), 10, groups)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=jit)
    optimizer.build(model.trainable_variables)
    done = 0
    if saved:
        done, values, average.monitored = saved
        for variable, value in zip([*model.variables, *optimizer.variables], values, strict=True):
            variable.assign(value)
    random = np.random.default_rng(0)
    tokens = random.integers(1, 20, (36, 7)).astype("int32")
    labels = random.integers(0, 2, 36)
    model.fit(
        tokens,
        labels,
        batch_size=12,
        initial_epoch=done,
        epochs=rounds,
        shuffle=False,
        verbose=0,
        validation_data=(tokens, labels),
        callbacks=[average, Keep()],
    )
    return rounds, Keep.values, average.monitored


class Keep(keras.callbacks.Callback):
    """Keeps all variables at the end of a round: after `fit` Keras puts the average into the model."""

    def on_epoch_end(self, epoch, logs=None):
        type(self).values = [numpy(v) for v in [*self.model.variables, *self.model.optimizer.variables]]
        type(self).averaged = int(numpy(self.model.optimizer.averaged))


@pytest.mark.slow
def test_a_resumed_training_is_exact():
    whole = fitted(6)
    averaged = Keep.averaged
    assert averaged > 2, "the average has started"
    resumed = fitted(6, fitted(4))
    assert resumed[2] == whole[2] and Keep.averaged == averaged
    for a, b in zip(resumed[1], whole[1], strict=True):
        np.testing.assert_array_equal(a, b)
