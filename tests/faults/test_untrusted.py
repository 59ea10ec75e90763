"""Files of strangers: no pickle is read, and kernels listen to this machine alone."""

import ast
import hashlib
import json
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from jupyter_server.serverapp import ServerApp

from lib import _boundary, checkpoints, data
from lib._boundary import ROOT
from lib.command import notebooks
from lib.runs.records import RECORDS
from tests.checkouts import write_notebook
from tests.runs import counting
from tests.runs.counting import Counting
from tests.stored import rewrite

pytestmark = pytest.mark.faults("untrusted files")
RUN = Counting("counting", seed=7)


class Payload:
    """An object whose pickle, when it is read, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A file that a payload would make, and an array of one payload."""
    path = tmp_path / "sprung"
    array = np.empty(1, dtype=object)
    array[0] = Payload(path)
    yield path, array
    assert not path.exists()


def test_payload_would_be_sprung_by_who_reads_pickles(trap, tmp_path):
    """The checks below can fail: numpy, told to, springs the trap."""
    path, array = trap
    np.savez(tmp_path / "trap.npz", array=array)
    with np.load(tmp_path / "trap.npz", allow_pickle=True) as file:
        file["array"]
    assert path.exists()
    path.unlink()


def test_pickle_in_a_data_set_is_refused(trap, tmp_path, monkeypatch):
    """A data set holds numbers."""
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path))
    np.savez(tmp_path / "madelon.npz", x_train=trap[1], y_train=trap[1], x_test=trap[1])
    with pytest.raises(ValueError, match="madelon.npz is not a whole madelon: Object arrays"):
        data.load("madelon")


def with_pickle(folder, array):
    """The files of a record from a stranger, whose sums fit and whose arrays are a pickle."""
    file = f"{RUN.name}.npz"
    np.savez(folder / file, large=array)
    sums = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest()}
    rewrite(folder, RUN.name, arrays=lambda _: sums)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pickle_in_a_record_is_refused(trap, tmp_path):
    """A record holds numbers, also one that was sent by somebody with checksums that fit."""
    store = counting.store(tmp_path)
    folder = counting.store(tmp_path / "worker").run(RUN).path
    files = with_pickle(folder, trap[1])
    with pytest.raises(ValueError, match="came and is refused: .*Object arrays"):
        store.accept(RUN, files)
    assert store.stored(RUN) is None
    shutil.copytree(folder, store.runs / RUN.name)  # put there by hand
    with pytest.raises(ValueError, match="cannot be read .Object arrays"):
        dict(store.stored(RUN).arrays)


def test_record_of_another_run_or_changed_on_the_way_is_refused(tmp_path):
    """As is one of which a file would be written outside the folder of its record."""
    store = counting.store(tmp_path)
    record = counting.store(tmp_path / "worker").run(RUN)
    files = {path.name: path.read_bytes() for path in record.path.iterdir()}
    changed = files | {RECORDS: files[RECORDS].replace(b'"seed": 7', b'"seed": 6')}
    for run, came, sentence in (
        (RUN, files | {"../../outside": b""}, "outside belongs to no record"),
        (Counting("counting", seed=8), files, f"the folder holds {RUN.name}"),
        (RUN, changed, "not as it was written"),
    ):
        with pytest.raises(ValueError, match=f"came and is refused: .*{sentence}"):
            store.accept(run, came)
    assert store.names() == set() and not list(tmp_path.rglob("outside"))


def test_pickle_in_a_checkpoint_is_refused(trap, tmp_path):
    """A checkpoint holds tensors, numbers and texts."""
    torch.save({"state": Payload(trap[0])}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint.pt cannot be read \(UnpicklingError\)"):
        checkpoints.load(tmp_path / "checkpoint.pt")


# --------------------------------------------------------------------------------- what is written

FORBIDDEN = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
CALLS = {"read_pickle", "to_pickle", "eval", "exec", "unsafe_load", "extractall", "unpack_archive"}
TEXTS = [path for place in ("lib", "notebooks") for path in sorted((ROOT / place).rglob("*.py"))]
TEXTS += sorted((ROOT / "notebooks").glob("*.ipynb"))


def parsed(path):
    """The code of a module or notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, 4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return ast.walk(ast.parse(text))


def imported(node):
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module != "joblib.externals.loky":  # processes
        return {(node.module or "").split(".")[0]}
    return set()


def is_open_to_pickles(call):
    """Whether a call may read a pickle, by its name and options."""
    name = ast.unparse(call.func)
    options = {option.arg: ast.unparse(option.value) for option in call.keywords}
    if name in ("np.load", "numpy.load", "np.lib.format.read_array"):
        return options.get("allow_pickle") != "False"
    if name == "torch.load":
        return options.get("weights_only") != "True"
    is_of_module = name.endswith(".eval") and not call.args  # model.eval() evaluates no text
    return name.rpartition(".")[2] in CALLS and not is_of_module


def test_no_module_and_no_notebook_can_read_a_pickle():
    """Nothing imports what reads pickles; what could is told not to."""
    imports, calls = [], []
    for path in TEXTS:
        for node in parsed(path):
            imports += [(path.name, name) for name in imported(node) & FORBIDDEN]
            if isinstance(node, ast.Call) and is_open_to_pickles(node):
                calls.append((path.name, ast.unparse(node)))
    assert (imports, calls) == ([], [])


@pytest.mark.parametrize(
    ("code", "is_open"),
    [
        ("np.load(path)", True),
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path, allow_pickle=False)", False),
        ("torch.load(path, weights_only=False)", True),
        ("torch.load(path, weights_only=True)", False),
        ("pd.read_pickle(path)", True),
        ("archive.extractall(folder)", True),
        ("eval(text)", True),
    ],
)
def test_calls_that_read_pickles_are_known_as_such(code, is_open):
    """The check above can fail."""
    assert is_open_to_pickles(ast.parse(code).body[0].value) == is_open


# -------------------------------------------------------------------------------------- kernels

LISTENING = """
import json, os, pathlib, psutil
from ipykernel.connect import get_connection_file
place = pathlib.Path(get_connection_file())
facts = json.loads(place.read_text())
sockets = [c for c in psutil.Process().net_connections("inet") if c.status == "LISTEN"]
said = {"key": len(facts["key"]), "ip": facts["ip"], "mode": oct(place.stat().st_mode & 0o777)}
said |= {"transport": facts["transport"], "places": sorted({c.laddr.ip for c in sockets})}
pathlib.Path("@").write_text(json.dumps(said))
"""


def test_kernels_of_notebooks_listen_to_this_machine_alone_and_ask_for_a_key(tmp_path, monkeypatch):
    """A kernel that renders is bound to the loopback, and obeys messages signed with its key."""
    monkeypatch.setattr(_boundary, "FIGURES", tmp_path / "figures")
    book = tmp_path / "99_listening.ipynb"
    write_notebook(book, LISTENING.replace("@", str(tmp_path / "said.json")))
    notebooks.execute(book, "smoke")
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["places"] == ["127.0.0.1"] and said["ip"] == "127.0.0.1"
    assert said["key"] >= 32 and said["mode"] == "0o600" and said["transport"] == "tcp"


def test_server_of_make_lab_listens_to_this_machine_alone_and_asks_for_a_token():
    """The defaults hold, and nothing here changes them."""
    server = ServerApp()
    assert server.ip == "localhost" and not server.allow_remote_access and not server.allow_root
    provider = server.identity_provider_class(parent=server)
    assert len(provider.token) >= 32 and provider.auth_enabled
    open_door = re.compile(r"--(ip|token|password)\b|ServerApp\.|IdentityProvider\.|allow_origin")
    places = [ROOT / "Makefile", *(ROOT / ".devcontainer").iterdir(), *(ROOT / "lib").rglob("*.py")]
    assert [path.name for path in places if open_door.search(path.read_text())] == []
