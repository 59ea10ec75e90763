"""Facts of this process: which code, which machine, with git and without."""

import shutil
import subprocess

import pytest
import torch

from lib._boundary import LIBRARY, PAPERS, ROOT
from lib.checkpoints import NUMERICS
from lib.runs import environment as module
from lib.runs.environment import code_sha256, environment

CODE = LIBRARY, PAPERS


@pytest.fixture
def afresh():
    """The facts are found out once more, and again after the test."""
    module.lasting.cache_clear()
    yield
    module.lasting.cache_clear()


def test_environment_names_code_versions_and_hardware(afresh):
    facts = environment()
    assert set(facts["versions"]) == {"python", *module.PACKAGES}
    assert len(facts["code_sha256"]) == 64 and facts["threads"] == 1
    assert facts["cpu"] and facts["platform"] and facts["capability"]
    assert facts["numerics"] == NUMERICS
    assert isinstance(facts["dirty"], bool) and len(facts["commit"] or 40 * "0") == 40


def test_threads_are_those_of_now():
    assert environment()["threads"] == 1
    try:
        torch.set_num_threads(2)
        assert environment()["threads"] == 2
    finally:
        torch.set_num_threads(1)


def test_machine_without_git_still_records(afresh, monkeypatch):
    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(module.subprocess, "run", no_git)
    facts = environment()
    assert facts["commit"] is None and len(facts["code_sha256"]) == 64
    assert facts["dirty"] is False


def test_copy_within_another_repository_has_no_commit(afresh, tmp_path, monkeypatch):
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], [*name, "commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(module, "ROOT", tmp_path / "copy")
    assert environment()["commit"] is None


def test_machine_that_does_not_describe_its_processor_still_records(afresh, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CPU_FACTS", tmp_path / "missing")
    assert isinstance(environment()["cpu"], str)


@pytest.mark.parametrize("name", ["cuda:99", "abacus", "meta", "hpu"])
def test_device_that_is_not_here_is_named(name, monkeypatch):
    monkeypatch.setenv(module.DENSE_DEVICE, name)
    with pytest.raises(ValueError, match=f"SPARSE_DENSE_DEVICE is '{name}', and .*: unset it"):
        module.dense_device()


# ------------------------------------------------------------------------------------ the code


@pytest.fixture
def code(tmp_path):
    """Modules in a folder and in folders below it."""
    for name in ("top.py", "below/middle.py", "below/deep/bottom.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"name = {name!r}\n")
    return tmp_path


def test_hash_of_code_notices_a_module_that_is_new_gone_or_moved(code):
    hashes = [code_sha256(code)]
    (code / "below" / "new.py").write_text("")
    hashes.append(code_sha256(code))
    (code / "below" / "new.py").rename(code / "below" / "deep" / "new.py")
    hashes.append(code_sha256(code))
    (code / "top.py").unlink()
    hashes.append(code_sha256(code))
    assert len(set(hashes)) == 4


def test_hash_of_code_is_of_modules_alone_wherever_they_lie(code, tmp_path_factory):
    before = code_sha256(code)
    (code / "notes.txt").write_text("not code")
    (code / "below" / "__pycache__").mkdir()
    (code / "below" / "__pycache__" / "middle.pyc").write_bytes(b"compiled")
    (code / "below" / ".ipynb_checkpoints").mkdir()
    (code / "below" / ".ipynb_checkpoints" / "middle-checkpoint.py").write_text("old = True\n")
    assert code_sha256(code) == before
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(code, copy)
    assert code_sha256(copy) == before


@pytest.mark.parametrize("module", ["lib/data/own.py", "notebooks/papers/set/claims.py"])
def test_hash_in_a_record_is_that_of_library_and_papers(afresh, tmp_path, module):
    for code in CODE:
        copy = tmp_path / code.relative_to(ROOT)
        shutil.copytree(code, copy, ignore=shutil.ignore_patterns("__pycache__"))
    copies = [tmp_path / code.relative_to(ROOT) for code in CODE]
    assert environment()["code_sha256"] == code_sha256(*CODE) == code_sha256(*copies)
    changed = tmp_path / module
    changed.write_text(changed.read_text() + "\n")
    assert code_sha256(*copies) != code_sha256(*CODE)
