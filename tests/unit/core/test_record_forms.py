"""Forms: pieces and the values in their places make the bytes of whole records."""

from __future__ import annotations

from sync_profiles.core.record_forms import Form, filled_in, joined, sizes
from sync_profiles.core.records import ID, SET

ONE = ((b"<", ID, b"=", SET, b">"),)
TWO = (*ONE, (b"(", ID, b")"))


def form(*records: tuple[bytes | int, ...]) -> Form:
    return Form(records, joined(records), ())


def test_records_are_joined_by_commas_in_as_few_pieces_as_there_can_be() -> None:
    assert joined(TWO) == (b"<", ID, b"=", SET, b">,(", ID, b")")
    assert joined(()) == ()


def test_profiles_of_mixed_forms_keep_their_order() -> None:
    one, two = form(*ONE), form(*TWO)
    columns = ([b"a", b"b", b"c"], [b"1", b"2", b"3"])
    assert filled_in([one, two, one], columns) == [b"<a=1>", b"<b=2>,(b)", b"<c=3>"]
    assert filled_in([one, one, one], columns) == [b"<a=1>", b"<b=2>", b"<c=3>"]


def test_a_bracket_or_percent_sign_in_a_value_is_only_a_value() -> None:
    assert filled_in([form(*ONE)], ([b"%b"], [b"{0}"])) == [b"<%b={0}>"]


def test_each_record_has_its_own_size() -> None:
    assert sizes(form(*TWO), (b"abc", b"12")) == [8, 5]
