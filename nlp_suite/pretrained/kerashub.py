"""What the config.json of KerasHub's layout says, in the fields of Hugging Face's."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.errors import ConfigError

_SIZES = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
}
_SEGMENTS = {"num_segments": "type_vocab_size"}
_ROBERTA = {"layer_norm_eps": 1e-5, "hidden_act": "gelu", "type_vocab_size": 1}
_FAMILIES: dict[
    str, tuple[dict[str, str], dict[str, Any]]
] = {  # fields by other names; what KerasHub's class always has
    "bert": ({**_SIZES, **_SEGMENTS}, {"hidden_act": "gelu_new", "layer_norm_eps": 1e-12}),
    "roberta": (_SIZES, _ROBERTA),
    "xlm-roberta": (_SIZES, _ROBERTA),
    "albert": (
        {
            **_SIZES,
            **_SEGMENTS,
            "embedding_dim": "embedding_size",
            "num_groups": "num_hidden_groups",
            "num_inner_repetitions": "inner_group_num",
        },
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-12},
    ),
    "distilbert": (
        {
            "vocabulary_size": "vocab_size",
            "num_layers": "n_layers",
            "num_heads": "n_heads",
            "hidden_dim": "dim",
            "intermediate_dim": "hidden_dim",
            "max_sequence_length": "max_position_embeddings",
        },
        {"activation": "gelu"},
    ),
}
_POSITIONS_BEFORE = 2  # rows of RoBERTa's table of positions that no token uses, and that KerasHub leaves out


def huggingface_fields(model_type: str, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of Hugging Face's config.json under which the network is that of a class of KerasHub.

    Args:
        model_type: the family, as Hugging Face calls it.
        config: the arguments of KerasHub's class.
        where: what messages begin with.

    Raises:
        ConfigError: a class that is not known, or arguments that are missing.
    """
    if model_type not in _FAMILIES:
        raise ConfigError(f"{where}: unknown class {model_type!r} (allowed: the backbones of {', '.join(_FAMILIES)})")
    names, fixed = _FAMILIES[model_type]
    if missing := [name for name in names if name not in config]:
        raise ConfigError(f"{where}: {', '.join(missing)} is missing")
    fields: dict[str, Any] = {"model_type": model_type, **fixed, **{new: config[old] for old, new in names.items()}}
    if fixed is _ROBERTA:
        fields["max_position_embeddings"] += _POSITIONS_BEFORE
    rate = config.get("dropout", 0.1)
    if model_type == "distilbert":
        return {**fields, "dropout": rate, "attention_dropout": rate}
    return {**fields, "hidden_dropout_prob": rate, "attention_probs_dropout_prob": rate}
