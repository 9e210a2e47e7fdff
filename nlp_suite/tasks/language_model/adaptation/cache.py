"""The continuous cache: what followed similar features a short while ago."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class ContinuousCache:
    """Features of the last places and the tokens that followed them (Grave et al. 2017, equation 3).

    Args:
        size: places that are remembered, n.
        width: features D.

    Example:
        >>> cache = ContinuousCache(size=2000, width=256)
        >>> cache.read(features, targets, thetas=[0.1])  # [T, 256], [T] -> [1, T]
    """

    def __init__(self, size: int, width: int):
        self._size = size
        self._features, self._tokens = np.zeros((0, width), "float32"), np.zeros(0, "int32")

    def read(self, features: NDArray, targets: NDArray, thetas: Sequence[float]) -> NDArray:
        """How probable targets are to the cache, each before it is remembered.

        Args:
            features: float32 `[T, D]`, in the order of the text.
            targets: int32 `[T]`, the token after each.
            thetas: K factors of the features' products.

        Returns:
            float64 `[K, T]`; NaN where nothing is remembered yet.
        """
        keys = np.concatenate([self._features, features])  # [M + T, D]
        tokens = np.concatenate([self._tokens, targets])
        before, places = len(self._tokens), np.arange(len(tokens))
        own = before + np.arange(len(targets))[:, None]  # [T, 1]
        seen = (places < own) & (places >= own - self._size)  # [T, M + T]
        products = np.where(seen, features @ keys.T, -np.inf)
        same = tokens == targets[:, None]
        result = np.full((len(thetas), len(targets)), np.nan)
        some = seen.any(axis=1)
        products, same = products[some], same[some]
        products -= products.max(axis=1, keepdims=True)
        for k, theta in enumerate(thetas):
            weights = np.exp(theta * products) if theta else np.isfinite(products).astype("float32")
            result[k, some] = np.where(same, weights, 0).sum(axis=1, dtype="float64") / weights.sum(
                axis=1, dtype="float64"
            )
        self._features, self._tokens = keys[-self._size :], tokens[-self._size :]
        return result


def mixed_nll(nll: NDArray, cached: NDArray, share: float) -> NDArray:
    """Negative log-likelihood of the mixture, float64: the model's alone where the cache is empty.

    Args:
        nll: of the model, `[T]`.
        cached: probabilities of the cache `[…, T]`, see `ContinuousCache.read`.
        share: of the cache.
    """
    plain = np.exp(-nll.astype("float64"))
    with np.errstate(divide="ignore"):
        mixed = -np.log((1 - share) * plain + share * np.where(np.isnan(cached), plain, cached))
    alone = nll - np.log1p(-share)  # of the model's part, where the sum is too small for a float
    return np.where(np.isfinite(mixed), mixed, alone)
