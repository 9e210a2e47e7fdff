"""Small random encoders as their authors' implementation writes and computes them: folders, and features of some tokens.

    python -m tests.pretrained.record_encoders

writes `tests/fixtures/encoders` anew; needs transformers, torch and, for the features of the real MiniLM, its package.
"""

import numpy as np

from nlp_suite.pretrained.folder import open_folder
from tests.pretrained.encoders import FIXTURES, MINILM, REVIEW_IDS

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}
CONFIGS = {  # each with another activation or epsilon than the family's own, so that one which is not read is seen
    "bert": {**SIZES, "layer_norm_eps": 1e-2, "hidden_act": "gelu"},
    "distilbert": {
        "vocab_size": 40,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 12,
        "activation": "relu",
    },
    "roberta": {
        **SIZES,
        "layer_norm_eps": 1e-2,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "max_position_embeddings": 14,
    },
    "xlm-roberta": {
        **SIZES,
        "hidden_act": "silu",
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "max_position_embeddings": 14,
    },
    "albert": {
        **SIZES,
        "embedding_size": 8,
        "num_hidden_layers": 4,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
        "hidden_act": "gelu_new",
    },
}
UNKNOWN, CLS, SEP = 7, 5, 6  # the model's ids


def random_model(model_type, config):
    """A model whose weights are all far from where they would start."""
    import torch
    import transformers

    torch.manual_seed(1)
    settings = transformers.AutoConfig.for_model(model_type, **config)
    model = transformers.AutoModel.from_config(settings, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.4)
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.add_(1.0)
    return model


def features_of(model, ids, mask, segments):
    """The model's last hidden states `[B, T, D]`."""
    import torch

    more = {"token_type_ids": torch.tensor(segments)} if segments is not None else {}
    with torch.no_grad():
        return model(torch.tensor(ids), attention_mask=torch.tensor(mask), **more).last_hidden_state.numpy()


def record(model_type, config):
    folder = FIXTURES / model_type
    model = random_model(model_type, config)
    model.save_pretrained(folder)
    pad = model.config.pad_token_id
    order = [pad, UNKNOWN, CLS, SEP]
    order += [i for i in range(config["vocab_size"]) if i not in order]
    draw = np.random.default_rng(0)
    words = draw.choice(order[4:], (3, 9)).astype("int64")
    words[:, 0], words[0, 4], words[0, 8], words[1, 6:], words[1, 5], words[2, 1:] = CLS, SEP, SEP, pad, SEP, pad
    mask = (words != pad).astype("int64")
    second = np.zeros_like(words)
    second[0, 5:] = 1  # what stands behind the first SEP; the other rows are single texts
    two = getattr(model.config, "type_vocab_size", 0) == 2
    features = features_of(model, words, mask, second if two else None)
    np.savez_compressed(folder / "features.npz", ids=words, order=np.array(order), features=features)


def record_minilm():
    import transformers

    model = transformers.AutoModel.from_pretrained(open_folder(MINILM).path, attn_implementation="eager").eval()
    mask = (REVIEW_IDS != 0).astype("int64")
    features = features_of(model, REVIEW_IDS, mask, np.zeros_like(REVIEW_IDS))
    np.savez_compressed(FIXTURES / "minilm.npz", features=features)


if __name__ == "__main__":
    for name, values in CONFIGS.items():
        record(name, values)
    record_minilm()
