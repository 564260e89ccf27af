"""The picture on the front page: what a pretrained start buys, on four targets, pass by pass. Two curves move, as they were measured for lesson 01."""
import json
from pathlib import Path

NAMES = {"letters": "letters", "photographs": "objects in photographs", "materials": "materials", "shuffled digits": "digits with shuffled pixels"}
COLOURS = {"pretrained": "#0b5c8a", "from scratch": "#b5541c"}
STEPS = 5  # frames for each target


def measured(path):
    """{target: {start: accuracies, a row for each seed}}, and the labels per class."""
    rows = [r for r in json.loads(Path(path).read_text(encoding="utf-8"))["rows"] if r["by_epoch"]]
    targets = {t: {s: [r["by_epoch"] for r in rows if (r["target"], r["start"]) == (t, s)] for s in COLOURS} for t in NAMES}
    return targets, rows[0]["labels"]


def means(runs):
    """The mean of the seeds after each pass."""
    return [sum(a) / len(a) for a in zip(*runs)]


def shown_passes(n):
    """How many passes of n each frame shows."""
    return sorted({max(2, round(n * i / STEPS)) for i in range(1, STEPS + 1)})


def frame(target, curves, seen, labels):
    """One figure: both curves after the first passes."""
    from matplotlib.figure import Figure
    fig = Figure(figsize=(6.2, 4.3), layout="constrained")
    ax = fig.subplots()
    n, x = len(curves["pretrained"][0]), range(1, seen + 1)
    shown = {start: means(runs)[:seen] for start, runs in curves.items()}
    above = max(shown, key=lambda start: shown[start][-1])
    for start, colour in COLOURS.items():
        runs, mean = [r[:seen] for r in curves[start]], shown[start]
        ax.fill_between(x, [min(a) for a in zip(*runs)], [max(a) for a in zip(*runs)], color=colour, alpha=0.15, linewidth=0)
        ax.plot(x, mean, color=colour, linewidth=3)
        ax.plot(seen, mean[-1], "o", color=colour, markersize=8)
        ax.annotate(f"{start}  {mean[-1]:.0%}", (seen, mean[-1]), xytext=(10, 0), textcoords="offset points", color=colour, fontsize=12, weight="bold",
                    va="bottom" if start == above else "top")
    ax.set(xlim=(1, n * 1.62), ylim=(0, 1.04), xlabel="passes over the training pictures")
    ax.set_title(f"{NAMES[target].capitalize()}, {labels} labels per class", loc="left", fontsize=14)
    ax.set_xticks(sorted({1, round(n / 2), n}))
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    ax.set_ylabel("right answers, validation pictures")
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def picture(path):
    """The flipbook as HTML."""
    from transfer_course.images import flipbook
    targets, labels = measured(path)
    shown = [(t, seen, len(c["pretrained"][0])) for t, c in targets.items() for seen in shown_passes(len(c["pretrained"][0]))]
    shown.insert(0, shown[STEPS - 1])  # at rest, all of the first target is seen
    frames, said = [frame(t, targets[t], seen, labels) for t, seen, _ in shown], []
    for t, seen, n in shown:
        now = [means(targets[t][s])[seen - 1] for s in COLOURS]
        said.append(f"{NAMES[t]}, after {seen} of {n} passes: pretrained {now[0]:.0%}, from scratch {now[1]:.0%}")
    return flipbook(frames, said, "The same small network, twice", "Accuracy on validation pictures against passes over the training pictures, for a pretrained start and for one from scratch",
                    dpi=90).html
