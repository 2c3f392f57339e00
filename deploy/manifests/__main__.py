"""The command: `python -m deploy.manifests deploy/k8s/overlays/production`."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.manifests.pod_security import security_faults
from deploy.manifests.references import reference_faults, unfinished
from deploy.manifests.rendering import ManifestsError, render
from deploy.manifests.schemas import NEWEST, OLDEST, schema_faults


def main() -> None:
    """The command: one line for each fault."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.manifests OVERLAY")
    try:
        manifests = render(Path(sys.argv[1]))
    except ManifestsError as error:
        sys.exit(f"manifests: {error}")
    faults = [*schema_faults(manifests, OLDEST), *schema_faults(manifests, NEWEST)]
    # What is not as a schema has it can't be followed.
    faults = faults or [*reference_faults(manifests), *security_faults(manifests)]
    if faults:
        sys.exit("\n".join(dict.fromkeys(faults)))
    print(f"manifests: {len(manifests)} without fault, for Kubernetes {OLDEST} to {NEWEST}")
    for each in unfinished(manifests):
        print(f"manifests: before pods start there must be {each}")


if __name__ == "__main__":
    main()
