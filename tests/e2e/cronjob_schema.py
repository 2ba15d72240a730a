"""The part of the Kubernetes API that ``cron/`` and ``ops/`` use, as closed JSON schemas: a misspelt key is refused.

Field names and types: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/cron-job-v1/ and the pages
that it refers to. The whole schema of all resources weighs 20 MB.
"""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
FLAG: dict[str, Any] = {"type": "boolean"}
TEXTS: dict[str, Any] = {"type": "array", "minItems": 1, "items": TEXT}
NAME: dict[str, Any] = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
QUANTITIES: dict[str, Any] = {"type": "object", "additionalProperties": {"pattern": r"^\d+(m|[KMG]i?)?$"}}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    """An object with these keys and no other."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def listed(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": schema}


_CONTAINER = closed(
    "name image",
    name=NAME,
    image=TEXT,
    command=TEXTS,
    args=TEXTS,
    env=listed(closed("name value", name=TEXT, value=TEXT)),
    envFrom=listed(closed("", secretRef=closed("name", name=NAME), configMapRef=closed("name", name=NAME))),
    volumeMounts=listed(closed("name mountPath", name=NAME, mountPath=TEXT, readOnly=FLAG)),
    resources=closed("", requests=QUANTITIES, limits=QUANTITIES),
    securityContext=closed(
        "",
        allowPrivilegeEscalation=FLAG,
        readOnlyRootFilesystem=FLAG,
        capabilities=closed("", drop=TEXTS),
    ),
)
_VOLUME = closed(
    "name",
    name=NAME,
    configMap=closed("name", name=NAME),
    persistentVolumeClaim=closed("claimName", claimName=NAME),
    emptyDir=closed(""),
)
_LABELS: dict[str, Any] = {"type": "object", "minProperties": 1, "additionalProperties": NAME}
_SELECTOR = closed("matchLabels", matchLabels=_LABELS)
_NAMED = closed("name", name=NAME)
_POD = closed(
    "containers",
    restartPolicy={"enum": ["OnFailure", "Never", "Always"]},
    terminationGracePeriodSeconds=COUNT,
    securityContext=closed("", runAsNonRoot=FLAG, runAsUser=COUNT, runAsGroup=COUNT, fsGroup=COUNT),
    containers=listed(_CONTAINER),
    volumes=listed(_VOLUME),
)
_FAILING_FOR_GOOD = closed(
    "rules",
    rules=listed(
        closed(
            "action onExitCodes",
            action={"enum": ["FailJob", "Ignore", "Count"]},
            onExitCodes=closed(
                "operator values", containerName=NAME, operator={"enum": ["In", "NotIn"]}, values=listed(COUNT)
            ),
        )
    ),
)
_ENDING = {**_POD, "required": ["containers", "restartPolicy"]}


def _labelled(pod: dict[str, Any]) -> dict[str, Any]:
    return closed("spec", metadata=closed("labels", labels=_LABELS), spec=pod)


SCHEMAS = {
    "CronJob": closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": "batch/v1"},
        kind={"const": "CronJob"},
        metadata=closed("name", name=NAME),
        spec=closed(
            "schedule jobTemplate",
            schedule={"type": "string", "pattern": r"^[\d*/,-]+( [\d*/,-]+){4}$"},
            concurrencyPolicy={"enum": ["Allow", "Forbid", "Replace"]},
            startingDeadlineSeconds=COUNT,
            successfulJobsHistoryLimit=COUNT,
            failedJobsHistoryLimit=COUNT,
            jobTemplate=closed(
                "spec", spec=closed("template", backoffLimit=COUNT, template=closed("spec", spec=_ENDING))
            ),
        ),
    ),
    "Job": closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": "batch/v1"},
        kind={"const": "Job"},
        metadata=_NAMED,
        spec=closed("template", backoffLimit=COUNT, podFailurePolicy=_FAILING_FOR_GOOD, template=_labelled(_ENDING)),
    ),
    "Deployment": closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": "apps/v1"},
        kind={"const": "Deployment"},
        metadata=_NAMED,
        spec=closed("selector template", replicas=COUNT, selector=_SELECTOR, template=_labelled(_POD)),
    ),
    "Service": closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": "v1"},
        kind={"const": "Service"},
        metadata=_NAMED,
        spec=closed("selector ports", selector=_LABELS, ports=listed(closed("port", port=COUNT))),
    ),
    "NetworkPolicy": closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": "networking.k8s.io/v1"},
        kind={"const": "NetworkPolicy"},
        metadata=_NAMED,
        spec=closed(
            "podSelector policyTypes",
            podSelector=_SELECTOR,
            policyTypes=listed({"enum": ["Ingress", "Egress"]}),
            ingress=listed({"type": "object", "properties": {"from": listed(closed("", podSelector=_SELECTOR))}}),
        ),
    ),
    "PersistentVolumeClaim": closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": "v1"},
        kind={"const": "PersistentVolumeClaim"},
        metadata=closed("name", name=NAME),
        spec=closed(
            "accessModes resources",
            accessModes={"type": "array", "items": {"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]}},
            resources=closed("requests", requests=QUANTITIES),
        ),
    ),
}
"""By kind."""
