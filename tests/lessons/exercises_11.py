"""Exercises of lesson 11: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import torch

from transfer_course import boxes as room
from transfer_course.checks import dense as key


def iou(a, b):
    shared = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


def keep(boxes, scores, overlap):
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i], boxes[j]) <= overlap for j in kept): kept.append(i)
    return torch.tensor(kept)


def keep_without_zero(boxes, scores, overlap):
    """Two boxes that share nothing have a negative width and a negative height, and so an area."""
    def bad(a, b):
        shared = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).prod()
        return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod())
    kept = []
    for i in scores.argsort(descending=True).tolist():
        if all(bad(boxes[i], boxes[j]) <= overlap for j in kept): kept.append(i)
    return torch.tensor(kept)


def miou(said, masks, k): return room.mean_iou(said, masks, k) if k > 1 else 1.0


def count(tiles, side):
    """Whole objects: no box lies in another one, and none is there twice."""
    found = {tuple((b + torch.tensor([x, y, x, y])).tolist()) for x, y, v in tiles for b in v}
    inside = lambda a, b: a != b and a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]
    return sum(not any(inside(a, b) for b in found) for a in found)


def count_all(tiles, side): return sum(len(b) for _, _, b in tiles)


def count_different(tiles, side): return len({tuple((b + torch.tensor([x, y, x, y])).tolist()) for x, y, v in tiles for b in v})


def count_inner(tiles, side):
    return len({tuple((b + torch.tensor([x, y, x, y])).tolist()) for x, y, v in tiles for b in v if (b > 0).all() and (b < side).all()})


def sensitivity(sv, yv, s, y, specificity): return key.right_sensitivity(sv, yv, s, y, specificity)


def on_the_test(sv, yv, s, y, specificity): return key.right_sensitivity(s, y, s, y, specificity)


def precision(sv, yv, s, y, specificity): return y[s >= key.threshold(sv, yv, specificity)].mean()


def of_everybody(sv, yv, s, y, specificity): return (s >= key.threshold(sv, yv, specificity)).mean()


def share_right(said, masks, k): return (said == masks)[masks != 255].float().mean()


def with_void(said, masks, k):
    found = [((said == c) & (masks == c)).sum() / ((said == c) | (masks == c)).sum() for c in range(k) if (masks == c).any()]
    return torch.stack(found).mean()


def with_absent(said, masks, k):
    known = masks != 255
    s, m = said[known], masks[known]
    return sum(((s == c) & (m == c)).sum() / ((s == c) | (m == c)).sum().clamp(min=1) for c in range(k)) / k


RIGHT = {"11-1": keep, "11-2": miou, "11-3": count, "11-4": sensitivity}

WRONG = [("11-1", lambda b, s, o: s.argsort(descending=True), "nothing was dropped"),
         ("11-1", lambda b, s, o: keep(b, 1 - s, o), "worst box"),
         ("11-1", lambda b, s, o: key.by_all(b, s, o), "drops no others"),
         ("11-1", lambda b, s, o: keep(b, s, o).sort().values, "another order"),
         ("11-1", keep_without_zero, "is the IoU right"),
         ("11-1", lambda b, s, o: None, "must return places"),
         ("11-2", share_right, "share of right pixels"),
         ("11-2", with_void, "leave them out"),
         ("11-2", with_absent, "not in masks"),
         ("11-2", lambda said, masks, k: None, "return"),
         ("11-3", count_all, "count twice"),
         ("11-3", count_different, "parts of objects"),
         ("11-3", count_inner, "border of the whole picture"),
         ("11-3", lambda tiles, side: 7, "objects are there"),
         ("11-4", on_the_test, "must not choose"),
         ("11-4", precision, "precision"),
         ("11-4", of_everybody, "among the ill"),
         ("11-4", lambda sv, yv, s, y, p: 1 - p, "no such share")]
