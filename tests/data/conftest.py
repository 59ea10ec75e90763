"""Empty folders, small data sets and a local server in place of the real ones."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import pickle
import socket
import struct
import tarfile
import threading

import numpy as np
import pytest

from lib.data import fetch, sets, vision


@pytest.fixture
def alter(monkeypatch):
    """A data set of the table, or its download, with other fields."""

    def alter_fields(name, download=None, **fields):
        entry = sets.SETS[name]
        if download:
            fields["download"] = dataclasses.replace(entry.download, **download)
        entry = dataclasses.replace(entry, **fields)
        monkeypatch.setitem(sets.SETS, name, entry)
        return entry

    return alter_fields


@pytest.fixture
def publish_at(alter):
    """Every data set with an address, published at another."""

    def alter_addresses(address):
        for name, entry in sets.SETS.items():
            if entry.download:
                alter(name, download={"address": address})

    return alter_addresses


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch, publish_at):
    """Empty folders in place of the real ones, and no network."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("SPARSE_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "RAW", tmp_path / "raw")
    monkeypatch.setattr(fetch, "_silent", [])
    with socket.socket() as nobody:  # bound, so that no one else can listen there
        nobody.bind(("127.0.0.1", 0))
        publish_at(f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        yield


@pytest.fixture
def own(tmp_path):
    return tmp_path / "own"


@pytest.fixture
def table(rng):
    """A small higgs_sample whose first feature numbers the examples; a quarter is of class 1."""
    x = rng.normal(size=(150, 28)).astype(np.float32)
    x[:, 0] = np.arange(150)
    y = (np.arange(150) % 4 == 0).astype(np.uint8)
    return {"x_train": x[:120], "y_train": y[:120], "x_test": x[120:], "y_test": y[120:]}


@pytest.fixture
def stored(own, table):
    np.savez(own / "higgs_sample.npz", **table)
    return own / "higgs_sample.npz"


@pytest.fixture
def small(rng, alter):
    """A small mnist, that passes for the real one."""
    alter("mnist", n_train=6, n_test=4)
    x = rng.integers(0, 256, (10, 28, 28), dtype=np.uint8)
    y = np.arange(10, dtype=np.uint8)
    return {"x_train": x[:6], "y_train": y[:6], "x_test": x[6:], "y_test": y[6:]}


@pytest.fixture
def rows(rng, alter):
    """(10, 29) label and features of a small higgs, that passes for the full one."""
    alter("higgs", n_train=7, n_test=3, download={"sha256": (None,)})
    return np.column_stack([np.arange(10) % 2, rng.normal(size=(10, 28))]).astype(np.float32)


@pytest.fixture
def server(publish_at):
    """Contents by path, as a local server sends them; `cut` bytes are promised but not sent. With
    a `lie`, a status, a header and pieces of a content are sent in their place.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        contents, cut, asked, headers_sent, lie = {}, 0, [], {}, None
        stall = threading.Event()  # cleared: the end of a content never comes
        stall.set()

        def do_GET(self):
            self.asked.append(self.path)
            if self.lie is not None:
                return self.tell(*self.lie)
            content = self.contents.get(self.path, b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            for header in self.headers_sent.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content[: len(content) - self.cut])
            self.stall.wait()

        def tell(self, status, header, pieces):
            self.send_response(status)
            if header is not None:
                self.send_header(*header)
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever listened has gone
                for piece in pieces():
                    self.wfile.write(piece)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        publish_at(f"http://127.0.0.1:{http_server.server_port}/")
        threading.Thread(target=http_server.serve_forever, args=(0.01,)).start()
        yield Handler
        Handler.stall.set()
        http_server.shutdown()


@pytest.fixture
def publisher(server, small, publish):
    """The server, with the small mnist in the files of the real one."""
    parts = [small[key] for key in ("x_train", "y_train", "x_test", "y_test")]
    names = sets.SETS["mnist"].download.files
    publish("mnist", {name: idx_gz(part) for name, part in zip(names, parts, strict=True)})
    return server


def idx_gz(array):
    """An array of bytes as the publisher of MNIST writes it.

    Source: [LeCun1998], the format IDX: two zeros, the type 8 of a byte, the number of dimensions,
    each dimension as a big-endian integer of four bytes, then the values.
    """
    head = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes(), 1)


@pytest.fixture
def publish(server, alter, monkeypatch):
    """Files on the server, which pass for those of a data set: with their checksums in our table
    and in that of torchvision.
    """

    def publish_files(name, files, members=()):
        server.contents |= {f"/{file}": content for file, content in files.items()}
        sha256 = tuple(hashlib.sha256(content).hexdigest() for content in files.values())
        alter(name, content_sha256=None, download={"sha256": sha256})
        kind = getattr(vision.datasets, sets.SETS[name].download.read.args[0])
        md5 = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
        if issubclass(kind, vision.datasets.MNIST):
            monkeypatch.setattr(kind, "resources", list(md5.items()))
            return
        (archive,) = md5.values()
        monkeypatch.setattr(kind, "tgz_md5", archive)
        md5 = {file: hashlib.md5(content).hexdigest() for file, content in members.items()}
        for part in ("train_list", "test_list"):
            listed = [[file, md5[file]] for file, _ in getattr(kind, part)]
            monkeypatch.setattr(kind, part, listed)
        meta = kind.meta | {"md5": md5[kind.meta["filename"]]}
        monkeypatch.setattr(kind, "meta", meta)

    return publish_files


@pytest.fixture
def publish_cifar(publish):
    """The arrays of a CIFAR in the archive of the real one."""

    def publish_arrays(name, arrays):
        kind = getattr(vision.datasets, sets.SETS[name].download.read.args[0])
        labels = "labels" if name == "cifar10" else "fine_labels"
        members = {kind.meta["filename"]: pickle.dumps({kind.meta["key"]: []})}
        for part, listed in {"train": kind.train_list, "test": kind.test_list}.items():
            rows = arrays[f"x_{part}"].reshape(len(arrays[f"x_{part}"]), -1)
            parts = (np.array_split(each, len(listed)) for each in (rows, arrays[f"y_{part}"]))
            for (file, _), x, y in zip(listed, *parts, strict=True):
                batch = {labels: y.tolist(), "data": x, "other": arrays.get("other")}
                members[file] = pickle.dumps(batch, protocol=2)
        archive = tar_gz({f"{kind.base_folder}/{file}": members[file] for file in members})
        publish(name, {kind.filename: archive}, members)

    return publish_arrays


def tar_gz(contents):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()
