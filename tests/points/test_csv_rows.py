"""Rows of a CSV, and the errors of those that are wrong."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiment.configuration.errors import ConfigurationError
from experiment.points.csv_rows import CsvRows


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe does."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self.size = size

    def read1(self, size: int = -1, /) -> bytes:
        return super().read1(self.size)


def read(content: bytes, *columns: str, size: int = 5) -> list[list[str]]:
    return [*CsvRows(Trickle(content, size), "file.csv", columns)]


cells = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r"), max_size=6).filter(
    lambda text: text == text.lstrip(" ")
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), max_size=8), st.integers(1, 40), st.sampled_from(["\n", "\r\n"])
)
def test_what_pythons_writer_writes_is_read_however_it_arrives(rows, size, end):
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([["x", "y", "label"], *rows])
    assert read(text.getvalue().encode(), "label", "x", size=size) == [[row[2], row[0]] for row in rows]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfx,y\n1,2\n3,4\n",
        b"x,y\r\n1,2\r\n3,4",
        b'"x", "y"\n"1",2\n3, "4"\n',
        b"\nx,y\n\n1,2\n   \n3,4\n\n\n",
        b"y,other,x\n2,text,1\n4,,3\n",
    ],
)
def test_common_dialects_are_read(content):
    assert read(content, "x", "y") == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; its first line must name the columns"),
        (b"\n \n", "the file is empty"),
        (b"1,2\n3,4\n", "line 1: no column 'x'; the first line names the columns, here '1', '2'"),
        (b"x;y\n1;2\n", "line 1: no column 'x'; the first line names the columns, here 'x;y'"),
        (b"x,x,y\n1,1,2\n", "line 1: several columns 'x'"),
        (b"x,y\n1,2\n3\n", "line 3: 1 cells, where the first line names 2 columns"),
        (b"x,y\n\n1,2,3\n", "line 3: 3 cells"),
        (b"x,y\n1,\xe4\n", "line 2: is not text in UTF-8"),
        ("x,y\n1,2\n".encode("utf-16"), "line 1: is not text in UTF-8"),
        (b'x,y\n1,2\n"3,4\n5,6\n', "line 4: is no CSV: unexpected end of data"),
        (b'x,y\n"1"2,3\n', "line 2: is no CSV"),
        (b"x,y\r1,2\r", "line 1: is no CSV: new-line character seen in unquoted field"),
    ],
)
def test_a_wrong_file_is_one_message_with_its_line(content, message):
    with pytest.raises(ConfigurationError) as error:
        read(content, "x", "y")
    assert str(error.value).startswith("file.csv: ")
    assert message in str(error.value)


def test_a_line_that_never_ends_is_refused():
    endless = io.BytesIO()
    endless.read1 = lambda size: b"1" * size
    with pytest.raises(ConfigurationError, match=r"file\.csv: line 1: is longer than 4194304 bytes"):
        CsvRows(endless, "file.csv", ["x"])


@pytest.mark.parametrize("text", ["", " ", "a", "nan", "inf", "-Infinity", "1e39", "1_000", "1,5", "0x10", "1 2"])
def test_what_is_no_finite_number_is_named_with_its_column(text):
    rows = CsvRows(io.BytesIO(b'x,y\n1,"' + text.encode() + b'"\n'), "file.csv", ["y", "x"])
    (row,) = rows
    assert rows.parse_number(row[1], 1) == 1
    with pytest.raises(ConfigurationError, match=r"^file\.csv: line 2, column y: "):
        rows.parse_number(row[0], 0)
