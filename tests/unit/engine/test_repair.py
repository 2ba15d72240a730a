"""What becomes of mismatches in the state: who is due, under which ID, and what stays remembered."""

from __future__ import annotations

import builders as make
import pytest
from fakes import MemoryState

from sync_profiles.core.gone import gone_row
from sync_profiles.core.pending import REPAIR
from sync_profiles.core.types import Acknowledged, Mismatch, PendingRow, Settlement
from sync_profiles.engine.repair import mark_for_repair
from sync_profiles.errors import TemporaryError

NOW = 5000.0


class Lock:
    """Free, or held by somebody else."""

    holder = "process 7"

    def __init__(self, *, free: bool = True) -> None:
        self.free = free
        self.held = False

    def acquire(self) -> bool:
        self.held = self.free
        return self.free

    def release(self) -> None:
        self.held = False


def state_with(*pending: PendingRow) -> MemoryState:
    """Keys 1 to 3 are known with a plan; these rows are pending."""
    state = MemoryState()
    state.begin_run("r", 0.0)
    known = [Acknowledged(str(key), str(key), b"f" * 16, ("plan",)) for key in range(1, 4)]
    state.settle(Settlement(acknowledged=known), 0.0)
    state.settle(Settlement(pending=pending), 0.0)
    return state


def due_after(state: MemoryState, *found: Mismatch) -> list[PendingRow]:
    mark_for_repair(state, Lock(), found, NOW)
    return sorted(state.due(100, NOW), key=lambda row: (row.kind, row.key))


@pytest.mark.parametrize("kind", ["missing", "different"])
def test_what_is_wrong_is_due_now_and_nothing_else_is(kind: str) -> None:
    (row,) = due_after(state_with(), Mismatch(kind, "2", "2", ("plan",)))  # type: ignore[arg-type]
    assert (row.kind, row.key, row.distinct_id, row.code) == ("row", "2", "2", REPAIR)
    assert (row.rejected, row.shape, row.next_try_at) == (False, (), NOW)


def test_what_a_lost_request_may_have_written_stays_remembered() -> None:
    waiting = make.pending("2", shape=("theme",), next_try_at=NOW + 600)
    (row,) = due_after(state_with(waiting), Mismatch("different", "2", "2", ("plan",)))
    assert (row.code, row.shape, row.next_try_at) == (REPAIR, ("theme",), NOW)


def test_an_id_that_a_lost_request_may_have_created_stays_remembered() -> None:
    waiting = make.pending("2", distinct_id="former", next_try_at=NOW + 600)
    (row,) = due_after(state_with(waiting), Mismatch("missing", "2", "now", unsent=True))
    assert (row.distinct_id, row.code, row.next_try_at) == ("former", waiting.code, NOW)


def test_a_profile_whose_row_is_gone_is_to_be_removed() -> None:
    (row,) = due_after(state_with(), Mismatch("unwanted", "3", "3", ("plan",), unsent=True))
    assert (row.kind, row.key, row.distinct_id, row.code, row.shape) == ("gone", "3", "3", "deleted", ("plan",))


def test_a_removal_that_was_to_be_repeated_later_is_due_now() -> None:
    asked = gone_row("9", "9", (), "delete_again", 0.0, not_before=NOW + 600)
    (row,) = due_after(state_with(asked), Mismatch("unwanted", "9", "9", ("plan",)))
    assert row.code == "delete_again"
    assert row.next_try_at <= NOW


def test_thousands_are_marked_as_well() -> None:
    found = [Mismatch("missing", f"k{number}", f"k{number}") for number in range(2500)]
    state = state_with()
    mark_for_repair(state, Lock(), found, NOW)
    assert state.pending_count() == 2500


def test_while_somebody_else_holds_the_lock_nothing_is_marked() -> None:
    state = state_with()
    with pytest.raises(TemporaryError, match="process 7"):
        mark_for_repair(state, Lock(free=False), [Mismatch("missing", "2", "2")], NOW)
    assert state.pending_count() == 0


def test_the_lock_is_given_back() -> None:
    lock = Lock()
    mark_for_repair(state_with(), lock, [Mismatch("missing", "2", "2")], NOW)
    assert not lock.held
