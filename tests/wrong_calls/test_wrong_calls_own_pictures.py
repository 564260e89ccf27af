"""What lesson 19's functions say to what they can't take."""
import numpy as np
import pandas as pd
import torch
from harness import refused, rows

from transfer_course import backbones, handover, own_folder, own_pictures

P, Y = np.full((6, 2), 0.5), np.array([0, 1] * 3)
X = torch.zeros(6, 3, 32, 32, dtype=torch.uint8)
NET = backbones.course_net(num_classes=2)

TABLE = {
    "sources of another length": (lambda: own_pictures.split_by_source(Y, [1, 2]), ValueError, ["y and sources", "6", "2"]),
    "a class smaller than the folds": (lambda: own_pictures.split_by_source(Y, np.arange(6)), ValueError, ["each class 5 times", "3"]),
    "two folds": (lambda: own_pictures.split_by_source(Y, np.arange(6), folds=2), ValueError, ["folds", "3"]),
    "answers of another length": (lambda: own_pictures.interval_by_source([1, 0], [1, 2, 3]), ValueError, ["right and sources"]),
    "few draws": (lambda: own_pictures.interval_by_source([1, 0], [1, 2], draws=10), ValueError, ["draws", "100"]),
    "an error of 0": (lambda: own_pictures.power_law([2, 4], [0.1, 0]), ValueError, ["above 0", "leave out"]),
    "errors of another length": (lambda: own_pictures.power_law([2, 4], [0.1]), ValueError, ["n and error"]),
    "scores for probabilities": (lambda: own_pictures.moved_threshold(4 * P, [1, 1]), ValueError, ["p must be", "softmax"]),
    "shares of other classes": (lambda: own_pictures.moved_threshold(P, [0.2, 0.3, 0.5]), ValueError, ["2 numbers", "3"]),
    "negative shares": (lambda: own_pictures.moved_threshold(P, [-1, 2]), ValueError, ["shares"]),
    "labels of another length, suspects": (lambda: own_pictures.suspects(P, Y[:4]), ValueError, ["p and y"]),
    "classes for probabilities": (lambda: own_pictures.suspects(Y, Y), ValueError, ["p must be", "N×K"]),
    "labels of another length, calibration": (lambda: own_pictures.calibration_error(P, Y[:4]), ValueError, ["p and y"]),
    "no bins": (lambda: own_pictures.calibration_error(P, Y, bins=0), ValueError, ["bins", "1"]),
    "scores with NaN": (lambda: own_pictures.temperature(torch.full((6, 2), torch.nan), Y), ValueError, ["scores", "NaN"]),
    "scores of another length": (lambda: own_pictures.temperature(torch.zeros(4, 2), Y), ValueError, ["scores and y"]),
    "grad-cam of a stage that is not there": (lambda: own_pictures.grad_cam(NET, X, Y, "stage9"), ValueError, ["stage9", "choose one of"]),
    "grad-cam of floats": (lambda: own_pictures.grad_cam(NET, X.float(), Y), (TypeError, ValueError), ["x must be", "uint8"]),
    "grad-cam without classes": (lambda: own_pictures.grad_cam(NET, X, Y[:2]), ValueError, ["x and y"]),
    "a probe of a stage that is not there": (lambda: own_pictures.with_probe(NET, "top9", None, ["a"]), ValueError, ["top9"]),
    "a folder that is not there": (lambda: own_folder.survey("no such folder"), (ValueError, FileNotFoundError), ["path", "no such folder"]),
    "a table without parts": (lambda: own_folder.folder_as_task(pd.DataFrame(dict(name=[], y=[], part=[], file=[], hash=[])), 32), ValueError, ["all three parts"]),
    "no network was handed over": (lambda: handover.predictor("."), ValueError, ["hand_over"]),
    "another ending than onnx": (lambda: handover.to_onnx(NET, "net.pt", 32), ValueError, ["path", ".onnx"]),
    "a temperature of 0": (lambda: handover.to_onnx(NET, "net.onnx", 32, temperature=0), ValueError, ["temperature", "above 0"]),
    "no network": (lambda: handover.to_onnx(torch.nn.Linear(2, 2), "net.onnx", 32), TypeError, ["net", "Backbone"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)
