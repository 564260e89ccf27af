"""The package's metadata stands in settings.ini and nowhere else; this file hands it to setuptools."""
import json
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ini = ConfigParser(delimiters=["="])
ini.read("settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]

# The notebooks travel inside the wheel as transfer_course/lessons, so that `transfer-course lessons` can copy them:
# each folder of nbs/ that holds some becomes a package without Python in it.
folders = [p for p in sorted(Path("nbs").iterdir()) if p.name[0] not in "._" and any(p.glob("*.ipynb"))]
shelves = {"transfer_course.lessons": "nbs", **{f"transfer_course.lessons.{p.name}": p.as_posix() for p in folders}}


def as_students_get_it(book):
    """Homework without solutions and hidden tests: see `stripped` in nbs/programs/04-keys.ipynb."""
    book["cells"] = [c for c in book["cells"] if not re.match(r"###\s*BEGIN (SOLUTION|HIDDEN TESTS)", "".join(c["source"]))]
    for c in book["cells"]:
        if c["cell_type"] == "code": c.update(outputs=[], execution_count=None)


def without_pictures(book):
    """A lesson with its stored texts; pictures, two thirds of the wheel, come when its cells are run."""
    for output in (o for c in book["cells"] for o in c.get("outputs", [])):
        data = output.get("data", {})
        for kind in [k for k, v in data.items() if k.startswith("image/") or len("".join(v)) > 50_000]: del data[kind]


class BuildPy(build_py):
    """Notebooks go into the wheel as they are read there."""

    def find_package_modules(self, package, package_dir):
        return [m for m in super().find_package_modules(package, package_dir) if m[1] != "conftest"]

    def copy_file(self, infile, outfile, *args, **kwargs):
        done = super().copy_file(infile, outfile, *args, **kwargs)
        if Path(infile).suffix != ".ipynb": return done
        book = json.loads(Path(infile).read_text(encoding="utf-8"))
        (as_students_get_it if Path(infile).parent.name == "homework" else without_pictures)(book)
        Path(outfile).write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return done


setup(
    cmdclass={"build_py": BuildPy},
    name=cfg["lib_name"],
    version=cfg["version"],
    license=cfg["license"],
    author=cfg["author"],
    description=cfg["description"],
    keywords=cfg["keywords"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split(), "grade": cfg["grade_requirements"].split(),
                    "fast": cfg["fast_requirements"].split(), "pictures": cfg["pictures_requirements"].split()},
    entry_points={"console_scripts": [cfg["console_scripts"]]},
    packages=[*find_packages(include=["transfer_course*"]), *shelves],
    package_dir=shelves,
    package_data={"": ["*.ipynb"], "transfer_course": ["weights/*", "texts/*", "sounds/*", "*.toml", "*.yml"],
                  "transfer_course.lessons": ["results/*.json", "images/*"]},
)
