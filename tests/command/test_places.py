"""Places and locales in which a checkout must work: a folder named in letters beyond ASCII.

Python reads the file in which pip notes the place of a project, ``_sparse_adaptive.pth``, in the
encoding of the locale, whatever ``PYTHONUTF8`` says, and ends if it cannot. The environment made
here stands for that of ``make``: it holds such a file as pip writes it, and finds all other
packages where these tests found them.
"""

import os
import subprocess
import sys
import sysconfig

import pytest

from tests.checkouts import check_out, variables, write_notebook

pytestmark = pytest.mark.faults("strange surroundings")
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": None, "PYTHONIOENCODING": None}
ANY = {**ASCII, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # as any locale without UTF-8
GREEK = """
import pathlib, sys
import lib
print("ε = 20")
pathlib.Path("written").write_text("ε = 20 in zoë")
assert pathlib.Path(lib.__file__).is_relative_to(pathlib.Path.cwd())
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with an environment in the folder zoë, as make leaves it."""
    folder = tmp_path_factory.mktemp("places") / "zoë"
    folder.mkdir()
    check_out(folder)
    write_notebook(folder / "notebooks" / "90_greek.ipynb", GREEK)
    words = [sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")]
    subprocess.run(words, check=True)
    (packages,) = folder.glob(".venv/lib/python3.*/site-packages")
    (packages / "_sparse_adaptive.pth").write_text(str(folder), encoding="utf-8")
    subprocess.run(["make", "--silent", "relative"], cwd=folder, env=variables(), check=True)
    (folder / ".venv" / ".stamp").write_text(f"{folder}\n", encoding="utf-8")
    return folder


def run(folder, *words, place=None, **changes):
    """Run a command in the folder, or in another place."""
    packages = os.pathsep.join(dict.fromkeys(map(sysconfig.get_path, ("purelib", "platlib"))))
    environment = variables(PYTHONPATH=packages, **changes)
    where = place or folder
    return subprocess.run(words, cwd=where, env=environment, capture_output=True)


@pytest.mark.ci
def test_library_is_found_from_elsewhere_under_an_ascii_locale(checkout, tmp_path):
    python = str(checkout / ".venv" / "bin" / "python")
    done = run(checkout, python, "-m", "lib", "list", place=tmp_path, **ASCII)
    assert done.returncode == 0, done.stderr.decode()
    assert b"90_greek" in done.stdout


@pytest.mark.ci
def test_make_starts_kernels_that_read_and_write_utf8(checkout):
    words = ("make", "figures", "PROFILE=smoke", "ARGS=--only 90")
    done = run(checkout, *words, **ANY)
    assert done.returncode == 0, done.stderr.decode()
    assert (checkout / "written").read_bytes() == "ε = 20 in zoë".encode()


@pytest.mark.ci
def test_python_starts_kernels_that_read_and_write_utf8(checkout):
    code = "from lib.command import notebooks as n; n.execute(n.find()[0], 'quick')"
    python = str(checkout / ".venv" / "bin" / "python")
    done = run(checkout, python, "-c", code, **ASCII)
    assert done.returncode == 0, done.stderr.decode()
    executed = checkout / "figures" / "quick" / "90_greek" / "90_greek.ipynb"
    assert "ε = 20" in executed.read_text(encoding="utf-8")
