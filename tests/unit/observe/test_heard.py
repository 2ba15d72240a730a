"""The net below the whole suite can catch something."""

from __future__ import annotations

import logging

import pytest
from heard import Heard


def heard(text: str, **fields: object) -> list[str]:
    record = logging.LogRecord("sync_profiles", logging.WARNING, __file__, 1, text, (), None)
    record.fields = fields
    listener = Heard()
    listener.emit(record)
    return listener.leaks


@pytest.mark.parametrize("text", ["ada@example.org wrote", "mysql://app:hunter3@db/app", "key ada@example.org"])
def test_what_the_filter_masks_is_no_leak(text: str) -> None:
    assert heard(text, hint=text) == []


@pytest.mark.parametrize("text", ["the password is hunter2", "token e2e0token0that0nobody0may0print0"])
def test_what_passes_the_filter_is_caught_in_every_form(text: str) -> None:
    assert len(heard(text)) == 3
    assert len(heard("look", hint=text)) == 3
