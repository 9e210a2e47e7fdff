"""Learning-rate schedules at the steps that tell them apart."""

import keras
import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError
from nlp_suite.registry import SCHEDULES


def rates(steps, learning_rate=0.5, total=101, **settings):
    settings = load_experiment({"training": {"schedule": settings}}).training.schedule
    schedule = SCHEDULES.get(settings.name)(**settings.arguments()).rate(learning_rate, total)
    rate = schedule if callable(schedule) else lambda step: schedule
    return [float(keras.ops.convert_to_numpy(rate(step))) for step in steps]


def test_one_cycle_rises_and_falls():
    start, quarter, peak, half, last, beyond = rates(
        [0, 15, 30, 65, 100, 400], name="one_cycle", rise=0.3, start_divisor=10, end_divisor=1000
    )
    assert start == pytest.approx(0.05) and peak == pytest.approx(0.5)
    assert quarter == pytest.approx((0.05 + 0.5) / 2) and half == pytest.approx((0.5 + 0.0005) / 2)
    assert last == beyond == pytest.approx(0.0005, rel=1e-3)
    curve = rates(range(101), name="one_cycle", rise=0.3)
    assert (np.diff(curve[:31]) > 0).all() and (np.diff(curve[30:]) < 0).all()
    assert curve[0] == pytest.approx(0.5 / 25) and max(curve) == pytest.approx(0.5)


def test_one_cycle_of_a_single_step_is_finite():
    assert rates([0], total=1, name="one_cycle") == pytest.approx([0.5 / 25])


@pytest.mark.parametrize("wrong", [{"rise": 0}, {"rise": 1}, {"start_divisor": 0.5}, {"warmup_steps": 3}], ids=str)
def test_one_cycle_refuses_what_makes_no_cycle(wrong):
    with pytest.raises(ConfigError, match=rf"training\.schedule.*{next(iter(wrong))}"):
        load_experiment({"training": {"schedule": {"name": "one_cycle", **wrong}}})


def test_the_others():
    assert rates([0, 9], name="constant") == [0.5, 0.5]
    assert rates([0, 1, 3, 9], name="constant", warmup_steps=4) == pytest.approx([0.125, 0.25, 0.5, 0.5])
    assert rates([0, 50, 100], name="cosine", final=0.1)[1:] == pytest.approx([0.5 * (0.1 + 0.45 * 0.9775), 0.05], 0.02)
    assert rates([3, 15], name="inverse_sqrt", warmup_steps=4) == pytest.approx([0.5, 0.25])
    assert rates([7], name="plateau") == [0.5]
