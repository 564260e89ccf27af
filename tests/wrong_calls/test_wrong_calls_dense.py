"""Lesson 11: wrong arguments of the head, the targets, the scores and the scenes get one sentence."""
import torch
from harness import refused, rows

from transfer_course import boxes, dense, medical, scenes

B, K = torch.tensor([[0, 0, 8, 8.], [4, 4, 12, 20]]), torch.tensor([0, 1])
M = torch.zeros(2, 8, 8, dtype=torch.int64)
FOUND = [dict(boxes=B, scores=torch.tensor([0.9, 0.8]), labels=K)]

TABLE = {
    "floats in place of pixels": (lambda: dense.dense_maps(torch.nn.Identity(), torch.zeros(1, 3, 64, 64)), TypeError, ["net must be a Backbone"]),
    "no channels": (lambda: dense.dense_head(0, 4), ValueError, ["channels must be a whole number"]),
    "no outputs": (lambda: dense.dense_head(176, 0), ValueError, ["outputs must be"]),
    "no classes": (lambda: dense.box_head(176, 0), ValueError, ["k must be"]),
    "a loss that is a name": (lambda: dense.learn(dense.dense_head(4, 2), torch.zeros(2, 4, 8, 8), "focal"), TypeError, ["loss must be a function"]),
    "no steps": (lambda: dense.learn(dense.dense_head(4, 2), torch.zeros(2, 4, 8, 8), len, steps=0), ValueError, ["steps must be"]),
    "a box without width": (lambda: dense.cell_targets(torch.tensor([[5, 5, 5, 9.]]), K[:1], 2, (8, 8)), ValueError, ["boxes must be", "1 of 1 have no width"]),
    "width and height for corners": (lambda: dense.cell_targets(torch.tensor([[50, 50, 10, 10.]]), K[:1], 2, (8, 8)), ValueError, ["(left, top, width, height)"]),
    "whole numbers": (lambda: dense.cell_targets(B.long(), K, 2, (8, 8)), ValueError, ["make it float"]),
    "one box without its list": (lambda: dense.cell_targets(B[0], K[:1], 2, (8, 8)), ValueError, ["one row (left, top, right, bottom) for each"]),
    "a NaN": (lambda: dense.cell_targets(B * float("nan"), K, 2, (8, 8)), ValueError, ["NaN or infinity"]),
    "labels that are floats": (lambda: dense.cell_targets(B, K.float(), 2, (8, 8)), ValueError, ["labels must be classes int64"]),
    "a class below 0": (lambda: dense.cell_targets(B, K - 1, 2, (8, 8)), ValueError, ["without one for the background"]),
    "fewer labels than boxes": (lambda: dense.cell_targets(B, K[:1], 2, (8, 8)), ValueError, ["boxes and labels must have the same length"]),
    "a limit above 1": (lambda: dense.detect(torch.zeros(1, 6, 8, 8), 2, overlap=50), ValueError, ["overlap must be"]),
    "pictures without truth": (lambda: boxes.average_precision(FOUND, [], []), ValueError, ["found has 1", "boxes has 0"]),
    "truth without width": (lambda: boxes.average_precision(FOUND, [torch.zeros(2, 4)], [K]), ValueError, ["2 of 2 have no width"]),
    "scores in place of classes": (lambda: boxes.mean_iou(torch.rand(2, 8, 8), M, 3), ValueError, ["said must be a class for each pixel", "argmax"]),
    "masks of another size": (lambda: boxes.mean_iou(M, M[:, :4], 3), ValueError, ["same shape", "nearest"]),
    "one class": (lambda: boxes.mean_iou(M, M, 1), ValueError, ["k must be a whole number of 2 or more"]),
    "an object of no pixels": (lambda: boxes.boxes_of(M[0], least=0), ValueError, ["least must be"]),
    "boxes of other pictures": (lambda: boxes.show_boxes(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [B]), ValueError, ["pictures has 2", "boxes has 1"]),
    "no picture": (lambda: scenes.mosaics(0), ValueError, ["n must be a whole number of 1 or more"]),
    "nine materials": (lambda: scenes.mosaics(1, pieces=9), ValueError, ["pieces must be a whole number from 1 to 8"]),
    "a part that is not there": (lambda: scenes.digit_scenes(1, "valid"), ValueError, ["part must be one of 'train', 'test'"]),
    "another picture": (lambda: medical.is_there("lungs"), ValueError, ["what must be one of 'nuclei', 'brain'"]),
    "half a part": (lambda: medical.nuclei("left"), ValueError, ["part must be one of"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)
