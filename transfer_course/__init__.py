"""Transfer learning, measured in front of the reader. Each module is made from the lesson notebook of the same name."""
import os

# Threads that wait for each other look for a moment whether it is their turn, and then give their core back: else any other program at work
# makes a lesson many times slower (benchmarks/busy.py). OpenMP reads this once, when torch is loaded, so it stands before everything else.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def __getattr__(name):
    """`__version__` comes from the installed package's metadata (settings.ini is the one source)."""
    if name == "__version__":
        from importlib.metadata import version
        return version("transfer_course")
    raise AttributeError(f"module 'transfer_course' has no attribute {name!r}")
