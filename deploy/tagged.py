"""`python deploy/tagged.py v1.0.0`: is this tag the version of settings.ini? Prints what CHANGELOG.md says of it, or says what is wrong (status 1)."""
import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def notes(version):
    """The part of the changelog about a version, without its heading; None where there is none."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found[1].strip() if found else None


def settings():
    ini = ConfigParser(delimiters=["="])
    ini.read(ROOT / "settings.ini", encoding="utf-8")
    return ini["DEFAULT"]


def main(tag):
    version = settings()["version"]
    if tag != f"v{version}": sys.exit(f"the tag is {tag}, and settings.ini has version {version}: tag v{version}, or change the version first")
    if not notes(version): sys.exit(f"CHANGELOG.md says nothing of {version}: write what is new under ## {version}")
    print(notes(version))


if __name__ == "__main__": main(*sys.argv[1:])
