"""What operators copy: the image, the dashboard, the alerts, the man page, completion; each checked as it is."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cronjob_schema import SCHEMAS
from prometheus_client.parser import text_string_to_metric_families
from summaries import finished

from sync_profiles.cli.command import EXIT_CODES
from sync_profiles.core.events import Waiting
from sync_profiles.observe.metrics import merged, render

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROMQL_WORDS = {"time", "absent", "or", "and", "label_values", "sync", "class", "sent", "deleted", "scanned"}
PROMQL_WORDS |= {"unchanged", "rejected"}


# --- Kubernetes ----------------------------------------------------------------------------------------------------


def test_the_cron_job_fits_the_schema_of_kubernetes() -> None:
    documents = list(yaml.safe_load_all((ROOT / "cron" / "cronjob.yaml").read_text()))
    assert [document["kind"] for document in documents] == ["CronJob", "PersistentVolumeClaim"]
    for document in documents:
        jsonschema.validate(document, SCHEMAS[document["kind"]])


def cluster() -> dict[tuple[str, str], dict[str, Any]]:
    """The documents of the Dask cluster by kind and name."""
    documents = list(yaml.safe_load_all((ROOT / "ops" / "dask-cluster.yaml").read_text()))
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def pod_of(kind: str, name: str) -> dict[str, Any]:
    return cluster()[kind, f"sync-profiles-{name}"]["spec"]["template"]


def test_the_dask_cluster_fits_the_schema_of_kubernetes() -> None:
    documents = cluster()
    kinds = [kind for kind, _ in documents]
    assert kinds == ["Deployment", "Service", "Deployment", "Job", "NetworkPolicy"]
    for document in documents.values():
        jsonschema.validate(document, SCHEMAS[document["kind"]])


def test_the_parts_of_the_dask_cluster_find_each_other_and_nobody_else_finds_them() -> None:
    service = cluster()["Service", "sync-profiles-scheduler"]["spec"]
    scheduler, workers, backfill = (
        pod_of("Deployment", "scheduler"),
        pod_of("Deployment", "workers"),
        pod_of("Job", "backfill"),
    )
    assert service["selector"].items() <= scheduler["metadata"]["labels"].items()
    for name, pod in (("scheduler", scheduler), ("workers", workers)):
        selector = cluster()["Deployment", f"sync-profiles-{name}"]["spec"]["selector"]["matchLabels"]
        assert selector.items() <= pod["metadata"]["labels"].items()
    policy = cluster()["NetworkPolicy", "sync-profiles-cluster"]["spec"]
    (allowed,) = policy["ingress"][0]["from"]
    assert policy["podSelector"] == allowed["podSelector"]
    for pod in (scheduler, workers, backfill):
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    address = f"tcp://sync-profiles-scheduler:{service['ports'][0]['port']}"
    assert address in workers["spec"]["containers"][0]["command"]
    assert address in backfill["spec"]["containers"][0]["command"]


def test_a_backfill_is_started_again_only_where_it_goes_on() -> None:
    """After 65 the backfill is done: another start would send everything once more."""
    (rule,) = cluster()["Job", "sync-profiles-backfill"]["spec"]["podFailurePolicy"]["rules"]
    codes = rule["onExitCodes"]
    assert (rule["action"], codes["operator"]) == ("FailJob", "NotIn")
    assert set(codes["values"]) & EXIT_CODES.keys() == {75, 143}
    assert pod_of("Job", "backfill")["spec"]["restartPolicy"] == "Never"


def test_only_who_needs_the_secrets_has_them() -> None:
    scheduler = pod_of("Deployment", "scheduler")["spec"]["containers"][0]
    workers = pod_of("Deployment", "workers")["spec"]["containers"][0]
    backfill = pod_of("Job", "backfill")["spec"]["containers"][0]
    assert "envFrom" not in scheduler
    assert workers["envFrom"] == backfill["envFrom"] == [{"secretRef": {"name": "sync-profiles"}}]


def test_a_key_that_kubernetes_does_not_know_is_seen() -> None:
    document = next(yaml.safe_load_all((ROOT / "cron" / "cronjob.yaml").read_text()))
    document["spec"]["concurencyPolicy"] = document["spec"].pop("concurrencyPolicy")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMAS["CronJob"])


# --- the image -----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Instruction and argument of each line of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)]


def the_last(word: str) -> str:
    return [argument for found, argument in instructions() if found == word][-1]


def test_the_image_is_slim_and_its_user_is_not_root_and_the_one_of_the_cron_job() -> None:
    assert all(
        re.fullmatch(r"python:3\.\d+-slim( AS build)?", image) for word, image in instructions() if word == "FROM"
    )
    user, _, group = the_last("USER").partition(":")
    document = next(yaml.safe_load_all((ROOT / "cron" / "cronjob.yaml").read_text()))
    pod = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert int(user) == int(group) == pod["securityContext"]["runAsUser"] > 0


def test_the_state_is_the_one_volume_of_the_image() -> None:
    volumes = [argument for word, argument in instructions() if word == "VOLUME"]
    assert volumes == ["/var/lib/sync-profiles"]
    assert f"STATE_DIRECTORY={volumes[0]}" in the_last("ENV")
    assert f"--mode=0700 {volumes[0]}" in " ".join(argument for _, argument in instructions())


def test_the_image_starts_the_command_itself_so_that_a_signal_reaches_it() -> None:
    assert json.loads(the_last("ENTRYPOINT")) == ["sync-profiles"]
    assert json.loads(the_last("CMD")) == ["run"]


def test_nothing_gets_into_the_image_but_what_the_package_is_built_from() -> None:
    first, *others = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in {"#", ""}]
    assert first == "*"
    allowed = [line.removeprefix("!") for line in others if line.startswith("!")]
    assert all((ROOT / name).exists() for name in allowed)
    assert not [name for name in allowed if "env" in name or name.startswith(".")]


def test_the_lock_gives_the_image_its_versions() -> None:
    """The Dockerfile's own command, on the lock as it is."""
    (command,) = re.findall(r"sed -n '[^']+' requirements.lock", the_last_run_with("sed"))
    versions = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [line.partition("==")[0] for line in versions.splitlines()]
    assert {"click", "msgspec", "requests", "sqlalchemy"} <= set(names)
    assert not [line for line in versions.splitlines() if "hash" in line or "\\" in line]


def the_last_run_with(text: str) -> str:
    return [argument for word, argument in instructions() if word == "RUN" and text in argument][-1]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists() and platform.machine() != "x86_64":
        pytest.skip("hadolint comes with the development packages on x86_64 only")
    assert subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, check=False).stdout == b""


# --- dashboard and alerts ------------------------------------------------------------------------------------------


def written_metrics() -> set[str]:
    """The names in a metrics file with everything in it."""
    end = finished(waiting=Waiting(1, 1, 1.0), horizon_lag=1)
    return {family.name for family in text_string_to_metric_families(render(merged({}, end, 1.0)))}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "ops" / "grafana-dashboard.json").read_text())
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "ops" / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])
    yield from (one["query"]["query"] for one in dashboard()["templating"]["list"] if one["type"] == "query")


def test_every_metric_that_is_asked_for_is_written_and_every_one_that_is_written_is_shown() -> None:
    asked = {name for text in expressions() for name in re.findall(r"sync_profiles_\w+", text)}
    shown = {name for panel in dashboard()["panels"] for target in panel["targets"] for name in words(target["expr"])}
    assert asked == written_metrics()
    assert written_metrics() <= shown


def words(expression: str) -> set[str]:
    return set(re.findall(r"[a-z_]\w*", expression.replace("$sync", "")))


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_has_no_word_that_prometheus_does_not_know(expression: str) -> None:
    assert words(expression) - written_metrics() <= PROMQL_WORDS
    assert [expression.count(left) - expression.count(right) for left, right in ("()", "{}", "[]")] == [0, 0, 0]


def test_the_first_alert_is_the_one_that_matters() -> None:
    first, *_ = rules()
    assert first["alert"] == "SyncProfilesLate"
    assert first["expr"] == "time() - sync_profiles_last_success_timestamp_seconds > 3 * 3600"
    assert first["expr"] in " ".join((ROOT / "docs" / "operating.md").read_text().split())


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"page", "ticket", "info"}


def test_no_two_panels_lie_on_one_another_and_each_has_a_title_and_its_unit() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        taken |= cells


# --- man page and completion ---------------------------------------------------------------------------------------


def test_the_man_page_is_that_of_the_commands() -> None:
    """``make man`` was forgotten when this fails."""
    made = subprocess.run(
        [sys.executable, "-c", "import manual; print(manual.page(), end='')"],
        cwd=ROOT / "docs",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert made == (ROOT / "docs" / "sync-profiles.1").read_text("utf-8")


def test_man_shows_the_page_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff here; get it with: apt install groff-base")
    page = ROOT / "docs" / "sync-profiles.1"
    shown = subprocess.run([groff, "-man", "-ww", "-Tascii", str(page)], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert "--allow-mass-delete" in re.sub(r"\x1b\[\d*m|.\x08", "", shown.stdout)


def test_bash_completes_commands_and_the_syncs_of_the_config(tmp_path: Path) -> None:
    """The script that the documentation tells to install, in a real bash."""
    config = tmp_path / "config.toml"
    config.write_text(
        '[source]\nurl = "sqlite:///x.db"\n[mixpanel]\ntoken = "a-token-of-ours"\n'
        '[sync.users]\ntable = "users"\n[sync.users.set]\nplan = "plan"\n'
        '[sync.usage]\ntable = "usage"\n[sync.usage.set]\nplan = "plan"\n'
    )
    script = """
        source <(_SYNC_PROFILES_COMPLETE=bash_source sync-profiles)
        for line in "sync-profiles sand" "sync-profiles run us"; do
          COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
          _sync_profiles_completion sync-profiles
          echo "${COMPREPLY[@]}"
        done
    """
    outcome = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "SYNC_PROFILES_CONFIG": str(config)},
        check=True,
    )
    assert outcome.stdout.splitlines() == ["sandbox", "users usage"]


def test_completion_of_a_config_that_cannot_be_read_is_silent(tmp_path: Path) -> None:
    asked = {"_SYNC_PROFILES_COMPLETE": "bash_complete", "COMP_WORDS": "sync-profiles run ", "COMP_CWORD": "2"}
    environ = os.environ | asked | {"SYNC_PROFILES_CONFIG": str(tmp_path / "gone.toml")}
    outcome = subprocess.run([BIN / "sync-profiles"], capture_output=True, text=True, env=environ, check=False)
    assert (outcome.stdout.strip(), outcome.stderr) == ("", "")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_shows_a_run_and_a_status_and_asks_nobody_for_anything(theme: str) -> None:
    text = (ROOT / "docs" / f"terminal-{theme}.svg").read_text("utf-8").replace("&#160;", " ")
    for words in ("rows/s", "in flight", "profiles sent in", "In step", "sent per run"):
        assert words in text
    assert not re.search(r"(?:href|src|url)\s*[=(]\s*[\"']?https?:", text)
