"""Text of a language model in Python: its argmax or seeded noise, cut at stop strings; streams join up; beam search."""

import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor
from nlp_suite.text.text_layer import END, NEVER_GENERATED, TextLayer
from tests.tasks.language_model.predictors import GREEDY, log_probs_after, stepwise


@pytest.mark.parametrize("which", ["lstm", "lines", "transformer"])
def test_greedy_is_an_argmax_loop_over_step(which, request):
    predictor = request.getfixturevalue(which)
    prompts = ["the cat", "", "a dog sees\nthe", "xyzzy"]
    for prompt, answer in zip(prompts, predictor.generate(prompts, max_tokens=9, **GREEDY)):
        (row,) = predictor.encode_prompts([prompt])
        tokens, total = stepwise(predictor, row, 9, predictor.stop_at_end)
        assert answer["length"] == len(tokens) and answer["log_prob"] == pytest.approx(total, abs=1e-4)
        shown = tokens[:-1] if predictor.stop_at_end and tokens[-1] == END else tokens
        assert answer["text"] == predictor.continuation(row, np.array(shown, "int32"))


@pytest.mark.parametrize("which", ["lstm", "transformer"])
def test_the_same_seed_gives_the_same_text_alone_and_among_others(which, request):
    predictor = request.getfixturevalue(which)
    prompts = ["the cat", "a dog", "the bird sings and the", "the cat"] * 5
    seeds = list(range(20))
    options = {"max_tokens": 8, "temperature": 1.2, "top_k": 12, "top_p": 0.95, "repetition_penalty": 1.3}
    together = predictor.generate(prompts, seed=seeds, **options)
    assert predictor.generate(prompts, seed=seeds, **options) == together
    for i in (0, 2, 19):
        (alone,) = predictor.generate([prompts[i]], seed=seeds[i], **options)
        assert alone["text"] == together[i]["text"] and alone["length"] == together[i]["length"]
        assert alone["log_prob"] == pytest.approx(together[i]["log_prob"], abs=1e-4)
    same = [answer["text"] for prompt, answer in zip(prompts, together) if prompt == "the cat"]
    assert len(set(same)) > len(same) // 2, "rows with seeds of their own differ"
    one_seed = predictor.generate(["the cat"] * 3, seed=7, **options)
    assert len({answer["text"] for answer in one_seed}) == 1
    for answer in together:
        assert "<unk>" not in answer["text"] and "\ufffd" not in answer["text"]


def test_each_row_has_its_own_options(lstm):
    answers = lstm.generate(["the"] * 3, max_tokens=[2, 0, 5], temperature=[0.0, 1.0, 1.5], seed=[1, 2, 3])
    assert [answer["length"] for answer in answers] == [2, 0, 5]
    (alone,) = lstm.generate(["the"], max_tokens=2, **GREEDY)
    assert answers[0] == {**alone, "log_prob": pytest.approx(alone["log_prob"], abs=1e-5)}
    assert answers[1] == {"text": "", "log_prob": 0.0, "length": 0}


def test_a_prompt_beyond_max_prompt_is_read_from_its_end(lstm):
    short = LanguageModelPredictor(lstm.model, lstm.text, lstm.settings.model_copy(update={"max_prompt": 3}), False)
    long = "a dog and the bird sings the old cat"
    kept = short.encode_prompts([long])[0]
    assert kept.tolist() == short.encode_prompts(["the old cat"])[0].tolist()
    (answer,) = short.generate([long], max_tokens=6, **GREEDY)
    assert answer == lstm.generate(["the old cat"], max_tokens=6, **GREEDY)[0]


def test_a_prompts_end_is_read_whatever_the_text_layer_keeps(lstm):
    settings = lstm.text.settings.model_copy(update={"max_length": 4})
    short = LanguageModelPredictor(lstm.model, TextLayer(settings, lstm.text.tokenizer), lstm.settings, False)
    for prompt in ("a dog and the bird sings the old cat", "the cat\nthe bird sings the old cat\na", "", "\n"):
        assert short.encode_prompts([prompt])[0].tolist() == lstm.encode_prompts([prompt])[0].tolist()
    many = ["the bird sings the old cat"] * 2500  # several batches of the text layer
    assert len({tuple(row) for row in short.encode_prompts(many)}) == 1


def test_a_transformer_goes_on_beyond_its_longest_length(transformer):
    prompt = "the cat sees a dog and the bird sings " * 5
    (row,) = transformer.encode_prompts([prompt])
    assert len(row) > 24
    (answer,) = transformer.generate([prompt], max_tokens=20, **GREEDY)
    tokens, total = stepwise(transformer, row, 20)
    assert answer["text"] == transformer.continuation(row, np.array(tokens, "int32"))
    assert answer["log_prob"] == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_tokens": 21}, r"max_tokens is 21; allowed: whole numbers from 0 to 20"),
        ({"max_tokens": -1}, r"max_tokens is -1; allowed: whole numbers from 0 to 20"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5; allowed: whole numbers"),
        ({"max_tokens": [1, 2, 3]}, r"max_tokens is \[1, 2, 3\]"),
        ({"temperature": -1.0}, "temperature is -1.0; allowed: finite numbers, 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": -1}, "top_k is -1; allowed: whole numbers, 0"),
        ({"top_p": 1.5}, "top_p is 1.5; allowed: finite numbers, 0 to 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0; allowed: finite numbers, above 0"),
        ({"seed": 2**31}, "seed is 2147483648; allowed: whole numbers, an integer of 32 bits"),
        ({"seed": [1, 2, 3]}, r"seed has shape \(3,\)"),
        ({"beam_size": 0}, "beam_size is 0; allowed: whole numbers from 1 to 1024"),
        ({"beam_size": 1025}, "beam_size is 1025; allowed: whole numbers from 1 to 1024"),
        ({"beam_size": 2.5}, "beam_size is 2.5; allowed: whole numbers"),
        ({"beam_size": "3"}, "beam_size is '3'; allowed: whole numbers"),
        ({"length_penalty": 0.5}, "length_penalty 0.5 is for beam search: give a beam_size above 1"),
        ({"beam_size": 2, "length_penalty": "x"}, "length_penalty is 'x'; allowed: finite numbers, 0 or above"),
        (
            {"beam_size": 2, "length_penalty": float("nan")},
            "length_penalty is nan; allowed: finite numbers, 0 or above",
        ),
        ({"beam_size": 2, "seed": [0, 7]}, "seed: beam search does not sample"),
        ({"beam_size": 2, "temperature": np.full(2, 0.5)}, "temperature: beam search does not sample"),
        ({"stop": [3]}, r"stop has 3; allowed: strings \(str\)"),
        ({"stop": ["a", b"e"]}, r"stop has b'e'; allowed: strings \(str\)"),
        ({"beam_size": 2, "top_k": 5, "temperature": 0.5}, "temperature, top_k: beam search does not sample"),
        ({"beam_size": 2, "length_penalty": -1.0}, "length_penalty is -1.0; allowed: finite numbers, 0 or above"),
    ],
)
def test_options_out_of_range_are_named(lstm, options, message):
    with pytest.raises(ValueError, match=message):
        lstm.generate(["the", "a"], **{"max_tokens": 5, **options})


def test_top_k_above_the_vocabulary_leaves_nothing_out(lstm):
    options = {"max_tokens": 6, "seed": 3}
    assert lstm.generate(["the"], top_k=10_000, **options) == lstm.generate(["the"], **options)
    assert (
        lstm.generate(["the"], top_k=1, **options)[0]["text"] == lstm.generate(["the"], **GREEDY, **options)[0]["text"]
    )


def test_several_lines_have_line_breaks_and_one_line_has_none(bytes_model):
    options = {"max_tokens": 20, "seed": list(range(6))}
    many = bytes_model.generate(["a"] * 6, **options)
    assert all(answer["length"] == 20 for answer in many) and any("\n" in answer["text"] for answer in many)
    one = LanguageModelPredictor(bytes_model.model, bytes_model.text, bytes_model.settings, True)
    for whole, line in zip(many, one.generate(["a"] * 6, **options)):
        assert line["text"] == whole["text"].split("\n")[0]
        if "\ufffd" not in line["text"]:
            assert line["length"] == min(20, len(line["text"].encode()) + 1)


# stop strings


def test_a_stop_string_cuts_the_text_before_it_even_over_several_tokens(lstm):
    (whole,) = lstm.generate(["the cat"], max_tokens=15, **GREEDY)
    (row,) = lstm.encode_prompts(["the cat"])
    tokens, _ = stepwise(lstm, row, 15)
    text = whole["text"]
    for stop in ([text[3:9]], [text[5:6]], [text[8:20], text[-3:]], ["zzz", text[10:13]]):
        (answer,) = lstm.generate(["the cat"], max_tokens=15, stop=stop, **GREEDY)
        first = min(place for s in stop if (place := text.find(s)) >= 0)
        assert answer["text"] == text[:first]
        read = [lstm.continuation(row, np.array(tokens[:n], "int32")) for n in range(1, 16)]
        assert answer["length"] == 1 + next(n for n, part in enumerate(read) if any(s in part for s in stop))
        partial = lstm.generate(["the cat"], max_tokens=answer["length"], **GREEDY)[0]
        assert answer["log_prob"] == pytest.approx(partial["log_prob"], abs=1e-5)
    assert lstm.generate(["the cat"], max_tokens=15, stop=["zzz"], **GREEDY)[0] == whole


def test_an_empty_stop_string_stops_nothing_and_one_string_must_stand_in_a_list(lstm):
    whole = lstm.generate(["the"], max_tokens=5, **GREEDY)
    assert lstm.generate(["the"], max_tokens=5, stop=[""], **GREEDY) == whole
    assert lstm.generate(["the"], max_tokens=0, stop=[""])[0]["text"] == ""
    assert "".join(lstm.stream("the", max_tokens=5, stop=[""], **GREEDY)) == whole[0]["text"]
    with pytest.raises(TypeError, match="a list of texts is needed, got the single text 'cat'"):
        lstm.generate(["the"], max_tokens=5, stop="cat")
    with pytest.raises(TypeError, match="single text"):
        next(lstm.stream("the", max_tokens=5, stop="cat"))


# streams


@pytest.mark.parametrize("which", ["lstm", "lines", "transformer"])
def test_a_stream_joins_to_the_text_of_generate(which, request):
    predictor = request.getfixturevalue(which)
    for prompt, options in (("the cat", {"seed": 3}), ("", GREEDY), ("a dog\n", {"temperature": 1.4, "top_k": 20})):
        pieces = list(predictor.stream(prompt, max_tokens=10, **options))
        assert "".join(pieces) == predictor.generate([prompt], max_tokens=10, **options)[0]["text"]
        assert all(pieces)
    assert list(predictor.stream("the", max_tokens=0)) == []


def test_a_stream_of_bytes_never_shows_half_a_character(bytes_model):
    characters = set()
    for seed in range(12):
        pieces = list(bytes_model.stream("grün ä", max_tokens=20, seed=seed))
        text = bytes_model.generate(["grün ä"], max_tokens=20, seed=seed)[0]["text"]
        assert "".join(pieces) == text
        shown = ""
        for piece in pieces:
            shown += piece
            assert text.startswith(shown)
        characters |= set(text)
    assert {"ä", "\n"} & characters and "\ufffd" in characters, "the test has whole and broken characters"


def test_a_stream_holds_back_what_may_become_a_stop_string(bytes_model, lstm):
    for predictor, prompt in ((bytes_model, "a"), (lstm, "the cat")):
        for seed in range(4):
            options = {"max_tokens": 20, "seed": seed}
            text = predictor.generate([prompt], **options)[0]["text"]
            for stop in ([text[2:5]], [text[4:6], text[7:8]], [text[-2:] + "never"]):
                expected = predictor.generate([prompt], stop=stop, **options)[0]["text"]
                assert "".join(predictor.stream(prompt, stop=stop, **options)) == expected


def test_a_stream_refuses_what_generate_refuses_before_its_first_piece(lstm):
    for options, message in (
        ({"max_tokens": 21}, "max_tokens is 21; allowed: whole numbers from 0 to 20"),
        ({"top_p": 2.0}, "top_p is 2.0; allowed"),
        ({"stop": [3]}, "stop has 3; allowed: strings"),
    ):
        with pytest.raises(ValueError, match=message):
            lstm.stream("the", **options)


# beam search


def test_beam_search_finds_what_the_search_on_step_finds(lines):
    prompts = ["the cat", "a dog", ""]
    answers = lines.generate(prompts, max_tokens=6, beam_size=3, length_penalty=0.5)
    for prompt, answer in zip(prompts, answers):
        row = np.concatenate([[END], *lines.encode_prompts([prompt])]).astype("int32")
        best = beam_search(
            lines.model.step,
            lines.model.initial_state(1),
            row[None],
            np.array([len(row)], "int32"),
            np.array([6], "int32"),
            limit=6,
            beam_size=3,
            end_token=END,
            forbidden=NEVER_GENERATED,
            length_penalty=0.5,
        )
        count = int(best["length"][0, 0])
        tokens = ops.convert_to_numpy(best["tokens"])[0, 0, :count]
        assert answer["length"] == count
        assert answer["log_prob"] == pytest.approx(float(best["log_prob"][0, 0]), abs=1e-4)
        assert answer["text"] == lines.continuation(row[1:], tokens[tokens != END])
        (alone,) = lines.generate([prompt], max_tokens=6, beam_size=3, length_penalty=0.5)
        assert alone["text"] == answer["text"]
    assert lines.generate(["the"], max_tokens=0, beam_size=2)[0] == {"text": "", "log_prob": 0.0, "length": 0}


def test_more_beams_than_tokens_are_a_search_too(lines):
    size = lines.text.vocabulary_size
    few, many = (lines.generate(["a dog"], max_tokens=2, beam_size=n)[0] for n in (size, 4 * size))
    assert many == {**few, "log_prob": pytest.approx(few["log_prob"], abs=1e-5)}


def test_a_beam_cut_at_a_stop_string_has_the_log_probability_of_its_tokens(lines):
    (whole,) = lines.generate(["the cat"], max_tokens=6, beam_size=2)
    stop = whole["text"][1:4]
    (answer,) = lines.generate(["the cat"], max_tokens=6, beam_size=2, stop=[stop])
    assert answer["text"] == whole["text"][: whole["text"].find(stop)] and answer["length"] < whole["length"]
    (row,) = lines.encode_prompts(["the cat"])
    tokens = lines.encode_prompts(["the cat" + whole["text"]])[0][: len(row) + answer["length"]]
    own = log_probs_after(lines, tokens)[np.arange(len(tokens)), tokens]
    assert answer["log_prob"] == pytest.approx(own[len(row) :].sum(), abs=1e-4)
