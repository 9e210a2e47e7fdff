"""How numbers are written for people: shares, perplexities and probabilities, none rounded to what it is not."""

import math

HUGE = 1e6  # a perplexity beyond it says no more than that the model is broken, or that the unit is very long


def share(value: float, digits: int = 2) -> str:
    """A share as a percentage; never rounded up to 100 % or down to 0 %."""
    smallest = 10.0**-digits
    if 0 < value * 100 < smallest / 2:
        return f"<{smallest:.{digits}f}%"
    if value < 1 and round(value * 100, digits) >= 100:
        return f">{100 - smallest:.{digits}f}%"
    return f"{value:.{digits}%}"


def perplexity(value: float | None) -> str:
    """A perplexity in about four digits; None (too large for a float) and all above a million are `> 1,000,000`."""
    if value is None or value > HUGE:
        return f"> {HUGE:,.0f}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.{1 if value >= 100 else 2 if value >= 10 else 3}f}"


def probability(log_prob: float) -> str:
    """A probability of any size, given in nats: 12.3%, 0.0045%, 1 in 1,234,567."""
    value = math.exp(min(log_prob, 0.0))
    if value >= 1e-5:
        return share(value, 1 if value >= 0.1 else 2 if value >= 0.01 else 4)
    return f"1 in {math.exp(-log_prob):,.0f}" if value > 1e-12 else "under 1 in 10¹²"


def less_is_better(metric: str) -> bool:
    """Whether a metric, by its name, is one of loss rather than of success."""
    return any(part in metric for part in ("loss", "entropy", "perplexity", "error", "ece", "mae", "rmse"))
