"""Transfer learning, measured in front of the reader. Each module is made from the lesson notebook of the same name."""
import os

# Threads wait for each other without holding a core: else any other program at work makes a lesson many times slower
# (benchmarks/busy.py). OpenMP reads this once, when torch is loaded, so it stands before everything else.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name):
    """`__version__` comes from the installed package's metadata (settings.ini is the one source)."""
    if name == "__version__":
        from importlib.metadata import version
        return version("transfer_course")
    raise AttributeError(f"module 'transfer_course' has no attribute {name!r}")
