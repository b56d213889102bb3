"""Laws of the comparison of nested records."""

from ddpm_core.diff import ABSENT, unequal


def test_a_record_is_equal_to_itself() -> None:
    record = {"a": {"b": [1, 2]}, "c": None}
    assert list(unequal(record, record)) == []


def test_every_unequal_leaf_has_its_dotted_name_and_both_values() -> None:
    one, other = {"a": {"b": 1, "c": 2}, "d": None}, {"a": {"b": 1, "c": 3}, "d": None}
    assert list(unequal(one, other)) == [("a.c", 2, 3)]


def test_what_one_has_not_is_told_apart_from_what_is_none() -> None:
    assert list(unequal({"a": None}, {})) == [("a", None, ABSENT)]
    assert list(unequal({}, {"a": {"b": 1}})) == [("a", ABSENT, {"b": 1})]
