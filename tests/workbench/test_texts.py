"""Texts of one's own: what is taken at the door, what is refused, what is left out, cut or unknown and said (once, as a sum)."""
import warnings
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
from harness import refused, rows

from transfer_course import (
    backbones,
    data,
    features,
    finetuning,
    language,
    tally,
    textnets,
    texts,
    training,
    transductive,
    words,
)
from transfer_course.texts import Texts, TextTask

X, KINDS = ["Good.", "Bad.", "Fine."], ["neg", "pos"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@lru_cache
def bert(): return backbones.load("minilm")


def task(x=X, y=("pos", "neg", "pos"), classes=KINDS): return TextTask("t", x, y, X, torch.tensor([1, 0, 1]), classes)


def said(call):
    """The warnings of a call, as texts."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in seen if w.category is UserWarning]


# --- what is taken ------------------------------------------------------------------------------------------------------

LABELS = {"a tensor": torch.tensor([1, 0, 1]), "a tensor of int32": torch.tensor([1, 0, 1], dtype=torch.int32), "a list": [1, 0, 1],
          "an array": np.array([1, 0, 1], dtype=np.uint8), "a Series": pd.Series([1, 0, 1], [7, 8, 9]), "pandas' Int64": pd.Series([1, 0, 1], dtype="Int64"),
          "names": ["pos", "neg", "pos"], "an array of names": np.array(["pos", "neg", "pos"]), "a Series of names": pd.Series(["pos", "neg", "pos"], [7, 8, 9]),
          "a Categorical": pd.Series(["pos", "neg", "pos"], dtype="category")}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_are_taken(y):
    t = task(y=y)
    assert t.y_train.dtype == torch.int64 and t.y_train.tolist() == [1, 0, 1]


SENTENCES = {"a tuple": tuple(X), "an array": np.array(X), "an array of objects": np.array(X, dtype=object), "a Series": pd.Series(X, [7, 8, 9]),
             "pandas' strings": pd.Series(X, dtype="string"), "an index": pd.Index(X)}


@pytest.mark.parametrize("x", SENTENCES.values(), ids=SENTENCES)
def test_sentences_are_taken(x):
    assert task(x=x).x_train == X and isinstance(task(x=x).x_train, Texts)
    assert torch.equal(features.extract(bert(), x, cache=False), features.extract(bert(), X, cache=False))


def test_pictures_take_names_of_classes_as_well():
    t = data.load("digits")
    names = [f"digit {k}" for k in range(10)]
    mine = replace(t, classes=names, y_train=pd.Series([names[k] for k in t.y_train]), y_test=t.y_test.numpy())
    assert torch.equal(mine.y_train, t.y_train) and torch.equal(mine.y_test, t.y_test)


def test_a_probe_takes_names_and_gives_names():
    z, y = np.random.default_rng(0).normal(size=(20, 4)), np.array(["bad", "good"] * 10)
    z[y == "good"] += 3
    for probe in (features.linear_probe(z, pd.Series(y, range(5, 25))), features.knn(z, list(y), np.int64(3))):
        assert (probe.predict(z) == y).all()
    assert (language.self_train(z, y, z).predict(z) == y).all()


def test_self_training_keeps_class_numbers_that_do_not_begin_with_0():
    z, y = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2 + 1
    z[y == 2] += 3
    assert (language.self_train(z, y, z, rounds=2).predict(z) == y).mean() > 0.9


# --- what is refused ----------------------------------------------------------------------------------------------------

TAGGED = [(["Ana", "sleeps"], ["B-PER", "O"])]


def tags(w): return [(w, ["O"] * len(w))]


REFUSED = {
    "a zero-width sentence": (lambda: task(["\u200b", *X[1:]]), ValueError, ["x_train", r"'\u200b' at place 0", "take it out"]),
    "a NUL": (lambda: features.extract(bert(), ["ok", "\x00"]), ValueError, ["x must be a list of sentences", r"'\x00' at place 1"]),
    "a zero-width sentence to the network": (lambda: bert().features(["\u200d\ufeff"]), ValueError, ["at place 0"]),
    "half a character": (lambda: bert().features(["ok \ud83d"]), ValueError, [r"'ok \ud83d' at place 0", "half of a character", "UTF-8"]),
    "NaN in a Series": (lambda: task(pd.Series(["a", np.nan, "b"])), ValueError, ["x_train", "nan at place 1"]),
    "an array of numbers": (lambda: task(np.arange(3)), ValueError, ["x_train", "0 at place 0"]),
    "a label that is no class": (lambda: task(y=["pos", "neg", "po"]), ValueError, ["y_train must hold names of classes", "'po'", "1 of 3", "neg, pos"]),
    "labels of two kinds": (lambda: task(y=["pos", 0, 1]), TypeError, ["y_train must be int64 N", "list ['pos', 0, 1]", "for each"]),
    "labels with a gap": (lambda: task(y=pd.Series([1, None, 0])), TypeError, ["y_train must be int64 N", "Series"]),
    "a topic": (lambda: texts.questions(5), ValueError, ["topics", "got 5", "such as [3, 7]"]),
    "topics that are no whole numbers": (lambda: texts.questions([3.5]), ValueError, ["topics", "whole numbers from 0 to 23"]),
    "a word with a space": (lambda: words.check_tags(tags(["New York", "is"])), ValueError, ["'New York' as word 0 of sentence 0", "make it two words"]),
    "a word with a tab": (lambda: words.tag_task(tags(["is", "a\tb"])), ValueError, [r"'a\tb' as word 1 of sentence 0"]),
    "an empty word": (lambda: words.check_tags([*TAGGED, *tags(["a", ""])]), ValueError, ["'' as word 1 of sentence 1", "take it out"]),
    "a hard space": (lambda: words.word_vectors(bert(), [["a", "\xa0"]]), ValueError, [r"'\xa0' as word 1 of sentence 0"]),
    "a zero-width word": (lambda: words.word_vectors(bert(), [["\u200b"]]), ValueError, [r"'\u200b' as word 0 of sentence 0"]),
    "half a character as a word": (lambda: words.word_vectors(bert(), [["\ud83d"]]), ValueError, [r"'\ud83d' as word 0"]),
    "a sentence without words": (lambda: words.check_tags([([], [])]), ValueError, ["[] as sentence 0", "take the sentence out"]),
    "strings in place of words": (lambda: words.word_vectors(bert(), ["Ana sleeps"]), ValueError, ["'Ana sleeps' as sentence 0", "write text.split()"]),
    "more words than fit": (lambda: words.word_vectors(bert(), [["a"] * 300]), ValueError, ["has 300 words", "reads 254 of them", "shorter"]),
    "more words than fit, to learn": (lambda: language.learn_tags(bert(), [*TAGGED, *tags(["a"] * 300)], 1e-4), ValueError, ["has 300 words", "254"]),
    "sentences to a network of pictures": (lambda: training.fit(backbones.course_net(2), task(), 1), TypeError, ["x must be uint8", "Texts", "minilm"]),
    "adapting a network of pictures": (lambda: transductive.adapt(backbones.course_net(2), task(), task()), TypeError, ["Texts", "minilm"]),
    "adapting texts to pictures": (lambda: transductive.adapt(bert(), task(), two_digits()), ValueError, ["source and target", "text and 1×8×8"]),
    "AdaBN without BatchNorm": (lambda: transductive.learn("AdaBN", bert(), task(), task()), ValueError, ["BatchNorm", "another method"]),
}


def two_digits():
    t = data.load("digits")
    i, j = t.y_train < 2, t.y_test < 2
    return replace(t, classes=KINDS, x_train=t.x_train[i], y_train=t.y_train[i], x_test=t.x_test[j], y_test=t.y_test[j])


@rows(REFUSED)
def test_wrong_texts(call, kinds, words): refused(call, kinds, words)


def test_signs_and_scripts_are_sentences():
    assert texts.Sentences.check("x", ["😀", "…", "很好", "a\u200bb", "é", "¿?"]) == ["😀", "…", "很好", "a\u200bb", "é", "¿?"]
    assert words.check_tags(tags(["1\xa0000", "😀"]))


# --- what is counted and said -------------------------------------------------------------------------------------------

FEEL = ["Great 😀", "Great 😡", "ok"]


def test_unknown_pieces_are_counted():
    [text] = said(lambda: bert().features(FEEL))
    assert "2 of 3 texts hold pieces that this network does not know: 2 of 5 tokens" in text
    assert not said(lambda: bert().features(["Unputdownable!"]))


MANY = {
    "features": lambda: features.extract(bert(), FEEL * 40, batch_size=8, cache=False),
    "features of a lesson": lambda: language.extract(bert(), FEEL * 40, ["layer1"], 8),
    "a network's answers": lambda: language.predict(bert(), FEEL * 40, 8),
}


@pytest.mark.parametrize("call", MANY.values(), ids=MANY)
def test_many_batches_say_it_once_as_a_sum(call):
    [text] = said(call)
    assert "80 of 120 texts hold pieces" in text and "80 of 200 tokens" in text


def test_features_from_the_cache_say_it_as_well():
    call = lambda: features.extract(bert(), FEEL)
    assert len(said(call)) == len(said(call)) == 1


def test_texts_are_read_over_once_in_a_session(monkeypatch):
    """Features that are in the cache need no tokenizer; what there is to say is said all the same."""
    call = lambda: features.extract(bert(), FEEL)
    first, seen, whole = said(call), [], textnets.warn_unread
    monkeypatch.setattr(textnets, "warn_unread", lambda x, *a: seen.append(len(x)) or whole(x, *a))
    assert said(call) == first and 3 not in seen
    with pytest.warns(UserWarning, match="2 of 4 texts hold pieces"): features.extract(bert(), [*FEEL, "other"], cache=False)
    assert 4 in seen


def test_what_is_cut_is_said_once_as_a_sum():
    [text] = said(lambda: features.extract(bert(), ["word " * 300, "one"] * 3, batch_size=2, cache=False))
    assert "3 of 6 texts are longer than 256 tokens: 138 of 903 tokens were cut off" in text


def test_a_training_says_it_once_for_all_epochs_and_phases():
    t = TextTask("t", FEEL, [1, 0, 1], FEEL, [1, 0, 1], KINDS)
    [text] = said(lambda: finetuning.fine_tune(backbones.load("minilm"), t, 3, 1, batch_size=2, progress=False))
    assert "2 of 3 texts hold pieces" in text


def test_an_emoji_among_words_has_a_tag_and_is_said():
    tagger = language.Tagger(backbones.load("minilm"))
    found = []
    [text] = said(lambda: found.extend(language.predict_tags(tagger, [["Great", "😀"]] * 40)))
    assert "1 of 1 texts" in text
    assert {len(t) for t in found} == {2}


def test_notes_end_with_their_block():
    with pytest.raises(ZeroDivisionError), tally.said_once():
        tally.note(len, [("a",)])
        raise ZeroDivisionError
    assert tally.OPEN.get() is None


# --- one's own tables ---------------------------------------------------------------------------------------------------

def test_a_table_with_names_and_other_columns():
    train = pd.DataFrame(dict(review=["Nice!", "Awful.", "So so."], mood=["good", "bad", "fair"]))
    t = texts.to_task(train, train.assign(review=["A", "B", "C"]), "mine", "review", "mood")
    assert t.classes == ["bad", "fair", "good"] and t.y_train.tolist() == [2, 0, 1] and t.y_test.tolist() == [2, 0, 1]


def test_a_table_with_numbers():
    train = pd.DataFrame(dict(text=["a", "b"], label=[0, 1]))
    test = train.assign(text=["c", "d"])
    assert texts.to_task(train, test, "t").classes == ["negative", "positive"]
    assert texts.to_task(train, test, "t", classes=["no", "yes"]).classes == ["no", "yes"]
    stars = texts.to_task(train.assign(label=[1, 5]), test.assign(label=[5, 1]), "t")
    assert stars.classes == ["1", "5"] and stars.y_train.tolist() == [0, 1] and stars.y_test.tolist() == [1, 0]


def test_what_is_left_out_is_counted_and_said():
    train = pd.DataFrame(dict(text=["a", "b", " ", None, "a", "c", "d", "d", "e"], label=["x", "y", "x", "x", "x", None, "x", "y", "y"]))
    test = pd.DataFrame(dict(text=["e", "f", "f"], label=["y", "x", "x"]))
    found = []
    one, two = said(lambda: found.append(texts.to_task(train, test, "t")))
    assert one.startswith("1 of 3 rows of test are left out: 1 with a text that came before")
    for part in ("7 of 9 rows of train", "2 without a readable text", "1 without a label", "1 with a text that came before",
                 "2 with a text that has two labels", "1 with a text of the test part"): assert part in two
    assert found[0].x_train == ["a", "b"] and found[0].x_test == ["e", "f"]


@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_a_file_is_read(tmp_path, sep):
    lines = [f'"Review {i}, NA{sep}"{sep}{"good" if i % 4 else "0"}' for i in range(40)]
    path = tmp_path / "moods.csv"
    path.write_text("\n".join([f"what was said{sep}mood", *lines, f"{sep}good"]), encoding="utf-8-sig")
    found = []
    [text] = said(lambda: found.append(texts.from_csv(path, "what was said", "mood")))
    t = found[0]
    assert "1 of 41 rows of moods.csv are left out: 1 without a readable text" in text
    assert t.name == "moods" and t.classes == ["0", "good"] and (len(t.x_train), len(t.x_test)) == (30, 10)
    assert not set(t.x_train) & set(t.x_test) and all(s.endswith(f"NA{sep}") for s in t.x_train)
    right = {f"Review {i}, NA{sep}": int(i % 4 > 0) for i in range(40)}
    assert [right[s] for s in t.x_train] == t.y_train.tolist() and [right[s] for s in t.x_test] == t.y_test.tolist()
    assert t.y_test.bincount().tolist() in ([2, 8], [3, 7])
    again = language.from_csv(path, "what was said", "mood", test=0.25, seed=np.int64(0))
    assert again.x_test == t.x_test


def test_two_files_are_read(tmp_path):
    for name, texts_ in dict(train="ab", test="cd").items():
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(f"{s},{'xy'[i]}\n" for i, s in enumerate(texts_)))
    t = texts.from_csv(tmp_path / "train.csv", test=tmp_path / "test.csv")
    assert (t.x_train, t.x_test, t.classes) == (["a", "b"], ["c", "d"], ["x", "y"])


def file(folder, text, name="a.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


GOOD = "text,label\n" + "".join(f"t{i},{i % 2}\n" for i in range(12))
FRAME = pd.DataFrame(dict(text=["a", "b"], label=["x", "y"]))
TABLES = {
    "no file": (lambda d: texts.from_csv(d / "b.csv"), FileNotFoundError, ["'b.csv' is not a file"]),
    "another column": (lambda d: texts.from_csv(file(d, GOOD), "txt"), ValueError, ["text must be a column", "'txt'", "did you mean 'text'", "'label'"]),
    "no such label": (lambda d: texts.from_csv(file(d, GOOD), label="zz"), ValueError, ["label must be a column", "'zz'"]),
    "an empty file": (lambda d: texts.from_csv(file(d, "")), ValueError, ["'a.csv' is empty", "first line"]),
    "only a head": (lambda d: texts.from_csv(file(d, "text,label\n")), ValueError, ["a.csv must hold texts with labels", "0 rows"]),
    "latin-1": (lambda d: texts.from_csv(file(d, GOOD.replace("t3", "schön"), encoding="latin-1")), ValueError, ["not in utf-8", "encoding="]),
    "one class": (lambda d: texts.from_csv(file(d, "text,label\na,1\nb,1\n")), ValueError, ["2", "class"]),
    "a share above 1": (lambda d: texts.from_csv(file(d, GOOD), test=20), ValueError, ["test must be a number above 0 and below 1", "20"]),
    "mixed labels": (lambda d: texts.to_task(FRAME.assign(label=["x", 1]), FRAME.assign(text=["c", "d"]), "t"), ValueError, ["label must hold names", "names and whole numbers"]),
    "no table": (lambda d: texts.to_task(["a"], FRAME, "t"), TypeError, ["train must be a DataFrame", "from_csv"]),
    "a label without a name": (lambda d: texts.to_task(FRAME.assign(label=[0, 2]), FRAME.assign(text=["c", "d"], label=[0, 1]), "t", classes=["n", "p"]),
                               ValueError, ["label must be a number from 0 to 1", "[2]"]),
}


@pytest.mark.parametrize("call, kinds, words", TABLES.values(), ids=TABLES)
def test_wrong_tables(call, kinds, words, tmp_path): refused(lambda: call(tmp_path), kinds, words)


# --- fine_tune and adapt ------------------------------------------------------------------------------------------------

def domain(name, n=4): return language.reviews(name).few_shot(n)


def test_fine_tune_works_on_texts_as_it_comes():
    net, t = backbones.load("minilm"), domain("films")
    log = finetuning.fine_tune(net, t, 4, 1, lr=1e-3, batch_size=4, progress=False)
    assert len(log.rows) == 4 and training.accuracy(net, t.x_train, t.y_train) > 0.8


@pytest.mark.parametrize("loss", [transductive.coral, transductive.mcc], ids=["coral", "mcc"])
def test_adapt_works_on_texts(loss):
    net, a, b = backbones.load("minilm").replace_head(2), domain("films"), domain("gadgets")
    before = net.head[-1].weight.clone()
    log = transductive.adapt(net, a, b, loss, epochs=2, lr=1e-4, batch_size=4, progress=False)
    assert len(log.rows) == 2 and not torch.equal(before, net.head[-1].weight)


def test_adapting_texts_without_the_source_and_with_both():
    net, a, b = backbones.load("minilm").replace_head(2), domain("films"), domain("gadgets")
    before = net.head[-1].weight.clone()
    transductive.adapt(net, None, b, transductive.information_maximisation, epochs=1, lr=1e-4, batch_size=4, progress=False)
    assert torch.equal(before, net.head[-1].weight)
    both = transductive.union(a, b)
    assert both.x_train == [*a.x_train, *b.x_train] and both.y_train.tolist() == [*a.y_train, *b.y_train]


# --- brothers: nearly the same text, nearly the same class, a class of the test part alone ------------------------------------

def frame(text, label): return pd.DataFrame(dict(text=text, label=label))


def test_texts_that_differ_in_spaces_or_capitals_are_one():
    """The network reads both as the same tokens: a training text in the test part would be a right answer for nothing."""
    with pytest.warns(UserWarning, match="1 of 3 rows of train are left out: 1 with a text of the test part"):
        task = texts.to_task(frame(["a  Good day", "b", "c"], ["x", "y", "x"]), frame(["A good Day ", "d"], ["x", "y"]), "t")
    assert list(task.x_train) == ["b", "c"]
    with pytest.warns(UserWarning, match="2 of 4 rows of train are left out: 2 with a text that has two labels"):
        texts.to_task(frame(["No", "no ", "c", "e"], ["x", "y", "x", "y"]), frame(["d"], ["y"]), "t")


def test_whole_floats_are_class_numbers():
    """As pandas reads 0, 1 and an empty cell."""
    with pytest.warns(UserWarning, match="1 of 3 rows of train are left out: 1 without a label"):
        task = texts.to_task(frame(["a", "b", "c"], [0, 1, None]), frame(["d"], [1.0]), "t")
    assert task.y_train.tolist() == [0, 1] and task.classes == ["negative", "positive"]


def test_a_class_of_the_test_part_alone_is_said():
    with pytest.warns(UserWarning, match="t has classes that stand in its test part alone, nobody can learn them: 'z'"):
        texts.to_task(frame(["a", "b"], ["x", "y"]), frame(["c", "d"], ["x", "z"]), "t")


def test_classes_of_nearly_one_name_are_said(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,Pos\nb,pos\nc,Pos\nd,pos\n")
    with pytest.warns(UserWarning, match="classes that differ in capital letters alone: 'Pos' and 'pos'"):
        assert texts.from_csv(tmp_path / "a.csv", test=0.5).classes == ["Pos", "pos"]


def test_tags_that_are_not_counted_are_refused():
    """F1 over people, places and organisations was 0 for a right answer about others."""
    for right, guessed in (([["B-MISC"]], [["B-MISC"]]), ([["O"]], [["b-loc"]])):
        with pytest.raises(ValueError, match="must hold tags of O, B-PER"): language.entity_f1(right, guessed)
