"""Kernels for `make test` that need not load PyTorch each time: forked from one process that has.

A notebook still imports what it uses, and begins with nothing in its names; only the files are read already. Where processes can't be
forked, in a run without workers, in `make outputs` and in `make test-elsewhere` each kernel is a Python of its own.
"""
import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec

# The course first: it says how threads wait, before OpenMP is loaded. Not Matplotlib, nor pandas (and so not scikit-learn): they ask at their import whether this is a notebook.
LOADED = ("transfer_course", "numpy", "torch", "torchvision", "scipy.stats", "IPython", "ipykernel.kernelapp")


# --- the process that forks ---------------------------------------------------------------------------------------------

def become_kernel(arguments, folder, variables):
    """What `python -m ipykernel_launcher ARGUMENTS` does, in a child of this process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables, JPY_PARENT_PID=str(os.getppid()))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3): os.dup2(nothing, stream)
    sys.argv = [find_spec("ipykernel_launcher").origin, *arguments]
    import numpy
    from ipykernel.kernelapp import IPKernelApp
    numpy.random.seed()
    IPKernelApp.launch_instance()


def fork(order):
    """-> the number of the new process, which leads a group of its own: Jupyter interrupts the group"""
    if pid := os.fork():
        os.setpgid(pid, pid)
        return pid
    become_kernel(**order)
    sys.exit()


def state(pid):
    """How a process has ended; None while it has not."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def main():
    """An order a line, an answer a line, until there are no more."""
    sys.path[:] = [p for p in sys.path if p not in ("", os.path.dirname(os.path.abspath(__file__)))]
    for name in LOADED:
        try: __import__(name)
        except ImportError: pass
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(state(order["ended"]) if "ended" in order else fork(order)), flush=True)


# --- in the process of the tests ----------------------------------------------------------------------------------------

class Forked:
    """A forked kernel, with the parts of `subprocess.Popen` that Jupyter uses."""
    stdin = stdout = stderr = None
    returncode = None

    def __init__(self, parent, pid): self.parent, self.pid = parent, pid

    def poll(self):
        if self.returncode is None: self.returncode = self.parent.ask(ended=self.pid)
        return self.returncode

    def wait(self, timeout=None): return self.poll()  # Jupyter waits by polling, and calls this at the end
    def send_signal(self, number):
        if self.poll() is None: os.kill(self.pid, number)

    def terminate(self): self.send_signal(signal.SIGTERM)
    def kill(self): self.send_signal(signal.SIGKILL)


class Parent:
    """The process that forks, started when it is first needed."""
    process = None

    def ask(self, **order):
        if self.process is None: self.process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End it; the kernels notice."""
        if self.process:
            self.process.stdin.close()
            self.process.wait(60)

    def launch(self, command, cwd=None, env=None, **how):
        """In place of `jupyter_client.launcher.launch_kernel`."""
        arguments = command[command.index("ipykernel_launcher") + 1:]
        return Forked(self, self.ask(arguments=arguments, folder=str(cwd or os.getcwd()), variables=dict(env or os.environ)))


def fork_kernels():
    """From now on kernels of this Python are forked. -> what to call at the end"""
    from jupyter_client.provisioning import local_provisioner
    plain, parent = local_provisioner.launch_kernel, Parent()
    def launch(command, **how):
        ours = command[0] == sys.executable and "ipykernel_launcher" in command
        return parent.launch(command, **how) if ours else plain(command, **how)
    local_provisioner.launch_kernel = launch
    return parent.close


if __name__ == "__main__": main()
