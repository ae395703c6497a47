"""`python -m k8s.failure_policy`: write the podFailurePolicy of all jobs from `core.jobs.runner.EXIT_CODES`.

42 and 43 fail the job at once: the same input would be refused again. 75 and a bug (1, or a kill) are retried, up to
`backoffLimit`; a pod that was evicted from its node is not counted.
"""

import sys
from pathlib import Path

import yaml

from core.jobs.runner import EXIT_CODES, TRY_AGAIN

HARDENING = Path(__file__).parent / "hardening"
FILES = {
    HARDENING / "cronjob-failure-policy.yaml": "/spec/jobTemplate/spec/podFailurePolicy",
    HARDENING / "job-failure-policy.yaml": "/spec/podFailurePolicy",
}
_ABOUT = "# Written by `python -m k8s.failure_policy` from the table in core/jobs/runner.py.\n"


def policy() -> dict[str, list[dict[str, object]]]:
    """The podFailurePolicy of every job."""
    final = sorted(set(EXIT_CODES.values()) - {TRY_AGAIN})
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": final}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "Count", "onExitCodes": {"operator": "In", "values": [TRY_AGAIN]}},
        ]
    }


def patch(path: str) -> str:
    """A JSON patch, as YAML, that adds the policy at a path."""
    return _ABOUT + yaml.safe_dump([{"op": "add", "path": path, "value": policy()}], sort_keys=False)


def main() -> int:
    """Write the patches."""
    for file, path in FILES.items():
        file.write_text(patch(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
