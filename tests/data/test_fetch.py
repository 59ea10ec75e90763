"""Data sets are fetched whole or not at all, and a silent network is given up quickly."""

import errno
import fcntl
import gzip
import hashlib
import io
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from tqdm import tqdm

from lib import data
from lib._boundary import NotWritten
from lib.data import fetch, sets, vision
from lib.runs.config import Run
from tests.faults.test_untrusted import Payload

PUBLISHED = {name: entry.download for name, entry in sets.SETS.items() if entry.download}


def left():
    """Names of what lies in ``data/raw`` besides locks."""
    return [path.name for path in fetch.RAW.iterdir() if path.suffix != ".lock"]


def refused(name, sentence):
    """A set cannot be had, and leaves nothing."""
    with pytest.raises(data.DataUnavailable, match=sentence):
        data.load(name)
    assert left() == []


def test_own_folder_comes_before_raw(stored, table):
    fetch.RAW.mkdir()
    np.savez(fetch.RAW / "higgs_sample.npz", **table)
    assert data.load("higgs_sample").source == "SPARSE_DATA_DIR"
    stored.unlink()
    assert data.load("higgs_sample").source == "data/raw"


@pytest.mark.parametrize(
    ("name", "folder", "ways"),
    [
        ("mnist", "", r"mnist .*SPARSE_DATA_DIR \(now \S+own\).* mnist.npz.* data/raw.* network"),
        ("cifar100", "", "cifar100 .*SPARSE_DATA_DIR .* cifar100.npz.* data/raw.* network"),
        ("adult", "", "adult.*SPARSE_DATA_DIR.*data/raw$"),
        ("adult", "typo", r"\(now \S+/own/typo, no such folder\)"),
    ],
)
def test_missing_set_is_an_error_with_the_ways_out(own, monkeypatch, name, folder, ways):
    monkeypatch.setenv("SPARSE_DATA_DIR", str(own / folder))
    with pytest.raises(data.DataUnavailable, match=ways):
        data.load(name)


def test_download_is_converted_once(publisher, small):
    first, second = data.load("mnist"), data.load("mnist")
    assert (first.source, second.source) == ("download", "data/raw")
    assert len(publisher.asked) == 4
    assert_array_equal(second.x_train, (small["x_train"] / np.float32(255)))
    assert_array_equal(second.y_test, small["y_test"])
    assert left() == ["mnist.npz"]


@pytest.mark.faults("two writers")
def test_set_that_another_process_downloads_is_waited_for(publisher, small, monkeypatch, caplog):
    fetch.RAW.mkdir()
    begun = threading.Event()
    monkeypatch.setattr(fetch, "_ask", lambda url: begun.set())
    with ThreadPoolExecutor() as pool, (fetch.RAW / ".mnist.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as the other one
        loaded = pool.submit(data.load, "mnist")
        assert begun.wait(60)
        with pytest.raises(TimeoutError):
            loaded.result(0.5)
        np.savez(fetch.RAW / "mnist.npz", **small)
    assert_array_equal(loaded.result().y_test, small["y_test"])
    assert publisher.asked == []
    sentence = "mnist is being downloaded by another process, which is waited for"
    assert caplog.messages == [sentence]


@pytest.mark.faults("stale locks")
def test_what_a_killed_download_left_is_removed_by_the_next(publisher):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (fetch.RAW / ".mnist").mkdir(parents=True)
    (fetch.RAW / ".mnist" / "train-images-idx3-ubyte.gz").write_text("half")
    (fetch.RAW / f"mnist.npz.{gone.pid}.part").write_text("half")
    assert data.load("mnist").source == "download" and left() == ["mnist.npz"]


@pytest.fixture
def colours(rng, alter):
    """A small CIFAR, in both forms: 10 images for training, 2 for testing."""
    alter("cifar10", n_train=10, n_test=2)
    x = rng.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    y = rng.integers(0, 10, 12, dtype=np.uint8)
    return {"x_train": x[:10], "y_train": y[:10], "x_test": x[10:], "y_test": y[10:]}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_from_its_archive(publish_cifar, colours, name):
    """Five batches of the one, fine labels of the other; channels first, as the files have them."""
    publish_cifar(name, colours)
    split = data.load(name)
    for key in ("y_train", "y_test"):
        assert_array_equal(getattr(split, key), colours[key])
    for key in ("x_train", "x_test"):
        assert_array_equal(getattr(split, key), colours[key] / np.float32(255))
    assert left() == [f"{name}.npz"]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_addresses_and_files_are_those_of_torchvision(name):
    download = PUBLISHED[name]
    kind = getattr(vision.datasets, download.read.args[0])
    if issubclass(kind, vision.datasets.MNIST):
        assert download.address == kind.mirrors[0]
        assert list(download.files) == [file for file, _ in kind.resources]
    else:
        assert [download.address + file for file in download.files] == [kind.url]


@pytest.mark.faults("untrusted files")
def test_archive_of_strangers_is_not_opened(server, monkeypatch):
    """Neither names nor pickles in it do anything: its checksum is compared first."""
    opened = []
    monkeypatch.setattr(tarfile, "open", lambda *a, **_: opened.append(a))
    server.contents = {f"/{PUBLISHED['cifar10'].files[0]}": b"names that lead elsewhere"}
    refused("cifar10", "expected [0-9a-f]{64} but got [0-9a-f]{64}")
    assert not opened


@pytest.mark.faults("untrusted files")
@pytest.mark.parametrize("is_known", [False, True])
def test_pickle_in_an_archive_is_read_only_if_its_checksum_fits(
    publish_cifar, colours, tmp_path, monkeypatch, is_known
):
    """Each file of a CIFAR archive has a checksum of its own."""
    sprung = tmp_path / "sprung"
    publish_cifar("cifar10", colours | {"other": Payload(sprung)})
    if not is_known:
        published = [list(pair) for pair in vision.datasets.CIFAR10.train_list]
        published[0][1] = hashlib.md5(b"what was published").hexdigest()
        monkeypatch.setattr(vision.datasets.CIFAR10, "train_list", published)
        refused("cifar10", "cifar-10-python.tar.gz is not whole")
    else:  # so that the check above can fail
        data.load("cifar10")
    assert sprung.exists() == is_known


def csv_gz(rows):
    """The rows as the publisher writes them."""
    file = io.StringIO()
    np.savetxt(file, rows, fmt="%.18e", delimiter=",")
    return gzip.compress(file.getvalue().encode())


def test_higgs_is_fetched_by_its_name_and_its_last_rows_are_the_test_part(server, rows):
    server.contents = {"/HIGGS.csv.gz": csv_gz(rows)}
    (row,) = data.where(["higgs"])
    assert (row["source"], row["n_train"], row["n_test"], row["status"]) == ("download", 7, 3, "ok")
    split = data.load("higgs")
    assert_array_equal(torch.cat([split.x_train, split.x_test]), rows[:, 1:])
    assert_array_equal(torch.cat([split.y_train, split.y_test]), rows[:, 0])
    assert (len(split.x_test), split.source, len(server.asked)) == (3, "data/raw", 1)
    assert left() == ["higgs.npz"]


def test_higgs_is_never_fetched_by_accident(server, rows, own):
    server.contents = {"/HIGGS.csv.gz": csv_gz(rows)}
    ways = rf"2.6 GB: .*python -m lib data higgs, .*\(now {own}\).* higgs.npz, .* data/raw$"
    with pytest.raises(data.DataUnavailable, match=ways):
        data.load("higgs")
    assert data.notice("higgs", fallback="digits").startswith("digits stands in for higgs")
    (row,) = (row for row in data.where() if row["dataset"] == "higgs")
    assert row["source"] is None and "2.6 GB" in row["status"]
    assert "/HIGGS.csv.gz" not in server.asked


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda r: csv_gz(r[1:]), r"x_test has shape \(2, 28\), not \(3, 28\)"),
        (lambda r: csv_gz(r[:, :28]), r"x_train has shape \(7, 27\)"),
        (lambda r: csv_gz(np.where(r == r[4, 5], np.nan, r)), "x_train has values"),
        (lambda r: csv_gz(r + 0.5), "there is the label 0.5, which is not in .0, 1."),
        (lambda r: csv_gz(r)[:-900], "HIGGS.csv.gz is not whole"),
        (lambda r: csv_gz(r)[:900] + bytes(100) + csv_gz(r)[1000:], "HIGGS.csv.gz is not whole"),
        (lambda r: gzip.compress(b"<html>"), "HIGGS.csv.gz is not whole"),
        (lambda r: b"<html>", "[Nn]ot a gzip"),
    ],
)
def test_higgs_that_is_not_whole_is_not_stored(server, rows, change, wrong):
    server.contents = {"/HIGGS.csv.gz": change(rows)}
    (row,) = data.where(["higgs"])
    assert row["source"] is None and row["status"].startswith("higgs could not be had from")
    assert re.search(wrong, row["status"]) and left() == []


def test_damaged_higgs_is_named_and_not_fetched_again(server, rows, own):
    server.contents = {"/HIGGS.csv.gz": csv_gz(rows)}
    data.where(["higgs"])
    path = fetch.RAW / "higgs.npz"
    path.write_bytes(path.read_bytes()[:-100])
    assert data.where(["higgs"])[0]["status"].startswith(f"damaged: {path} is not a whole higgs")
    with pytest.raises(ValueError, match="higgs.npz is not a whole higgs"):
        data.notice("higgs", fallback="digits")
    assert len(server.asked) == 1


@pytest.mark.faults("servers that lie")
def test_download_that_breaks_off_or_is_another_leaves_nothing_and_can_be_repeated(publisher):
    publisher.cut = 1
    refused("mnist", "broke off before its end")
    publisher.cut = 0
    whole = dict(publisher.contents)
    publisher.contents["/t10k-labels-idx1-ubyte.gz"] += b"more"
    refused("mnist", "expected [0-9a-f]{64} but got [0-9a-f]{64}")
    publisher.contents |= whole
    assert data.load("mnist").source == "download"


@pytest.mark.faults("a full disk")
def test_full_disc_is_said_and_nothing_stands_in(publisher, monkeypatch):
    def fill(file, **_):
        file.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill)
    ways = r"no space is left to write .*mnist.npz: free some .*; or set SPARSE_DATA_DIR"
    with pytest.raises(NotWritten, match=ways):
        data.notice("mnist", fallback="digits")
    (row,) = data.where(["mnist"])
    assert row["source"] is None and row["status"].startswith("no space is left to write")
    assert left() == []


@pytest.mark.faults("a read-only store")
def test_folder_that_cannot_be_made_is_said_and_nothing_stands_in(publisher, monkeypatch):
    def refuse(path, **_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    run = Run("one", dataset="mnist", stand_in=Run("one", dataset="digits"))
    with pytest.raises(NotWritten, match=r"mnist.npz cannot be written.*; or set SPARSE_DATA_DIR"):
        run.resolved()


def test_refused_request_is_not_taken_for_silence(server):
    refused("mnist", "404")
    refused("cifar10", "404")


@pytest.mark.faults("servers that lie")
def test_silent_network_is_given_up_once(monkeypatch, publish_at):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never says a word
        publish_at(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(data.DataUnavailable, match="no answer|timed out"):
            data.load("mnist")
        monkeypatch.setattr(fetch, "TIMEOUT", 600)
        with pytest.raises(data.DataUnavailable, match="asked once a process"):
            data.load("fashion_mnist")


@pytest.mark.faults("servers that lie")
def test_name_look_up_that_hangs_is_given_up(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait() and [])
    with pytest.raises(data.DataUnavailable, match="no answer"):
        data.load("mnist")
    released.set()


def for_ever(content, seconds=0.0):
    """The same again and again, with pauses of so many seconds."""
    while True:
        yield content
        time.sleep(seconds)


HERE = "/train-images-idx3-ubyte.gz"
LIES = {  # status, headers, what is sent, and what is said of it
    "drips": (200, ("Content-Length", "1000000"), lambda: for_ever(b"x", 0.05), "less than 2000"),
    "pours": (200, None, lambda: for_ever(bytes(1 << 16)), r"is larger than 1e\+06 bytes"),
    "leads in a circle": (302, ("Location", HERE), lambda: [], "Exceeded 30 redirects"),
    "leads to a file": (302, ("Location", "file:///etc/passwd"), lambda: [], "No connection adap"),
    "promises less": (200, ("Content-Length", "10"), lambda: [bytes(100)], "expected .{64} but"),
    "says no number": (200, ("Content-Length", "many"), lambda: [], "mnist could not be had from"),
}


@pytest.mark.faults("servers that lie")
@pytest.mark.parametrize("name", LIES)
def test_lying_server_is_given_up_in_a_sentence_and_leaves_nothing(publisher, monkeypatch, name):
    drips = name == "drips"
    monkeypatch.setattr(fetch, "PATIENCE", 0.5 if drips else 30)  # whatever else the machine does
    monkeypatch.setattr(fetch, "BLOCK", 4 if drips else 1024)
    monkeypatch.setattr(fetch, "LARGEST", 1e6)
    status, header, pieces, sentence = LIES[name]
    publisher.lie = status, header, pieces
    refused("mnist", sentence)
    publisher.lie = None
    assert data.load("mnist").source == "download"


@pytest.mark.faults("servers that lie")
def test_server_that_falls_silent_leaves_nothing(publisher, monkeypatch):
    import requests  # noqa: F401  pooch does so in a download, whose time-out is short here

    monkeypatch.setattr(fetch, "TIMEOUT", 2.0)
    publisher.cut = 1
    publisher.stall.clear()
    refused("mnist", "timed out")


def test_long_download_shows_its_progress(publisher, small, monkeypatch, capfd):
    """Compressed files that a server calls encoded stay compressed."""
    publisher.headers_sent = {"Content-Encoding": "gzip"}
    bar = tqdm.__init__
    at_once = {"delay": 0, "mininterval": 0, "miniters": 1}
    monkeypatch.setattr(tqdm, "__init__", lambda *a, **k: bar(*a, **k | at_once))
    assert_array_equal(data.load("mnist").y_test, small["y_test"])
    shown = capfd.readouterr().err
    assert re.search(r"train-images-idx3-ubyte.gz: +[2-9]\d%", shown)
    assert shown.endswith("\r")  # and nothing stays


def test_every_published_file_has_a_sha256():
    for name, source in PUBLISHED.items():
        assert len(source.sha256) == len(source.files), name
        assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in source.sha256), name


def test_network_that_is_not_there_is_said_in_two_words(monkeypatch):
    def ask(url):
        raise OSError("HTTPSConnectionPool(host='a', port=443): Max retries exceeded with url: /b")

    monkeypatch.setattr(fetch, "_ask", ask)
    with pytest.raises(data.DataUnavailable, match=r"not be had from \S+ \(no connection\): "):
        data.load("mnist")
