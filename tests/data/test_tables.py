import pytest

from medical_rl.data.sources import tables
from medical_rl.errors import UserError


def read(path, needed=("a", "b")):
    return list(tables.read_table(path, needed))


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,x\n", "\ufeffa,b\r\n1, x \r\n\r\n", "a\tb\n1\tx\n", "a;b\n1;x", ' a ,"b"\n"1","x"\n,\n'],
    ids=["plain", "excel", "tabs", "semicolons", "quotes"],
)
def test_every_common_form_of_a_table_is_read_the_same(put, text):
    assert read(put("t.csv", text)) == [(2, {"a": "1", "b": "x"})]


def test_a_line_break_within_quotes_keeps_the_line_numbers(put):
    assert [line for line, _ in read(put("t.csv", 'a,b\n1,"x\ny"\n2,z\n'))] == [3, 4]


BAD = [
    ("a,c\n1,2\n", "lacks the columns b; it has a, c"),
    ("", "lacks the columns a, b; it has no columns"),
    ("a,b,a\n1,2,3\n", "has the columns a twice"),
    ("a,b\n1,2\n1,2,3\n", "Line 3 of .*t.csv has 3 cells; its header has 2"),
    ("a,b\n1\n", "has 1 cells"),
    ("version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a git-lfs pointer"),
    (b"a,b\n1,\xff\xfe\n", "is not UTF-8 text"),
    ("a,b\n1," + "x" * 200_000 + "\n", "Line 2 of .* field larger than field limit"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[reason[:20] for _, reason in BAD])
def test_a_table_that_cannot_be_trusted_is_refused_with_its_line(put, text, reason):
    with pytest.raises(UserError, match=reason):
        read(put("t.csv", text))


def test_the_right_table_is_found_or_the_choice_is_the_users(put):
    root = put("one.csv", "a,b\n1,2\n").parent
    put("notes/other.csv", "x,y\n1,2\n")
    assert tables.find_table(root, [("a", "b")], None, "The table").name == "one.csv"
    put("notes/two.tsv", "b\ta\n1\t2\n")
    with pytest.raises(
        UserError, match="Several tables fit .*notes/two.tsv, one.csv|Several .*one.csv, notes/two.tsv"
    ):
        tables.find_table(root, [("a", "b")], None, "The table")
    assert tables.find_table(root, [("a", "b")], "notes/two.tsv", "The table").name == "two.tsv"
    put("known", "a,b\n")
    assert tables.find_table(root, [("a", "b")], None, "The table", known="known").name == "known"
    with pytest.raises(UserError, match="There is no table .*gone.csv"):
        tables.find_table(root, [("a", "b")], "gone.csv", "The table")
    with pytest.raises(UserError, match="No table fits .*The table has the columns q"):
        tables.find_table(root, [("q",)], None, "The table")
