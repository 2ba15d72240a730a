"""Each known mistake, made on purpose in one real function, is seen by the simulator: some world of 500 ends badly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from world_run import Divergence, World
from world_source import SimulatedSource

from sync_profiles.core import reply, scanplan
from sync_profiles.core.types import Accepted, Acknowledged, Batch, ScanCursor, Settlement, Verdict, Watermark
from sync_profiles.engine import run
from sync_profiles.engine.deliver import Delivery
from sync_profiles.engine.ownership import finish_pass

SEEDS = 500

Patch = pytest.MonkeyPatch


def no_lookback(patch: Patch) -> None:
    plan = scanplan.plan

    def without(*given: Any) -> Any:
        made = plan(*given)
        return msgspec.structs.replace(made, lookback_s=0.0) if isinstance(made, ScanCursor) else made

    patch.setattr(scanplan, "plan", without)


def position_read_after_the_rows(patch: Patch) -> None:
    sources: list[SimulatedSource] = []
    watermark, next_watermark = SimulatedSource.watermark, scanplan.next_watermark

    def remembered(source: SimulatedSource) -> Watermark:
        sources.append(source)
        return watermark(source)

    def later(plan: Any, before: Any, now: Watermark, started_at: float) -> Watermark:
        return next_watermark(plan, before, watermark(sources[-1]), started_at)

    patch.setattr(SimulatedSource, "watermark", remembered)
    patch.setattr(scanplan, "next_watermark", later)


def greater_instead_of_at_least(patch: Patch) -> None:
    patch.setattr(SimulatedSource, "reaches", staticmethod(lambda stamp, lower: stamp > lower))


def acknowledged_before_the_reply(patch: Patch) -> None:
    hand_out = Delivery._hand_out

    def too_early(delivery: Delivery, batch: Batch) -> None:
        sent = [
            Acknowledged(one.key, one.distinct_id, one.fingerprint, one.shape)
            for one in batch.profiles
            if one.fingerprint is not None
        ]
        delivery._state.settle(Settlement(acknowledged=sent, landed=[batch.number]), delivery._course.now())
        hand_out(delivery, batch)

    patch.setattr(Delivery, "_hand_out", too_early)


def blind_to(**fields: str) -> Callable[[Patch], None]:
    """A horizon whose ``fields`` always look the same."""

    def blind(patch: Patch) -> None:
        reason = scanplan.horizon_reason

        def unaware(before: Any, now: Any) -> Any:
            return reason(msgspec.structs.replace(before, **fields), msgspec.structs.replace(now, **fields))

        patch.setattr(scanplan, "horizon_reason", unaware)

    return blind


def redirect_followed(patch: Patch) -> None:
    verdict = reply.reply_verdict

    def followed(status: int, *rest: Any, **more: Any) -> Verdict:
        return Accepted() if 300 <= status < 400 else verdict(status, *rest, **more)

    patch.setattr(reply, "reply_verdict", followed)


def bare_one_accepted(patch: Patch) -> None:
    verdict = reply._answer_verdict
    patch.setattr(reply, "_answer_verdict", lambda body, *rest: Accepted() if body == b"1" else verdict(body, *rest))


def xmax_for_xmin(patch: Patch) -> None:
    next_watermark = scanplan.next_watermark

    def ahead(*given: Any) -> Watermark:
        made = next_watermark(*given)
        horizon = made.horizon and msgspec.structs.replace(made.horizon, xmin=made.horizon.xmax)
        return msgspec.structs.replace(made, horizon=horizon)

    patch.setattr(scanplan, "next_watermark", ahead)


def position_moved_before_settlement(patch: Patch) -> None:
    whole_pass = run._whole_pass

    def too_early(work: Any, plan: Any, options: Any) -> None:
        state, parts, started_at = work.sync.state, work.parts, work.course.started_at
        moved = scanplan.next_watermark(plan, state.watermark(), parts.source.watermark(), started_at)
        finish_pass(state, parts.identity, moved)
        whole_pass(work, plan, options)

    patch.setattr(run, "_whole_pass", too_early)


MISTAKES: dict[str, Callable[[Patch], None]] = {
    "no lookback": no_lookback,
    "the position is read after the rows": position_read_after_the_rows,
    "> instead of >=": greater_instead_of_at_least,
    "acknowledged before the reply": acknowledged_before_the_reply,
    "blind to the timeline": blind_to(timeline="", started=""),
    "blind to the schema": blind_to(schema=""),
    "a redirect is followed": redirect_followed,
    "a bare 1 is accepted": bare_one_accepted,
    "the snapshot's xmax instead of its xmin": xmax_for_xmin,
    "the position moves before settlement": position_moved_before_settlement,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_simulator_sees(mistake: str, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]) -> None:
    MISTAKES[mistake](monkeypatch)
    for seed in range(SEEDS):
        try:
            World(seed).live()
        except Divergence as seen:
            with capsys.disabled():
                print(f"\n{mistake}: seen by world {seed}: {str(seen).splitlines()[0][:110]}", end="")
            return
    pytest.fail(f"no world of {SEEDS} saw it: {mistake}")


def test_without_a_mistake_these_worlds_end_well(tmp_path: Path) -> None:
    """So whatever the simulator sees above is the mistake."""
    for seed in range(20):
        World(seed).live()
