"""A sealed value is read as it was written, or not at all."""

from __future__ import annotations

import builders as make
import msgspec
import pytest

from sync_profiles.core.types import Identity, Watermark
from sync_profiles.state.sealed import DamageError, seal, unsealed

MARK = Watermark("xmin", horizon=make.horizon())


def test_a_sealed_value_comes_back() -> None:
    assert unsealed(seal(MARK), Watermark) == MARK
    assert unsealed(seal(make.identity()), Identity) == make.identity()


def test_any_other_character_anywhere_is_noticed() -> None:
    sealed = seal(MARK)
    for place, character in enumerate(sealed):
        other = "7" if character != "7" else "8"
        with pytest.raises((DamageError, msgspec.DecodeError)):
            unsealed(f"{sealed[:place]}{other}{sealed[place + 1 :]}", Watermark)


@pytest.mark.parametrize("text", ["", "0", "0123456789abcdef", "{"])
def test_what_is_no_value_is_noticed(text: str) -> None:
    with pytest.raises((DamageError, msgspec.DecodeError)):
        unsealed(text, Watermark)


def test_a_value_of_before_there_were_hashes_is_read() -> None:
    assert unsealed(msgspec.json.encode(MARK).decode(), Watermark) == MARK
