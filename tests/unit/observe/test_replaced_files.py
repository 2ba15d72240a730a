"""A file that others read changes in one step or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sync_profiles.observe.files import replace_text


def test_a_reader_that_opened_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    replace_text(path, "old")
    with path.open("r") as reader:
        replace_text(path, "new, and longer ü")
        assert reader.read() == "old"
    assert path.read_text("utf-8") == "new, and longer ü"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_may_be_read_by_everybody_or_by_whom_is_said(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        replace_text(tmp_path / "open", "")
        replace_text(tmp_path / "shut", "", mode=0o600)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("open", "shut")] == [0o644, 0o600]


def test_what_cannot_be_written_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    replace_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        replace_text(path, "half \ud800")
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_text(tmp_path / "folder", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
