"""Train CourseNet on CIFAR-10 and write its weights and card into transfer_course/weights/.

    python experiments/coursenet.py                      # CIFAR-10 as torchvision fetches it
    python experiments/coursenet.py --archive cifar.tar  # an archive of pictures: train|test/<class>/*.jpg

About an hour on two cores (half of that with --bf16 on a processor that has bfloat16 instructions). Killed and started again, it goes on after the last whole epoch.
"""
import argparse
import json
import os
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from transfer_course import backbones, data, files, records, training

WEIGHTS = Path(__file__).parents[1] / "transfer_course" / "weights" / "coursenet.safetensors"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--archive", help="a tar or zip of train|test/<class>/*.jpg to use instead of torchvision's CIFAR-10")
    p.add_argument("--epochs", type=int, default=44)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--bf16", action="store_true", help="train in bfloat16 (needs a processor or GPU that has it)")
    p.add_argument("--checkpoint", default="coursenet-run.pt", help="where the run is kept between starts")
    return p.parse_args()


def cifar10(archive):
    """CIFAR-10, 4% of the training pictures held out to watch the run (nothing is chosen on them)."""
    if archive is None: return data.load("cifar10").split(0.04, seed=0)
    task = data.from_folder(data.extract(archive, files.cache_dir() / "cifar10-archive"), size=32)
    task.name = "cifar10"
    return task.split(0.04, seed=0)


def sgd(params, lr):
    return torch.optim.SGD(params, lr, momentum=0.9, nesterov=True, weight_decay=5e-4)


def speed(net, x):
    """Pictures per second, forward only, preprocessing included."""
    start = time.perf_counter()
    backbones.batched(net.features, x)
    return len(x) / (time.perf_counter() - start)


def speed_ratio(rounds=9):
    """CourseNet at 32 px against EfficientNet-Lite0 at 96 px, in turn, in this very run: the median ratio."""
    small = torch.randint(0, 256, (1024, 3, 32, 32), dtype=torch.uint8)
    large = torch.randint(0, 256, (128, 3, 96, 96), dtype=torch.uint8)
    ours, lite = backbones.course_net(), backbones.load("efficientnet_lite0")
    return statistics.median(speed(ours, small) / speed(lite, large) for _ in range(rounds))


def card(net, task, log, path, origin):
    return dict(name="coursenet", trained_on="CIFAR-10 (Krizhevsky 2009), 48,000 training pictures", origin=origin, licence="Apache-2.0",
                parameters=sum(p.numel() for p in net.parameters()),
                test_accuracy=round(training.accuracy(net, task.x_test, task.y_test), 4), test_pictures=len(task.x_test),
                epochs=len(log.rows), seconds=round(sum(r["seconds"] for r in log.rows)), seed=log.settings["seed"],
                precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"), lr=log.settings["lr"], batch_size=log.settings["batch_size"],
                pictures_per_second_against_efficientnet_lite0_at_96_px=round(speed_ratio(), 1),
                flaws="a single run; the pictures are 32×32; where it was trained on JPEG copies, it expects their blur",
                sha256=files.file_hash(path), environment=records.environment())


def main():
    args = arguments()
    if args.bf16: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    task = cifar10(args.archive)
    net = backbones.course_net(seed=args.seed)
    log = training.fit(net, task, epochs=args.epochs, lr=0.25, batch_size=256, seed=args.seed, optimizer=sgd,
                       augment=partial(training.crop_flip, pad=4, cut=8), checkpoint=args.checkpoint)
    if log.interrupted: raise SystemExit("Stopped by hand: start again to go on from the last whole epoch.")
    print(log)
    net.classes = task.classes
    net.save(WEIGHTS)
    origin = "torchvision's CIFAR-10" if args.archive is None else "CIFAR-10 as JPEG files"
    WEIGHTS.with_suffix(".json").write_text(json.dumps(card(net, task, log, WEIGHTS, origin), indent=1) + "\n", encoding="utf-8")
    print(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
