"""What follows from an answer: attempts -> verdict -> step. Pure."""

from __future__ import annotations

import msgspec

from sync_profiles.core.batching import Cut, halve, halve_by_bytes
from sync_profiles.core.types import (
    Accepted,
    Batch,
    Invalid,
    Outgoing,
    Refused,
    Throttled,
    TooLarge,
    Uncertain,
    Verdict,
)
from sync_profiles.errors import AccessError, ConfigError, TemporaryError

# --- verdicts of several attempts ------------------------------------------------------------------------------------


def concluded(last: Verdict, lost: Uncertain | None) -> Verdict:
    """The verdict on a batch after its last attempt; ``lost`` is an earlier attempt that ended without an answer.

    Whatever the last answer says of the last attempt, the lost one may have been applied or may still be.
    """
    if lost is None or isinstance(last, Uncertain):
        return last
    if isinstance(last, Throttled):
        return Uncertain(f"{lost.why}, then HTTP 429")
    return msgspec.structs.replace(last, doubtful=True)


def backoff_s(attempt: int, jitter: float) -> float:
    """Seconds to wait after attempt 1, 2, …: 2 s doubling to 60 s, plus 1 to 5 s; ``jitter`` is from 0 to 1.

    Source: Mixpanel's advice for 429, 502 and 503 on the page of /import.
    """
    return min(2.0 * 2.0 ** min(attempt - 1, 10), 60.0) + 1.0 + 4.0 * jitter


def pending_backoff_s(attempts: int) -> float:
    """Seconds until a rejected row is tried again after 1, 2, … attempts: 1 h doubling to 24 h."""
    return min(3600.0 * 2.0 ** min(max(attempts - 1, 0), 10), 86_400.0)


# --- verdict -> step -------------------------------------------------------------------------------------------------


class StopReason(msgspec.Struct, frozen=True):
    """Why nothing more is to be sent in this run; ``exit_code`` as the command line knows them."""

    code: str
    message: str
    exit_code: int
    hint: str | None = None


class Step(msgspec.Struct, frozen=True):
    """What becomes of a batch; every profile of it is in exactly one field.

    ``acknowledged``: Mixpanel holds them. ``doubtful``: it does, but an earlier attempt may still be applied over a
    later change, so they are looked at again in ten minutes. ``again``: cuts to send now. ``rejected``: with the
    reason. ``unanswered``: may or may not be applied. ``untouched``: nothing of them was applied. ``stop``: let what is
    in flight land, then end the run.
    """

    acknowledged: tuple[Outgoing, ...] = ()
    doubtful: tuple[Outgoing, ...] = ()
    again: tuple[Cut, ...] = ()
    rejected: tuple[tuple[Outgoing, str], ...] = ()
    unanswered: tuple[Outgoing, ...] = ()
    untouched: tuple[Outgoing, ...] = ()
    stop: StopReason | None = None


_AWAY_HINT = "Nothing is lost: the next run carries on."
_REFUSED_HINTS = {
    AccessError.exit_code: "Check mixpanel.token, and whether a proxy or firewall stands in between.",
    ConfigError.exit_code: "Check mixpanel.region, mixpanel.base_url and the proxy and TLS settings of this machine.",
}


def next_step(batch: Batch, verdict: Verdict) -> Step:
    """What a verdict means for each profile of its batch (promise 3: every profile is in exactly one field)."""
    step = _step(batch, verdict)
    assert _placed(step) == len(batch.profiles), "a profile was lost or placed twice"  # noqa: S101 - promise 3
    return step


def _step(batch: Batch, verdict: Verdict) -> Step:
    match verdict:
        case Accepted():
            late = [verdict.doubtful or profile.doubt == "late" for profile in batch.profiles]
            if True not in late:
                return Step(acknowledged=batch.profiles)
            return Step(
                acknowledged=tuple(p for p, is_late in zip(batch.profiles, late, strict=True) if not is_late),
                doubtful=tuple(p for p, is_late in zip(batch.profiles, late, strict=True) if is_late),
            )
        case Invalid():
            if len(batch.profiles) == 1:
                return Step(rejected=((batch.profiles[0], verdict.reason),))
            return Step(again=halve([_doubted(p, stored=True, late=verdict.doubtful) for p in batch.profiles]))
        case TooLarge():
            if len(batch.profiles) == 1:
                return Step(rejected=((batch.profiles[0], f"too large for Mixpanel: {batch.size} bytes (HTTP 413)"),))
            return Step(again=halve_by_bytes([_doubted(p, late=verdict.doubtful) for p in batch.profiles]))
        case Throttled():
            message = "Mixpanel's rate limit did not give way (HTTP 429)"
            return _unsent(batch, StopReason("throttled", message, TemporaryError.exit_code, _AWAY_HINT))
        case Uncertain():
            message = f"Mixpanel does not answer: {verdict.why}"
            return Step(
                unanswered=batch.profiles, stop=StopReason("unanswered", message, TemporaryError.exit_code, _AWAY_HINT)
            )
        case Refused():
            message = f"Mixpanel refuses the request: {verdict.why}"
            stop = StopReason("refused", message, verdict.exit_code, _REFUSED_HINTS.get(verdict.exit_code))
            return Step(unanswered=batch.profiles, stop=stop) if verdict.doubtful else _unsent(batch, stop)


def _unsent(batch: Batch, stop: StopReason) -> Step:
    """This request changed nothing; an earlier one that carried the same profiles may have."""
    return Step(
        untouched=tuple(profile for profile in batch.profiles if profile.doubt == "none"),
        unanswered=tuple(profile for profile in batch.profiles if profile.doubt != "none"),
        stop=stop,
    )


def _doubted(profile: Outgoing, *, stored: bool = False, late: bool = False) -> Outgoing:
    """The profile with what this answer leaves open; "late" outweighs "stored"."""
    if late and profile.doubt != "late":
        return msgspec.structs.replace(profile, doubt="late")
    if stored and profile.doubt == "none":
        return msgspec.structs.replace(profile, doubt="stored")
    return profile


def _placed(step: Step) -> int:
    single = (step.acknowledged, step.doubtful, step.rejected, step.unanswered, step.untouched)
    return sum(map(len, single)) + sum(map(len, step.again))
