"""The K best continuations of a row's hypotheses, without sorting the vocabulary: exact, in two rounds."""

import numpy as np
from keras import ops

from nlp_suite.decoding.gather import gather

TWO_ROUNDS_FROM = 1024  # candidates of a row, K·V, from which on two rounds are faster than one


class Continuations:
    """Chooses the K best of the K·V continuations of every row.

    One top-k over `[B, K*V]` costs more than all the rest of a step. So the vocabulary is cut into C chunks of about 64
    tokens: the K best continuations lie in the K chunks with the largest maxima, and only these are sorted. Where a
    forbidden token may be the maximum of a chunk, one more chunk is sorted for it. Of equal continuations that of the
    earlier hypothesis, then of the smaller id, comes first, as in a single round (on PyTorch, another may).

    Args:
        beam_size: K.
        vocabulary_size: V.
        forbidden: ids that are never chosen.
        end_tokens: ids that are not chosen where `before_min` is true.
    """

    def __init__(self, beam_size: int, vocabulary_size: int, forbidden=(), end_tokens=()):
        self.beam_size, self.vocabulary_size = beam_size, vocabulary_size
        two_rounds = beam_size * vocabulary_size >= TWO_ROUNDS_FROM
        self._chunk_size = _chunk_size(vocabulary_size) if two_rounds else vocabulary_size  # P
        self._chunks = -(-vocabulary_size // self._chunk_size)  # C, of one hypothesis
        self.width = self._chunks * self._chunk_size  # V, or a little more
        # Maxima are taken before tokens are forbidden (a mask over [B, K*V] would be another pass over memory), so each
        # chunk with a forbidden token may push one that belongs to the K best off the list, in each of K hypotheses.
        chunks_with_forbidden = {token // self._chunk_size for token in (*forbidden, *end_tokens)}
        self._sorted_chunks = min(beam_size * (1 + len(chunks_with_forbidden)), beam_size * self._chunks)  # W
        bias = np.zeros((2, self.width), "float32")  # row 0: always; row 1: before `min_tokens`, without an end
        bias[:, vocabulary_size:] = -np.inf
        bias[:, list(forbidden)] = -np.inf
        bias[1, list(end_tokens)] = -np.inf
        self._bias = bias.reshape(2 * self._chunks, self._chunk_size)  # [2C, P]
        self._delays_end = bool(end_tokens)

    def __call__(self, log_probs, live, before_min=None):
        """Log-probabilities, the hypotheses continued, and the tokens: `[B, K]` each.

        Args:
            log_probs: float32 `[B*K, V]`.
            live: float32 `[B, K]`, the hypotheses' log-probabilities so far; -inf of those that do not exist.
            before_min: bool `[B]` or `[]`, where `end_tokens` are forbidden too.
        """
        beams, size = self.beam_size, self._chunk_size
        log_probs = ops.cast(log_probs, "float32")
        if self.width > self.vocabulary_size:
            log_probs = ops.pad(log_probs, ((0, 0), (0, self.width - self.vocabulary_size)))
        if self._chunks == 1:
            values = ops.reshape(log_probs, (-1, beams, size)) + ops.expand_dims(live, -1)  # [B, K, V]
            values = ops.add(values, self._bias[0] if before_min is None else self._forbidden_bias(0, before_min))
            values, indices = ops.top_k(ops.reshape(values, (-1, beams * size)), beams)  # [B, K]
            indices = ops.cast(indices, "int32")
        else:
            values, indices = self._in_two_rounds(ops.reshape(log_probs, (-1, size)), live, before_min)
        if beams == 1:
            parents, tokens = ops.zeros_like(indices), indices
        else:
            parents = indices // self.width
            tokens = indices - parents * self.width
        if self.width > self.vocabulary_size:
            # With fewer continuations than K the rest is -inf and may lie in the padding: no id of the vocabulary.
            tokens = ops.minimum(tokens, self.vocabulary_size - 1)
        return values, parents, tokens

    def _in_two_rounds(self, log_probs, live, before_min):
        """The K best of a row from log-probabilities `[B*K*C, P]`: values, and indices into `[K*C*P]`; `[B, K]` each."""
        beams, chunks, size, width = self.beam_size, self._chunks, self._chunk_size, self._sorted_chunks
        maxima = ops.reshape(ops.max(log_probs, axis=1), (-1, beams, chunks)) + ops.expand_dims(live, -1)  # [B, K, C]
        chosen = ops.top_k(ops.reshape(maxima, (-1, beams * chunks)), width)[1]  # [B, W]
        # In the order of the vocabulary again, so that of equal values top-k takes the one that stands first there.
        chosen = ops.sort(ops.cast(chosen, "int32"), axis=1)
        rows = ops.expand_dims(ops.arange(ops.shape(live)[0], dtype="int32"), -1)  # [B, 1]
        values = gather(log_probs, chosen + rows * (beams * chunks))  # [B, W, P]
        parents_live = gather(ops.reshape(live, (-1,)), chosen // chunks + rows * beams)  # [B, W]
        values = values + ops.expand_dims(parents_live, -1) + self._forbidden_bias(chosen % chunks, before_min)
        values, indices = ops.top_k(ops.reshape(values, (-1, width * size)), beams)  # [B, K]
        indices = ops.cast(indices, "int32")
        chunk = gather(ops.reshape(chosen, (-1,)), indices // size + rows * width)  # [B, K]
        return values, chunk * size + indices % size

    def _forbidden_bias(self, chunks, before_min):
        """-inf at what is forbidden in chunks int32 `[B, W]`, else 0: `[B, W, P]`."""
        if before_min is not None and self._delays_end:
            chunks = chunks + self._chunks * ops.reshape(ops.cast(before_min, "int32"), (-1, 1))
        return gather(self._bias, chunks)


def _chunk_size(vocabulary_size: int) -> int:
    """A divisor of V near 64, so that nothing needs padding; 64 where there is none."""
    sizes = [size for size in range(40, 129) if vocabulary_size % size == 0]
    return min(sizes, key=lambda size: abs(size - 64)) if sizes else 64
