"""The course's own clips: ten digits by robots of many voices and languages, a dozen sentences in three accents, and syllables in the tones of Mandarin -> transfer_course/sounds/voices.npz and voices.json.

    python experiments/voices.py FOLDER    # a folder with libespeak-ng.so and espeak-ng-data, such as that of the package espeakng-loader

espeak-ng (GPL-3.0-or-later) makes the sounds once; the course ships the sounds and never the program. Its output differs a little between platforms,
so the hash of what was made stands in voices.json.
"""
import argparse
import ctypes
import hashlib
import json
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

RATE, SENTENCE_RATE = 8000, 16000
WORDS = {"en": "zero one two three four five six seven eight nine", "de": "null eins zwei drei vier fünf sechs sieben acht neun",
         "es": "cero uno dos tres cuatro cinco seis siete ocho nueve", "hi": "शून्य एक दो तीन चार पाँच छह सात आठ नौ", "cmn": "零 一 二 三 四 五 六 七 八 九"}
# a speaker is a variant of the voice, with a speed (words per minute) and a pitch (0 to 99) of its own
SPEAKERS = {"m1": (150, 50), "m2": (170, 40), "m3": (160, 55), "m5": (140, 50), "m7": (175, 45), "f1": (155, 50), "f2": (165, 55), "f3": (145, 45), "f4": (175, 50),
            "f5": (150, 60), "Andy": (160, 45), "Annie": (165, 50)}
FEWER = ("m1", "m3", "m5", "m7", "f1", "f2", "f4", "Annie")
ACCENTS = {"en-us": ("American", SPEAKERS), "en-gb-scotland": ("Scottish", FEWER[::2]), "en-029": ("Caribbean", FEWER[::2]), "de": ("German", FEWER), "es": ("Spanish", FEWER),
           "hi": ("Hindi", FEWER), "cmn": ("Mandarin", FEWER)}
SENTENCES = ["The train to the city leaves at seven in the morning.", "Please open the window, it is very warm in here.", "My brother has lived in the mountains for three years.",
             "We bought apples and bread at the market.", "The children played in the garden until it was dark.", "Could you tell me the way to the station?",
             "The doctor will see you after lunch.", "He wrote a long letter to his mother.", "There is a small bridge over the river.", "I forgot my keys on the kitchen table.",
             "The teacher gave us a new book to read.", "It will rain tomorrow, so take an umbrella."]
# three syllables in the four tones of Mandarin: high, rising, low, falling
TONES = {"ma": "妈麻马骂", "ba": "八拔把爸", "yi": "衣姨椅意"}
SPOKEN_IN = {"en-us": "American", "en-gb-scotland": "Scottish", "en-029": "Caribbean"}


class Espeak:
    "espeak-ng by ctypes: text -> floats at 22,050 samples a second."

    def __init__(self, folder):
        self.lib, self.parts = ctypes.CDLL(str(next(Path(folder).glob("libespeak-ng.*")))), []
        self.rate = self.lib.espeak_Initialize(1, 0, str(folder).encode(), 0)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.heard = kind(self.hear)
        self.lib.espeak_SetSynthCallback(self.heard)

    def hear(self, samples, n, events):
        if samples and n > 0: self.parts.append(np.ctypeslib.as_array(samples, (n,)).copy())
        return 0

    def say(self, text, voice, rate, pitch):
        if self.lib.espeak_SetVoiceByName(voice.encode()): raise SystemExit(f"espeak-ng has no voice {voice}")
        self.lib.espeak_SetParameter(1, rate, 0)
        self.lib.espeak_SetParameter(3, pitch, 0)
        self.parts, raw = [], text.encode()
        self.lib.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, 1, None, None)
        self.lib.espeak_Synchronize()
        return np.concatenate(self.parts) / 32768


def trimmed(wave, rate, share=0.02):
    "Without the silence before and after; 10 ms stay."
    loud = np.flatnonzero(np.abs(wave) > share * np.abs(wave).max())
    edge = rate // 100
    return wave[max(0, loud[0] - edge):loud[-1] + edge]


def mu_law(wave):
    "Floats from -1 to 1 as bytes: small differences count more where it is quiet (ITU-T G.711)."
    return np.round((np.sign(wave) * np.log1p(255 * np.abs(wave)) / np.log(256) + 1) * 127.5).astype(np.uint8)


def packed(wave, rate, espeak_rate):
    wave = resample_poly(wave, rate, espeak_rate)
    wave = trimmed(wave, rate)
    return mu_law(0.9 * wave / np.abs(wave).max())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    espeak = Espeak(parser.parse_args().folder)
    clips, rows = [], []
    for voice, (accent, speakers) in ACCENTS.items():
        words = WORDS[voice[:2] if voice != "cmn" else voice].split()
        for speaker in speakers:
            rate, pitch = SPEAKERS[speaker]
            for digit, word in enumerate(words):
                clips.append(packed(espeak.say(word, f"{voice}+{speaker}", rate, pitch), RATE, espeak.rate)[:RATE])
                rows.append([accent, speaker, digit])
    for voice, accent in SPOKEN_IN.items():
        for n, sentence in enumerate(SENTENCES):
            clips.append(packed(espeak.say(sentence, f"{voice}+m3", 150, 50), SENTENCE_RATE, espeak.rate))
            rows.append([accent, "m3", 10 + n])
    for speaker in FEWER:
        for n, word in enumerate("".join(TONES.values())):
            rate, pitch = SPEAKERS[speaker]
            clips.append(packed(espeak.say(word, f"cmn+{speaker}", rate, pitch), RATE, espeak.rate)[:RATE])
            rows.append(["Mandarin", speaker, 30 + n])
    out = Path("transfer_course/sounds")
    out.mkdir(exist_ok=True)
    wide = np.concatenate(clips)
    accents = list(dict.fromkeys(r[0] for r in rows))
    speakers = list(SPEAKERS)
    table = np.array([[accents.index(a), speakers.index(s), d, len(c)] for (a, s, d), c in zip(rows, clips)], np.int32)
    np.savez_compressed(out / "voices.npz", samples=wide, table=table)
    card = dict(origin="made with espeak-ng 1.52 by experiments/voices.py: formant synthesis, no recording of a person",
                licence="the sounds: CC0; espeak-ng itself, which is not part of the course: GPL-3.0-or-later",
                size=f"{len(clips)} clips, mu-law bytes; digits at {RATE} samples a second, sentences at {SENTENCE_RATE}",
                flaws="robots: the same word of the same voice always sounds the same; accents and languages are espeak-ng's rules, not people's speech; speakers differ in the "
                      "shape of their vocal tract, in pitch and in speed, not in how they pronounce",
                accents=accents, speakers=speakers, words=WORDS, sentences=SENTENCES, tones=TONES, sha256=hashlib.sha256(wide.tobytes() + table.tobytes()).hexdigest())
    (out / "voices.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(len(clips), "clips", wide.nbytes, "samples,", (out / "voices.npz").stat().st_size, "bytes; longest word", max(len(c) for c, r in zip(clips, rows) if r[2] < 10) / RATE, "s")
