"""The site, built once for all tests."""

import subprocess
import sys

import pytest

from lib import _boundary
from lib._boundary import ROOT


@pytest.fixture(scope="session")
def built(shared_folder):
    """The folder of the site's HTML; the processes of pytest-xdist share it."""
    folder = shared_folder / "site"
    log = folder / "log"
    with _boundary.locked(shared_folder / "site.lock"):
        if not log.exists():
            build = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-c", "docs"]
            places = ["-d", str(folder / "doctrees"), ".", str(folder / "html")]
            done = subprocess.run(
                [*build, *places], cwd=ROOT, capture_output=True, text=True, check=False
            )
            folder.mkdir(exist_ok=True)
            log.write_text(done.stderr if done.returncode else "")
    assert log.read_text() == ""
    return folder / "html"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What looks at the site waits for it: that is left to continuous integration."""
    for item in items:
        if "built" in item.fixturenames:
            item.add_marker(pytest.mark.ci)
