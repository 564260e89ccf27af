"""Lessons that read files of other packages are no tests where one is missing.

See workbench/08-wheels.ipynb."""
from transfer_course.wheels import WHEELS, has_wheel

NEEDS = {"10-speech.ipynb": "whisper", "11-dense.ipynb": ("nuclei", "brain"),
         "13-crossmodal.ipynb": ("twemoji", "openmoji", "noto_emoji"),
         "20-generative.ipynb": "smollm2"}


def complete(starts):
    """Are the files there whose names begin so?"""
    return all(has_wheel(name) for name in WHEELS if name.startswith(starts))


collect_ignore = [lesson for lesson, starts in NEEDS.items() if not complete(starts)]
