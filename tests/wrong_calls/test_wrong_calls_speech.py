"""Wrong calls of lesson 10 and its rooms: one sentence each."""
import io

import numpy as np
import torch
from harness import refused, rows

from transfer_course import sounds, speech, whisper

WAVE = np.sin(np.arange(8000) / 9).astype(np.float32)
Z = np.random.default_rng(0).normal(size=(6, 4))


def encoder(): return whisper.short_encoder(whisper.load("random"))


TABLE = {
    "one wave in place of several": (lambda: speech.log_mel(WAVE), ValueError, ["waves must be sounds", "wave[None]"]),
    "a wave of whole numbers": (lambda: speech.log_mel((WAVE[None] * 99).astype(int)), ValueError, ["waves must be sounds"]),
    "a wave with NaN": (lambda: speech.log_mel(np.full((1, 100), np.nan, np.float32)), ValueError, ["waves must be sounds"]),
    "no time": (lambda: speech.log_mel(WAVE[None], 0), ValueError, ["seconds must be"]),
    "a rate in kilohertz": (lambda: speech.log_mel(WAVE[None], rate=8), ValueError, ["rate must be", "1000"]),
    "more coefficients than bands": (lambda: speech.mfcc(np.zeros((1, 80, 5)), 100), ValueError, ["k must be", "80"]),
    "no part": (lambda: speech.in_bins(np.zeros((1, 5, 2)), 0), ValueError, ["n must be"]),
    "names of other rows": (lambda: speech.by_speaker(Z, ["a"] * 5), ValueError, ["z and speaker must have the same length"]),
    "features with infinity": (lambda: speech.by_speaker(Z / 0, ["a"] * 6), ValueError, ["z must be features"]),
    "silence": (lambda: sounds.one_second(0 * WAVE, 8000), ValueError, ["silence", "record it again"]),
    "no wav file": (lambda: sounds.read_wav(io.BytesIO(b"ID3 mp3")), ValueError, ["must be a wav file", "16-bit"]),
    "a folder without recordings": (lambda: sounds.own_clips("nowhere"), ValueError, ["7_mira_2.wav"]),
    "no sound to play": (lambda: sounds.players({}, 8000), ValueError, ["sounds must be a dict"]),
    "a list to play": (lambda: sounds.players([WAVE], 8000), ValueError, ["sounds must be a dict"]),
    "a sound of two channels": (lambda: sounds.players({"a": WAVE.reshape(2, -1)}, 8000), ValueError, ["sounds['a'] must be a sound"]),
    "one formant as a number": (lambda: sounds.vowel(100, 500), ValueError, ["formants must be a list"]),
    "formants in kilohertz": (lambda: sounds.vowel(100, (0.5, 1.5)), ValueError, ["formants must be", "Hz"]),
    "a pitch of nothing": (lambda: sounds.vowel(0, (500,)), ValueError, ["pitch must be"]),
    "another source": (lambda: whisper.load("hubb"), ValueError, ["source must be one of", "hub"]),
    "the encoder in place of the network": (lambda: whisper.short_encoder(encoder()), TypeError, ["net must be a Whisper"]),
    "longer than it can hear": (lambda: whisper.short_encoder(whisper.load("random"), 31), ValueError, ["seconds must be", "no positions beyond"]),
    "the network in place of the encoder": (lambda: whisper.layer_states(whisper.load("random"), torch.zeros(1, 80, 100)), TypeError, ["encoder must be an encoder"]),
    "another number of frames": (lambda: whisper.layer_states(encoder(), torch.zeros(1, 80, 90)), ValueError, ["mel must have 100 frames, got 90"]),
    "a picture that lies on its side": (lambda: whisper.layer_states(encoder(), torch.zeros(1, 100, 80)), TypeError, ["mel must be log-mel pictures", "N×80×frames"]),
    "several waves to write down": (lambda: whisper.transcribe(whisper.load("random"), WAVE[None]), ValueError, ["wave must be a sound"]),
    "nothing was said": (lambda: whisper.word_errors(" ", "a boat"), ValueError, ["said must be a text"]),
    "another version of the file": (lambda: whisper.read_ct2(io.BytesIO(bytes([5, 0, 0, 0, 2, 0, 65, 0]) + bytes(8))), ValueError, ["version 6, got 5"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)
