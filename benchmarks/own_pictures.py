"""Frozen features by other engines: ONNX Runtime and OpenVINO in float32 against PyTorch, the same EfficientNet-Lite0, the same pictures, the same threads.

    python benchmarks/own_pictures.py [--pictures 256] [--rounds 5]

The network is written as ONNX before the clock runs, as `extract(…, engine=…)` does it once for a session. The features must agree within 1e-4 of the largest one.
"""
import statistics
import tempfile
from pathlib import Path

import torch
from common import THREADS, arguments, report, row, seconds

from transfer_course import backbones, data
from transfer_course.backbone import batched
from transfer_course.engines import by_onnxruntime, by_openvino
from transfer_course.handover import to_onnx

if __name__ == "__main__":
    args, rows = arguments(__doc__, pictures=256, rounds=5), []
    net = backbones.load("efficientnet_lite0")
    for side in (96, 160):
        x = data.resized(data.load("photographs").x_train[:args.pictures], side)
        right = batched(net, x).softmax(1)
        with tempfile.TemporaryDirectory() as d:
            path = to_onnx(net, Path(d) / "net.onnx", side)
            for name, engine in {"ONNX Runtime": by_onnxruntime, "OpenVINO": by_openvino}.items():
                run = engine(path, THREADS)
                def other(run=run, x=x): return torch.cat([run(b) for b in x.split(32)])
                away = (other() - right).abs().max().item()
                assert away < 1e-4, f"{name} differs by {away}"
                pairs = [(seconds(other), seconds(lambda x=x: batched(net, x, 32))) for _ in range(args.rounds)]
                a, b = (args.pictures / statistics.median(p[i] for p in pairs) for i in (0, 1))
                goal = {96: 1.7, 160: 2.0}[side] if name == "OpenVINO" else None
                note = f"{a:.0f} against {b:.0f} pictures/s, largest difference of a probability {away:.0e}"
                rows.append(row(f"EfficientNet-Lite0 at {side} px by {name}: rate", "PyTorch, the bare forward pass", [p[1] / p[0] for p in pairs], goal, note=note))
    report(rows, args.rows)
