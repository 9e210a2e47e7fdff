"""Every decoder of the registry keeps the contract; so do other settings of it."""

import pytest

from nlp_suite.backbones.decoders.base import Decoder, DecoderSettings
from nlp_suite.registry import DECODERS
from tests.backbones.decoder_checks import check_dropout, check_hypotheses, check_mixed_precision, run_decoder_checks

HEADS = {"name": "scaled_dot", "heads": 2}
VARIANTS = {
    "lstm-layers": {"layers": 3, "residual": True, "layer_norm": True, "readout_size": 4},
    "lstm-last": {"bridge": "last", "layers": 2, "attention": HEADS, "conditional": True},
    "gru-layers-fed": {"layers": 2, "residual": True, "attention": "luong", "readout": "deep"},
    "gru-layers-above": {"layers": 2, "residual": True, "attention": "luong", "input_feeding": False},
    "gru-bare": {"readout": "none", "bridge": "zero"},
    "gru-heads": {"attention": HEADS},
    "rnn-concat": {"attention": {"name": "luong", "score": "concat", "units": 4}, "conditional": True},
    "rnn-general": {"attention": "luong", "input_feeding": False},
    "lstm-dot": {"units": 12, "attention": {"name": "luong", "score": "dot"}},
    "transformer-post": {"norm": "post", "activation": "gelu"},
    "transformer-learned": {"positions": "learned", "max_length": 20},
    "transformer-rotary": {"positions": "rotary"},
    "transformer-post-rotary": {"norm": "post", "positions": "rotary", "heads": 2},
}


BART = {
    "model_type": "bart",
    "vocab_size": 20,
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 12,
    "max_position_embeddings": 32,
}
NEEDED = {"preset": {"architecture": BART}}


@pytest.mark.parametrize("name", DECODERS.names())
def test_it_keeps_the_contract(name):
    run_decoder_checks(name, **NEEDED.get(name, {}))


@pytest.mark.parametrize("name", VARIANTS)
def test_it_keeps_the_contract_with_other_settings(name):
    kind, settings = name.partition("-")[0], VARIANTS[name]
    size = {"feed_forward": 24} if kind == "transformer" else {"units": 6}
    run_decoder_checks(kind, (check_dropout, check_mixed_precision), **{**size, **settings})


@pytest.mark.parametrize("score", ["bahdanau", "luong", "scaled_dot"])
def test_every_attention_serves_hypotheses(score):
    settings = DECODERS.settings("gru")(name="gru", embedding_size=8, units=8, attention=score)
    check_hypotheses(settings)


def test_a_decoder_that_lacks_something_is_refused_and_it_is_named():
    missing = "build, call, initial_state, memory, output_size, stack, step"
    with DECODERS.temporary(), pytest.raises(TypeError, match=rf"decoder 'mine' \(Bare\) does not define: {missing}"):
        DECODERS.register(DecoderSettings, "mine")(type("Bare", (Decoder,), {}))
