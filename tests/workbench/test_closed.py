"""Folders of somebody else, full disks, odd names of the cache folder: one sentence with the path and the way out, nothing half-written."""
import errno
import os
import shutil
import stat
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from transfer_course import backbones, checks, data, downloads, feature_cache, features, files, training
from transfer_course.programs import cli

NOBODY = 65534
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
by_root = pytest.mark.skipif(not ROOT, reason="only root can start processes of other users")
X = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def task():
    y = torch.arange(6) % 2
    return data.Task("toy", X, y, X, y, ["ant", "bee"])


@pytest.fixture
def home(monkeypatch):
    """A cache folder that another user may pass through, as on a shared machine."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(folder / "home"))
    (folder / "home").mkdir()
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture
def somebody_else():
    """The rest of the test is run by a user who owns nothing."""
    if not ROOT: pytest.skip("only root can become somebody else")
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


def told(e, *words):
    """One sentence with all these words."""
    text = str(e.value if hasattr(e, "value") else e.message)
    missing = [w for w in words if str(w) not in text]
    assert not missing and "\n" not in text and len(text) < 400, f"{missing} not in: {text}"


# --- a folder of somebody else --------------------------------------------------------------------------------------------

def test_features_of_a_folder_that_is_not_mine(home, somebody_else):
    net = backbones.course_net()
    with pytest.raises(OSError) as e: features.extract(net, X)
    told(e, home, "can't be written (Permission denied)", "set TRANSFER_COURSE_HOME to a folder of yours", "cache=False")
    assert not list(home.iterdir()) and features.extract(net, X, cache=False).shape == (6, 256)


def test_a_set_is_loaded_and_a_warning_says_why_it_is_not_kept(home, somebody_else):
    made = {"x": np.arange(3)}
    with pytest.warns(UserWarning) as seen: assert files.cached("try", lambda: made) is made
    assert len(seen) == 1
    told(seen[0], "try", home / "arrays" / "try.npz", "Permission denied", "set TRANSFER_COURSE_HOME to a folder of yours")


def test_a_download_into_a_folder_that_is_not_mine(home, somebody_else):
    with pytest.raises(data.FetchError) as e: downloads.download("http://127.0.0.1:9/a.zip", home / "downloads" / "a.zip", "md5:00000000")
    told(e, "a.zip was not fetched", home, "Permission denied", "set TRANSFER_COURSE_HOME to a folder of yours")


def test_a_filled_cache_is_read_by_everybody(home, monkeypatch, request):
    net, made = backbones.course_net(), {"x": np.arange(3)}
    z = features.extract(net, X)
    for _ in range(2): files.cached("try", lambda: made)
    here = files.write_whole(home / "downloads" / "a.txt", "text")
    request.getfixturevalue("somebody_else")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(features.extract(net, X), z)
        assert files.cached("try", lambda: 1 / 0)["x"].tolist() == [0, 1, 2]
        known = "sha256:" + files.file_hash(here)
        assert downloads.download("http://127.0.0.1:9/a.txt", here, known) == here


def test_a_lock_of_another_user(home, request):
    (home / "features").mkdir()
    (home / "features").chmod(0o777)
    (home / "features" / "old.lock").touch(0o644)
    with files.locked(home / "features" / "new"): pass
    assert stat.S_IMODE((home / "features" / "new.lock").stat().st_mode) == 0o666
    request.getfixturevalue("somebody_else")
    with files.locked(home / "features" / "new"): pass
    with pytest.raises(OSError) as e:
        with files.locked(home / "features" / "old"): pass
    told(e, home / "features" / "old.lock", "another user's lock", "delete it if nobody is at work", "TRANSFER_COURSE_HOME")


def test_doctor_tries_to_write(home, capsys, monkeypatch, request):
    monkeypatch.setattr(cli, "package_rows", lambda: [])
    monkeypatch.setattr(cli, "asset_rows", lambda: [])
    monkeypatch.setattr(cli, "memory_row", lambda: ("memory", "ok", ""))
    assert cli.main(["doctor"]) == 0 and str(home) in capsys.readouterr().out and not list(home.iterdir())
    (home / "features").mkdir()  # the folder is mine, but not what lies in it
    home.chmod(0o777)
    request.getfixturevalue("somebody_else")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"NO  {home / 'features'} can't be written (Permission denied)" in out and "can run here" not in out


# --- a full disk ----------------------------------------------------------------------------------------------------------

def full(*args, **how): raise OSError(errno.ENOSPC, "No space left on device")


def test_features_on_a_full_disk_leave_nothing(home, monkeypatch):
    write, calls = feature_cache.write_whole, []
    def second(*args):
        calls.append(args)
        return write(*args) if len(calls) < 2 else full()
    monkeypatch.setattr(feature_cache, "write_whole", second)
    net = backbones.course_net()
    with pytest.raises(OSError) as e: features.extract(net, X, batch_size=2)
    told(e, home / "features", "No space left on device", "make room", "cache=False")
    assert {p.suffix for p in (home / "features").iterdir()} <= {".lock"}
    monkeypatch.setattr(feature_cache, "write_whole", write)
    assert torch.equal(features.extract(net, X, batch_size=2), features.extract(net, X, batch_size=2, cache=False))


@pytest.mark.parametrize("e", [OSError(errno.ENOSPC, "No space left on device"),
                               RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 64 vs 0")])
def test_the_log_is_not_lost_when_a_checkpoint_cannot_be_written(tmp_path, monkeypatch, e):
    path = tmp_path / "c.pt"
    def broken(state, part):
        Path(part).write_bytes(b"half")
        raise e
    monkeypatch.setattr(training.torch, "save", broken)
    with pytest.warns(UserWarning) as seen: log = training.fit(backbones.course_net(2), task(), epochs=2, checkpoint=path, progress=False)
    assert len(log.rows) == 2 and not list(tmp_path.iterdir())
    told(seen[0], "the run goes on without a checkpoint", path, "No space left on device", "make room")


def test_an_older_checkpoint_stays(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    training.fit(backbones.course_net(2), task(), epochs=1, checkpoint=path, progress=False)
    was = path.read_bytes()
    monkeypatch.setattr(training.torch, "save", full)
    with pytest.warns(UserWarning, match="without a checkpoint"): training.fit(backbones.course_net(2), task(), epochs=1, seed=1, checkpoint=tmp_path / "d.pt", progress=False)
    assert path.read_bytes() == was and [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_a_true_full_disk(tmp_path):
    """40 kB of memory, mounted as a disk, where this may be done."""
    import subprocess
    if os.name != "posix" or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        with pytest.raises(OSError, match="net.safetensors can't be written .No space left on device.: make room, or take another disk"): backbones.course_net().save(tmp_path / "net.safetensors")
        with pytest.warns(UserWarning, match="c.pt can't be written .No space left on device.: make room") as seen:
            log = training.fit(backbones.course_net(2), task(), epochs=1, checkpoint=tmp_path / "c.pt", progress=False)
        assert len(log.rows) == 1 and len(seen) == 1 and not list(tmp_path.iterdir())
    finally: subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("text", ["Error while serializing: I/O error: No space left on device (os error 28)", "[enforce fail at inline_container.cc:671] . unexpected pos 64 vs 0"])
def test_a_full_disk_in_the_words_of_libraries(tmp_path, text):
    with pytest.raises(files.WriteError, match="a.bin can't be written .No space left on device.: make room, or"):
        with files.replacing(tmp_path / "a.bin") as part:
            part.write_bytes(b"half")
            raise RuntimeError(text)
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path):
    for e in (RuntimeError("mine"), FileNotFoundError(2, "No such file"), KeyError("k"), KeyboardInterrupt()):
        with pytest.raises(type(e)) as seen:
            with files.replacing(tmp_path / "a.bin"): raise e
        assert seen.value is e


# --- the name of the cache folder -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("named, words", [("relcache", "be a whole path"), ("./a", "be a whole path"), ("~nobody_of_this_name/x", "be a whole path"), ("$HOME/x", "be a whole path"),
                                          ("'{}'", "without quotes"), ('"{}"', "without quotes"), ('"relcache"', "without quotes")])
def test_odd_names_of_the_cache_folder(tmp_path, monkeypatch, named, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_COURSE_HOME", named.format(tmp_path / "mine"))
    with pytest.raises(OSError) as e: files.cache_dir()
    told(e, "TRANSFER_COURSE_HOME must", words, named.format(tmp_path / "mine"), "set it to a folder of yours, such as", tmp_path)
    assert not list(tmp_path.iterdir())


def test_doctor_and_fetch_say_it_too(monkeypatch, capsys):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", "relcache")
    assert cli.main(["doctor"]) == 1 and "cache     NO  TRANSFER_COURSE_HOME must be a whole path" in capsys.readouterr().out
    assert cli.main(["fetch", "cifar10"]) == 1
    error = capsys.readouterr().err
    assert "must be a whole path" in error and error.count("\n") == 1
    assert not Path("relcache").exists()


# --- names that are nearly right ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("f", [data.load, data.fetch])
@pytest.mark.parametrize("name, words", [("mnist", "did you mean 'mnist_5k'?"), ("imagenet", "use one of these"), ("fashion", "did you mean 'fashion_mnist'?"),
                                         ("Oxford", "did you mean 'oxford_pet'?"), ("SVNH", "did you mean 'svhn'?")])
def test_what_could_be_meant(f, name, words):
    with pytest.raises(ValueError) as e: f(name)
    assert str(e.value).endswith(words)


# --- a folder that a teacher filled for a class ---------------------------------------------------------------------------

def refuse(*args, **kwargs): raise AssertionError("this was computed anew")


@pytest.fixture
def filled(home, monkeypatch):
    """A shared folder with the features of six pictures and an array; the student's own folder is empty."""
    net = backbones.course_net()
    want = features.extract(net, X).clone(), files.cached("numbers", lambda: {"n": np.arange(3)})["n"]
    features.extract(net, X), files.cached("numbers", refuse)  # read once, so that all of Python that reading needs is loaded: it may lie where others may not look
    shared = home.rename(home.with_name("shared"))
    for path in shared.rglob("*"): path.chmod(0o755 if path.is_dir() else 0o644)
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("TRANSFER_COURSE_SHARED", str(shared))
    return shared, net, want


def test_what_a_class_shares_is_read(filled, home, somebody_else, monkeypatch):
    shared, net, (z, n) = filled
    before = {p: p.stat().st_mtime_ns for p in shared.rglob("*")}
    monkeypatch.setattr("transfer_course.cache.stream", refuse)
    assert torch.equal(features.extract(net, X), z) and files.cached("numbers", refuse)["n"].tolist() == n.tolist()
    assert {p: p.stat().st_mtime_ns for p in shared.rglob("*")} == before and not [p for p in home.rglob("*") if p.is_file()]


def test_what_the_class_does_not_share_is_made_in_ones_own_folder(filled, home, somebody_else):
    shared, net, _ = filled
    there = sorted(shared.rglob("*"))
    features.extract(net, X[:4])
    files.cached("others", lambda: {"n": np.arange(2)})
    assert sorted(shared.rglob("*")) == there and len(list((home / "features").glob("*.npy"))) == 1 and (home / "arrays" / "others.npz").exists()


def test_a_damaged_file_of_the_class_is_made_again(filled, home, somebody_else):
    shared, net, (z, _) = filled
    os.seteuid(0)
    path = next((shared / "features").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:-4])
    os.seteuid(NOBODY)
    assert torch.equal(features.extract(net, X), z) and list((home / "features").glob("*.npy"))


def as_user(uid, gate, work):
    """Run `work` in a process of its own that is this user for good, once all ends of a pipe for writing are closed. -> its number"""
    if pid := os.fork(): return pid
    try:
        os.close(gate[1])
        os.read(gate[0], 1)
        os.umask(0o022)
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        torch.set_num_threads(1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            work()
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def students(home, uids, work):
    """Each of the users does its work in a folder of its own, all at the same moment. -> how their processes ended"""
    gate = os.pipe()
    def mine(uid): return lambda: (os.environ.update(TRANSFER_COURSE_HOME=str(home / str(uid))), work(uid))
    for uid in uids:
        (home / str(uid)).mkdir(mode=0o700)
        os.chown(home / str(uid), uid, uid)
    pids = [as_user(uid, gate, mine(uid)) for uid in uids]
    os.close(gate[1])
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(gate[0])
    return ends


@by_root
def test_three_users_at_the_same_moment(filled, home):
    """Three processes with user ids of their own, no rights, and the usual umask: what is shared is read, what is missing is made by each, nobody changes anything of
    another; who writes there all the same is refused by the system."""
    shared, net, (z, n) = filled
    before = {p: (p.stat().st_mtime_ns, p.stat().st_uid) for p in shared.rglob("*")}
    def work(uid):
        assert os.getuid() == os.geteuid() == uid
        assert torch.equal(features.extract(net, X), z) and files.cached("numbers", refuse)["n"].tolist() == n.tolist()
        features.extract(net, X[:4])
        checks.remember(checks.Report("01-1", True, ""))
        for there in (shared / "features", home / str(61001 if uid != 61001 else 61002)):
            with pytest.raises(PermissionError): (there / "mine").touch()
    assert students(home, (61001, 61002, 61003), work) == [0, 0, 0]
    assert {p: (p.stat().st_mtime_ns, p.stat().st_uid) for p in shared.rglob("*")} == before
    for uid in (61001, 61002, 61003):
        made = list((home / str(uid)).rglob("*"))
        assert {p.stat().st_uid for p in made} == {uid} and sum(p.suffix == ".npy" for p in made) == 1 and home / str(uid) / "solved.json" in made


@by_root
def test_what_a_user_may_not_would_be_seen(filled, home, capfd):
    """The test above fails where the folder can't be read."""
    shared, net, _ = filled
    (shared / "features").chmod(0o700)
    def work(uid):
        with pytest.MonkeyPatch.context() as m:
            m.setattr("transfer_course.cache.stream", refuse)
            features.extract(net, X)
    assert students(home, (61001,), work) == [1] and "computed anew" in capfd.readouterr().err


@pytest.mark.parametrize("named", ["shared", "'/srv/course'"])
def test_a_shared_folder_is_named_whole(home, monkeypatch, named):
    monkeypatch.setenv("TRANSFER_COURSE_SHARED", named)
    with pytest.raises(OSError) as e: files.kept("arrays", "a.npz")
    told(e, "TRANSFER_COURSE_SHARED", "set it to a folder that is filled")


def test_the_doctor_names_the_shared_folder(filled, monkeypatch, home):
    shared, *_ = filled
    assert str(shared) in str(cli.shared_row()) and cli.shared_row()[1] == "ok"
    monkeypatch.setenv("TRANSFER_COURSE_SHARED", str(shared / "nothing"))
    assert cli.shared_row()[1] == "NO"
    monkeypatch.delenv("TRANSFER_COURSE_SHARED")
    assert cli.shared_row() is None
