"""What lesson 17's functions and rooms say to what they can't take."""
import numpy as np
import torch
from harness import refused, rows
from torch import nn

from transfer_course import privacy, private, shadows

SURE = np.zeros((4, 6))
MEMBER = shadows.halves(6, 4)
Z, Y = np.zeros((6, 3), np.float32), torch.tensor([0, 1, 0, 1, 0, 1])
X = torch.zeros(6, 3)

TABLE = {
    "a gradient of another layer": (lambda: privacy.from_gradient(np.ones((3, 5)), np.ones(2)), ValueError, ["weight and bias", "3", "2"]),
    "a gradient as a vector": (lambda: privacy.from_gradient(np.ones(3), np.ones(3)), ValueError, ["weight", "table"]),
    "members as numbers": (lambda: privacy.leak(np.ones(4), [0, 1, 0, 1]), ValueError, ["member", "True and False"]),
    "nobody is a member": (lambda: privacy.leak(np.ones(4), np.zeros(4, bool)), ValueError, ["member", "both of them"]),
    "scores of others": (lambda: privacy.leak(np.ones(4), MEMBER[0]), ValueError, ["same shape", "(4,)", "(6,)"]),
    "scores with NaN": (lambda: privacy.leak([np.nan, 1], np.array([True, False])), ValueError, ["scores", "finite"]),
    "all may be accused": (lambda: privacy.leak(SURE, MEMBER, fpr=1), ValueError, ["fpr", "below 1"]),
    "per cent": (lambda: privacy.leak(SURE, MEMBER, fpr=5), ValueError, ["fpr", "such as 0.2"]),
    "one model": (lambda: privacy.lira(SURE[0], MEMBER[0]), ValueError, ["member", "member[None]"]),
    "models of others": (lambda: privacy.lira(SURE[:2], MEMBER), ValueError, ["both be M×N", "one row for each model"]),
    "a clip of 0": (lambda: privacy.private_gradient(SURE, clip=0), ValueError, ["clip", "above 0"]),
    "negative noise": (lambda: privacy.private_gradient(SURE, noise=-1), ValueError, ["noise", "at least 0"]),
    "one gradient": (lambda: privacy.private_gradient(np.ones(3)), ValueError, ["each", "table"]),
    "no noise in the account": (lambda: privacy.epsilon_spent(0, 0.1, 10, 1e-3), ValueError, ["noise", "above 0"]),
    "a batch size as rate": (lambda: privacy.epsilon_spent(1, 256, 10, 1e-3), ValueError, ["rate", "below 1"]),
    "half a step": (lambda: privacy.epsilon_spent(1, 0.1, 0.5, 1e-3), ValueError, ["steps", "whole number"]),
    "no delta": (lambda: privacy.epsilon_spent(1, 0.1, 10, 0), ValueError, ["delta", "above 0"]),
    "no clients": (lambda: privacy.fedavg(nn.Linear(2, 2), [], 1, print), ValueError, ["clients", "at least one"]),
    "no rounds": (lambda: privacy.fedavg(nn.Linear(2, 2), [1], 0, print), ValueError, ["rounds", "1 or more"]),
    "training by name": (lambda: privacy.fedavg(nn.Linear(2, 2), [1], 1, "sgd"), TypeError, ["train must be a function"]),
    "weights that are not rounded": (lambda: privacy.masked(np.ones(3), 0, {1: 5}), ValueError, ["values", "round first"]),
    "a client without a number": (lambda: privacy.masked([1], "a", {1: 5}), ValueError, ["me must be", "whole number"]),
    "three models": (lambda: shadows.halves(6, 3), ValueError, ["models must be an even number", "half"]),
    "members of others": (lambda: shadows.shadow_heads(Z, Y, MEMBER[:, :5]), ValueError, ["member", "6", "5"]),
    "labels of others": (lambda: shadows.shadow_heads(Z, Y[:4], MEMBER), ValueError, ["z and y"]),
    "a negative layer": (lambda: shadows.shadow_heads(Z, Y, MEMBER, hidden=-1), ValueError, ["hidden", "0 or more"]),
    "one model's scores": (lambda: shadows.sureness(torch.zeros(6, 2), Y), ValueError, ["M×N×K", "scores[None]"]),
    "BatchNorm": (lambda: private.private_fit(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), X, Y), ValueError, ["BatchNorm1d", "GroupNorm"]),
    "epsilon 0": (lambda: private.private_fit(nn.Linear(3, 2), X, Y, epsilon=0), ValueError, ["epsilon", "above 0"]),
    "labels that are missing": (lambda: private.private_fit(nn.Linear(3, 2), X, Y[:2]), ValueError, ["x and y", "same length"]),
    "no network": (lambda: private.private_fit("head", X, Y), TypeError, ["net must be a network"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)


def test_without_opacus_one_sentence_says_what_to_install(monkeypatch):
    from transfer_course.course import UsageError
    monkeypatch.setattr(private, "find_spec", lambda name: None)
    private.noise_for.cache_clear()
    refused(lambda: private.private_fit(nn.Linear(3, 2), X, Y), UsageError, ["pip install opacus"])
