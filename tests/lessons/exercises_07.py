"""Exercises of lesson 07: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
import torch

from transfer_course import transductive
from transfer_course.course import result


def source_only_on_mnist_m():
    rows = [r for r in result("adaptation")["rows"] if r.get("case") is None]
    return 100 * np.mean([r["accuracy"] for r in rows if (r["pair"], r["method"]) == ("MNIST → MNIST-M", "source only")])


def layer(back):
    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, strength): ctx.strength = strength; return z.view_as(z)
        @staticmethod
        def backward(ctx, g): return back(g, ctx.strength), None
    return lambda z, strength: Layer.apply(z, strength)


def cov(z, minus=1): return (z - z.mean(0)).T @ (z - z.mean(0)) / (len(z) - minus)
def square(a, b): return (a - b).square().sum()
def my_coral(zs, zt): return square(cov(zs), cov(zt)) / (4 * zs.shape[1] ** 2)


def pass_through(net, x, train=True, reset=True, back=True, momentum=None, passes=1, kinds=transductive.NORMS):
    net.train(train)
    for m in net.modules():
        if isinstance(m, transductive.NORMS) and not isinstance(m, kinds): m.eval()
        if isinstance(m, kinds):
            if reset: m.reset_running_stats()
            m.momentum = momentum
    with torch.no_grad():
        for _ in range(passes): net(x)
    return net.eval() if back else net


def with_training(net, x):
    with torch.enable_grad():
        opt = torch.optim.SGD(net.parameters(), lr=0.1)
        net.train()(x).square().mean().backward()
        opt.step()
    return net.eval()


RIGHT = {"07-1": source_only_on_mnist_m, "07-2": layer(lambda g, s: -s * g), "07-3": my_coral, "07-4": pass_through}

WRONG = [
    ("07-1", ..., "three dots"), ("07-1", 101, "between 0 and 100"), ("07-1", 97, "too high"), ("07-1", 2, "too low"), ("07-1", 0.5, "was a share meant"), ("07-1", "half", "number was expected"),
    ("07-2", layer(lambda g, s: s * g), "sign is missing"), ("07-2", layer(lambda g, s: -g), "λ is not used"), ("07-2", lambda z, strength: z * 1, "unchanged"),
    ("07-2", lambda z, strength: -strength * z, "on the way forward"), ("07-2", lambda z, strength: z.detach(), "without a gradient"), ("07-2", lambda z, strength: None, "gave None"),
    ("07-2", 3, "function was expected"),
    ("07-3", lambda a, b: square(a.T @ a / (len(a) - 1), b.T @ b / (len(b) - 1)) / (4 * a.shape[1] ** 2), "not centred"),
    ("07-3", lambda a, b: square(cov(a, 0), cov(b, 0)) / (4 * a.shape[1] ** 2), "N − 1"), ("07-3", lambda a, b: square(cov(a), cov(b)), "4·D²"),
    ("07-3", lambda a, b: square(cov(a), cov(b)).sqrt() / (4 * a.shape[1] ** 2), "not squared"), ("07-3", lambda a, b: square(a.mean(0), b.mean(0)) / (4 * a.shape[1] ** 2), "means"),
    ("07-3", lambda a, b: my_coral(a, b).item(), "no gradient"), ("07-3", lambda a, b: cov(a) - cov(b), "shape"), ("07-3", lambda a, b: a - b, "raised RuntimeError"),
    ("07-4", lambda net, x: pass_through(net, x, train=False, reset=False), "eval mode while"), ("07-4", lambda net, x: pass_through(net, x, reset=False, momentum=0.1), "of the way"),
    ("07-4", lambda net, x: pass_through(net, x, back=False), "train mode"), ("07-4", with_training, "a weight has changed"), ("07-4", lambda net, x: None, "return the network"),
    ("07-4", lambda net, x: net(x), "return the network"),
    ("07-4", lambda net, x: pass_through(net, x, kinds=torch.nn.BatchNorm2d), "more than one kind"),
]
