"""Wrong calls of `unsupervised`: each gets one sentence that names the argument, what it was, and the likely fix."""
import numpy as np
import torch
from harness import refused, rows
from torch import nn

from transfer_course import data, diagrams
from transfer_course.augment import random_views
from transfer_course.domains import unlabeled
from transfer_course.small import byol_net, contrastive_net, masked_net
from transfer_course.unsupervised import (
    byol,
    clustering_accuracy,
    clusters,
    counts,
    embed,
    judge,
    learn,
    leave_one_out_knn,
    masked_pixels,
    nt_xent,
    pixels,
    pretext_loss,
    project_2d,
    rotation,
    scores,
    simclr,
    turned,
)

X = torch.zeros(6, 1, 28, 28, dtype=torch.uint8)
Z, Y = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
NAN = torch.where(torch.arange(12)[:, None] == 4, torch.nan, Z)

CALLS = [  # call, error, the sentence begins or holds
    (lambda: embed(nn.Conv2d(3, 8, 3), X), TypeError, r"net must be a Backbone, got Conv2d: load one with backbones.load\(name\)"),
    (lambda: embed("efficientnet_lite0", X), TypeError, r"net must be a Backbone, got str"),
    (lambda: embed(contrastive_net(), X.float()), ValueError, r"x must be uint8 N×C×H×W, got float32 \(6, 1, 28, 28\): pass raw pixels"),
    (lambda: embed(contrastive_net(), X[0]), ValueError, r"x must be uint8 N×C×H×W, got uint8 \(1, 28, 28\): add the missing dimension"),
    (lambda: pixels(X.numpy()), TypeError, r"x must be uint8 N×C×H×W, got a numpy array.*torch.as_tensor"),
    (lambda: contrastive_net(seed=-1), ValueError, r"seed must be a whole number from 0 to 2147483647, got -1"),
    (lambda: contrastive_net(outputs=1), ValueError, r"outputs must be a whole number of 2 or more, got 1"),
    (lambda: random_views(X / 255), ValueError, r"x must be uint8 N×C×H×W, got float32"),
    (lambda: random_views(X, turn=200), ValueError, r"turn must be a number of at least 0 and at most 180, got 200"),
    (lambda: random_views(X, zoom=1.5), ValueError, r"zoom must be a number of at least 0 and at most 0.9, got 1.5"),
    (lambda: random_views(X, shift=-0.1), ValueError, r"shift must be a number of at least 0 and at most 0.5, got -0.1"),
    (lambda: random_views(X, light=1), ValueError, r"light must be a number of at least 0 and at most 0.9, got 1"),
    (lambda: random_views(X, shear="0.2"), ValueError, r"shear must be a number of at least 0 and at most 1, got '0.2'"),
    (lambda: nt_xent(Z[:5]), ValueError, r"z must be float 2N×D, two rows for each of at least 2 pictures, got float32 \(5, 5\): use torch.cat\(\[a, b\]\), two views of each picture"),
    (lambda: nt_xent(Z[:2]), ValueError, r"z must be float 2N×D, .*, got float32 \(2, 5\): one pair alone has no strangers"),
    (lambda: nt_xent(Z, temperature=0), ValueError, r"temperature must be a number above 0, got 0"),
    (lambda: nt_xent(Z.numpy()), TypeError, r"z must be float 2N×D, .*, got a numpy array float32 \(12, 5\): give what the network's head gives"),
    (lambda: nt_xent(Z[0]), TypeError, r"z must be float 2N×D, .*, got float32 \(5,\)"),
    (lambda: simclr("views"), TypeError, r"augment must be a function of pictures, got str: such as random_views, without brackets"),
    (lambda: simclr(temperature=-1), ValueError, r"temperature must be a number above 0, got -1"),
    (lambda: simclr(random_views(X)), TypeError, r"augment must be a function of pictures, got Tensor: such as random_views, without brackets"),
    (lambda: rotation(None), TypeError, r"augment must be a function of pictures, got NoneType"),
    (lambda: turned(X[..., :20]), ValueError, r"x must be square pictures, got 28×20: a quarter turn would change their shape"),
    (lambda: unlabeled(X[:0]), ValueError, r"x must be uint8 N×C×H×W.*at least one picture"),
    (lambda: learn(contrastive_net(), data.load("digits", size=28)), TypeError, r"x must be uint8 N×C×H×W of at least 4 pictures, got .*: give task.x_train, and keep the labels for scoring"),
    (lambda: learn(contrastive_net(), X[:3]), ValueError, r"x must be uint8 N×C×H×W of at least 4 pictures, got uint8 \(3, 1, 28, 28\): pictures are told from each other here"),
    (lambda: learn(contrastive_net(), X, steps=0), ValueError, r"steps must be a whole number of 1 or more, got 0"),
    (lambda: learn(contrastive_net(), X, batch_size=1), ValueError, r"batch_size must be a whole number of 2 or more, got 1"),
    (lambda: learn(contrastive_net(), X, lr=0), ValueError, r"lr must be a number above 0.*got 0"),
    (lambda: learn(contrastive_net(), X, "simclr"), TypeError, r"objective must be a function, got 'simclr'"),
    (lambda: learn("small_net", X), TypeError, r"net must be a network"),
    (lambda: learn(contrastive_net(), X, rotation()), ValueError, r"the head must have 4 outputs for rotations, it has 64: use contrastive_net\(outputs=4\)"),
    (lambda: learn(contrastive_net(), X, masked_pixels()), ValueError, r"the head must give a number for each pixel of \(1, 28, 28\), it gives 64: use small.masked_net"),
    (lambda: learn(masked_net(), X[..., :24, :24], masked_pixels()), ValueError, r"the head must give a number for each pixel of \(1, 24, 24\)"),
    (lambda: learn(masked_net(), X, masked_pixels(patch=5)), ValueError, r"patch must divide the sides of the pictures, 28×28 pixels, got 5"),
    (lambda: masked_pixels(share=1), ValueError, r"share must be a number above 0 and below 1, got 1"),
    (lambda: masked_pixels(patch=0), ValueError, r"patch must be a whole number of 1 or more, got 0"),
    (lambda: masked_net(seed="a"), ValueError, r"seed must be a whole number"),
    (lambda: byol_net(seed=-1), ValueError, r"seed must be a whole number"),
    (lambda: byol(nn.Conv2d(3, 8, 3)), TypeError, r"net must be a Backbone, got Conv2d"),
    (lambda: byol(byol_net(), keep=1.), ValueError, r"keep must be a number above 0 and below 1, got 1"),
    (lambda: byol(byol_net(), augment=3), TypeError, r"augment must be a function of pictures, got int"),
    (lambda: byol(contrastive_net()), ValueError, r"net must have a projection and a predictor.*use small.byol_net"),
    (lambda: judge(pixels, data.load("digits"), labels=0), ValueError, r"k must be a whole number"),
    (lambda: diagrams.sheet(0, 2), ValueError, r"width must be a number above 0, got 0"),
    (lambda: diagrams.picture(diagrams.sheet(2, 2)[1], 1, 1, X[0].float()), ValueError, r"image"),
    (lambda: pretext_loss(contrastive_net(), X[:0], simclr()), ValueError, r"x must be uint8 N×C×H×W"),
    (lambda: pretext_loss(contrastive_net(), X[:1], simclr()), ValueError, r"x must be uint8 N×C×H×W of at least 4 pictures, got uint8 \(1, 1, 28, 28\)"),
    (lambda: clusters(Z, 13), ValueError, r"k must be at most 12, the number of rows of z, got 13: take fewer clusters or more pictures"),
    (lambda: clusters(Z, 0), ValueError, r"k must be a whole number of 1 or more, got 0"),
    (lambda: clusters(X, 3), ValueError, r"z must be features, float N×D, got uint8 \(6, 1, 28, 28\)"),
    (lambda: clusters(NAN, 3), ValueError, r"z must be features, float N×D, got NaN or infinity in row 4"),
    (lambda: counts(Y, Y[:-1]), ValueError, r"found and y must have the same length, but found has 12, y has 11"),
    (lambda: clustering_accuracy(Z[:, 0], Y), ValueError, r"found must be N whole numbers from 0 up, got float32 \(12,\)"),
    (lambda: clustering_accuracy(Y, np.full(12, -1)), ValueError, r"y must be N whole numbers from 0 up, got a numpy array int64"),
    (lambda: clustering_accuracy(Y[:0], Y[:0]), ValueError, r"found must be N whole numbers from 0 up, got int64 \(0,\)"),
    (lambda: leave_one_out_knn(Z, Y, k=12), ValueError, r"k must be at most 11, the number of other pictures, got 12"),
    (lambda: leave_one_out_knn(Z, Y, metric="l2"), ValueError, r"metric must be one of 'cosine', 'euclidean', got 'l2'"),
    (lambda: leave_one_out_knn(Z, Y[:-1]), ValueError, r"z and y must have the same length, but z has 12, y has 11"),
    (lambda: scores(Z, Z[:, 0]), ValueError, r"y must be N whole numbers from 0 up, got float32"),
    (lambda: project_2d(Z, "umap"), ValueError, r"method must be one of 'pca', 'tsne', got 'umap'"),
    (lambda: project_2d(Z[:4], "tsne"), ValueError, r"z must have at least 5 rows for t-SNE, got 4: use method='pca'"),
    (lambda: project_2d(Z[:1]), ValueError, r"z must have at least 2 rows and 2 features, got \(1, 5\)"),
]


@rows({str(i): row for i, row in enumerate(CALLS)})
def test_wrong_call(call, kinds, words): refused(call, kinds, words)
