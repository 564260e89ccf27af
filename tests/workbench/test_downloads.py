"""Downloads against a server on this machine: cut, wrong, refused, slow, killed half-way; archives that lead outside."""

import errno
import gzip
import hashlib
import io
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from transfer_course import data, downloads, fetched

BODY = bytes(range(256)) * 3000
SHA = "sha256:" + hashlib.sha256(BODY).hexdigest()


LOGIN = b"<!DOCTYPE html><html><body>Please log in</body></html>"
PAGES = {"login": "text/html; charset=utf-8", "login without a type": None}


class Handler(BaseHTTPRequestHandler):
    """Serves server.files; server.faults says what goes wrong with the next requests."""

    def log_message(self, *args): pass

    def do_GET(self):
        fault = self.server.faults.pop(0) if self.server.faults else "ok"
        self.server.seen.append((self.path, self.headers.get("Range")))
        if isinstance(fault, int): return self.send_error(fault)
        if fault in PAGES: return self.send_page(PAGES[fault])
        if fault == "silent": return self.server.told.wait(60)
        self.send(self.server.files[self.path], fault)

    def send_page(self, kind):
        self.send_response(200)
        if kind: self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(LOGIN)))
        self.end_headers()
        self.wfile.write(LOGIN)

    def send(self, body, fault):
        if fault == "wrong": body = body[::-1]
        first = int(self.headers.get("Range", "bytes=0-")[6:-1]) if fault != "ignores range" else 0
        if first >= len(body) and first: return self.send_error(416)
        self.send_response(206 if first else 200)
        if first: self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        try: self.write(body[first:], fault)
        except OSError: pass

    def write(self, body, fault):
        if fault == "cut": self.wfile.write(body[:len(body) // 2])
        elif fault == "stalls": self.wfile.write(body[:200_000]); self.wfile.flush(); self.server.told.wait(60)
        elif fault == "drips":
            for i in range(0, len(body), 2**16): self.wfile.write(body[i:i + 2**16]); self.wfile.flush(); time.sleep(0.4)
        else: self.wfile.write(body)
        self.close_connection = True


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch): monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.files, server.faults, server.seen = {"/set.zip": BODY}, [], []
    server.told = threading.Event()  # set when a silent server may go on
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.told.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def target(tmp_path): return tmp_path / "cache" / "set.zip"


def get(server, target, known=SHA, timeout=60): return data.download(f"{server.url}/set.zip", target, known, timeout)


def names(target): return sorted(n for n in os.listdir(target.parent) if not n.endswith(".lock"))


# --- what can go wrong --------------------------------------------------------------------------------------------------

def test_a_file_is_fetched_once(server, target):
    assert get(server, target) == target and target.read_bytes() == BODY
    get(server, target)
    assert len(server.seen) == 1 and names(target) == ["set.zip"]


@pytest.mark.parametrize("fault, words", [
    ("cut", ["broke off", "bytes are here and the next call goes on there"]), ("wrong", ["expected sha256:", "found sha256:"]), (404, ["answered 404"]),
    (500, ["answered 500"]), ("silent", ["did not answer within 2 s"]), ("stalls", ["did not answer within 2 s", "bytes are here"])])
def test_a_fault_is_told_and_the_second_call_works(server, target, fault, words):
    server.faults = [fault]
    patience = 2 if fault in ("silent", "stalls") else 60
    with pytest.raises(data.FetchError) as told: get(server, target, timeout=patience)
    server.told.set()
    text = str(told.value)
    assert all(w in text for w in [*words, "set.zip", "try again later, or place the file yourself at", str(target)]), text
    assert "\n" not in text and not target.exists() and set(names(target)) <= {"set.zip.part"}
    assert get(server, target).read_bytes() == BODY and names(target) == ["set.zip"]
    assert (server.seen[-1][1] is not None) == (fault in ("cut", "stalls")), "only what was begun is resumed"


def test_a_wrong_file_is_not_kept(server, target):
    server.faults = ["wrong"]
    with pytest.raises(data.FetchError): get(server, target)
    assert names(target) == []


def test_no_server(target):
    with pytest.raises(data.FetchError, match="there is no connection to 127.0.0.1:9") as told:
        data.download("http://127.0.0.1:9/set.zip", target, SHA, ahead="; AHEAD")
    assert "AHEAD" in str(told.value) and names(target) == []


def test_offline_tells_how_to_fetch_ahead(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    monkeypatch.setitem(fetched.FILES, "usps", [fetched.RemoteFile("http://127.0.0.1:9/usps.bz2", SHA, 1, "usps")])
    with pytest.raises(OSError, match="transfer-course fetch usps"): data.load("usps")


# --- networks that stand in the way ----------------------------------------------------------------------------------------

def test_a_login_page_is_named_and_the_part_is_kept(server, target):
    target.parent.mkdir()
    part = target.parent / "set.zip.part"
    part.write_bytes(BODY[:150_000])
    server.faults = ["login"]
    with pytest.raises(data.FetchError) as told: get(server, target)
    assert all(w in str(told.value) for w in ["set.zip was not fetched", "web page (text/html)", "login page", "log in first", "150,000 bytes are here"])
    assert part.read_bytes() == BODY[:150_000]
    assert get(server, target).read_bytes() == BODY and server.seen[-1][1] == "bytes=150000-"


@pytest.mark.parametrize("page", PAGES)
def test_a_login_page_is_not_kept(server, target, page):
    server.faults = [page] * 2
    with pytest.raises(data.FetchError, match="login page .*try again later"): get(server, target)
    assert names(target) == []


def certificate(folder):
    """A certificate that nobody has signed."""
    made = shutil.which("openssl") and subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"], cwd=folder, capture_output=True).returncode == 0
    if not made: pytest.skip("this test makes a certificate with openssl")
    return folder / "cert.pem", folder / "key.pem"


def test_a_certificate_that_is_not_trusted_is_named(server, target, tmp_path, monkeypatch):
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}/set.zip"
    with pytest.raises(data.FetchError, match="the certificate of 127.0.0.1.* is not trusted here .*REQUESTS_CA_BUNDLE"): data.download(url, target, SHA)
    assert names(target) == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    assert data.download(url, target, SHA).read_bytes() == BODY


@pytest.mark.parametrize("proxy, named", [("http://me:secret@127.0.0.1:9", "127.0.0.1:9"), ("http://me:secret@[bad", r"\[bad"),
                                          ("http:///", "http:///"), ("what://127.0.0.1:9", "what://127.0.0.1:9"), ("127.0.0.1:99999", "127.0.0.1:99999")])
def test_a_proxy_that_does_not_work_is_named(target, monkeypatch, proxy, named):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    target.parent.mkdir()
    (target.parent / "set.zip.part").write_bytes(BODY[:1000])
    with pytest.raises(data.FetchError, match=f"the proxy {named} does not work .*HTTP_PROXY") as told: data.download("http://example.org/set.zip", target, SHA)
    assert "secret" not in str(told.value) and "\n" not in str(told.value)
    assert (target.parent / "set.zip.part").read_bytes() == BODY[:1000]


# --- two at once ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("later", [0, 1.5])
def test_two_processes_fetch_one_file(server, target, later):
    """The first one fetches (it takes 5 s), the second one waits for it: both end with the right file, and it is sent once."""
    server.faults = ["drips"]
    code = f"from transfer_course import downloads; print(downloads.download({server.url + '/set.zip'!r}, {str(target)!r}, {SHA!r}))"
    two = []
    for wait in (0, later):
        if wait:
            until = time.time() + 60
            while not server.seen and time.time() < until: time.sleep(0.05)
            time.sleep(wait)
        two.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    ends = [child.communicate(timeout=120) for child in two]
    assert [c.returncode for c in two] == [0, 0], ends
    assert target.read_bytes() == BODY and len(server.seen) == 1 and names(target) == ["set.zip"]


# --- resuming -----------------------------------------------------------------------------------------------------------

def test_a_cut_download_resumes_where_it_stopped(server, target):
    server.faults = ["cut"]
    with pytest.raises(data.FetchError): get(server, target)
    size = (target.parent / "set.zip.part").stat().st_size
    get(server, target)
    assert 0 < size < len(BODY) and server.seen[-1][1] == f"bytes={size}-" and target.read_bytes() == BODY


def test_a_server_that_ignores_range_sends_all_again(server, target):
    server.faults = ["cut", "ignores range"]
    with pytest.raises(data.FetchError): get(server, target)
    assert get(server, target).read_bytes() == BODY and len(server.seen) == 2


@pytest.mark.parametrize("begun", [b"something else", BODY + b"and more", b"x" * len(BODY)])
def test_a_wrong_part_is_fetched_again_from_zero(server, target, begun):
    target.parent.mkdir()
    (target.parent / "set.zip.part").write_bytes(begun)
    assert get(server, target).read_bytes() == BODY
    assert [r for _, r in server.seen] == [f"bytes={len(begun)}-", None] and names(target) == ["set.zip"]


def test_a_whole_part_needs_no_server(target):
    target.parent.mkdir()
    (target.parent / "set.zip.part").write_bytes(BODY)
    assert data.download("http://127.0.0.1:9/set.zip", target, SHA).read_bytes() == BODY


def test_a_damaged_file_is_replaced(server, target):
    target.parent.mkdir()
    target.write_bytes(BODY[:-1] + b"?")
    assert get(server, target).read_bytes() == BODY


def test_a_damaged_file_stays_until_the_right_one_is_there(server, target):
    target.parent.mkdir()
    target.write_bytes(b"damaged")
    server.faults = [500]
    with pytest.raises(data.FetchError): get(server, target)
    assert target.read_bytes() == b"damaged"


def test_a_full_disk_is_told_with_the_path(server, target, monkeypatch):
    def full(*args, **how): raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(downloads.pooch.HTTPDownloader, "__call__", full)
    with pytest.raises(data.FetchError, match="set.zip was not fetched: .*set.zip.part can't be written .No space left on device.: make room, or") as told: get(server, target)
    assert "\n" not in str(told.value) and names(target) == []


def test_a_killed_download_resumes(server, target):
    server.faults = ["stalls"]
    code = f"from transfer_course import data; data.download({server.url + '/set.zip'!r}, {str(target)!r}, {SHA!r})"
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    part = target.parent / "set.zip.part"
    try:
        until = time.time() + 300
        while not (part.exists() and part.stat().st_size > 2**17) and time.time() < until: time.sleep(0.05)
        child.send_signal(signal.SIGKILL) if hasattr(signal, "SIGKILL") else child.kill()
    finally:
        child.wait(60)
        server.told.set()
    assert names(target) == ["set.zip.part"], "a killed download leaves its part and nothing else"
    size = part.stat().st_size
    assert 0 < size < len(BODY)
    assert get(server, target).read_bytes() == BODY and server.seen[-1][1] == f"bytes={size}-"


def test_a_file_placed_by_hand_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    monkeypatch.setitem(fetched.FILES, "cifar10", [fetched.RemoteFile("http://127.0.0.1:9/c.tar.gz", SHA, len(BODY), "", "c")])
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "c.tar.gz").write_bytes(BODY)
    assert [p.name for p in data.fetch("cifar10")] == ["c.tar.gz"]
    row = next(a for a in data.assets() if a["name"] == "cifar10")
    assert row["present"] and row["ok"] and row["bytes"] == len(BODY)
    (tmp_path / "downloads" / "c.tar.gz").write_bytes(BODY[:-1])
    row = next(a for a in data.assets() if a["name"] == "cifar10")
    assert row["present"] and not row["ok"]


# --- archives -----------------------------------------------------------------------------------------------------------

def zipped(path, *members, link=False):
    with zipfile.ZipFile(path, "w") as z:
        for name in members:
            info = zipfile.ZipInfo(name)
            if link: info.external_attr = 0o120777 << 16
            z.writestr(info, "text")
    return path


def tarred(path, name="a/b.txt", **kind):
    with tarfile.open(path, "w:gz") as t:
        info = tarfile.TarInfo(name)
        for k, v in kind.items(): setattr(info, k, v)
        body = b"" if kind else b"text"
        info.size = len(body)
        t.addfile(info, io.BytesIO(body))
    return path


@pytest.mark.parametrize("make", [
    lambda d: zipped(d / "a.zip", "good.txt", "../evil.txt"),
    lambda d: zipped(d / "a.zip", "good.txt", "..\\evil.txt"),
    lambda d: zipped(d / "a.zip", "a/../../evil.txt"),
    lambda d: zipped(d / "a.zip", "/evil.txt"),
    lambda d: zipped(d / "a.zip", "C:/evil.txt"),
    lambda d: zipped(d / "a.zip", "link", link=True),
    lambda d: tarred(d / "a.tar.gz", "../evil.txt"),
    lambda d: tarred(d / "a.tar.gz", "/evil.txt"),
    lambda d: tarred(d / "a.tar.gz", "link", type=tarfile.SYMTYPE, linkname="../../evil.txt"),
    lambda d: tarred(d / "a.tar.gz", "link", type=tarfile.LNKTYPE, linkname="../evil.txt"),
    lambda d: tarred(d / "a.tar.gz", "pipe", type=tarfile.FIFOTYPE)])
def test_an_archive_that_leads_outside_is_refused(make, tmp_path):
    archive = make(tmp_path)
    with pytest.raises(ValueError) as told: data.extract(archive, tmp_path / "deep" / "folder")
    text = str(told.value)
    assert archive.name in text and "fetch it again from its origin" in text and "\n" not in text
    assert os.listdir(tmp_path / "deep" / "folder") == [] and not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("archive", [lambda d: zipped(d / "a.zip", "a/b.txt"), lambda d: tarred(d / "a.tar.gz")])
def test_an_archive_is_unpacked(archive, tmp_path):
    for _ in range(2): data.extract(archive(tmp_path), tmp_path / "folder")
    assert (tmp_path / "folder" / "a" / "b.txt").read_text() == "text" and os.listdir(tmp_path / "folder") == ["a"]


def test_gz_is_unpacked(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"text"))
    assert (data.extract(tmp_path / "x.gz", tmp_path) / "x").read_bytes() == b"text"


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.gz"])
def test_a_damaged_archive_leaves_nothing(name, tmp_path):
    path = {"a.zip": zipped, "a.tar.gz": tarred}.get(name, lambda p, _: p.write_bytes(gzip.compress(b"text" * 99)) and p)(tmp_path / name, "a/b.txt")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="is damaged"): data.extract(path, tmp_path / "folder")
    assert os.listdir(tmp_path / "folder") == []
