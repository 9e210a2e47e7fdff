"""A seeded seasonal process whose best possible forecast is known: what no model can be better than, in the long run.

Every series is at another place of a season of 12 steps, and has an autoregressive part:

    y[t] = 100 + 8 · (cos(2π(t + phase) / 12) + 0.5 · cos(4π(t + phase) / 12)) + u[t],   phase one of 0 … 11
    u[t] = 0.7 · u[t − 1] + e[t],   e[t] ~ N(0, 1)

Given all that came before, the best forecast h steps ahead leaves an error that is normal with variance
`(1 − 0.7^(2h)) / (1 − 0.7²)`. That of a model may be below it in a short test by chance only. A year that is read leaves no
doubt of the phase.
"""

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

VERSION = "seasonal process 1"
STEPS, SEASON, MEMORY = 240, 12, 0.7
LEVEL, AMPLITUDE = 100.0, 8.0


def series(seed: int) -> Iterator[dict[str, Any]]:
    """Endless series of 240 months from January 2000 on.

    Args:
        seed: of the draws.
    """
    number = 0
    while True:
        drawn = random.Random(f"{seed} {number}")
        phase = drawn.randrange(SEASON)
        noise = drawn.gauss(0, 1) / math.sqrt(1 - MEMORY**2)
        values = []
        for step in range(STEPS):
            angle = 2 * math.pi * (step + phase) / SEASON
            values.append(LEVEL + AMPLITUDE * (math.cos(angle) + 0.5 * math.cos(2 * angle)) + noise)
            noise = MEMORY * noise + drawn.gauss(0, 1)
        name = f"series {number + 1}"
        yield {"series": name, "start": "2000-01", "frequency": "month", "values": np.array(values)}
        number += 1


def best_errors(horizon: int) -> tuple[float, float]:
    """Mean absolute error and root mean squared error of the best forecast, over the steps 1 to `horizon`."""
    variances = [(1 - MEMORY ** (2 * h)) / (1 - MEMORY**2) for h in range(1, horizon + 1)]
    mae = sum(math.sqrt(2 * v / math.pi) for v in variances) / horizon
    return mae, math.sqrt(sum(variances) / horizon)
