"""Transfer learning, measured in front of the reader. Each module is made from the lesson notebook of the same name."""


def __getattr__(name):
    """`__version__` comes from the installed package's metadata (settings.ini is the one source)."""
    if name == "__version__":
        from importlib.metadata import version
        return version("transfer_course")
    raise AttributeError(f"module 'transfer_course' has no attribute {name!r}")
