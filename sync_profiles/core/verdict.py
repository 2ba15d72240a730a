"""What follows from an answer: attempts -> verdict -> step. Pure."""

from __future__ import annotations

import msgspec

from sync_profiles.core.batching import Cut, halve, halve_by_bytes
from sync_profiles.core.types import (
    Accepted,
    Batch,
    Failing,
    Invalid,
    Outgoing,
    Refused,
    Suspicion,
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


FAILURES_FRESH, FAILURES_SUSPECT = 4, 2
"""Tries of a batch that Mixpanel fails at before smaller ones are tried: about 20 s, and 4 s of a part of one."""
PASSED_S = 120.0
"""An acknowledgement of another batch says that Mixpanel works for this long."""


def fails_alone(since: float, passed_at: float, now: float) -> bool:
    """Whether others pass while a batch fails since a moment; monotonic seconds."""
    return passed_at > since and now - passed_at <= PASSED_S


def leaves_early(failures: int, suspicion: Suspicion | None, *, alone: bool) -> bool:
    """Whether a batch is no longer sent as it is after so many failures (5xx) in a row.

    It makes room for others, and is cut, to find out whether it is the batch. Once that tells no more it waits for the
    end of the outage, unless others pass (``alone``).
    """
    if suspicion is None:
        return failures >= FAILURES_FRESH
    return failures >= FAILURES_SUSPECT and (alone or not suspicion.waited)


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
    later change, so they are looked at again in ten minutes. ``again``: cuts to send now. ``later``: cuts to send when
    all that waits was sent. ``rejected``: with the reason. ``failing``: Mixpanel fails at them alone, with the reason.
    ``unanswered``: may or may not be applied. ``untouched``: nothing of them was applied. ``suspicion`` belongs to the
    cuts. ``stop``: let what is in flight land, then end the run.
    """

    acknowledged: tuple[Outgoing, ...] = ()
    doubtful: tuple[Outgoing, ...] = ()
    again: tuple[Cut, ...] = ()
    later: tuple[Cut, ...] = ()
    rejected: tuple[tuple[Outgoing, str], ...] = ()
    failing: tuple[tuple[Outgoing, str], ...] = ()
    unanswered: tuple[Outgoing, ...] = ()
    untouched: tuple[Outgoing, ...] = ()
    suspicion: Suspicion | None = None
    stop: StopReason | None = None


_AWAY_HINT = "Nothing is lost: the next run carries on."
_REFUSED_HINTS = {
    AccessError.exit_code: "Check mixpanel.token, and whether a proxy or firewall stands in between.",
    ConfigError.exit_code: "Check mixpanel.region, mixpanel.base_url and the proxy and TLS settings of this machine.",
}


def next_step(batch: Batch, verdict: Verdict, *, may_cut: bool = True, may_probe: bool = True) -> Step:
    """What a verdict means for each profile of its batch (promise 3: every profile is in exactly one field).

    A batch that Mixpanel fails at is cut while others pass (``may_cut``) and while nobody knows (``may_probe``); the
    caller bounds how often.
    """
    if isinstance(verdict, Failing):
        step = _failing_step(batch, verdict, may_cut=may_cut, may_probe=may_probe)
    else:
        step = _step(batch, verdict)
    assert _placed(step) == len(batch.profiles), "a profile was lost or placed twice"  # noqa: S101 - promise 3
    return step


def _failing_step(batch: Batch, verdict: Failing, *, may_cut: bool, may_probe: bool) -> Step:
    profiles = tuple(_doubted(profile, late=True) for profile in batch.profiles)
    parts = Suspicion(verdict.since)
    if verdict.alone and len(profiles) == 1:
        return Step(failing=((profiles[0], f"Mixpanel fails at it and takes others: {verdict.why}"),))
    if verdict.alone:
        return Step(again=halve(profiles), suspicion=parts) if may_cut else Step(unanswered=profiles)
    fresh = batch.suspicion is None
    if may_probe and len(profiles) > 1:  # others first; if they fail too, straight down to something that passes
        return Step(later=halve(profiles), suspicion=parts) if fresh else Step(again=halve(profiles), suspicion=parts)
    return Step(later=(profiles,), suspicion=Suspicion(verdict.since, waited=not fresh))


def _step(batch: Batch, verdict: Accepted | Invalid | TooLarge | Throttled | Uncertain | Refused) -> Step:
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
    single = (step.acknowledged, step.doubtful, step.rejected, step.failing, step.unanswered, step.untouched)
    return sum(map(len, single)) + sum(map(len, (*step.again, *step.later)))
