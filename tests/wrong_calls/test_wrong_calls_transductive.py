"""Wrong calls of `transductive`: each gets one sentence that names the argument, what it was, and the likely fix."""
from dataclasses import replace
from functools import lru_cache

import torch
from harness import refused, rows
from torch import nn

from transfer_course import augment, domains, transductive
from transfer_course.augment import negatives, random_shift
from transfer_course.data import Task
from transfer_course.transductive import (
    DANN,
    adabn,
    adapt,
    coral,
    digit_net,
    learn,
    mmd,
    mutual_information,
    negative_entropy,
    reverse,
    soft_neighborhood_density,
    source_only,
)

X, Y = torch.randint(0, 256, (8, 3, 28, 28), dtype=torch.uint8), torch.arange(8) % 2
S = Task("day", X, Y, X, Y, ["a", "b"])
T = Task("night", 255 - X, Y, 255 - X, Y, ["a", "b"])
Z = torch.randn(6, 4)


@lru_cache
def net(): return digit_net(2)


def other(**parts): return replace(T, **parts)
def resized(x): return x[..., :20, :20]
def plain(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


CALLS = [  # call, error, the sentence
    (lambda: adapt("coursenet", S, T), TypeError, r"net must be a Backbone, got str: load one with backbones.load\(name\)"),
    (lambda: adapt(plain(), S, T), TypeError, r"net must be a Backbone, got Sequential"),
    (lambda: adapt(net(), S.x_train, T), TypeError, r"source must be a Task, got uint8 \(8, 3, 28, 28\): load one with data.load\(name\)"),
    (lambda: adapt(net(), S, T.x_train), TypeError, r"target must be a Task, got uint8 \(8, 3, 28, 28\): load one"),
    (lambda: adapt(net(), S, None), TypeError, r"target must be a Task, got None"),
    (lambda: adapt(net(), S, other(classes=["a", "c"])), ValueError, r"target must have the classes of source, in the same order, got 2 with 'c' for 2: domain adaptation is for the same task"),
    (lambda: adapt(net(), S, other(classes=["b", "a"])), ValueError, r"target must have the classes of source, in the same order"),
    (lambda: adapt(net(), S, other(classes=["a", "b", "c"])), ValueError, r"got 3 with 'c' for 2"),
    (lambda: adapt(net(), S, T.map(resized)), ValueError, r"source and target must have pictures of the same shape, got 3×28×28 and 3×20×20: load both with the same size="),
    (lambda: adapt(net(), S, T.map(lambda x: x[:, :1])), ValueError, r"got 3×28×28 and 1×28×28.*repeat the channel of grey ones"),
    (lambda: adapt(net(), S, other(x_train=X[:0], y_train=Y[:0])), ValueError, r"x_train must be uint8.*there must be at least one picture"),
    (lambda: adapt(net(), S, other(x_train=X[:1], y_train=Y[:1])), ValueError, r"target must have at least 2 pictures in x_train, got 1: their spread is what is compared"),
    (lambda: adapt(net(), S, T, batch_size=1), ValueError, r"batch_size must be a whole number of 2 or more, got 1"),
    (lambda: adapt(net(), S, T, epochs=0), ValueError, r"epochs must be a whole number of 1 or more, got 0"),
    (lambda: adapt(net(), S, T, lr=0), ValueError, r"lr must be a number above 0 and at most 10, got 0"),
    (lambda: adapt(net(), S, T, weight=-1), ValueError, r"weight must be a number of at least 0, got -1"),
    (lambda: adapt(net(), S, T, weight="10"), ValueError, r"weight must be a number of at least 0, got '10'"),
    (lambda: adapt(net(), S, T, loss="coral"), TypeError, r"loss must be a function of \(zs, zt, logits\), got 'coral': pass the function itself, such as transductive.coral"),
    (lambda: adapt(net(), S, T, loss=None), TypeError, r"loss must be a function of \(zs, zt, logits\), got None"),
    (lambda: adapt(net(), S, T, loss=DANN), TypeError, r"loss must be a function of \(zs, zt, logits\), got the class DANN: write DANN\(net.width\)"),
    (lambda: adapt(net(), S, T, loss=DANN(64)), ValueError, r"loss is a DANN for 64 features, but net gives 128: write DANN\(net.width\)"),
    (lambda: adapt(net(), None, T, loss=coral), ValueError, r"loss compares source and target, but source is None: without source pictures take information_maximisation"),
    (lambda: adapt(net(), None, T, loss=DANN(128)), ValueError, r"loss compares source and target, but source is None"),
    (lambda: adapt(net(), None, T, loss=source_only), ValueError, r"loss compares source and target, but source is None"),
    (lambda: adapt(digit_net(2), S, T, loss=lambda zs, zt, logits: zs - zt), ValueError, r"what loss gives must be one number as a tensor, got float32 \(8, 128\): end it with .mean\(\)"),
    (lambda: adapt(digit_net(2), S, T, loss=lambda zs, zt, logits: 0.5), ValueError, r"what loss gives must be one number as a tensor, got 0.5: compute it from zs, zt or logits"),
    (lambda: adapt(digit_net(2), S, T, loss=lambda zs, zt, logits: zs.mean() / 0), ValueError, r"the loss became (nan|-?inf)"),
    (lambda: adapt(net(), S, T, augment="flip"), TypeError, r"augment must be a function, got 'flip'"),
    (lambda: adapt(net(), S, T, watch=3), TypeError, r"watch must be a function, got 3"),
    (lambda: adapt(net(), None, other(classes=["a", "b", "c"]), transductive.mcc), ValueError, r"net must have a head for the target's classes where source is None, got one for .*: adapt it with the source first"),
    (lambda: learn("coral", net(), S, T), ValueError, r"method must be one of 'source only', .*'AdaBN', .*, got 'coral': did you mean"),
    (lambda: adabn("net", X), TypeError, r"net must be a network with BatchNorm layers, got str: load one with"),
    (lambda: adabn(plain(), X), ValueError, r"net must be a network with BatchNorm layers, got Sequential: AdaBN has nothing to adapt"),
    (lambda: adabn(net(), X[:1]), ValueError, r"x must hold at least 2 pictures, got 1: one picture has no spread"),
    (lambda: adabn(net(), X.float()), ValueError, r"x must be uint8 N×C×H×W, got float32"),
    (lambda: adabn(net(), T), TypeError, r"x must be uint8 N×C×H×W, got Task"),
    (lambda: coral(Z, Z[:, :3]), ValueError, r"zs and zt must have the same number of features, got 4 and 3"),
    (lambda: mmd(Z[:1], Z), ValueError, r"zs must be features N×D of at least 2 pictures, got float32 \(1, 4\)"),
    (lambda: coral(Z, Z[0]), ValueError, r"zt must be features N×D of at least 2 pictures, got float32 \(4,\)"),
    (lambda: reverse(Z, -1.), ValueError, r"strength must be a number of at least 0, got -1"),
    (lambda: DANN(0), ValueError, r"width must be a whole number of 1 or more, got 0"),
    (lambda: mutual_information(Z[0]), ValueError, r"scores must be finite float N×K, with N and K at least 2, got float32 \(4,\): take backbones.batched"),
    (lambda: soft_neighborhood_density(Z.argmax(1)[:, None]), ValueError, r"scores must be finite float N×K"),
    (lambda: negative_entropy(torch.full((4, 3), torch.nan)), ValueError, r"scores must be finite .*, got float32 \(4, 3\) with NaN or infinity: the training diverged, take a smaller lr"),
    (lambda: transductive.load("MNIST → Mars"), ValueError, r"pair must be one of 'MNIST → MNIST-M', .*, got 'MNIST → Mars'"),
    (lambda: domains.load_case("rain"), ValueError, r"case must be one of 'label shift', 'missing classes', 'wrong pictures', got 'rain'"),
    (lambda: digit_net(1), ValueError, r"num_classes must be a whole number of 2 or more, got 1"),
    (lambda: random_shift(X, 0), ValueError, r"pad must be a whole number of 1 or more, got 0"),
    (lambda: negatives(X, 2), ValueError, r"channels must be one of 1, 3, got 2"),
    (lambda: transductive.tent("net", X), TypeError, r"net must be a network with BatchNorm layers, got str"),
    (lambda: transductive.tent(plain(), X), ValueError, r"net must be a network with BatchNorm layers, got Sequential"),
    (lambda: transductive.tent(net(), X[:1]), ValueError, r"x must hold at least 2 pictures, got 1"),
    (lambda: transductive.tent(net(), X.float()), ValueError, r"x must be uint8 N×C×H×W, got float32"),
    (lambda: transductive.tent(net(), X, lr=0), ValueError, r"lr must be a number above 0 and at most 10, got 0"),
    (lambda: transductive.tent(net(), X, batch_size=1), ValueError, r"batch_size must be a whole number of 2 or more, got 1"),
    (lambda: augment.random_conv(X, 2), ValueError, r"share must be a number .* got 2"),
    (lambda: augment.random_conv(X.float()), ValueError, r"x must be uint8 N×C×H×W, got float32"),
    (lambda: domains.proxy_distance(Z, Z[:, :3]), ValueError, r"zs and zt must have the same number of features, got 4 and 3"),
    (lambda: domains.proxy_distance(Z[0], Z), ValueError, r"zs must be features N×D of at least 2 pictures"),
    (lambda: transductive.CDAN("net"), TypeError, r"net must be a Backbone, got str"),
    (lambda: learn("SHOT", net(), S, T), ValueError, r"method must be one of 'source only', .*, got 'SHOT': did you mean 'SHOT-IM'"),
    (lambda: adapt(net(), S, T, epochs=True), ValueError, r"epochs must be a whole number of 1 or more, got True"),
]


@rows({str(i): row for i, row in enumerate(CALLS)})
def test_wrong_call(call, kinds, words): refused(call, kinds, words)
