"""What lesson 15's functions say to what they can't take."""
import numpy as np
import torch
from harness import refused, rows

from transfer_course import data, failures, workshop

X, Y = np.random.default_rng(0).normal(size=(20, 3)), np.array([0, 1] * 10)

TABLE = {
    "a name of a network": (lambda: failures.diagnose("resnet18"), TypeError, ["run", "Notes(net, opt, task)"]),
    "a list of notes": (lambda: failures.diagnose([workshop.Notes()]), TypeError, ["run", "a network, Notes of a run, or None"]),
    "the task's name": (lambda: failures.diagnose(None, "digits"), TypeError, ["task", "data.load"]),
    "a handle that is spelt otherwise": (lambda: failures.diagnose(None, losss=print), ValueError, ["losss", "did you mean 'loss'"]),
    "a handle that nobody knows": (lambda: failures.diagnose(None, xyzzy=1), ValueError, ["xyzzy", "use one of"]),
    "a diagnostic that is not there": (lambda: failures.diagnose(None, skip=["typos"]), ValueError, ["skip", "DIAGNOSTICS"]),
    "one name instead of a list": (lambda: failures.diagnose(None, skip="names_agree"), ValueError, ["skip", "list of names"]),
    "pictures instead of rows": (lambda: failures.source_scores((X, Y), torch.zeros(2, 1, 8, 8), (X, Y)), ValueError, ["xt", "flatten each example"]),
    "rows without their classes": (lambda: failures.source_scores((X, Y[:5]), X, (X, Y)), ValueError, ["rows", "classes", "same length"]),
    "digits that are not there": (lambda: workshop.small_digits("mnist"), ValueError, ["name", "mnist_5k"]),
    "a margin that leaves nothing": (lambda: workshop.small_digits("mnist_5k", 13), ValueError, ["margin", "0 to 12"]),
    "too many digits of a class": (lambda: workshop.few_digits(0, 41), ValueError, ["k must be", "1 to 40"]),
    "half a digit": (lambda: workshop.few_digits(0, 2.5), ValueError, ["k must be", "whole number"]),
    "notes with the optimizer first": (lambda: workshop.Notes(torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)), TypeError, ["net must be", "a network"]),
    "notes with a rate as optimizer": (lambda: workshop.Notes(workshop.tiny_net(0), 0.1), TypeError, ["opt must be", "torch.optim"]),
    "a negative seed": (lambda: workshop.few_digits(-1), ValueError, ["seed"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)


def test_a_network_in_place_of_the_task():
    net = workshop.tiny_net(0)
    refused(lambda: failures.diagnose(data.load("digits"), net), TypeError, ["run"])
