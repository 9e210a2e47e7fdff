"""The K best continuations of a row's hypotheses, without sorting the vocabulary: exact, in two rounds."""

import numpy as np
from keras import ops

from nlp_suite.decoding.gather import gather

_LARGE = 1024  # candidates of a row: from here on two rounds are faster than one


class Continuations:
    """Chooses the K best of the K·V continuations of every row.

    A top-k over `[B, K*V]` costs more than all the rest of a step. So the vocabulary is cut into pieces of about 64
    tokens: the K best continuations stand in the K pieces with the largest maxima, and only these are searched. Where a
    forbidden token may be the maximum of a piece, one piece more is searched for it. Of equal continuations that of the
    earlier hypothesis, then of the smaller id, goes first, as in a single round (on PyTorch, another may).

    Args:
        beam_size: K.
        vocabulary_size: V.
        forbidden: ids that are never chosen.
        barred_early: ids that are not chosen where `early` is given and true.
    """

    def __init__(self, beam_size: int, vocabulary_size: int, forbidden=(), barred_early=()):
        self.beam_size, self.vocabulary_size = beam_size, vocabulary_size
        large = beam_size * vocabulary_size >= _LARGE
        self._piece = _piece_size(vocabulary_size) if large else vocabulary_size
        self._pieces = -(-vocabulary_size // self._piece)  # C, of one hypothesis
        self.width = self._pieces * self._piece  # V, or a little more
        spoiled = {token // self._piece for token in (*forbidden, *barred_early)}
        self._searched = min(beam_size * (1 + len(spoiled)), beam_size * self._pieces)  # W
        mask = np.zeros((2, self.width), "float32")
        mask[:, vocabulary_size:] = -np.inf
        mask[:, list(forbidden)] = -np.inf
        mask[1, list(barred_early)] = -np.inf
        self._mask = mask.reshape(2 * self._pieces, self._piece)  # [2C, P]
        self._masks_early = bool(barred_early)

    def __call__(self, log_probs, live, early=None):
        """Log-probabilities, the hypotheses continued, and the tokens: `[B, K]` each.

        Args:
            log_probs: float32 `[B*K, V]`.
            live: float32 `[B, K]`, the hypotheses' log-probabilities so far; -inf of those that do not exist.
            early: bool `[B]` or `[]`, where `barred_early` is forbidden too.
        """
        beams, size = self.beam_size, self._piece
        log_probs = ops.cast(log_probs, "float32")
        if self.width > self.vocabulary_size:
            log_probs = ops.pad(log_probs, ((0, 0), (0, self.width - self.vocabulary_size)))
        if self._pieces == 1:
            values = ops.reshape(log_probs, (-1, beams, size)) + ops.expand_dims(live, -1)  # [B, K, V]
            values = ops.add(values, self._barred(early, 0) if early is not None else self._mask[0])
            values, places = ops.top_k(ops.reshape(values, (-1, beams * size)), beams)  # [B, K]
            places = ops.cast(places, "int32")
        else:
            values, places = self._of_pieces(ops.reshape(log_probs, (-1, size)), live, early)
        if beams == 1:
            parents, tokens = ops.zeros_like(places), places
        else:
            parents = places // self.width
            tokens = places - parents * self.width
        # Where there are fewer continuations than K, the rest is -inf, and may stand behind the vocabulary.
        return (
            values,
            parents,
            ops.minimum(tokens, self.vocabulary_size - 1) if self.width > self.vocabulary_size else tokens,
        )

    def _of_pieces(self, log_probs, live, early):
        """As `__call__`, from log-probabilities `[B*K*C, P]`: values and places in `[K*V]`."""
        beams, pieces, size, searched = self.beam_size, self._pieces, self._piece, self._searched
        best = ops.reshape(ops.max(log_probs, axis=1), (-1, beams, pieces)) + ops.expand_dims(live, -1)  # [B, K, C]
        chosen = ops.top_k(ops.reshape(best, (-1, beams * pieces)), searched)[1]  # [B, W]
        chosen = ops.sort(ops.cast(chosen, "int32"), axis=1)
        rows = ops.expand_dims(ops.arange(ops.shape(live)[0], dtype="int32"), -1)  # [B, 1]
        values = gather(log_probs, chosen + rows * (beams * pieces))  # [B, W, P]
        before = gather(ops.reshape(live, (-1,)), chosen // pieces + rows * beams)  # [B, W]
        values = values + ops.expand_dims(before, -1) + self._barred(early, chosen % pieces)
        values, found = ops.top_k(ops.reshape(values, (-1, searched * size)), beams)  # [B, K]
        found = ops.cast(found, "int32")
        piece = gather(ops.reshape(chosen, (-1,)), found // size + rows * searched)  # [B, K]
        return values, piece * size + found % size

    def _barred(self, early, pieces):
        """-inf at what is forbidden in pieces int32 `[B, W]`, else 0: `[B, W, P]`."""
        if early is not None and self._masks_early:
            pieces = pieces + self._pieces * ops.reshape(ops.cast(early, "int32"), (-1, 1))
        return gather(self._mask, pieces)


def _piece_size(vocabulary_size: int) -> int:
    """A divisor of V near 64, so that nothing need be padded; 64 where there is none."""
    sizes = [size for size in range(40, 129) if vocabulary_size % size == 0]
    return min(sizes, key=lambda size: abs(size - 64)) if sizes else 64
