import pytest

from jaxbq.data.labels import brief, check_names, listed, natural, shown
from jaxbq.errors import JaxbqError


def test_numbers_in_names_are_ordered_as_numbers():
    names = ["10", "9", "b2", "b10", "a", "2a", "02", "2"]
    assert sorted(names, key=natural) == ["02", "2", "2a", "9", "10", "a", "b2", "b10"]
    assert sorted(["é", "²", "٣"], key=natural)  # digits of other kinds are no numbers here


def test_what_is_shown_is_one_line_that_a_terminal_takes_as_text():
    assert shown("plain 猫 é") == "plain 猫 é"
    assert shown("a\nb\x1b[2J\u202e\udcff") == "a\\nb\\x1b[2J\\u202e\\udcff"
    assert len(brief("x" * 10**6)) == 101
    assert listed([str(n) for n in range(50)]).endswith("11, …")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", ""], "a name has 1 to 100 characters"),
        (["x" * 101, "y"], "a name has 1 to 100 characters"),
        (["a\nb"], r"class 'a\\nb': its name holds a character that cannot be printed"),
        (["\x1b[31m"], "cannot be printed"),
        (["a", "b", "a"], "class 'a' is named twice"),
        (["0"] * 5000, "5,000 classes are more than jaxbq takes"),
    ],
)
def test_names_that_cannot_stand_in_a_table(names, message):
    with pytest.raises(JaxbqError, match=message) as caught:
        check_names(names)
    assert "\n" not in str(caught.value)


def test_odd_names_are_names():
    names = ("../../etc", "<b>", "[red]", "$x$", "a,b", '"', "猫", "con")
    assert check_names(names) == names
