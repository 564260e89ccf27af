"""Features by several processes: each one its share, one store, the same numbers as one process, and what is left when one is killed."""
import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from transfer_course import backbones, cache
from transfer_course.features import extract
from transfer_course.processes import clear_pieces, cut_rows, in_my_order, join_pieces

N, BATCH = 200, 8  # 25 batches
SCRIPT = textwrap.dedent("""
    import json, os, sys
    import transfer_course
    import torch
    torch.set_num_threads(1)
    from transfer_course import backbones, cache
    from transfer_course.features import extract
    plain, seen, most, rank = cache.stream, [], int(os.environ.get("MOST", 10**6)), os.environ.get("RANK", "0")
    def counted(*args):
        for zs in plain(*args):
            yield zs
            seen.append(len(zs[0]))
            if len(seen) == most and rank == "1": os._exit(9)
    cache.stream = counted
    x = torch.randint(256, (200, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    z = extract(backbones.course_net(num_classes=3, seed=0), x, batch_size=8, progress=False)
    torch.save(z.clone(), sys.argv[1] + rank)
    with open(sys.argv[1] + rank + ".json", "w") as f: json.dump(seen, f)
""")


@pytest.fixture(scope="module")
def right():
    torch.set_num_threads(1)
    x = torch.randint(256, (N, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return extract(backbones.course_net(num_classes=3, seed=0), x, batch_size=BATCH, progress=False, cache=False)


def launched(folder, most=None):
    """The script by `accelerate launch`, two CPU processes: the run, and where its files are."""
    (folder / "script.py").write_text(SCRIPT)
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    env |= {"TRANSFER_COURSE_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"} | ({"MOST": str(most)} if most else {})
    how = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    return subprocess.run([sys.executable, "-m", "accelerate.commands.launch", *how, str(folder / "script.py"), str(folder / "z")], env=env, capture_output=True, text=True, timeout=300)


def test_two_processes_do_what_one_does_and_a_killed_one_is_gone_on_with(tmp_path, right):
    pytest.importorskip("accelerate")
    first = launched(tmp_path, most=3)
    assert first.returncode, "one of them was switched off after three batches"
    kept = sum(json.loads(p.read_text())["done"] for p in (tmp_path / "home" / "features").glob("*.json"))
    assert kept >= 3 * BATCH
    again = launched(tmp_path)
    assert not again.returncode, again.stderr[-2000:]
    for rank in "01": assert torch.equal(torch.load(tmp_path / f"z{rank}"), right)
    rows = [sum(json.loads((tmp_path / f"z{r}.json").read_text())) for r in "01"]
    assert sum(rows) <= N - kept + BATCH
    left = [p.name for p in (tmp_path / "home" / "features").iterdir() if not p.name.endswith(".lock")]
    assert sorted(name.partition(".")[2] for name in left) == ["json", "npy"], "one store, and nothing beside it"


def test_each_has_a_share(tmp_path, right):
    pytest.importorskip("accelerate")
    done = launched(tmp_path)
    assert not done.returncode, done.stderr[-2000:]
    rows = [sum(json.loads((tmp_path / f"z{r}.json").read_text())) for r in "01"]
    assert sum(rows) == N and min(rows) >= BATCH
    for rank in "01": assert torch.equal(torch.load(tmp_path / f"z{rank}"), right)


class Played:
    """Process i of n, without others."""
    def __init__(self, i, n): self.i, self.n, self.is_main_process = i, n, i == 0

    def split_between_processes(self, of):
        from contextlib import nullcontext
        return nullcontext(of[self.i * len(of) // self.n:(self.i + 1) * len(of) // self.n])


@pytest.mark.parametrize(("n", "batch"), [(1, 64), (63, 8), (64, 8), (10_001, 7), (1_000_000, 64)])
def test_pieces_are_whole_batches_and_each_is_somebodys(n, batch):
    pieces = cut_rows(n, batch)
    assert len(pieces) <= 64 and pieces[0][0] == 0 and pieces[-1][1] == n
    assert all(a[1] == b[0] and a[1] % batch == 0 for a, b in zip(pieces, pieces[1:]))
    for k in (1, 2, 3, 70):
        orders = [in_my_order(pieces, Played(i, k)) for i in range(k)]
        assert all(sorted(o) == pieces for o in orders)


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Process 0 of two whose other one never comes; the batches that were computed."""
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "several", lambda: True)
    monkeypatch.setattr(cache, "state_of", lambda net: Played(0, 2))
    plain, seen = cache.stream, []
    def counted(*args):
        for zs in plain(*args):
            yield zs
            seen.append(len(zs[0]))
    monkeypatch.setattr(cache, "stream", counted)
    return seen


def pictures(): return torch.randint(256, (N, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_nobody_waits_for_a_process_that_does_not_come(alone, right):
    net = backbones.course_net(num_classes=3, seed=0)
    assert torch.equal(extract(net, pictures(), batch_size=BATCH, progress=False), right) and sum(alone) == N
    extract(net, pictures(), batch_size=BATCH, progress=False)
    assert sum(alone) == N, "computed once"


def test_one_process_goes_on_where_several_were(alone, right, tmp_path, monkeypatch):
    net, join = backbones.course_net(num_classes=3, seed=0), cache.join_pieces
    monkeypatch.setattr(cache, "join_pieces", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt): extract(net, pictures(), batch_size=BATCH, progress=False)
    files = sorted((tmp_path / "features").glob("*-*-*.npy"))
    spoilt = bytearray(files[5].read_bytes())
    spoilt[-3] ^= 1
    files[5].write_bytes(spoilt)
    monkeypatch.setattr(cache, "join_pieces", join)
    monkeypatch.setattr(cache, "several", lambda: False)
    alone.clear()
    assert torch.equal(extract(net, pictures(), batch_size=BATCH, progress=False), right)
    first = min(int(f.stem.split("-")[1]) for f in files[5:6])
    assert sum(alone) == N - first, "from the damaged piece on"
    assert not list((tmp_path / "features").glob("*-*-*"))


def test_several_stages_of_which_one_is_there(alone, right):
    net = backbones.course_net(num_classes=3, seed=0)
    plain = cache.extract_stages(net, pictures(), batch_size=BATCH, progress=False, cache=False)
    extract(net, pictures(), "stage1", batch_size=BATCH, progress=False)
    found = cache.extract_stages(net, pictures(), batch_size=BATCH, progress=False)
    for s in net.stages: assert torch.equal(found[s], plain[s])
    assert torch.equal(found[net.stages[-1]], right)


def test_joining_nothing_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    join_pieces("nobody", 10)
    clear_pieces("nobody")
    assert not [p for p in (tmp_path / "features").iterdir() if p.suffix != ".lock"]


def test_who_was_launched(monkeypatch):
    """A number of processes alone, as queueing systems set it, is no launch: nobody would wait for nobody."""
    from transfer_course.processes import several
    for k in ("RANK", "LOCAL_RANK", "WORLD_SIZE"): monkeypatch.delenv(k, raising=False)
    assert not several()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not several()
    for k in ("RANK", "LOCAL_RANK"): monkeypatch.setenv(k, "0")
    assert several()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not several()
