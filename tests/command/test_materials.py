"""The bill of materials says what is pinned, and the workflow asks about it."""

import json
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.command import materials
from lib.paths import ROOT

BILL = json.loads(materials.BILL.read_text(encoding="utf-8"))


def requirements():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): str(one.specifier)[2:] for one in parsed}


def test_bill_lists_every_pinned_package_once():
    listed = [(one["name"], one["version"]) for one in BILL["components"]]
    assert dict(listed) == requirements() and len(listed) == len(set(listed)) > 100


def test_bill_is_that_of_the_pins():
    assert materials.text() == materials.BILL.read_text(encoding="utf-8")


def test_bill_has_the_form_of_cyclonedx():
    assert (BILL["bomFormat"], BILL["specVersion"], BILL["version"]) == ("CycloneDX", "1.6", 1)
    references = {one["bom-ref"] for one in BILL["components"]}
    assert all(one["purl"] == one["bom-ref"] for one in BILL["components"])
    assert all(one["purl"].startswith(f"pkg:pypi/{one['name']}@") for one in BILL["components"])
    for entry in BILL["dependencies"][1:]:
        assert {entry["ref"], *entry["dependsOn"]} <= references


def test_every_package_names_its_licence():
    assert [one["name"] for one in BILL["components"] if not one.get("licenses")] == []


@pytest.mark.parametrize("name", ["pandas", "powerlaw", "papermill"])
def test_needs_are_those_of_the_metadata(name):
    """Against the packaging library, on this system."""
    needed = set()
    for line in metadata.requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed.add(canonicalize_name(requirement.name))
    entries = {entry["ref"].split("/")[-1].split("@")[0]: entry for entry in BILL["dependencies"]}
    found = {one.split("/")[-1].split("@")[0] for one in entries[name]["dependsOn"]}
    assert needed & requirements().keys() <= found


def test_workflow_runs_the_slow_tests_every_week_and_by_hand():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    events = workflow[True]  # YAML reads the word "on" as true
    assert events["schedule"] and "workflow_dispatch" in events
    job = workflow["jobs"]["slow"]
    assert job["steps"][-1]["run"] == 'make test ARGS="-m slow"'
    for event in ("schedule", "workflow_dispatch"):
        assert f"github.event_name == '{event}'" in job["if"]


def test_workflow_asks_every_week_about_vulnerabilities_of_the_pins():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    workflow = yaml.safe_load(text)
    steps = workflow["jobs"]["audit"]["steps"]
    commands = " ".join(step.get("run", "") for step in steps)
    assert "pip-audit" in commands and "requirements.txt" in commands
    assert "materials.cdx.json" in text
    assert workflow[True]["schedule"]  # YAML reads the word "on" as true
