"""The software bill of materials of serving (CycloneDX), made of the lock files; `make lock` writes it.

What requirements.txt locks is required. What only a file in requirements/ locks is optional: a Bento installs
it if its model needs it. Names, versions and licences; the digests stand in the lock files, and in the
requirements of the Bento. Not by cyclonedx-py, which reads either requirements, without licences and with the
address of a registry, or a whole environment, with the tools of the tests.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from propensity import __version__

REQUIREMENTS = Path("requirements.txt")
LIBRARIES = Path("requirements")
SBOM = Path("sbom.cdx.json")

_PIN = re.compile(r"^([a-z0-9-]+)==([^ ]+)", re.MULTILINE)


def bill() -> Bom:
    """The bill of what the lock files pin."""
    required = _pins(REQUIREMENTS)
    optional = set[tuple[str, str]]().union(*map(_pins, LIBRARIES.glob("*.txt"))) - required
    libraries = [_library(name, version) for name, version in required]
    libraries += [_library(name, version, ComponentScope.OPTIONAL) for name, version in optional]
    bom = Bom(components=libraries)
    bom.metadata.component = Component(
        name="propensity-bento",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="propensity-bento",
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def _pins(path: Path) -> set[tuple[str, str]]:
    return set(_PIN.findall(path.read_text(encoding="utf-8")))


def _library(name: str, version: str, scope: ComponentScope | None = None) -> Component:
    url = PackageURL("pypi", name=name, version=version)
    kind = ComponentType.LIBRARY
    component = Component(name=name, version=version, type=kind, scope=scope, purl=url, bom_ref=str(url))
    licence = _licence(name)
    if licence:
        component.licenses.add(LicenseFactory().make_from_string(licence))
    return component


def _licence(name: str) -> str | None:
    try:
        stated = metadata(name)
    except ModuleNotFoundError:
        # For another platform or Python than this one.
        return None
    if "License-Expression" in stated:
        return stated["License-Expression"]
    classifiers = [each for each in stated.get_all("Classifier", []) if each.startswith("License :: ")]
    return classifiers[0].rpartition(" :: ")[2] if classifiers else None


def main() -> None:
    """Write the file: the same bytes for the same requirements."""
    document = json.loads(JsonV1Dot6(bill()).output_as_string())
    # What differs from run to run says nothing about what is inside.
    del document["serialNumber"], document["metadata"]["timestamp"]
    SBOM.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
