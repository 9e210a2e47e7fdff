"""Small random causal models as their authors' implementation writes and computes them: folders, logits and continuations.

    python -m tests.pretrained.record_decoders

writes `tests/fixtures/decoders` anew; needs transformers and torch.
"""

import numpy as np

from tests.pretrained.decoders import FIXTURES, GENERATED, PROMPTS

LLAMA = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-2,
    "bos_token_id": 5,
    "eos_token_id": 6,
    "pad_token_id": None,
}
CONFIGS = {  # each with other epsilons, activations, heads and rotations than the family's own, so that one which is not read is seen
    "llama": {
        **LLAMA,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": False,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 100.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    "qwen2": {
        **LLAMA,
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0},
    },
    "gemma": {**LLAMA, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 8},
    "gpt2": {
        "vocab_size": 40,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "n_inner": 24,
        "n_positions": 64,
        "layer_norm_epsilon": 1e-2,
        "activation_function": "gelu",
        "bos_token_id": 5,
        "eos_token_id": 6,
    },
}


def random_model(model_type, config):
    """A model whose weights are all far from where they would start."""
    import torch
    import transformers

    torch.manual_seed(1)
    settings = transformers.AutoConfig.for_model(model_type, **config)
    model = transformers.AutoModelForCausalLM.from_config(settings, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.4)
            if model_type != "gemma" and ("norm" in name.lower() or "ln_" in name) and name.endswith("weight"):
                parameter.add_(1.0)
    return model


def logits_of(model, ids, mask):
    """The logits `[B, T, V]` of right-padded rows."""
    import torch

    with torch.no_grad():
        return model(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits.numpy()


def continued(model, prompt):
    """What the model writes greedily after a prompt, however soon it would end."""
    import torch

    options = {"do_sample": False, "min_new_tokens": GENERATED, "max_new_tokens": GENERATED, "pad_token_id": 0}
    with torch.no_grad():
        return model.generate(torch.tensor([prompt]), **options)[0, len(prompt) :].numpy()


def record(model_type, config):
    folder = FIXTURES / model_type
    model = random_model(model_type, config)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids = np.random.default_rng(0).choice(np.arange(8, 40), (3, 9))
    lengths = np.array([9, 6, 1])
    mask = (np.arange(9) < lengths[:, None]).astype("int64")
    ids = np.where(mask > 0, ids, 0)
    written = np.stack([continued(model, prompt) for prompt in PROMPTS])
    np.savez_compressed(
        folder / "logits.npz", ids=ids, lengths=lengths, logits=logits_of(model, ids, mask), written=written
    )


if __name__ == "__main__":
    for name, values in CONFIGS.items():
        record(name, values)
