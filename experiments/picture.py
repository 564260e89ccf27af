"""The picture at the top of the README: filters that CourseNet learned, and the Gabor function that fits each best -> nbs/images/filters.png"""
from pathlib import Path

import torch

from transfer_course import backbones, gabor, plots

FILE = Path(__file__).parents[1] / "nbs" / "images" / "filters.png"


def main():
    weight = gabor.first_filters(backbones.load("coursenet"))
    size = weight.shape[-1]
    best = gabor.fit_gabor(weight)
    rows = list(best.r2.nlargest(8).sort_index().index)
    learned = gabor.main_colour(weight)[rows].reshape(-1, 1, size, size)
    both = torch.cat([learned, gabor.redraw(weight[rows], best.loc[rows])])
    FILE.parent.mkdir(exist_ok=True)
    plots.filters(both, cols=8, scale=1).savefig(FILE, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
