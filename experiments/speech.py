"""Speech: words of people and of robots, by MFCC and by a frozen Whisper; who speaks; new languages; vowels; sentences -> nbs/results/speech.json.

    python experiments/speech.py                    # about ten minutes on one core; fetches the recordings of people where there is a network
    python experiments/speech.py --archive FILE     # an archive of the Free Spoken Digit Dataset that is there already
    python experiments/speech.py --only vowels      # these parts anew, the others as they are
    python experiments/speech.py --voices           # other robots and other men: the intervals of "robots teach" -> nbs/results/speech_voices.json
    python experiments/speech.py --seconds 350      # stop after the part that passes this time; the next call goes on

Settings (layer, parts of the time, strength) are chosen on draws and recordings that are not used again: for people on recordings 20 to 29 of each digit, the results are from 0 to 19;
for robots on the other languages. Where layer, parts and strength are chosen together, every arm has 24 settings to choose from.
"""
import argparse
import json
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.special import stdtrit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn

from transfer_course import backbones, features, finetuning, recordings, records, sounds, speech, tasks, whisper
from transfer_course.files import cache_dir, cached
from transfer_course.measures import accuracy

SEEDS, TUNING = range(10), (100, 101)
PARTS, STRENGTHS = {"MFCC": (5, 10, 20), "log-mel": (5, 10, 20), "Whisper": (1, 5, 10), "untrained": (1, 5, 10)}, (1.0, 10.0, 100.0, 1000.0)
WHAT = {"MFCC": (13, 20), "log-mel": (80, 40), "Whisper": (3, 4), "untrained": (0, 4)}  # coefficients, bands or layers
ARCHIVE = None


def ten_parts(z): return np.stack([speech.in_bins(layer.numpy(), 10).reshape(len(layer), 10, -1) for layer in z]).astype(np.float32)


@lru_cache
def clips(who): return {"robots": sounds.robots, "tones": sounds.tones, "people": lambda: recordings.people(ARCHIVE, numbers=range(30))}[who]()


@lru_cache
def heard(who):
    """The log-mel pictures of all clips, and what each layer says in ten parts of the second, by Whisper and by the same network untrained."""
    def make():
        mel = speech.log_mel(clips(who).waves, rate=8000)
        found = {"mel": mel.numpy()}
        for name, source in (("Whisper", "wheel"), ("untrained", "random")):
            found[name] = ten_parts(whisper.layer_states(whisper.short_encoder(whisper.load(source)), mel))
        return found
    return cached(f"speech-{who}-2", make)


@lru_cache(maxsize=40)
def vectors(who, arm, what, parts):
    z = heard(who)
    if arm in ("Whisper", "untrained"): return speech.in_bins(z[arm][what], parts)
    mel = z["mel"]
    if arm == "MFCC": return speech.in_bins(speech.mfcc(mel, what), parts)
    return speech.in_bins(mel.reshape(len(mel), what, -1, mel.shape[2]).mean(2).transpose(0, 2, 1), parts)  # 80 bands, or 40 wider ones


def settings(arm): return [(what, parts, strength) for what in WHAT[arm] for parts in PARTS[arm] for strength in STRENGTHS]


def right(z, y, train, test, strength, weight=None):
    model = speech.probe(strength).fit(z[train], y[train], **({} if weight is None else {"ridgeclassifier__sample_weight": weight}))
    return round(float(model.score(z[test], y[test])), 4)


def best(arm, score):
    """The setting with the best score, and its score."""
    tried = {s: score(*s) for s in settings(arm)}
    s = max(tried, key=tried.get)
    return s, round(tried[s], 4)


def column(who, name): return clips(who).table[name].to_numpy()


def drawn(rng, rows, labels, k):
    """k places of each label, out of these rows."""
    return np.concatenate([rng.choice(rows[labels[rows] == c], k, replace=False) for c in np.unique(labels[rows])])


# --- people: ten labels for each digit ----------------------------------------------------------------------------------

def known(arm, setting, k, seed, tuning=False):
    what, parts, strength = setting
    y, number = column("people", "word"), column("people", "number")
    rows = np.flatnonzero(number >= 20 if tuning else number < 20)
    train = drawn(np.random.default_rng(seed), rows, y, k)
    return right(vectors("people", arm, what, parts), y, train, np.setdiff1d(rows, train), strength)


def known_rows():
    rows, chosen = [], {}
    for arm in WHAT:
        for k in (1, 3, 10):
            s, _ = best(arm, lambda *s, arm=arm, k=k: float(np.mean([known(arm, s, k, seed, True) for seed in TUNING])))
            chosen[f"{arm}, {k}"] = s
            rows.append(dict(arm=arm, labels=k, accuracy=[known(arm, s, k, seed) for seed in SEEDS]))
    return dict(known=rows, known_settings=chosen)


# --- people: somebody new -----------------------------------------------------------------------------------------------

NEW = ("MFCC", "Whisper")


def newcomer(arm, setting, each, k, speaker, seed, tuning=False):
    """Learned from the five others, ten recordings of each digit and speaker, and k of the new one, which weigh five times."""
    what, parts, strength = setting
    y, who, number = (column("people", c) for c in ("word", "speaker", "number"))
    z = vectors("people", arm, what, parts)
    if each: z = speech.by_speaker(z, who)
    rng = np.random.default_rng(seed)
    pool = number >= 20 if tuning else number < 20
    others = np.concatenate([drawn(rng, np.flatnonzero(pool & (who == s)), y, 5 if tuning else 10) for s in np.unique(who) if s != speaker])
    own = np.flatnonzero(pool & (who == speaker))
    few = drawn(rng, own, y, k) if k else own[:0]
    return right(z, y, np.r_[others, few], np.setdiff1d(own, few), strength, np.r_[np.ones(len(others)), np.full(len(few), 5.0)])


def newcomer_rows(seeds=5):
    rows, chosen, names = [], {}, sorted(set(column("people", "speaker")))
    for arm in NEW:
        for each in (False, True):
            s, _ = best(arm, lambda *s, arm=arm, each=each: float(np.mean([newcomer(arm, s, each, 0, n, TUNING[0], True) for n in names])))
            chosen[arm + (", each speaker standardised" if each else "")] = s
            rows += [dict(arm=arm, standardised=each, labels=k, speaker=n, accuracy=[newcomer(arm, s, each, k, n, seed) for seed in range(seeds)]) for k in (0, 1, 3) for n in names]
    return dict(newcomer=rows, newcomer_settings=chosen)


# --- robots teach ---------------------------------------------------------------------------------------------------------

LANGUAGES = ("German", "Spanish", "Hindi", "Mandarin")


def one_voice(arm, setting, language, voice):
    """Ten words of one voice of a language; the others are the test."""
    what, parts, strength = setting
    here = column("robots", "accent") == language
    mine = column("robots", "speaker") == voice
    return right(vectors("robots", arm, what, parts), column("robots", "word"), here & mine, here & ~mine, strength)


@lru_cache
def voices(language): return sorted(set(column("robots", "speaker")[column("robots", "accent") == language]))


@lru_cache
def language_score(arm, setting, language): return float(np.mean([one_voice(arm, setting, language, v) for v in voices(language)]))


def language_rows():
    rows, chosen, layers = [], {}, []
    for arm in ("MFCC", "Whisper", "untrained"):
        for language in LANGUAGES:
            s, _ = best(arm, lambda *s, arm=arm, language=language: float(np.mean([language_score(arm, s, other) for other in LANGUAGES if other != language])))
            chosen[f"{arm}, {language}"] = s
            rows.append(dict(arm=arm, language=language, accuracy=[one_voice(arm, s, language, v) for v in voices(language)]))
    for layer in range(5):
        layers += [dict(layer=layer, language=language, accuracy=round(max(language_score("Whisper", (layer, parts, 100.0), language) for parts in (1, 5, 10)), 4)) for language in LANGUAGES]
    return dict(languages=rows, languages_settings=chosen, languages_layers=layers)


def tone_rows():
    """One voice says three syllables in four tones; which tone, which syllable by the seven others? Settings: those of the languages, and each layer."""
    rows, y, voice = [], column("tones", "word"), column("tones", "speaker")
    points = [("MFCC", 13, 20, 100.0), ("untrained", 4, 10, 100.0), *(("Whisper", layer, 5, 1000.0) for layer in range(5))]
    for arm, what, parts, strength in points:
        z = vectors("tones", arm, what, parts)
        for question, label in (("syllable", y // 4), ("tone", y % 4)):
            rows.append(dict(arm=arm, layer=what, question=question, accuracy=[right(z, label, voice == v, voice != v, strength) for v in sorted(set(voice))]))
    return dict(tones=rows)


def to_people(arm, setting, seed, each=False, tuning=False):
    """American robots teach, nine of the twelve; people are the test, and robots with another accent."""
    what, parts, strength = setting
    zr, zp = (vectors(w, arm, what, parts) for w in ("robots", "people"))
    accent, voice, number = column("robots", "accent"), column("robots", "speaker"), column("people", "number")
    if each: zr, zp = speech.by_speaker(zr, accent + voice), speech.by_speaker(zp, column("people", "speaker"))
    some = np.random.default_rng(seed).permutation(voices("American"))[:9]
    train, yr = (accent == "American") & np.isin(voice, some), column("robots", "word")
    model = speech.probe(strength).fit(zr[train], yr[train])
    test = number >= 20 if tuning else number < 20
    found = {"people": model.score(zp[test], column("people", "word")[test])}
    return found | {a: model.score(zr[accent == a], yr[accent == a]) for a in ("Scottish", "Caribbean")}


def robot_rows():
    rows, chosen = [], {}
    for arm in WHAT:
        for by in ("robots", "people"):
            if by == "robots": s, _ = best(arm, lambda *s, arm=arm: float(np.mean([language_score(arm, s, language) for language in LANGUAGES])))
            else: s, _ = best(arm, lambda *s, arm=arm: float(np.mean([to_people(arm, s, seed, tuning=True)["people"] for seed in TUNING])))
            chosen[f"{arm}, {by}"] = s
            for each in (False, True):
                found = [to_people(arm, s, seed, each) for seed in SEEDS]
                rows += [dict(arm=arm, chosen=by, standardised=each, test=test, accuracy=[round(float(f[test]), 4) for f in found]) for test in found[0]]
    return dict(robots=rows, robots_settings=chosen)


# --- robots teach: other robots, other men ----------------------------------------------------------------------------------

PARTITIONS = range(5)


@lru_cache(maxsize=2)
def both(arm, what, parts, each):
    zr, zp = (vectors(w, arm, what, parts) for w in ("robots", "people"))
    return (speech.by_speaker(zr, column("robots", "accent") + column("robots", "speaker")), speech.by_speaker(zp, column("people", "speaker"))) if each else (zr, zp)


def taught(arm, setting, each, mine):
    """The share right of each man's recordings, after some American voices have taught: six numbers."""
    what, parts, strength = setting
    zr, zp = both(arm, what, parts, each)
    who, test = column("people", "speaker"), column("people", "number") < 20
    train = (column("robots", "accent") == "American") & np.isin(column("robots", "speaker"), mine)
    right = speech.probe(strength).fit(zr[train], column("robots", "word")[train]).predict(zp[test]) == column("people", "word")[test]
    return np.array([right[who[test] == s].mean() for s in sorted(set(who))])


def disjoint(seed, size):
    """The twelve American voices in sets that share none."""
    return np.random.default_rng(seed).permutation(voices("American")).reshape(-1, size)


def both_ways(d):
    """Mean and 95% interval of differences, partitions × sets of voices × men, if other voices *and* other men were drawn: the variances of a crossed design
    (two-way, random; Searle, Casella, McCulloch 1992), their mean over the partitions, Student's t with one degree of freedom less than there are men."""
    sets, men = d.shape[1:]
    left = d - d.mean(1, keepdims=True) - d.mean(2, keepdims=True) + d.mean((1, 2), keepdims=True)
    by_set, by_man = men * d.mean(2).var(1, ddof=1).mean(), sets * d.mean(1).var(1, ddof=1).mean()
    rest = (left ** 2).sum((1, 2)).mean() / ((sets - 1) * (men - 1))
    reach = stdtrit(min(sets, men) - 1, 0.975) * (max(by_set + by_man - rest, by_set, by_man) / (sets * men)) ** 0.5
    return [round(float(v), 4) for v in (d.mean(), d.mean() - reach, d.mean() + reach)]


def voice_rows(chosen):
    """Six disjoint pairs of voices teach, the six men are the test, for five such partitions; and all twelve voices. `chosen`: the settings of the part `robots`."""
    rows, d = [], {}
    for key, s in chosen.items():
        arm, by = key.split(", ")
        for each in (False, True):
            d[arm, by, each] = found = np.array([[taught(arm, s, each, mine) for mine in disjoint(p, 2)] for p in PARTITIONS])
            more = {n: np.mean([taught(arm, s, each, mine) for p in PARTITIONS for mine in disjoint(p, n)]) for n in (1, 3, 6)}
            whole = taught(arm, s, each, voices("American"))
            count = {1: more[1], 2: found.mean(), 3: more[3], 6: more[6], 12: whole.mean()}
            rows.append(dict(arm=arm, chosen=by, standardised=each, pairs=found[0].mean(1).round(4).tolist(), men=found.mean((0, 1)).round(4).tolist(), twelve=whole.round(4).tolist(),
                             voices={n: round(float(a), 4) for n, a in count.items()}))
    W = d["Whisper", "robots", False]
    leads = {f"Whisper − {a}, {by}, {'standardised' if each else 'plain'}": both_ways(d["Whisper", by, each] - d[a, by, each])
             for a in ("MFCC", "log-mel", "untrained") for by in ("robots", "people") for each in (False, True)}
    gains = {"each speaker standardised": both_ways(d["Whisper", "robots", True] - W), "settings chosen on people": both_ways(d["Whisper", "people", False] - W)}
    return dict(rows=rows, leads=leads, gains=gains, men=sorted(set(column("people", "speaker"))))


def voices_main():
    start = time.perf_counter()
    chosen = {k: tuple(v) for k, v in json.loads(Path("nbs/results/speech.json").read_text())["robots_settings"].items()}
    found = voice_rows(chosen)
    records.write_result("speech_voices", found | dict(seconds=round(time.perf_counter() - start, 1)))


# --- what and who, layer by layer -----------------------------------------------------------------------------------------

def who_speaks(who, arm, layer, strength, seed, tuning=False):
    """Five clips of each speaker are labelled with the name."""
    name, parts = column(who, "speaker"), 5
    if who == "people":
        number = column(who, "number")
        rows = np.flatnonzero(number >= 20 if tuning else number < 20)
    else: rows = np.flatnonzero(column(who, "accent") == "American")
    train = drawn(np.random.default_rng(seed), rows, name, 5)
    return right(vectors(who, arm, layer, parts), name, train, np.setdiff1d(rows, train), strength)


def strongest(score): return max(STRENGTHS, key=lambda s: np.mean([score(s, seed) for seed in TUNING]))


def layer_rows():
    rows, names = [], sorted(set(column("people", "speaker")))
    points = [("MFCC", 13), *(("Whisper", n) for n in range(5)), *(("untrained", n) for n in (0, 4))]
    for arm, n in points:
        s = strongest(lambda s, seed, arm=arm, n=n: who_speaks("people", arm, n, s, seed, True))
        rows.append(dict(arm=arm, layer=n, question="who, people", accuracy=[who_speaks("people", arm, n, s, seed) for seed in SEEDS]))
        rows.append(dict(arm=arm, layer=n, question="who, robots", accuracy=[who_speaks("robots", arm, n, s, seed) for seed in SEEDS]))
        s = strongest(lambda s, seed, arm=arm, n=n: np.mean([newcomer(arm, (n, 5, s), False, 0, name, seed, True) for name in names[::2]]))
        rows.append(dict(arm=arm, layer=n, question="what, new speaker", accuracy=[newcomer(arm, (n, 5, s), False, 0, name, 0) for name in names]))
    return dict(layers=rows)


# --- fine-tuning ------------------------------------------------------------------------------------------------------------

class Words(nn.Module):
    "An encoder, the mean over the time, a linear layer."
    def __init__(self, encoder, free):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(384, 10)
        for i, layer in enumerate(encoder.layers): layer.requires_grad_(i >= 4 - free)
        encoder.layer_norm.requires_grad_(True)

    def forward(self, mel): return self.head(self.encoder(mel).last_hidden_state.mean(1))


def tuned(free, lr, speaker, seed, numbers, epochs=10):
    """Thirty recordings of one speaker teach `free` layers; 200 of the five others are the test."""
    y, who, number = (column("people", c) for c in ("word", "speaker", "number"))
    mel = torch.from_numpy(heard("people")["mel"])
    rng = np.random.default_rng(seed)
    train = drawn(rng, np.flatnonzero((who == speaker) & np.isin(number, numbers)), y, 3)
    test = np.concatenate([drawn(rng, np.flatnonzero((who == s) & np.isin(number, numbers)), y, 4) for s in np.unique(who) if s != speaker])
    torch.manual_seed(seed)
    net = Words(whisper.short_encoder(whisper.load()), free)
    rates = [dict(params=[p for p in net.encoder.parameters() if p.requires_grad], lr=lr), dict(params=net.head.parameters(), lr=3e-3)]
    opt = torch.optim.AdamW(rates)
    start = time.perf_counter()
    for _ in range(epochs):
        for batch in rng.permutation(train).reshape(-1, 10):
            loss = nn.functional.cross_entropy(net(mel[batch]), torch.from_numpy(y[batch]))
            opt.zero_grad()
            loss.backward()
            opt.step()
    spent = time.perf_counter() - start
    with torch.no_grad(): found = torch.cat([net(m) for m in mel[test].split(50)]).argmax(1).numpy()
    return float((found == y[test]).mean()), spent


def probed(setting, speaker, seed, numbers):
    what, parts, strength = setting
    y, who, number = (column("people", c) for c in ("word", "speaker", "number"))
    rng = np.random.default_rng(seed)
    train = drawn(rng, np.flatnonzero((who == speaker) & np.isin(number, numbers)), y, 3)
    test = np.concatenate([drawn(rng, np.flatnonzero((who == s) & np.isin(number, numbers)), y, 4) for s in np.unique(who) if s != speaker])
    return right(vectors("people", "Whisper", what, parts), y, train, test, strength)


def finetune_rows():
    names, tune, main = sorted(set(column("people", "speaker"))), range(20, 30), range(20)
    s, _ = best("Whisper", lambda *s: float(np.mean([probed(s, n, 100, tune) for n in names])))
    rows = [dict(way="probe", setting=str(s), accuracy=[probed(s, n, 0, main) for n in names])]
    tried = {}
    for way, free, rates in (("last layer learns", 1, (1e-4, 3e-4, 1e-3)), ("all four layers learn", 4, (1e-5, 3e-5, 1e-4))):
        tried[way] = {f"{lr:g}": round(float(np.mean([tuned(free, lr, n, 100, tune)[0] for n in names[:2]])), 4) for lr in rates}
        lr = float(max(tried[way], key=tried[way].get))
        found = [tuned(free, lr, n, 0, main) for n in names]
        rows.append(dict(way=way, setting=str(lr), accuracy=[round(f[0], 4) for f in found], seconds=[round(f[1], 1) for f in found]))
    return dict(finetune=rows, finetune_speakers=names, finetune_tried=tried)


# --- pictures of sounds -----------------------------------------------------------------------------------------------------

PICTURE_RATES, PICTURE_EPOCHS = (1e-3, 3e-3, 1e-2, 3e-2), 40


def spectrograms():
    "80 bands × 50 times, as grey pictures."
    mel = torch.from_numpy(heard("people")["mel"])
    return mel.reshape(len(mel), 80, 50, 2).mean(3).clamp(-1, 1.5).add(1).mul(102).round().byte()[:, None]


def picture_draw(seed, tuning=False):
    "The places of ten recordings of each digit to learn from, and of three hundred others."
    y, number = column("people", "word"), column("people", "number")
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(number >= 20 if tuning else number < 20)
    train = drawn(rng, rows, y, 10)
    return train, rng.permutation(np.setdiff1d(rows, train))[:300]


def picture_task(seed, tuning):
    train, test = picture_draw(seed, tuning)
    x, y = spectrograms(), torch.from_numpy(column("people", "word"))
    return tasks.Task("spectrograms", x[train], y[train], x[test], y[test], list("0123456789"))


def net_of(start):
    net = backbones.load("efficientnet_lite0")
    if start == "scratch":
        torch.manual_seed(0)
        for m in net.modules():
            if hasattr(m, "reset_parameters"): m.reset_parameters()
    return net


def picture_run(start, lr, seed, tuning=False):
    task = picture_task(seed, tuning)
    net = net_of(start)
    finetuning.fine_tune(net, task, epochs=PICTURE_EPOCHS, freeze_epochs=1, lr=lr, batch_size=25, seed=seed, progress=False)
    return round(float(accuracy(net, task.x_test, task.y_test)), 4)


def frozen_run(stage, strength, seed, tuning=False):
    task, net = picture_task(seed, tuning), net_of("ImageNet")
    z, zt = (np.asarray(features.extract(net, x, stage)) for x in (task.x_train, task.x_test))
    model = speech.probe(strength).fit(z, task.y_train.numpy())
    return round(float(model.score(zt, task.y_test.numpy())), 4)


def heard_run(arm, setting, seed):
    """Whisper or MFCC on the same draws."""
    return right(vectors("people", arm, *setting[:2]), column("people", "word"), *picture_draw(seed), setting[2])


def picture_rows():
    stages = net_of("ImageNet").stages
    stage, strength = max(((st, s) for st in stages[-4:] for s in STRENGTHS), key=lambda c: np.mean([frozen_run(*c, draw, True) for draw in TUNING]))
    rows = [dict(way="ImageNet, frozen", setting=f"{stage}, {strength:g}", accuracy=[frozen_run(stage, strength, s) for s in range(5)])]
    for way, start in (("ImageNet, all layers learn", "ImageNet"), ("the same network from scratch", "scratch")):
        tried = {lr: round(float(np.mean([picture_run(start, lr, draw, True) for draw in TUNING])), 4) for lr in PICTURE_RATES}
        lr = max(tried, key=tried.get)
        rows.append(dict(way=way, setting=f"{lr:g}, {PICTURE_EPOCHS} epochs", accuracy=[picture_run(start, lr, s) for s in range(5)], tried=tried))
    for arm in ("MFCC", "Whisper"):
        s, _ = best(arm, lambda *s, arm=arm: float(np.mean([known(arm, s, 10, seed, True) for seed in TUNING])))
        rows.append(dict(way=arm, setting=f"{s[0]}, {s[1]} parts, {s[2]:g}", accuracy=[heard_run(arm, s, seed) for seed in range(5)]))
    return dict(pictures=rows)


# --- vowels: men teach, children are the test -------------------------------------------------------------------------------

def vowel_arms(waves, facts):
    """{arm: vectors}, the layers of Whisper among them."""
    mel = speech.log_mel(waves)
    z = whisper.layer_states(whisper.short_encoder(whisper.load()), mel)[:, :, 2:22].mean(2).numpy()  # the vowel lasts half a second
    f = np.log(facts[["f1", "f2", "f3"]].to_numpy())
    cepstra = speech.mfcc(mel)[:, 4:44].mean(1)
    own = facts.speaker.to_numpy()
    arms = {f"Whisper, layer {n}": z[n] for n in range(5)} | {"MFCC": cepstra, "formants": f}
    return arms | {f"{a}, each speaker standardised": speech.by_speaker(arms[a], own) for a in ("Whisper, layer 4", "MFCC", "formants")}


def classifiers(): return {**{f"ridge {s:g}": speech.probe(s) for s in STRENGTHS}, "LDA": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")}


def vowel_rows(seeds=5):
    found = {}
    for seed in (*TUNING[:1], *range(seeds)):
        waves, facts = sounds.vowel_clips(seed, 8)
        y, kind = facts.word.to_numpy(), facts.kind.to_numpy()
        number = facts.speaker.str.split().str[1].astype(int).to_numpy()
        train = (kind == "man") & (number <= 4)
        for arm, z in vowel_arms(waves, facts).items():
            for name, model in classifiers().items():
                model.fit(z[train], y[train])
                for test in ("man", "woman", "child"):
                    rows = (kind == test) & (number > 4)
                    found[seed, arm, name, test] = round(float(model.score(z[rows], y[rows])), 4)
    chosen, kept = {}, []
    for arm in dict.fromkeys(a for _, a, _, _ in found):  # by other men's vowels of the tuning draw
        chosen[arm] = max(classifiers(), key=lambda name, arm=arm: found[TUNING[0], arm, name, "man"])
        kept += [dict(arm=arm, test=test, accuracy=[found[seed, arm, chosen[arm], test] for seed in range(seeds)]) for test in ("man", "woman", "child")]
    return dict(vowels=kept, vowels_settings=chosen)


# --- sentences --------------------------------------------------------------------------------------------------------------

def sentence_rows():
    net, rows = whisper.load(), []
    for row in sounds.sentences().itertuples():
        text = whisper.transcribe(net, row.wave)
        rows.append(dict(accent=row.accent, said=row.text, heard=text, errors=round(whisper.word_errors(row.text, text), 4)))
    return dict(sentences=rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--voices", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    args = parser.parse_args()
    ARCHIVE = args.archive
    torch.set_num_threads(1)
    if args.voices: raise SystemExit(voices_main())
    part, before = cache_dir() / "speech.part.json", Path("nbs/results/speech.json")
    found = json.loads(part.read_text()) if part.exists() else {}
    parts = {"known": known_rows, "newcomer": newcomer_rows, "languages": language_rows, "tones": tone_rows, "robots": robot_rows, "layers": layer_rows, "sentences": sentence_rows, "vowels": vowel_rows,
             "finetune": finetune_rows, "pictures": picture_rows}
    if args.only and not found: found = {k: v for k, v in json.loads(before.read_text()).items() if k not in (*args.only, "environment")}
    records.by_parts(part, {name: make for name, make in parts.items() if name not in found}, found, time.time() + args.seconds)
    facts = dict(tuning="recordings 20 to 29 of each digit and person; draws 100 and 101", people_version=recordings.VERSION, people_sha256=recordings.SHA256, robots_sha256=sounds.robots().card["sha256"])
    records.write_result("speech", found | facts)
    part.unlink()
