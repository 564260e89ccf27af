"""The package's metadata stands in settings.ini and nowhere else; this file hands it to setuptools."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

ini = ConfigParser(delimiters=["="])
ini.read("settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]

setup(
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
    extras_require={"dev": cfg["dev_requirements"].split()},
    entry_points={"console_scripts": [cfg["console_scripts"]]},
    # The notebooks travel inside the wheel as transfer_course/lessons, so that `transfer-course lessons` can copy them.
    packages=["transfer_course", "transfer_course.checks", "transfer_course.lessons", "transfer_course.lessons.homework"],
    package_dir={"transfer_course": "transfer_course", "transfer_course.lessons": "nbs", "transfer_course.lessons.homework": "nbs/homework"},
    package_data={"transfer_course": ["weights/*", "texts/*"], "transfer_course.lessons": ["*.ipynb", "results/*.json"],
                  "transfer_course.lessons.homework": ["*.ipynb"]},
)
