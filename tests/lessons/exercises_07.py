"""Exercises of lesson 07: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import torch

from transfer_course.kinds import NORMS


def my_diagnosis(zs, ys, zt, yt):
    if (zs.mean(0) - zt.mean(0)).norm() < 0.25: return "concept"
    moved = [(zs[ys == c].mean(0) - zt[yt == c].mean(0)).norm() for c in (0, 1)]
    return "label" if max(moved) < 0.4 else "covariate"


def by_frequencies(zs, ys, zt, yt):
    return "label" if abs(ys.double().mean() - yt.double().mean()) > 0.1 else "covariate"


def by_clouds(zs, ys, zt, yt): return "concept" if (zs.mean(0) - zt.mean(0)).norm() < 0.25 else "covariate"


def table_of(named, y, k): return torch.stack([named[y == c].bincount(minlength=k) / (y == c).sum() for c in range(k)], 1)
def counts(named, k): return named.bincount(minlength=k) / len(named)
def my_frequencies(named, y, target, k): return torch.linalg.solve(table_of(named, y, k), counts(target, k))


def by_steps(named, y, target, k):
    """Expectation-maximisation (Saerens et al. 2002) from predicted classes."""
    c, q, p = table_of(named, y, k), counts(target, k), torch.ones(k) / k
    for _ in range(500): p = p * (c.T @ (q / (c @ p)))
    return p


def posterior(named, y, target, k):
    both = torch.zeros(k, k).index_put_((named, y), torch.ones(1), accumulate=True)
    return counts(target, k) @ (both / both.sum(1, keepdim=True))


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


def pass_through(net, x, train=True, reset=True, back=True, momentum=None, passes=1, kinds=NORMS):
    net.train(train)
    for m in net.modules():
        if isinstance(m, NORMS) and not isinstance(m, kinds): m.eval()
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


def one_kind_alone(net, x):
    """BatchNorm2d is reset, BatchNorm1d moves a tenth of the way."""
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d): m.reset_running_stats(); m.momentum = None
    with torch.no_grad(): net.train()(x)
    return net.eval()


def in_parts(net, x):
    for m in net.modules():
        if isinstance(m, NORMS): m.reset_running_stats(); m.momentum = None
    net.train()
    with torch.no_grad():
        for part in x.split(20): net(part)
    return net.eval()


OTHERS = [("07-5", by_steps), ("07-4", in_parts), ("07-2", lambda z, s: (1 + s) * z.detach() - s * z)]  # right as well, in another way

RIGHT = {"07-1": my_diagnosis, "07-5": my_frequencies, "07-2": layer(lambda g, s: -s * g), "07-3": my_coral, "07-4": pass_through}

WRONG = [
    ("07-1", ..., "function was expected"), ("07-1", lambda *a: "covariate", "of 6 targets with a label shift"), ("07-1", by_frequencies, "with a covariate shift|with a concept shift"),
    ("07-1", by_clouds, "of 6 targets with a label shift, 6 were called covariate"), ("07-1", lambda *a: "shift", "one of 'covariate', 'label' and 'concept'"),
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
    ("07-4", lambda net, x: pass_through(net, x, kinds=torch.nn.BatchNorm2d), "more than one kind"), ("07-4", one_kind_alone, "BatchNorm1d have gone"),
    ("07-5", lambda named, y, target, k: counts(target, k), "frequencies of the predictions"), ("07-5", lambda named, y, target, k: counts(y, k), "frequencies of the source"),
    ("07-5", posterior, "changes with the frequencies"), ("07-5", lambda named, y, target, k: table_of(named, y, k) @ counts(target, k), "its inverse was needed"),
    ("07-5", lambda named, y, target, k: table_of(named, y, k).sum(1), "sum to"), ("07-5", lambda named, y, target, k: torch.ones(k) / k, "at most half|frequencies of the source"),
]
