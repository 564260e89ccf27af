"""Exercises of lesson 10: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np

from transfer_course import speech
from transfer_course.checks import speech as key


def word_errors(said, heard):
    a, b = said.split(), heard.split()
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        before, row = row, [i]
        for j, other in enumerate(b, 1): row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
    return row[-1] / len(a)


def word_mean(states, samples, rate): return np.stack([z[:max(1, -int(-s * 50 // rate))].mean(0) for z, s in zip(states, samples)])


def worst(fit, z, y, speaker):
    shares = key.each_right(fit, z, y, speaker)
    name = min(shares, key=shares.get)
    return name, shares[name]


def best(fit, z, y, speaker):
    shares = key.each_right(fit, z, y, speaker)
    name = max(shares, key=shares.get)
    return name, shares[name]


def on_their_own(fit, z, y, speaker):
    guess = fit(z, y)
    shares = {s: (guess(z[speaker == s]) == y[speaker == s]).mean() for s in np.unique(speaker)}
    name = min(shares, key=shares.get)
    return name, shares[name]


def mean_share(fit, z, y, speaker): return worst(fit, z, y, speaker)[0], np.mean(list(key.each_right(fit, z, y, speaker).values()))


def one_split(fit, z, y, speaker):
    s = speaker[0]
    return s, (fit(z[speaker != s], y[speaker != s])(z[speaker == s]) == y[speaker == s]).mean()


def nearest(men, y, child):
    means = np.stack([np.log(men[y == c]).mean(0) for c in range(10)])
    return ((child[:, None] - means) ** 2).sum(-1)


def vowels_of(men, y, child):
    """One factor for the child: the one that brings its vowels nearest to those of men."""
    far = {factor: nearest(men, y, np.log(child / factor)) for factor in np.linspace(1, 1.6, 61)}
    factor = min(far, key=lambda f: far[f].min(1).sum())
    return far[factor].argmin(1)


def as_men(men, y, child): return nearest(men, y, np.log(child)).argmin(1)


def each_standardised(men, y, child):
    z = speech.by_speaker(np.log(np.vstack([men, child])), np.r_[["men"] * len(men), ["child"] * 6])
    return nearest(np.exp(z[:-6]), y, z[-6:]).argmin(1)


def same_mean(men, y, child):
    z = np.log(child)
    return nearest(men, y, z - z.mean(0) + np.log(men).mean(0)).argmin(1)


RIGHT = {"10-1": word_errors, "10-2": word_mean, "10-3": worst, "10-4": vowels_of}

WRONG = [("10-1", key.place_by_place, "place by place"),
         ("10-1", lambda said, heard: word_errors(said, heard) * len(said.split()), "number of words"),
         ("10-1", lambda said, heard: word_errors(said, heard) * len(said.split()) / max(1, len(heard.split())), "words that were heard"),
         ("10-1", lambda said, heard: sum(w not in heard.split() for w in said.split()) / len(said.split()), "where they stand"),
         ("10-1", lambda said, heard: min(1, word_errors(said, heard)), "above 1"),
         ("10-2", lambda z, s, r: z.mean(1), "silence included"),
         ("10-2", lambda z, s, r: key.right_mean(z, s, r, np.floor), "missing at the end"),
         ("10-2", lambda z, s, r: z[:, :int(np.ceil(max(s) * 50 / r))].mean(1), "same length"),
         ("10-2", lambda z, s, r: z, "was expected"),
         ("10-3", best, "recognised worse"),
         ("10-3", on_their_own, "left out"),
         ("10-3", mean_share, "this speaker alone"),
         ("10-3", one_split, "leave out each"),
         ("10-3", lambda fit, z, y, speaker: worst(fit, z, y, speaker)[0], "a name and a share"),
         ("10-4", as_men, "four of five"),
         ("10-4", each_standardised, "four of five"),
         ("10-4", same_mean, "four of five")]
