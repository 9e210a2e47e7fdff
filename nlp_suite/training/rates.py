"""Learning rates as functions of the step, for Keras's optimisers."""

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `rate` over `steps` batches, then `rate · after(step)`.

    Args:
        rate: the highest learning rate.
        steps: batches of the warm-up.
        decay: `"constant"`, `"inverse_sqrt"` or `"cosine"`.
        total_steps: batches of the whole training, where the cosine ends.
        final: where the cosine ends, as a fraction of `rate`.
    """

    def __init__(self, rate: float, steps: int, decay: str = "constant", total_steps: int = 0, final: float = 0.0):
        self.settings: dict[str, Any] = {
            "rate": rate,
            "steps": steps,
            "decay": decay,
            "total_steps": total_steps,
            "final": final,
        }

    def __call__(self, step: Any) -> Any:
        s = self.settings
        step = ops.cast(step, "float32") + 1.0  # of the batch at hand, from 1
        warm = ops.minimum(1.0, step / s["steps"]) if s["steps"] else 1.0
        if s["decay"] == "inverse_sqrt":
            return s["rate"] * warm * ops.sqrt(max(s["steps"], 1) / ops.maximum(step, float(max(s["steps"], 1))))
        if s["decay"] == "cosine":
            done = ops.clip((step - s["steps"]) / max(s["total_steps"] - s["steps"], 1), 0.0, 1.0)
            return s["rate"] * warm * (s["final"] + (1 - s["final"]) * 0.5 * (1 + ops.cos(done * 3.14159265)))
        return s["rate"] * warm

    def get_config(self) -> dict[str, Any]:
        return self.settings


@keras.saving.register_keras_serializable("nlp_suite")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Half a cosine from `start` up to `peak` and another down to `end`.

    Args:
        peak: the highest learning rate.
        start: that of the first batch.
        end: that of the last batch.
        steps: batches of the whole training.
        rise: fraction of them before the peak.
    """

    def __init__(self, peak: float, start: float, end: float, steps: int, rise: float):
        self.settings: dict[str, Any] = {"peak": peak, "start": start, "end": end, "steps": steps, "rise": rise}

    def __call__(self, step: Any) -> Any:
        s = self.settings
        # 0 at the first batch, 1 at the last
        done = ops.clip(ops.cast(step, "float32") / max(s["steps"] - 1, 1), 0.0, 1.0)
        up = (1.0 - ops.cos(done / s["rise"] * math.pi)) / 2  # 0 → 1
        down = (1.0 + ops.cos((done - s["rise"]) / (1.0 - s["rise"]) * math.pi)) / 2  # 1 → 0
        rising = s["start"] + (s["peak"] - s["start"]) * up
        return ops.where(done < s["rise"], rising, s["end"] + (s["peak"] - s["end"]) * down)

    def get_config(self) -> dict[str, Any]:
        return self.settings
