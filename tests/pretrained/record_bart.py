"""A small random BART as its authors' implementation writes and computes it: folder, logits, and what it writes.

    python -m tests.pretrained.record_bart

writes `tests/fixtures/bart` anew; needs transformers and torch.
"""

import numpy as np

from tests.pretrained.bart import BEAMS, FIXTURE, LIMIT

CONFIG = {  # encoder and decoder unlike in all that they may be
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 20,
    "activation_function": "gelu_new",
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": None,
}


def main():
    import torch
    import transformers

    torch.manual_seed(3)
    model = transformers.BartForConditionalGeneration(
        transformers.BartConfig(**CONFIG, attn_implementation="eager")
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.4)
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.add_(1.0)
    model.save_pretrained(FIXTURE)
    (FIXTURE / "generation_config.json").unlink(missing_ok=True)
    draw = np.random.default_rng(0)
    source, target = draw.choice(np.arange(4, 40), (3, 9)), draw.choice(np.arange(4, 40), (3, 7))
    source[:, 0], target[:, 0], target[:, 1] = 0, 2, 0
    for row, (end, length) in enumerate(((8, 7), (5, 4), (1, 2))):
        source[row, end], source[row, end + 1 :], target[row, length:] = 2, 1, 1
    mask = torch.tensor((source != 1).astype("int64"))
    given = {"input_ids": torch.tensor(source), "attention_mask": mask}
    with torch.no_grad():
        logits = model(**given, decoder_input_ids=torch.tensor(target)).logits.numpy()
        search = {"max_new_tokens": LIMIT + 1, "forced_bos_token_id": 0, "bad_words_ids": [[0], [1], [3]]}
        written = {
            name: model.generate(**given, **search, num_beams=beams, do_sample=False, length_penalty=0.0).numpy()[:, 2:]
            for name, beams in (("greedy", 1), ("searched", BEAMS))
        }
    np.savez_compressed(FIXTURE / "logits.npz", source=source, target=target, logits=logits, **written)


if __name__ == "__main__":
    main()
