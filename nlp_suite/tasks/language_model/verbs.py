"""The verbs of language modelling on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from nlp_suite.registry import VERBS


@VERBS.register()
def generate(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_SAVED_MODEL", help="Run folder or export.")],
    prompt: Annotated[list[str] | None, typer.Option(help="Text to continue; may be given several times.")] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Answer the prompts as a user's messages, by the model's own chat template.")
    ] = False,
    system: Annotated[str | None, typer.Option(help="With --chat: what the model is told before.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Tokens at most; default 50.")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 takes the most probable token each time; default 1.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="The same as --temperature 0.")] = False,
    top_k: Annotated[int | None, typer.Option(help="Sample from the K most probable tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the fewest tokens that reach this probability.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1: fewer repetitions of earlier tokens.")
    ] = None,
    beam_size: Annotated[int | None, typer.Option(help="Above 1: beam search instead of sampling.")] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Of the beam search: above 0 prefers longer texts.")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this string; may be given several times.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text; default 0.")] = None,
    samples: Annotated[int, typer.Option(help="Continuations a prompt.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Let a language model continue a prompt."""
    from nlp_suite.tasks.language_model.output import chats, prompts, write_generated

    options = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "beam_size": beam_size,
        "length_penalty": length_penalty,
        "stop": stop or [],
        "seed": seed,
    }
    requests = chats(prompt, system) if chat else prompts(prompt, system)
    write_generated(model, requests, samples, as_json, greedy, **options)
