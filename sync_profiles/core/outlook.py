"""What is to be said of the state's place and of Mixpanel: facts in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from sync_profiles.core.facts import CanaryFacts, Finding, ReachFacts, StateFacts

NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "afs", "ceph", "9p", "lustre", "glusterfs", "fuse.glusterfs")
) | {"fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "ocfs2", "gfs2", "beegfs", "fuse.davfs", "davfs"}
"""File systems on which SQLite's locks cannot be trusted (sqlite.org/faq.html, question 5)."""
PASSING = frozenset({"tmpfs", "ramfs", "overlay", "overlayfs", "aufs", "devtmpfs"})
"""Gone with a restart of the machine or of the container."""
FREE_BYTES_MIN = 20_000_000
STATE_BYTES_A_PROFILE = 400
"""With the journal of a first run; a good half of it is given back when it ends."""

_SAME_SUCCESS = "a wrong token or region gets the same success"
_LOOK = "check mixpanel.token and base_url, and whether a proxy stands in between"
_UNPROVEN = "set mixpanel.project_id, service_account and service_secret, and check again"


def state_findings(facts: StateFacts, profiles: int) -> Iterator[Finding]:
    """Whether the state can be kept where it is to be; ``profiles`` are to be remembered."""
    if facts.free_bytes is None:
        yield from _server_findings(facts)
        return
    if facts.writable:
        yield Finding("ok", "state", f"the state {facts.path} can be written")
    else:
        hint = "the folder and the files in it must belong to the user who runs sync-profiles"
        yield Finding("error", "state", f"the state {facts.path} cannot be written", hint)
    if facts.filesystem in NETWORK:
        message = (
            f"the state lies on a network file system ({facts.filesystem}), where SQLite's locks cannot be trusted"
        )
        yield Finding("error", "state_place", message, "[state] url: name a file on a local disk")
    elif facts.filesystem in PASSING:
        message = f"the state lies on {facts.filesystem}, which a restart may empty: every profile is then sent again"
        yield Finding("warn", "state_place", message, "[state] url: name a file on a disk or a volume that stays")
    elif facts.filesystem is not None:
        yield Finding("ok", "state_place", f"the state lies on a local disk ({facts.filesystem})")
    needed = FREE_BYTES_MIN + profiles * STATE_BYTES_A_PROFILE
    free = f"{facts.free_bytes / 1e6:,.0f} MB are free beside the state"
    if facts.free_bytes < FREE_BYTES_MIN:
        yield Finding("error", "state_space", free, f"{FREE_BYTES_MIN // 1_000_000} MB are needed to begin")
    elif facts.free_bytes < needed:
        yield Finding("warn", "state_space", free, f"for {profiles:,} profiles {needed / 1e6:,.0f} MB are better")
    else:
        yield Finding("ok", "state_space", free)


def _server_findings(facts: StateFacts) -> Iterator[Finding]:
    if facts.writable:
        yield Finding("ok", "state", f"{facts.path} can be written; it takes {facts.size_bytes / 1e6:,.0f} MB")
    else:
        hint = "give the role of [state] url the rights that stand in docs/operating.md; a standby takes no writes"
        yield Finding("error", "state", f"{facts.path} cannot be written", hint)
    if facts.pooled:
        message = "a pooler stands before the state's database: a run that is killed keeps its lock for a minute"
        yield Finding("warn", "state_place", message, "[state] url: name the server itself, and the lock ends with it")
    else:
        yield Finding("ok", "state_place", "the state's database is reached directly")


def reach_finding(host: str, facts: ReachFacts) -> Finding:
    """Whether Mixpanel is where profiles are to be sent; ``host`` is the region, for people."""
    if facts.expected:
        return Finding("ok", "reach", f"Mixpanel answers ({host})")
    if facts.status is None:
        hint = "check mixpanel.region and base_url, and the network, proxy and TLS settings of this machine"
        return Finding("error", "reach", f"Mixpanel cannot be reached ({host}): {facts.why}", hint)
    if facts.status == 429 or facts.status >= 500:
        return Finding("error", "reach", f"Mixpanel is away ({host}): HTTP {facts.status}", "check again in a while")
    hint = "check mixpanel.base_url, and whether a proxy or a log-in page stands in between"
    message = f"what answers is not Mixpanel ({host}): HTTP {facts.status}, in a form that is not Mixpanel's"
    return Finding("error", "reach", message, hint)


def account_finding(project_id: int, projects: Sequence[int] | None) -> Finding:
    """Whether the service account sees the project; ``projects`` None: Mixpanel did not list them."""
    if projects is None:
        return Finding("ok", "account", "the service account is Mixpanel's; it does not list its projects")
    if project_id in projects:
        return Finding("ok", "account", f"the service account sees project {project_id}")
    hint = "add it to the project in Mixpanel's settings, or correct mixpanel.project_id or region"
    return Finding("error", "account", f"the service account does not see project {project_id}", hint)


def canary_findings(facts: CanaryFacts) -> Iterator[Finding]:
    """Whether the token is proven."""
    match facts.outcome:
        case "proven":
            message = f"the token is proven: a test profile was written and read back in {facts.seconds:.0f} s"
            yield Finding("ok", "token", message)
        case "unseen":
            message = (
                f"the token is not that of the project: Mixpanel said success to a test profile, and in "
                f"{facts.seconds:.0f} s it never appeared in the project; {_SAME_SUCCESS}"
            )
            hint = "compare mixpanel.token, project_id and region with Mixpanel's project settings"
            yield Finding("error", "token", message, hint)
        case "refused":
            yield Finding("error", "token", f"Mixpanel does not take a test profile: {facts.why}", _LOOK)
        case "unread":
            message = f"the token is not proven: a test profile was taken, but could not be read back: {facts.why}"
            yield Finding("error", "token", message, f"mend that and check again; {_SAME_SUCCESS}")
        case "stopped":
            yield Finding("warn", "token_unproven", "the token is not proven: nobody waited for the test profile")
    if not facts.removed:
        message = f"the test profile {facts.distinct_id} could not be deleted again"
        yield Finding("warn", "canary_left", message, "delete it in Mixpanel by hand; it does no harm")


def unproven(why: Literal["asked", "account", "away"]) -> Finding:
    """The token was not tried, in plain words."""
    message, hint = {
        "asked": ("--no-canary was asked for", "check without --no-canary"),
        "account": ("without a service account nothing can be read back", _UNPROVEN),
        "away": ("Mixpanel or the service account failed before it could be tried", "mend that and check again"),
    }[why]
    return Finding("warn", "token_unproven", f"the token is not proven: {message}; {_SAME_SUCCESS}", hint)
