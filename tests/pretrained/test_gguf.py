"""GGUF files become folders with the weights and tokens that they stand for; what is not known is refused by name."""

import numpy as np
import pytest

from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.architecture import architecture_of
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.pretrained.gguf import convert_gguf
from nlp_suite.pretrained.weights import find_weights
from tests.text.tokenizers.test_preset_causal import layer_of, oracle

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")

HEADS, SHARED, SIZE, WIDTH, HIDDEN = 4, 2, 8, 32, 64
NAMES = {
    "attn_norm": ("input_layernorm", (WIDTH,)),
    "attn_q": ("self_attn.q_proj", (WIDTH, WIDTH)),
    "attn_k": ("self_attn.k_proj", (SHARED * SIZE, WIDTH)),
    "attn_v": ("self_attn.v_proj", (SHARED * SIZE, WIDTH)),
    "attn_output": ("self_attn.o_proj", (WIDTH, WIDTH)),
    "ffn_norm": ("post_attention_layernorm", (WIDTH,)),
    "ffn_gate": ("mlp.gate_proj", (HIDDEN, WIDTH)),
    "ffn_up": ("mlp.up_proj", (HIDDEN, WIDTH)),
    "ffn_down": ("mlp.down_proj", (WIDTH, HIDDEN)),
}


def permuted(weights, heads):
    """As llama.cpp's converter does it to queries and keys."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def write_gguf(path, tokenizer, architecture="llama", words="smollm", bos="<|im_start|>", fill=0, **more):
    """A small Llama; returns its tensors by Hugging Face's names, as they are after quantisation."""
    import json

    random, expected = np.random.default_rng(0), {}
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("A small model")
    writer.add_license("apache-2.0")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(SHARED)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1000.0)
    writer.add_rope_dimension_count(SIZE)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words)
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocabulary])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    if bos:
        writer.add_bos_token_id(vocabulary.index(bos))
    writer.add_eos_token_id(vocabulary.index("<|im_end|>"))
    for key, value in more.items():
        getattr(writer, key)(value)

    def add(name, ours, shape, heads=None):
        array = random.normal(size=shape).astype("float32")
        stored = array if heads is None else permuted(array, heads)
        kind = gguf.GGMLQuantizationType.Q8_0 if len(shape) == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(stored, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        kept = gguf.quants.dequantize(data, kind).reshape(shape)
        if heads is not None:
            rows = permuted(np.arange(shape[0])[:, None], heads)[:, 0]
            kept = kept[np.argsort(rows)]
        expected[ours] = kept

    add("token_embd.weight", "model.embed_tokens.weight", (len(vocabulary) + fill, WIDTH))
    add("output_norm.weight", "model.norm.weight", (WIDTH,))
    for name, (ours, shape) in NAMES.items():
        heads = {"attn_q": HEADS, "attn_k": SHARED}.get(name)
        add(f"blk.0.{name}.weight", f"model.layers.0.{ours}.weight", shape, heads)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def test_a_folder_has_the_weights_and_the_tokens_of_the_file(tmp_path):
    tokenizer = oracle("smollm2")
    expected = write_gguf(tmp_path / "m.gguf", tokenizer, fill=3)
    folder = open_folder(str(convert_gguf(str(tmp_path / "m.gguf"), tmp_path / "model")))
    assert folder.licence == "apache-2.0"
    architecture, tensors = architecture_of(folder), folder.tensors()
    assert (architecture.epsilon, architecture.rope_theta, architecture.tie_word_embeddings) == (1e-5, 1000.0, True)
    assert (architecture.key_value_heads, architecture.positions) == (SHARED, 64)
    assert set(find_weights(architecture, tensors.shapes(), "it").values()) == set(expected) == set(tensors)
    for name, array in expected.items():
        np.testing.assert_allclose(tensors[name], array, atol=1e-6, err_msg=name)
    layer = layer_of(tmp_path / "model")
    texts = ["The film was 12 times  as good\n\n as <|im_end|> that."]
    rows = [layer.tokenizer.model_ids[row].tolist() for row in layer.encode(texts)]
    assert rows == [tokenizer.encode(texts[0]).ids]
    with pytest.raises(ConfigError, match="has config.json, model.safetensors, tokenizer.json, .* already"):
        convert_gguf(str(tmp_path / "m.gguf"), tmp_path / "model")
    assert layer.tokenizer.without_piece[-3:] == list(range(layer.vocabulary_size - 3, layer.vocabulary_size))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"architecture": "mamba"}, r"unknown architecture 'mamba' \(allowed: llama\)"),
        (
            {"words": "deepseek"},
            r"unknown tokenizer 'gpt2' with the words 'deepseek' \(allowed: 'gpt2' with gpt-2, smollm",
        ),
        ({"fill": -1}, r"there are 423 tokens, and 422 of them have embeddings"),
        ({"bos": None, "add_add_bos_token": True}, r"add_bos_token is set, but tokenizer.ggml.bos_token_id is missing"),
        ({"add_rope_scaling_type": gguf.RopeScalingType.YARN}, "positions are scaled"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, changes, message):
    write_gguf(tmp_path / "m.gguf", oracle("smollm2"), **changes)
    with pytest.raises(ConfigError, match=message):
        convert_gguf(str(tmp_path / "m.gguf"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_no_file_is_overwritten_and_none_is_left_by_a_failure(tmp_path, monkeypatch):
    write_gguf(tmp_path / "m.gguf", oracle("smollm2"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("Mine.")
    with pytest.raises(ConfigError, match=r"mine has README.md already"):
        convert_gguf(str(tmp_path / "m.gguf"), tmp_path / "mine")
    with pytest.raises(ConfigError, match=r"m.gguf is a file: give a folder"):
        convert_gguf(str(tmp_path / "m.gguf"), tmp_path / "m.gguf")

    def unknown(data, kind):
        raise NotImplementedError

    monkeypatch.setattr(gguf.quants, "dequantize", unknown)
    with pytest.raises(ConfigError, match=r"token_embd.weight is stored as Q8_0, which the package gguf cannot read"):
        convert_gguf(str(tmp_path / "m.gguf"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_is_no_gguf_file_is_refused(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"no model")
    for source, message in (
        (str(tmp_path / "m.gguf"), "is damaged, or no GGUF file"),
        (str(tmp_path / "other.gguf"), "there is no file"),
        ("package:no-such-package-here", "no such package is installed"),
        ("package:pytest", "it must carry one GGUF file, and has 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            convert_gguf(source, tmp_path / "model")
