"""Empty folders, small data sets and a local server in place of the real ones."""

import dataclasses
import gzip
import hashlib
import http.server
import socket
import threading

import numpy as np
import pytest

from lib.data import fetch, sets


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
    """Contents by path, as a local server sends them; `cut` bytes are promised but not sent. What
    `lie` does, given the handler, it does in place of answering.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        contents, cut, asked, headers_sent, lie = {}, 0, [], {}, None
        stall = threading.Event()  # cleared: the end of a content never comes
        stall.set()

        def do_GET(self):
            self.asked.append(self.path)
            if self.lie is not None:
                return type(self).lie(self)
            content = self.contents.get(self.path, b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            for header in self.headers_sent.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content[: len(content) - self.cut])
            self.stall.wait()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        publish_at(f"http://127.0.0.1:{http_server.server_port}/")
        threading.Thread(target=http_server.serve_forever, args=(0.01,)).start()
        yield Handler
        Handler.stall.set()
        http_server.shutdown()


@pytest.fixture
def publisher(server, small, alter):
    """The server, with the small mnist in the files of the real one."""
    names = sets.SETS["mnist"].download.files
    heads = {"x": bytes(16), "y": bytes(8)}
    files = [gzip.compress(heads[key[0]] + array.tobytes()) for key, array in small.items()]
    server.contents = {f"/{name}": file for name, file in zip(names, files, strict=True)}
    sha256 = tuple(hashlib.sha256(file).hexdigest() for file in files)
    alter("mnist", content_sha256=None, download={"sha256": sha256})
    return server
