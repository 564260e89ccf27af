"""The language lesson's tools against other formulations, and the texts that the course brings."""
import json
import warnings
from functools import lru_cache
from importlib.resources import files

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from transfer_course import backbones, finetuning, language, training
from transfer_course.files import cache_dir

TEXTS = ["Good.", "A long and winding tale about a goose that learned to dance.", "Bad, bad, bad!", "I would watch it again tomorrow."]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch): monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))


@lru_cache
def bert(): return backbones.load("minilm")
@lru_cache
def reviews(): return language.review_table()


def card(name): return json.loads((files("transfer_course") / "texts" / f"{name}.json").read_text(encoding="utf-8"))


# --- the texts ----------------------------------------------------------------------------------------------------------

def test_reviews_are_as_their_card_says():
    t, facts = reviews(), card("reviews")
    assert len(t) == facts["reviews"] >= 600 and t.id.is_unique and t.text.is_unique
    assert t.domain.value_counts().to_dict() == facts["per_domain"] and t.label.sum() == facts["positive"] == len(t) / 2
    marks = t.marks.str.split(",").explode().value_counts().drop("").to_dict()
    assert marks | {"any": int((t.marks != "").sum())} == facts["marks"]
    assert facts["second_pass"]["removed"] == facts["second_pass"]["reviews"] - len(t)


def test_no_two_reviews_are_nearly_the_same():
    z = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit_transform(reviews().text)
    similar = (z @ z.T).toarray() - np.eye(z.shape[0])
    assert similar.max() < 0.6, reviews().text.iloc[list(np.unravel_index(similar.argmax(), similar.shape))].tolist()


def test_counting_words_does_not_solve_the_reviews():
    t = reviews().sample(frac=1, random_state=0)
    score = cross_val_score(make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression()), t.text, t.label, cv=5).mean()
    assert 0.6 < score <= 0.85


def test_the_split_is_fixed_and_even():
    t, task = reviews(), language.reviews()
    counts = t[t.part == "test"].groupby(["domain", "label"]).size()
    assert counts.max() - counts.min() <= 1 and len(task.x_test) == counts.sum() and not set(task.x_train) & set(task.x_test)
    assert sorted(len(language.reviews(d).x_train) for d in ("films", "gadgets", "restaurants")) == sorted(t[t.part == "train"].domain.value_counts())


def test_entities_are_as_their_card_says():
    sentences, facts = language.check_tags(language.entities()), card("entities")
    assert len(sentences) == facts["sentences"] and sum(len(w) for w, _ in sentences) == facts["tokens"]
    begins = [t[2:] for _, tags in sentences for t in tags if t[0] == "B"]
    assert {k: begins.count(k) for k in ("PER", "LOC", "ORG")} == facts["entities"]


def test_questions_are_as_their_card_says():
    t, facts, task = language.table("questions"), card("questions"), language.questions()
    assert len(t) == facts["sentences"] and t.topic.nunique() == facts["texts"] and len(task.x_test) == facts["questions"]
    assert (t.groupby("topic").size() == 5).all() and 0.1 < language.choose_by_words(task) < 0.7
    two = language.questions([3, 7])
    assert set(two.x_train) < set(task.x_train) and all(s.count("\t") == 5 for s in two.x_train)


@pytest.mark.parametrize("name", ["reviews", "entities", "questions"])
def test_a_card_says_where_the_texts_come_from(name):
    text = json.dumps(card(name))
    assert "written for this course" in text and "not collected from people" in text and " hand" not in text


# --- tasks of texts -------------------------------------------------------------------------------------------------------

def test_several_texts_at_once():
    x = language.Texts("abcdef")
    assert x[torch.tensor([2, 0])] == ["c", "a"] and x[[5]] == ["f"] and x[1:3] == ["b", "c"] and x[-1] == "f" and x[torch.tensor(1)] == "b"
    assert [len(p) for p in x.split(4)] == [4, 2] and all(isinstance(p, language.Texts) for p in x.split(4))


def test_few_shot_and_split_keep_texts_and_labels_together():
    task = language.reviews()
    right = dict(zip(task.x_train, task.y_train.tolist()))
    few, two = task.few_shot(5, seed=1), task.split(0.2, seed=1)
    assert few.y_train.bincount().tolist() == [5, 5] and all(right[x] == y for x, y in zip(few.x_train, few.y_train.tolist()))
    assert len(two.x_train) + len(two.x_valid) == len(task.x_train) and all(right[x] == y for x, y in zip(two.x_valid, two.y_valid.tolist()))
    assert "TextTask" in repr(two) and "valid" in repr(two)


# --- features and predictions -----------------------------------------------------------------------------------------------

def test_order_and_padding_change_nothing():
    net = backbones.load("minilm").replace_head(3)
    alone = torch.cat([language.predict(net, [s]) for s in TEXTS])
    assert torch.allclose(language.predict(net, TEXTS), alone, atol=1e-5)
    assert torch.allclose(language.predict(net, TEXTS[::-1], batch_size=3), alone.flip(0), atol=1e-5)


def test_features_of_all_stages_are_the_means_over_tokens():
    found = language.extract(bert(), TEXTS)
    assert list(found) == bert().stages
    t = bert().preprocess(TEXTS[1:2])
    with torch.inference_mode(): hidden = bert().trunk(**t, output_hidden_states=True).hidden_states
    for z, h in zip(found.values(), hidden): assert torch.allclose(z[1], h[0].mean(0), atol=1e-5)


def test_features_come_from_the_cache():
    """A second call writes nothing: the same files, untouched. (A changed `forward` would rightly be another network.)"""
    def files(): return {p: p.stat().st_mtime_ns for p in cache_dir().rglob("*.npy")}
    first, kept = language.extract(bert(), TEXTS, ["layer2"]), files()
    assert kept and torch.equal(language.extract(bert(), TEXTS, ["layer2"])["layer2"], first["layer2"])
    assert files() == kept


def test_pieces_end_to_end():
    t = language.pieces(bert(), "Unputdownable!")
    assert t.piece.iloc[0] == "[CLS]" and t.piece.iloc[-1] == "[SEP]" and "".join(t.piece[1:-2]).replace("##", "") == "unputdownable"


def test_a_text_over_the_limit_is_announced():
    with pytest.warns(UserWarning, match=r"1 of 2 texts is longer than 256 tokens: 46 of 301 tokens were cut off"): bert().features(["word " * 300, "one"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bert().features(["word " * 254])


# --- adapting -----------------------------------------------------------------------------------------------------------------

def tiny(): return language.TextTask("tiny", TEXTS, torch.tensor([1, 1, 0, 1]), TEXTS, torch.tensor([1, 1, 0, 1]), ["no", "yes"])


def state(net): return {k: v.clone() for k, v in net.state_dict().items()}


def test_fine_tune_freezes_layers_of_text():
    net = backbones.load("minilm")
    before = state(net.trunk)
    finetuning.fine_tune(net, tiny(), 1, 0, lr=1e-3, freeze_upto="layer5", cache=False, batch_size=4)
    moved = {k for k, v in net.trunk.state_dict().items() if not torch.equal(v, before[k])}
    assert moved and all(k.startswith("encoder.layer.5") for k in moved)


def test_lora_changes_its_additions_and_the_head_alone():
    net = backbones.load("minilm").replace_head(2)
    before, z = state(net), language.predict(net, TEXTS)
    language.add_lora(net, rank=4)
    assert torch.allclose(language.predict(net, TEXTS), z, atol=1e-6)
    assert language.learning(net) == 6 * 2 * 2 * 4 * 384 + 2 * 385
    training.fit(net, tiny(), 2, 1e-2, batch_size=4)
    after = {k.replace(".base_layer", ""): v for k, v in net.state_dict().items()}
    assert {k for k in before if not torch.equal(before[k], after[k])} <= {k for k in before if k.startswith("head")}
    assert not torch.allclose(language.predict(net, TEXTS), z, atol=1e-3)


def test_random_weights_are_random_and_seeded():
    a, b, c = (language.random_weights(s).trunk.state_dict() for s in (0, 0, 1))
    k = "encoder.layer.3.attention.self.query.weight"
    assert torch.equal(a[k], b[k]) and not torch.equal(a[k], c[k]) and a[k].shape == bert().trunk.state_dict()[k].shape


# --- questions ------------------------------------------------------------------------------------------------------------------

def test_the_selector_scores_by_cosine():
    parts = ["Who sings?", *TEXTS, "The choir sings."]
    scores = language.predict(language.AnswerSelector(backbones.load("minilm")), ["\t".join(parts)])
    z = bert().features(parts)
    assert torch.allclose(scores[0], 20 * F.cosine_similarity(z[1:], z[:1]), atol=1e-3) and scores.argmax() == 4


def test_best_span_is_the_best_of_all():
    g = torch.Generator().manual_seed(0)
    for longest in (1, 3, 9):
        s, e = torch.randn(2, 9, generator=g)
        brute = max(((i, j) for i in range(9) for j in range(i, min(9, i + longest))), key=lambda p: s[p[0]] + e[p[1]])
        assert language.best_span(s, e, longest) == brute


def test_a_span_is_a_part_of_the_text():
    from transformers import BertConfig, BertForQuestionAnswering
    torch.manual_seed(0)
    net = BertForQuestionAnswering(BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)).eval()
    text = "The oven came from her grandfather."
    span = language.span_of(net, bert().preprocess.func, "Who had it first?", text)
    assert span and span in text


# --- beside transformers ----------------------------------------------------------------------------------------------------------

def test_fit_takes_a_classifier_of_transformers():
    net = language.Scores(language.bert_classifier(seed=1), bert().preprocess)
    log = training.fit(net, tiny(), 3, 1e-3, batch_size=4)
    assert log.rows[-1]["loss"] < log.rows[0]["loss"] and language.predict(net, TEXTS).shape == (4, 2)


def test_parts_of_a_batch_give_the_same_gradient():
    net, x, y = backbones.load("minilm").replace_head(2), language.Texts(TEXTS), torch.tensor([1, 0, 0, 1])
    grads = []
    for objective in (training.cross_entropy, language.micro_batches):
        net.zero_grad()
        objective(net, x, y).backward()
        grads.append(net.trunk.encoder.layer[2].output.dense.weight.grad.clone())
    assert torch.allclose(*grads, atol=1e-6) and grads[0].abs().max() > 1e-5


# --- pairs, and choices among few labels ------------------------------------------------------------------------------------------

def test_pairs_against_a_loop():
    z, y = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0, 2, 2, 1])
    pairs = [(F.cosine_similarity(z[i], z[j], dim=0) - float(y[i] == y[j])) ** 2 for i in range(7) for j in range(i)]
    assert torch.isclose(language.pull_together(torch.nn.Identity(), z, y), torch.stack(pairs).mean(), atol=1e-6)


def test_the_layer_that_knows_is_chosen():
    """Noise at one stage, the answer at the other: the labels themselves tell which, also with four per class."""
    g, y = np.random.default_rng(0), np.arange(8) % 2
    z = {"noise": g.normal(size=(8, 6)), "signal": g.normal(size=(8, 6)) * 0.3 + 2 * y[:, None]}
    stage, probe = language.chosen_probe(z, y)
    assert stage == "signal" and probe.score(z["signal"], y) == 1


def test_counted_words_choose_their_strength():
    texts, y = ["good film", "good book", "good day", "bad film", "bad book", "bad day"], [1, 1, 1, 0, 0, 0]
    model = language.chosen_bag(texts, y)
    assert model[-1].C in language.STRENGTHS["logisticregression__C"] and model.predict(["good"]).tolist() == [1]


def test_contrastive_moves_classes_apart():
    four = language.reviews().few_shot(2, seed=0)
    net, probe = language.contrastive(four, 1e-3, seed=0, steps=4)
    z = F.normalize(net.features(list(four.x_train)).detach(), dim=1)
    old = F.normalize(bert().features(list(four.x_train)).detach(), dim=1)
    same = four.y_train[:, None] == four.y_train
    def gap(v): return (v @ v.T)[same].mean() - (v @ v.T)[~same].mean()
    assert gap(z) > gap(old) + 0.02 and probe.score(net.features(list(four.x_train)).detach().numpy(), four.y_train) >= 0.5
