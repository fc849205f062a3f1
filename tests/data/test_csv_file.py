import numpy as np
import pytest

from pycrograd_core.data import csv_file
from pycrograd_core.errors import DataError


@pytest.fixture
def write(tmp_path):
    def write(content):
        file = tmp_path / "table.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(file)

    return write


def test_text_labels_are_numbered_in_sorted_order(write):
    data = csv_file(write("x,y,kind\n1,2,pear\n3,4.5,apple\n-5e-1,6,pear\n"))
    assert data.features.tolist() == [[1, 2], [3, 4.5], [-0.5, 6]]
    assert data.targets.tolist() == [1, 0, 1]
    assert (data.name, data.columns, data.label_names, data.classes) == ("table.csv", ("x", "y"), ("apple", "pear"), 2)


def test_integer_labels_are_numbered_by_value(write):
    data = csv_file(write("x,n\n1,10\n2,9\n3,-1\n4,09\n"))
    assert data.label_names == ("-1", "9", "10")
    assert data.targets.tolist() == [2, 1, 0, 1]


def test_the_label_may_be_any_column(write):
    data = csv_file(write("x,kind,y\n1,b,2\n3,a,4\n"), label="kind")
    assert data.features.tolist() == [[1, 2], [3, 4]]
    assert (data.columns, data.label_names) == (("x", "y"), ("a", "b"))


def test_regression(write):
    data = csv_file(write("x,y\n1,2.5\n3,-4\n"), task="regression")
    assert data.targets.tolist() == [[2.5], [-4]]
    assert data.targets.dtype == np.float32
    assert (data.classes, data.outputs, data.label_names) == (None, 1, ())


def test_without_a_header_columns_are_numbered_from_one(write):
    data = csv_file(write("7,1,2\n8,3,4\n"), label="1", header=False)
    assert (data.columns, data.label_names) == (("2", "3"), ("7", "8"))
    assert len(data) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfx,kind\n1,a\n2,b\n",  # a byte-order mark
        b"x,kind\r\n1,a\r\n2,b\r\n",
        b"x,kind\n\n1,a\n\n2,b\n\n",  # blank lines
        b"x , kind\n 1, a\n2 ,b",  # white space, no end of line
        b'"x","kind"\n"1","a"\n2,"b"\n',
    ],
)
def test_dialects(write, content):
    data = csv_file(write(content))
    assert (data.columns, data.label_names, data.features.tolist()) == (("x",), ("a", "b"), [[1], [2]])


def test_other_delimiters_and_quoted_ones(write):
    assert csv_file(write('x;kind\n1;"a;b"\n'), delimiter=";").label_names == ("a;b",)
    assert csv_file(write("x\tkind\n1\ta\n"), delimiter="\t").columns == ("x",)


def test_a_relative_path_is_relative_to_the_current_folder(write, tmp_path, monkeypatch):
    write("x,kind\n1,a\n")
    monkeypatch.chdir(tmp_path)
    assert len(csv_file("table.csv")) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r": the file is empty"),
        ("\n\n", r": the file is empty"),
        ("x,kind\n", r": a header, but no rows after it"),
        ("x,kind\n1,a\n2,b,c\n", r":3: 3 cells, but line 1 has 2"),
        ("x,kind\n1\n", r":2: 1 cells, but line 1 has 2"),
        ("x,kind\n1,a\n\nabc,b\n", r":4: column 'x': 'abc' is not a number"),
        ("x,kind\n1_000,a\n", r":2: column 'x': '1_000' is not a number"),
        ("x,kind\nnan,a\n", r":2: column 'x': 'nan' is not a finite float32 number"),
        ("x,kind\n-inf,a\n", r":2: column 'x': '-inf' is not a finite float32 number"),
        ("x,kind\n1e39,a\n", r":2: column 'x': '1e39' is not a finite float32 number"),
        ("x,kind\n,a\n", r":2: column 'x': the value is missing \(an empty cell\)"),
        ("x,kind\n1, \n", r":2: column 'kind': the value is missing \(an empty cell\)"),
        ("x,x,kind\n1,2,a\n", r":1: two columns are named 'x'"),
        (",x,kind\n0,2,a\n", r":1: column 1 has no name"),
        ("kind\na\n", r":1: 'kind' is the only column; features and a label need two at least"),
        (b"x,kind\n1,a\n2,caf\xe9\n", r":3: not UTF-8 text \(byte 0xe9\); save the file as UTF-8"),
        ("x,kind\n1,a\n".encode("utf-16"), r":1: not UTF-8 text \(byte 0xff\)"),
        ('x,kind\n1,"a\n2,b\n', r":3: unexpected end of data"),
        ('x,kind\n1,"a"b\n', r":2: ',' expected after '\"'"),
    ],
)
def test_mistakes_have_a_place(write, content, message):
    path = write(content)
    with pytest.raises(DataError, match=f"^{path}{message}"):
        csv_file(path)


def test_a_regression_target_must_be_a_number(write):
    path = write("x,y\n1,2\n1,high\n")
    with pytest.raises(DataError, match=f"^{path}:3: column 'y': 'high' is not a number"):
        csv_file(path, task="regression")


def test_a_missing_label_column(write):
    path = write("width,species\n1,a\n")
    message = f"^{path}:1: there is no label column 'specis'; did you mean 'species'\\? Known: species, width"
    with pytest.raises(DataError, match=message):
        csv_file(path, label="specis")


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r", "", "||"])
def test_a_delimiter_that_cannot_be_one(write, delimiter):
    with pytest.raises(DataError, match=r"table.csv: '.*' cannot be the delimiter"):
        csv_file(write("x,kind\n1,a\n"), delimiter=delimiter)


def test_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"^none.csv: there is no such file \(the current folder is {tmp_path}\)"):
        csv_file("none.csv")


def test_a_folder(tmp_path):
    with pytest.raises(DataError, match=f"^{tmp_path}: this is a folder, not a CSV file"):
        csv_file(str(tmp_path))


def test_a_path_that_cannot_be_read(write):
    path = write("x,kind\n1,a\n")
    with pytest.raises(DataError, match=f"^{path}/more: cannot be read: Not a directory"):
        csv_file(f"{path}/more")
