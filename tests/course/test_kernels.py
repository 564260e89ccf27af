"""Forked kernels are what fresh ones are: see tests/kernels.py."""
import sys
import time

import kernels
import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")


@pytest.fixture(scope="module")
def parent():
    made = kernels.Parent()
    yield made
    made.close()


@pytest.fixture
def forked(parent, monkeypatch):
    """A function that starts a forked kernel. -> its manager, its client"""
    monkeypatch.setattr("jupyter_client.provisioning.local_provisioner.launch_kernel", parent.launch)
    running = []
    def start(**how):
        running.append(start_new_kernel(kernel_name="python3", **how))
        return running[-1]
    yield start
    for manager, client in running:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def value(client, source):
    """What an expression gives in a kernel, as text; after the statements above it."""
    *lines, last = source.splitlines()
    reply = client.execute_interactive("\n".join(lines), user_expressions={"it": last}, output_hook=lambda m: None, timeout=60)["content"]
    assert reply["status"] == "ok", reply.get("evalue")
    return reply["user_expressions"]["it"]["data"]["text/plain"]


WHAT = """import os, sys
import pandas as pd
import matplotlib.pyplot as plt
from tqdm.auto import tqdm
pd.get_option('display.max_columns'), plt.get_backend(), tqdm.__module__, sys.path, os.getcwd(), __name__, sorted(set(globals()) & {'torch', 'numpy', 'kernels', 'json'}), sys.argv[0], os.environ['MPLBACKEND'], os.environ.get('A_WORD')"""


def test_it_begins_as_a_fresh_one(forked, parent, tmp_path, monkeypatch):
    """Path, folder, variables, and no name of what is loaded already; a thing of one kernel is not in the next."""
    monkeypatch.setenv("A_WORD", "said later")
    mine = value(forked(cwd=str(tmp_path))[1], WHAT)
    monkeypatch.undo()  # the next one is a Python of its own
    monkeypatch.setenv("A_WORD", "said later")
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    try: fresh = value(client, WHAT)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert mine == fresh and str(tmp_path) in mine and "said later" in mine and "inline" in mine


def test_each_draws_other_numbers_and_knows_nothing_of_another(forked):
    first, second = (forked()[1] for _ in range(2))
    draw = "import random, numpy as np\nmine = random.random(), np.random.random()\nmine"
    assert value(first, draw) != value(second, draw)
    assert value(first, "kept = 1\n'kept' in globals()") == "True" and value(second, "\n'kept' in globals()") == "False"


def test_pictures_are_drawn_inside(forked):
    seen = []
    source = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    forked()[1].execute_interactive(source, output_hook=lambda m: seen.append(m["content"].get("data", {})), timeout=60)
    assert any("image/png" in data for data in seen)


def test_an_interrupt_reaches_the_kernel_alone(forked):
    manager, client = forked()
    wait = client.execute("import time\ntime.sleep(60)", stop_on_error=False)  # what comes next is not dropped
    time.sleep(0.5)
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != wait: pass
    assert reply["content"]["ename"] == "KeyboardInterrupt" and value(client, "\n1 + 1") == "2"


def test_one_that_ends_is_seen(forked):
    manager, client = forked()
    assert manager.is_alive()
    client.execute("import os; os._exit(3)")
    end = time.time() + 30
    while manager.is_alive() and time.time() < end: time.sleep(0.05)
    assert not manager.is_alive() and manager.provisioner.process.returncode == 3


def test_torch_is_there_already_and_computes(forked):
    loaded = "import sys\n'torch' in sys.modules, 'transfer_course.training' in sys.modules"
    client = forked()[1]
    assert value(client, loaded) == "(True, False)" and value(client, "import sys\n[m for m in ('pandas', 'matplotlib') if m in sys.modules]") == "[]"
    assert value(client, "import torch\nx = torch.randn(64, 64, requires_grad=True)\n(x @ x).sum().backward()\nx.grad.shape[0]") == "64"
