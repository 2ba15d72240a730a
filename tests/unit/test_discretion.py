"""The look at what tests leave behind can see a leak."""

from __future__ import annotations

from pathlib import Path

import discretion
import pytest


def test_a_secret_that_was_printed_is_seen() -> None:
    assert list(discretion.told([("Captured log call", "error: token wr0ng-secret")])) == [
        "'wr0ng-secret' in Captured log call"
    ]
    assert list(discretion.told([("Captured stdout call", "1 row sent")])) == []


@pytest.mark.parametrize("content", ["x u7@example.com", "User 12", "mail3", "sandbox-token", "sqlite:///db"])
def test_a_secret_that_was_kept_is_seen(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "state.db-wal").write_text(f"rows {content} more")
    (folder / "config.toml").write_text("token = 'sandbox-token'")
    assert len(list(discretion.kept(folder, values=True))) == 1
    (folder / "state.db-wal").unlink()
    assert list(discretion.kept(folder, values=True)) == []
