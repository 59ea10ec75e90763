"""The bill of materials: every pinned package with its licence and what it needs, as CycloneDX.

Source: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/.
"""

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from lib.files import whole
from lib.paths import ROOT

PINS = ROOT / "requirements.txt"
BILL = ROOT / "docs" / "materials.cdx.json"
LONGEST_NAME = 60  # letters of a licence; what is longer is its text
NAME = re.compile(r"[A-Za-z0-9._-]+")
APPROVED = "License :: OSI Approved :: "
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"  # its text


def update(path: Path = BILL) -> None:
    """Write the bill of materials anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(text(), encoding="utf-8")


def text() -> str:
    """The bill of materials: without a date, so that equal pins give an equal file."""
    return json.dumps(bill(), indent=1) + "\n"


def pins() -> dict[str, str]:
    """{name: version} of the packages of the environment."""
    found = {}
    for line in PINS.read_text().splitlines():
        name, equals, version = line.partition("==")
        if equals and not line.startswith("#"):
            found[canonical(name)] = version.strip()
    return found


def bill() -> dict[str, Any]:
    """The project, its packages, and which of them each needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = pins()
    needed = {canonical(_name(line)) for line in project["dependencies"]}
    root = {"type": "application", "bom-ref": project["name"], "name": project["name"]}
    root["licenses"] = [{"expression": project["license"]}]
    depends = [{"ref": project["name"], "dependsOn": _references(needed, versions)}]
    for name, version in versions.items():
        needed = _needs(name)
        depends.append({"ref": _purl(name, version), "dependsOn": _references(needed, versions)})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": [_component(name, version) for name, version in versions.items()],
        "dependencies": depends,
    }


def canonical(name: str) -> str:
    """A name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _name(requirement: str) -> str:
    """The package that a requirement is of."""
    return NAME.match(requirement.strip())[0]


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _references(names: set[str], versions: dict[str, str]) -> list[str]:
    """Those of the packages that are pinned; others are of other systems or extras."""
    return [_purl(name, versions[name]) for name in sorted(names & versions.keys())]


def _needs(name: str) -> set[str]:
    """The packages that one needs by itself, on whichever system."""
    needed = set()
    for line in metadata.requires(name) or []:
        requirement, _, marker = line.partition(";")
        if "extra" not in marker:
            needed.add(canonical(_name(requirement)))
    return needed


def _component(name: str, version: str) -> dict[str, Any]:
    purl = _purl(name, version)
    component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    licence = _licence(name)
    if licence:
        component["licenses"] = [licence]
    return component


def _licence(name: str) -> dict[str, Any]:
    """What a package says of its licence: an expression, a short name, or a classifier."""
    said = metadata.metadata(name)
    if said.get("License-Expression"):
        return {"expression": said["License-Expression"]}
    words = said.get("License") or ""
    if words and "\n" not in words and len(words) <= LONGEST_NAME:
        return {"license": {"name": words}}
    if MIT in words:
        return {"license": {"name": "MIT License"}}
    for classifier in said.get_all("Classifier") or []:
        if classifier.startswith(APPROVED):
            return {"license": {"name": classifier.removeprefix(APPROVED)}}
    return {}
