"""A release: the version is said once and everywhere the same, what pip brings is listed, and a tag publishes what was tested."""
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
import licences  # noqa: E402
import tagged  # noqa: E402

VERSION = licences.settings()["version"]
GPL = re.compile(r"(?<!L)GPL|General Public", re.I)  # the GPL and the AGPL; not the LGPL


def parts(text=None):
    """{heading of LICENCES.md, or of another text: rows}"""
    text = text or licences.PAGE.read_text(encoding="utf-8")
    found = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    return {title: [[c.strip() for c in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")][2:] for title, body in found.items()}


def test_a_version_with_notes():
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION) and tagged.notes(VERSION)


@pytest.mark.parametrize("tag, says", [("v0.0.1", "the version first"), (VERSION, f"tag v{VERSION}"), (f"v{VERSION}", None)])
def test_a_tag_is_the_version(tag, says):
    done = subprocess.run([sys.executable, ROOT / "deploy" / "tagged.py", tag], capture_output=True, text=True, timeout=60)
    assert done.returncode == (1 if says else 0) and (says or "The first release") in done.stderr + done.stdout


def test_a_tag_publishes_by_trusted_publishing():
    """Built and tried without rights; published by a job of its own with the one right that it needs; no password."""
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    work = yaml.safe_load(text)
    jobs = work["jobs"]
    assert work[True]["push"] == {"tags": ["v*"]} and work["permissions"] == {"contents": "read"}
    assert "permissions" not in jobs["build"] and jobs["publish"]["permissions"] == {"id-token": "write"} and jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["environment"]["name"] == "pypi" and not re.search(r"secrets\.|password", text)
    lines = "\n".join(s.get("run", "") for s in jobs["build"]["steps"])
    assert [w for w in ("tagged.py", "-m build", "twine check --strict", "doctor", "lessons", "homework", "result") if w not in lines] == []


def test_no_gpl_at_run_time():
    rows = parts()["What the course needs to run"]
    assert len(rows) > 60 and not [r for r in rows if GPL.search(r[2])]


def test_every_licence_is_known():
    assert not [r for rows in parts().values() for r in rows if any("unknown" in c for c in r)]


def test_gpl_of_an_extra_would_be_seen():
    assert GPL.search("GPL-3.0-or-later") and GPL.search("AGPL-3.0") and GPL.search("GNU General Public License v2") and not GPL.search("LGPL-2.0-or-later")


def test_files_of_other_packages_have_their_licences():
    import tomllib
    named = tomllib.loads((ROOT / "transfer_course" / "wheels.toml").read_text(encoding="utf-8"))
    rows = parts()["Files out of other packages"]
    assert {r[0] for r in rows if r[0]} == set(named)
    assert {r[2].partition(" ")[0] for r in rows} == {re.split("[>=;]", w)[0] for w in licences.settings()["wheels"].split()}


def here_as_tested():
    """Are the versions of constraints.txt installed here, on the system and the Python they are for?"""
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    def installed(name):
        try: return version(name).partition("+")[0]
        except PackageNotFoundError: return None
    return sys.platform == "linux" and sys.version_info[:2] == (3, 11) and all(installed(n) in (None, pin) for n, pin in pins.items())


def test_the_page_is_what_is_installed():
    """Exactly so for what every installation brings; of the extras, what is installed here."""
    if not here_as_tested(): pytest.skip("LICENCES.md is made with the versions of constraints.txt, on Linux")
    stored, now = parts(licences.PAGE.read_text(encoding="utf-8")), parts(licences.page())
    assert list(stored) == list(now), "run `make licences`"
    needed = "What the course needs to run"
    both = [r for r in [*stored.pop(needed), *now.pop(needed)] if r[0] != "triton"]  # comes with the wheel of PyTorch that has CUDA
    differ = [r for r in both if both.count(r) != 2]
    extra = [r for title, rows in now.items() for r in rows if r not in stored[title] and licences.found((r[2] if len(r) > 3 else r[0]).split()[0])]
    assert not differ + extra, f"run `make licences`: {differ + extra}"
