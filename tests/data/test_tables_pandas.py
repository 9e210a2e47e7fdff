"""What pandas writes is read back equal, or refused with the file, the line and the remedy; nothing is read otherwise."""

import csv
import itertools
import warnings

import pandas
import pytest

from nlp_suite.data.table_reading import open_table
from nlp_suite.errors import DataError

TEXTS = {
    "plain": ["a fine film", "not so good", "ends well", "a bore"],
    "quotes": ['he said "no"', '"Great"', '"', 'a ""b""', "it's"],
    "delimiters": ["a, b; c", "tab\there", "x|y", ", ", ";"],
    "line ends": ["two\nlines", "crlf\r\nhere", "lone\rreturn", "\n", "end\n"],
    "two quotes": ['""', "a fine film", "a bore"],
    "other": ["ä€ß 日本", " blanks ", "", "\u2028", "=1+1", "#no comment"],
}
NOT_IN = {"cp1252": "日本", "latin-1": "日本€"}
QUOTINGS = {
    "minimal": csv.QUOTE_MINIMAL,
    "all": csv.QUOTE_ALL,
    "nonnumeric": csv.QUOTE_NONNUMERIC,
    "none": csv.QUOTE_NONE,
}
ALL = list(itertools.chain(*TEXTS.values()))


def frame(texts, encoding="utf-8"):
    kept = ["".join(c for c in text if c.encode(encoding, "ignore")) for text in texts]
    return pandas.DataFrame(
        {"text": kept, "stars": range(len(kept)), "label": [f"class {n % 3}" for n in range(len(kept))]}
    )


def written(data, path, **options):
    """Whether pandas can write the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data.to_csv(path, index=False, **options)
        return True
    except (csv.Error, UnicodeEncodeError):
        return False


def read_or_refused(path, data, **options):
    """Asserts that the file is read back equal or refused, or that it is said what is read otherwise; returns which."""
    expected = [[text, str(stars), label] for text, stars, label in data.itertuples(index=False)]
    try:
        table = open_table(path, **options)
        rows = [row for _, row in table.rows()]
    except DataError as error:
        assert path.name in str(error) and ("line " in str(error) or "delimiter" in str(error)), error
        assert "quoting" in str(error) or "delimiter" in str(error) or "encoding" in str(error), error
        return "refused"
    assert table.columns == list(data.columns)
    if rows == [["" if text == '""' else text, *others] for text, *others in expected] != expected:
        assert 'fields of "" are read as empty; quoting: none reads them as two quotes' in table.found()
        return "said"
    assert rows == expected
    return "read"


@pytest.mark.parametrize("suffix, end", [("csv", "\n"), ("csv", "\r\n"), ("csv", "\r"), ("tsv", "\n")])
@pytest.mark.parametrize("quoting", QUOTINGS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_delimiter_quoting_and_line_end(tmp_path, delimiter, quoting, end, suffix):
    outcomes = {}
    for name, texts in [*TEXTS.items(), ("all", ALL)]:
        data, path = frame(texts), tmp_path / f"{name}.{suffix}"
        if written(data, path, sep=delimiter, quoting=QUOTINGS[quoting], lineterminator=end):
            outcomes[name] = read_or_refused(path, data)
    assert outcomes["plain"] == "read"
    if quoting in ("all", "nonnumeric"):
        assert set(outcomes.values()) == {"read"}


@pytest.mark.parametrize(
    "content, expected",
    [
        ("text\ra\nb\rplain\r", [["a\nb"], ["plain"]]),
        ('text\r"a\nb"\rplain\r', [["a\nb"], ["plain"]]),
        ('text\tlabel\r"a\nb"\tpos\rplain\tneg\rx\tpos\r', [["a\nb", "pos"], ["plain", "neg"], ["x", "pos"]]),
    ],
)
def test_line_feeds_within_fields_end_no_line_where_returns_do(tmp_path, content, expected):
    (tmp_path / "a.tsv").write_bytes(content.encode())
    assert [row for _, row in open_table(tmp_path / "a.tsv", header=True).rows()] == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"])
@pytest.mark.parametrize("quoting", ["minimal", "all"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding(tmp_path, encoding, quoting, end):
    data, path = frame(ALL, encoding), tmp_path / "a.csv"
    assert written(data, path, encoding=encoding, quoting=QUOTINGS[quoting], lineterminator=end)
    outcome = read_or_refused(path, data, encoding=encoding)
    assert outcome == "read" or (end == "\r" and quoting == "minimal")  # there pandas leaves line feeds unquoted
    if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert read_or_refused(path, data) == outcome
    elif outcome == "read":
        remedy = "cp1252" if encoding == "latin-1" else encoding
        with pytest.raises(DataError, match=f"a.csv, line .* set encoding: {remedy}"):
            list(open_table(path).rows())


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("suffix, options", [("csv", {}), ("tsv", {"sep": "\t"}), ("csv", {"encoding": "utf-8-sig"})])
def test_every_compression(tmp_path, compression, suffix, options):
    data, path = frame(ALL), tmp_path / f"a.{suffix}.{compression}"
    assert written(data, path, quoting=csv.QUOTE_ALL, **options)
    assert read_or_refused(path, data) == "read"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"a.{suffix}.{compression}.*broken"):
        list(open_table(path).rows())


@pytest.mark.parametrize("form", ["records", "lines", "parquet", "feather", "excel"])
def test_formats_with_types(tmp_path, form):
    texts = [text for text in ALL if form != "excel" or (text and "\r" not in text and text[0] != "=")]
    data = frame(texts)
    path = tmp_path / {"records": "a.json", "lines": "a.jsonl", "excel": "a.xlsx"}.get(form, f"a.{form}")
    {
        "records": lambda: data.to_json(path, orient="records"),
        "lines": lambda: data.to_json(path, orient="records", lines=True),
        "parquet": lambda: data.to_parquet(path),
        "feather": lambda: data.to_feather(path),
        "excel": lambda: data.to_excel(path, index=False),
    }[form]()
    table = open_table(path)
    assert table.columns == ["text", "stars", "label"]
    assert [row for _, row in table.rows()] == data.values.tolist()


def test_other_orders_of_pandas_json_are_refused(tmp_path):
    path = tmp_path / "a.json"
    for orient in ("columns", "index", "split", "table", "values"):
        frame(ALL).to_json(path, orient=orient)
        with pytest.raises(DataError, match=r"a\.json.*(orient='records'|object is expected)"):
            list(open_table(path).rows())


def test_the_index_that_pandas_writes_is_a_column_without_a_name(tmp_path):
    path = tmp_path / "a.csv"
    frame(["a b", "c d"]).to_csv(path)
    assert open_table(path).columns == ["", "text", "stars", "label"]
    frame(["a b", "c d"]).set_index("label").to_parquet(tmp_path / "a.parquet")
    assert open_table(tmp_path / "a.parquet").columns == ["text", "stars", "label"]
    frame(["a b", "c d"]).iloc[[1, 0]].to_parquet(tmp_path / "b.parquet")
    assert open_table(tmp_path / "b.parquet").columns == ["text", "stars", "label"]


@pytest.mark.parametrize("escape", [{"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"}])
def test_backslashes_before_quotes_are_refused(tmp_path, escape):
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        path = tmp_path / name
        frame(TEXTS["quotes"]).to_csv(path, index=False, sep=delimiter, **escape)
        with pytest.raises(DataError, match=rf"{name}, line 2: .*backslashes.*doublequote=True.*quoting: none"):
            list(open_table(path).rows())
