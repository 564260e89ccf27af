"""Makes site/card.png, the picture that other sites show beside a link: `python site/card.py`."""
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.image import imread

HERE = Path(__file__).resolve().parent
filters = imread(HERE.parent / "nbs" / "images" / "filters.png")
fig = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="#0b5c8a")
fig.text(0.06, 0.79, "Transfer learning,\nmeasured in front of you", color="white", fontsize=44, weight="bold", va="center")
fig.text(0.06, 0.1, "transfer_course: a course of notebooks that is also a Python package", color="white", fontsize=21)
ax = fig.add_axes((0.06, 0.2, 0.88, 0.42))
ax.imshow(filters)
ax.axis("off")
fig.savefig(HERE / "card.png", metadata={"Software": None}, facecolor=fig.get_facecolor())
