"""One epoch of lesson 11's head for boxes on maps that are computed once, against one epoch of torchvision's FCOS on the same trunk, from end to end.

    python benchmarks/dense.py [--pictures 64] [--rounds 5]

The first row counts the epochs alone; the second one adds the maps to ours, as the first epoch has to wait for them.
"""
import statistics

import torch
from common import arguments, report, row, seconds
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from transfer_course import backbones, dense, scenes
from transfer_course.backbone import batched


def theirs(net, some):
    """A function that trains FCOS for one epoch."""
    body = BackboneWithFPN(net.trunk, {s: str(i) for i, s in enumerate(dense.STAGES)}, [24, 40, 112], 64)
    model = FCOS(body, 5, min_size=128, max_size=128, image_mean=[0.5] * 3, image_std=[0.5] * 3, anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,)), ((1.0,),) * 4)).train()
    opt = torch.optim.AdamW(model.parameters(), 1e-4)
    def epoch():
        for i in torch.randperm(len(some)).split(8):
            losses = model([some.x[j] / 255 for j in i.tolist()], [dict(boxes=some.boxes[j], labels=some.labels[j] + 1) for j in i.tolist()])
            opt.zero_grad()
            sum(losses.values()).backward()
            opt.step()
    return epoch


if __name__ == "__main__":
    args = arguments(__doc__, pictures=64, rounds=5)
    net, some = backbones.load("efficientnet_lite0"), scenes.digit_scenes(args.pictures)
    def maps(): return batched(lambda x: dense.dense_maps(net, x), some.x, 8).clone()
    z = maps()
    answers = [dense.cell_targets(b, k, 4, (32, 32)) for b, k in zip(some.boxes, some.labels)]
    loss, head = dense.box_loss(*map(torch.stack, zip(*answers))), dense.box_head(176, 4)
    def ours(): dense.learn(head, z, loss, steps=args.pictures // 8, lr=1e-3)
    whole = theirs(backbones.load("efficientnet_lite0"), some)
    trios = [(seconds(ours), seconds(maps), seconds(whole)) for _ in range(args.rounds)]
    a, b, c = (statistics.median(t) for t in zip(*trios))
    note = f"{a:.1f} s for the head, {b:.1f} s for the maps, {c:.1f} s for FCOS; {args.pictures} pictures of 128 px, batches of 8"
    report([row("A head for boxes on maps computed once: epoch", "torchvision's FCOS, end to end", [t[2] / t[0] for t in trios], 5, note=note),
            row("The same with the maps computed: first epoch", "torchvision's FCOS, end to end", [t[2] / (t[0] + t[1]) for t in trios], 2, note=note)], args.rows)
