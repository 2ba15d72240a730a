"""Whose state this is: the source, project and mapping that a sync's fingerprints speak of."""

from __future__ import annotations

import msgspec

from sync_profiles.core import guards
from sync_profiles.core.guards import Stopped
from sync_profiles.core.ports import State
from sync_profiles.core.types import Identity, Watermark
from sync_profiles.errors import GuardStop


def settle_identity(state: State, identity: Identity, *, accept: bool, accept_types: bool = False) -> guards.Belonging:
    """Refuse another source or project, or other types, unless accepted; says what changed since the last good run.

    The mapping is remembered only after a complete pass with it (see ``finish_pass``): a run that is killed in
    between must not make the next one believe that every row went through the new mapping.
    """
    before = state.identity()
    changed = guards.belonging(before, identity)
    if not accept:
        raise_if(guards.another_owner(before, identity))
    if not (accept or accept_types):
        raise_if(guards.drifted(before, identity))
    if changed == "project":
        state.forget()
    mapping = before.mapping if before is not None and changed in {"mapping", "source"} else identity.mapping
    if changed == "source":
        mapping = ""  # the accepted source is read in full until a pass completes
    if changed not in {"same", "mapping"}:
        state.set_identity(msgspec.structs.replace(identity, mapping=mapping))
    return changed


def finish_pass(state: State, identity: Identity, watermark: Watermark) -> None:
    """The watermark moves last, when every change before it is acknowledged or pending (promise 1)."""
    state.set_identity(identity)
    state.move_watermark(watermark)


def raise_if(stopped: Stopped | None) -> None:
    """A guard's answer becomes the end of the run."""
    if stopped is not None:
        raise GuardStop(stopped.message, hint=stopped.hint)
