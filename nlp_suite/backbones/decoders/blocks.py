"""What decoders of Transformer blocks share: a call over whole targets, and a step that caches keys and values."""

from keras import ops

from nlp_suite.backbones.decoders.base import Decoder
from nlp_suite.layers.dot_product_attention import attention_bias
from nlp_suite.layers.inline import of_hypotheses
from nlp_suite.layers.loop_shapes import shapes_may_change
from nlp_suite.layers.positions import token_positions


class BlocksDecoder(Decoder):
    """A stack of `TransformerDecoderBlock` over target embeddings, `[B, T, E]` → `[B, T, E]`.

    The attention weights that come out are the mean over the heads of the last block. A subclass sets `blocks`, and says how
    embeddings enter the first block and how features leave the last one.
    """

    @property
    def output_size(self):
        return self.embedding_size

    @property
    def places(self) -> int:
        """Of the cache of `step` where `initial_state` is given no length."""
        raise NotImplementedError

    def _enter(self, x, positions, training=False):
        """Embeddings `[B, T, E]` with their positions int `[B, T]`, as the first block reads them."""
        raise NotImplementedError

    def _leave(self, x, training=False):
        """Features `[B, T, E]` or `[B·K, E]` of the last block, as the softmax reads them."""
        return x

    def memory(self, encoded, mask, training=False):
        """Every block's keys and values of the source, and what keeps its padding unseen, see `Decoder.memory`."""
        seen = ops.expand_dims(ops.expand_dims(mask, 1), 1)  # [B, 1, 1, S]
        return {
            "mask": mask,
            "bias": attention_bias(seen, self.compute_dtype),
            "blocks": [block.memory(encoded) for block in self.blocks],
        }

    def call(self, x, mask, memory, training=None):
        positions = token_positions(mask)  # [B, T]
        x = self._enter(x, positions, training)
        for block, keys in zip(self.blocks, memory["blocks"]):
            x, weights = block(x, positions, keys, memory["bias"])
        return self._leave(x, training), ops.mean(weights, axis=1)

    def initial_state(self, batch_size, memory, length=None):
        """Position 0 `[B·K]` and an empty cache for every block.

        Args:
            batch_size: rows B·K; None: one for each source, with caches that grow.
            memory: of `memory`.
            length: upper bound of the tokens that will be read. Where shapes may change in a loop (TensorFlow without XLA) the cache
                then grows by a place a step; elsewhere it has as many places, which every step looks at. Default: a cache
                of `places`, of which the newest are seen.
        """
        if batch_size is None:
            empty = [{f"grown_{name}": tensor[:, :, :0] for name, tensor in keys.items()} for keys in memory["blocks"]]
            return {"position": ops.zeros_like(memory["mask"][:, 0], dtype="int32"), "blocks": empty}
        grows = length is not None and shapes_may_change()
        if grows:
            length = ops.min(ops.zeros_like(memory["mask"], dtype="int32"))  # 0, which no loop takes for a fixed size
        else:
            length = self.places if length is None else length + self.reads_marks  # a mark before START
        caches = [block.initial_state(batch_size, length, grows) for block in self.blocks]
        return {"position": ops.zeros((batch_size,), "int32"), "blocks": caches}

    def step(self, x, state, memory):
        position = state["position"]  # [B·K]
        x = self._enter(ops.expand_dims(x, 1), ops.expand_dims(position, 1))[:, 0]
        caches = []
        for block, cache, keys in zip(self.blocks, state["blocks"], memory["blocks"]):
            x, cache, weights = block.step(x, cache, position, keys, memory["bias"])
            caches.append(cache)
        weights = of_hypotheses(ops.mean(weights, axis=1))  # [B·K, S]
        return self._leave(x), {"position": position + 1, "blocks": caches}, weights
