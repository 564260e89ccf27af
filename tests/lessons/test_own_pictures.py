"""Lesson 19: right values, against a second formulation or somebody else's library."""
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from transfer_course import backbones, engines, handover, own_folder, own_pictures, sheets, webpage
from transfer_course.backbone import batched
from transfer_course.course import UsageError
from transfer_course.features import one_probe
from transfer_course.pictures import read_picture


def confused(n=400, k=4, seed=0):
    "Probabilities and labels, some of them wrong."
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    scores = 2.5 * np.eye(k)[y] + rng.normal(size=(n, k))
    noisy = np.where(rng.random(n) < 0.15, rng.integers(k, size=n), y)
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True), noisy


@pytest.fixture(scope="module")
def net(): return backbones.load("efficientnet_lite0")


@pytest.fixture(scope="module")
def short(net):
    "EfficientNet up to stage4, with a probe of three classes on random pictures."
    x = torch.randint(256, (30, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = np.arange(30) % 3
    z = batched(lambda v: net.features(v, "stage4"), x).numpy()
    probe = one_probe(z, y, 1.)
    return own_pictures.with_probe(net, "stage4", probe, ["a", "b", "c"]), probe, x, z


# --- splits and intervals ---------------------------------------------------------------------------------------------

def test_no_source_stands_in_two_parts():
    rng = np.random.default_rng(0)
    sources = np.repeat(np.arange(40), rng.integers(2, 9, 40))
    y = sources % 3
    for seed in range(5):
        part = own_pictures.split_by_source(y, sources, seed=seed)
        for s in set(sources): assert len(set(part[sources == s])) == 1
        for p in ("train", "valid", "test"): assert set(y[part == p]) == {0, 1, 2}
        assert 0.5 < (part == "train").mean() < 0.7


def test_other_seeds_other_parts():
    y, sources = np.arange(60) % 2, np.arange(60)
    a, b, again = (own_pictures.split_by_source(y, sources, seed=s) for s in (0, 1, 0))
    assert (a == again).all() and (a != b).any()


def test_interval_by_source_is_as_wide_as_the_sources_differ():
    right, of = np.repeat([1, 0, 1, 1, 0, 1, 1, 1], 20), np.repeat(np.arange(8), 20)
    mean, low, high = own_pictures.interval_by_source(right, of)
    assert mean == pytest.approx(0.75)
    spread = np.sqrt(0.75 * 0.25 / 8)  # eight trials, not 160
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.2)
    _, near, far = own_pictures.interval_by_source(right, np.arange(160))
    assert (far - near) / (2 * 1.96) == pytest.approx(np.sqrt(0.75 * 0.25 / 160), rel=0.1)


def test_power_law_is_found_again():
    n = np.array([2, 5, 11, 40])
    assert own_pictures.power_law(n, 0.8 * n ** -0.4) == pytest.approx((0.8, 0.4))


# --- thresholds, labels, calibration --------------------------------------------------------------------------------------

def test_moved_threshold_is_bayes():
    """Two bells with other shares: the corrected probabilities are those of equal shares."""
    rng = np.random.default_rng(0)
    x, shares = rng.normal(size=200), np.array([0.9, 0.1])
    bells = np.exp(-(x[:, None] - [0, 1.5]) ** 2 / 2)
    p, equal = bells * shares, bells / bells.sum(1, keepdims=True)
    np.testing.assert_allclose(own_pictures.moved_threshold(p / p.sum(1, keepdims=True), shares), equal, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_suspects_are_those_of_cleanlab(seed):
    filters = pytest.importorskip("cleanlab.filter")
    p, y = confused(seed=seed)
    theirs = filters.find_label_issues(y, p, filter_by="confident_learning", n_jobs=1)
    ours = own_pictures.suspects(p, y)
    assert 10 < theirs.sum() and (ours == theirs).all()


def test_calibration_error_of_a_small_table():
    p = np.array([[0.95, 0.05], [0.85, 0.15], [0.85, 0.15], [0.3, 0.7]])
    y = np.array([0, 0, 1, 1])
    # bins of a tenth: 0.95 once and right; 0.85 twice, right once; 0.7 once and right
    assert own_pictures.calibration_error(p, y, bins=10) == pytest.approx((0.05 + 2 * 0.35 + 0.3) / 4)


def test_calibration_error_is_0_where_all_is_sure_and_right():
    assert own_pictures.calibration_error(np.eye(3), np.arange(3)) == 0


def test_temperature_undoes_a_temperature():
    rng = np.random.default_rng(0)
    scores = torch.tensor(2 * rng.normal(size=(20000, 3)), dtype=torch.float32)
    y = torch.multinomial(scores.softmax(1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    assert own_pictures.temperature(3 * scores, y) == pytest.approx(3, rel=0.05)
    slow = min((F.cross_entropy(3 * scores / t, y).item(), t) for t in np.linspace(2.5, 3.5, 101))[1]
    assert own_pictures.temperature(3 * scores, y) == pytest.approx(slow, abs=0.02)


# --- the network ------------------------------------------------------------------------------------------------------------

def test_a_probe_written_into_the_network(short):
    cut, probe, x, z = short
    assert cut.stages[-1] == "stage4" and cut.classes == ["a", "b", "c"]
    np.testing.assert_allclose(batched(cut, x).softmax(1), probe.predict_proba(z), atol=1e-4)


def test_a_probe_of_two_classes_written_into_the_network(net, short):
    _, _, x, z = short
    y = np.arange(30) % 2
    probe = one_probe(z, y, 1.)
    cut = own_pictures.with_probe(net, "stage4", probe, ["a", "b"])
    np.testing.assert_allclose(batched(cut, x).softmax(1), probe.predict_proba(z), atol=1e-4)


def test_the_network_that_was_given_stays_whole(net, short):
    cut = short[0]
    assert net.stages[-1] != "stage4"
    with torch.no_grad(): next(cut.trunk.parameters()).zero_()
    assert next(net.trunk.parameters()).abs().sum() > 0


def test_grad_cam_is_that_of_the_library(net):
    cam = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    x = torch.randint(256, (2, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    y, layer = torch.tensor([3, 7]), net.stage_module("stage5")
    ours = own_pictures.grad_cam(net, x, y, "stage5")
    with cam.GradCAM(_FromNumbers(net), [layer]) as g:
        theirs = g(net.preprocess(x), [targets.ClassifierOutputTarget(int(c)) for c in y])
    for a, b in zip(ours, theirs):
        up = F.interpolate(a[None, None], (128, 128), mode="bilinear")[0, 0].numpy()
        assert np.corrcoef(up.ravel(), b.ravel())[0, 1] > 0.98  # theirs are scaled to 0–1 and enlarged by OpenCV


class _FromNumbers(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, z): return self.net.head(self.net.trunk(z))


def test_grad_cam_of_the_last_stage_by_hand(short):
    """With a mean and a linear head the slope is the weight / (h·w), so the map is a weighted sum: a CAM."""
    cut, _, x, _ = short
    y = torch.tensor([0, 2, 1])
    with torch.no_grad(): z = cut.trunk(cut.preprocess(x[:3]))
    w = cut.head[-1].weight[y] / (z.shape[2] * z.shape[3])
    by_hand = torch.einsum("nd,ndhw->nhw", w, z).clamp(min=0)
    torch.testing.assert_close(own_pictures.grad_cam(cut, x[:3], y), by_hand.detach(), atol=1e-4, rtol=1e-3)


# --- a folder ---------------------------------------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for c in ("ant", "bee"):
        (tmp_path / "set" / c).mkdir(parents=True)
        for s in range(4):
            for i in range(2):
                Image.fromarray(rng.integers(256, size=(20, 24, 3), dtype=np.uint8)).save(tmp_path / "set" / c / f"day{s}_{i}.png")
    return tmp_path / "set"


def test_a_survey(folder):
    table, said = own_folder.survey(folder)
    assert len(table) == 16 and said == []
    assert set(table.width) == {24} and set(table.height) == {20} and set(table["mode"]) == {"RGB"}
    assert table.source.nunique() == 8 and "ant/day0" in set(table.source)
    assert own_folder.with_sources(table)[0].equals(table)


def test_a_survey_with_other_sources(folder):
    table, _ = own_folder.survey(folder, lambda path: path.stem[-1])
    assert table.source.nunique() == 4
    again, said = own_folder.with_sources(table)
    assert again.source.nunique() == 16 and "source of its own" in said[0]


def test_doubles_are_cleaned(folder):
    (folder / "bee" / "copy_0.png").write_bytes((folder / "ant" / "day0_0.png").read_bytes())
    (folder / "bee" / "day0_9.png").write_bytes((folder / "bee" / "day0_1.png").read_bytes())
    table, dropped = own_folder.clean(own_folder.survey(folder)[0])
    assert dropped == {"in two classes": 2, "again": 1} and len(table) == 15


def test_a_folder_that_came_with_a_test_part_keeps_it(folder):
    table, _ = own_folder.survey(folder)
    given = table.assign(part=["train"] * 8 + ["test"] * 8)
    parts = np.array(["valid", "test"] * 8)
    assert own_folder.own_or(given, parts).part.tolist() == ["valid", "train"] * 4 + ["test"] * 8
    assert own_folder.own_or(table, parts).part.tolist() == parts.tolist()


def test_a_folder_as_a_task(folder):
    table, _ = own_folder.survey(folder)
    task = own_folder.folder_as_task(table.assign(part=["train", "valid", "test", "train"] * 4), 16)
    assert task.classes == ["ant", "bee"] and len(task.x_train) == 8 and task.x_valid.shape == (4, 3, 16, 16)
    assert task.y_test.tolist() == [0, 0, 1, 1]


def test_the_example_folder_is_made_once():
    a, b = own_folder.example_folder(), own_folder.example_folder()
    assert a == b and len(list(a.iterdir())) == 8


def test_a_contact_sheet_has_a_row_for_each_class(folder):
    fig = sheets.contact_sheet(own_folder.survey(folder)[0])
    assert [ax.get_ylabel() for ax in fig.axes] == ["ant", "bee"]


# --- handing on ---------------------------------------------------------------------------------------------------------------

@pytest.fixture
def given(short, tmp_path):
    return handover.hand_over(short[0], tmp_path / "out", 64, dict(name="Three letters", flaws="many"), temperature=2.0, unsure=0.4)


def test_what_is_handed_over_answers_the_same(short, given, folder):
    predict, path = handover.predictor(given), folder / "ant" / "day0_0.png"
    name, shares = predict(path)
    scores = batched(short[0], read_picture(path, 64)[0][None]) / 2.0
    assert shares == pytest.approx(dict(zip("abc", scores.softmax(1)[0].tolist())), abs=2e-3)
    assert name == (max(shares, key=shares.get) if max(shares.values()) >= 0.4 else None)
    assert "## flaws" in predict.card and predict.settings["size"] == 64


def test_a_fresh_process_opens_it(given, folder):
    lines = "import sys, transfer_course\nfrom transfer_course.handover import predictor\nprint(predictor(sys.argv[1])(sys.argv[2]))"
    path = folder / "ant" / "day0_0.png"
    done = subprocess.run([sys.executable, "-c", lines, str(given), str(path)], capture_output=True, text=True)
    assert done.stdout.strip() == str(handover.predictor(given)(path)), done.stderr


def test_onnx_gives_the_same(short, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    cut, _, x, _ = short
    path = handover.to_onnx(cut, tmp_path / "net.onnx", 64, temperature=1.5)
    run, right = engines.by_onnxruntime(path), (batched(cut, x) / 1.5).softmax(1)
    for n in (1, 2, 30): torch.testing.assert_close(run(x[:n]), right[:n], atol=1e-4, rtol=0)
    pytest.importorskip("openvino")
    torch.testing.assert_close(engines.by_openvino(path)(x), right, atol=1e-4, rtol=0)


def test_without_the_package_one_sentence(short, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'transfer_course\[fast\]'"): handover.to_onnx(short[0], tmp_path / "net.onnx", 64)
    with pytest.raises(UsageError, match="onnxruntime is not installed"): engines.by_onnxruntime(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="openvino is not installed"): engines.by_openvino(tmp_path / "net.onnx")


# --- a page in a browser ------------------------------------------------------------------------------------------------------

def test_a_page_without_the_runtime(given, monkeypatch, tmp_path):
    monkeypatch.setattr(webpage, "RUNTIME", ("no such file",))
    with pytest.raises(UsageError, match="npm install onnxruntime-web"): webpage.web_page(given)


def test_a_page_without_the_network(given, monkeypatch):
    monkeypatch.setattr(webpage, "runtime_folder", lambda: given)
    with pytest.raises(ValueError, match="network.onnx"): webpage.web_page(given)


def test_the_page_answers_in_a_browser(short, given, folder):
    """Opened from the disk, without a server; where there are Chromium and onnxruntime-web."""
    pytest.importorskip("onnxscript")
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try: webpage.runtime_folder()
    except UsageError as e: pytest.skip(str(e))
    if not chromium: pytest.skip("no Chromium")
    handover.to_onnx(short[0], given / "network.onnx", 64, temperature=2.0)
    page_file, path = webpage.web_page(given, "Which < letter?"), folder / "ant" / "day0_0.png"
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(page_file.as_uri())
        page.wait_for_function("document.getElementById('said').textContent == 'Ready.'", timeout=60000)
        page.set_input_files("#file", str(path))
        page.wait_for_function("document.getElementById('said').textContent.includes('%')", timeout=60000)
        said, title = page.inner_text("#said"), page.inner_text("h1")
        browser.close()
    _, shares = handover.predictor(given)(path)
    seen = {name: int(p) / 100 for name, p in re.findall(r"(\w+) (\d+)%", said)}
    assert title == "Which < letter?" and set(seen) == set(shares)
    for name in seen: assert seen[name] == pytest.approx(shares[name], abs=0.1)
    assert said.startswith("I don't know") == (max(shares.values()) < 0.4)


# --- the checklist ----------------------------------------------------------------------------------------------------------

NOTEBOOK = Path(__file__).parents[2] / "nbs" / "19-own_pictures.ipynb"
OPEN = {"mistakes and suspects looked at, one by one", "tried on pictures taken by somebody else"}  # for the reader to say


def checklist(**changed):
    """The lesson's two cells of the checklist, run on a made folder and run in which all is well, but for what is changed."""
    n = np.arange(120)
    table = pd.DataFrame(dict(name=np.array(["a", "b"])[n % 2], source=n // 2, hash=n, part=np.array(["train", "train", "valid", "test"])[n // 2 % 4]))
    test = np.flatnonzero(table.part == "test")
    y_test = torch.tensor(n % 2)[test]
    sure = F.one_hot(y_test, 2) * 0.8 + 0.1
    world = dict(np=np, pd=pd, MINE="mine", table=table, y=n % 2, test=test, of_sources=[], baseline=(1.0, 0.9, 1.0), found=np.zeros(90, bool), ece=dict(before=0.2, after=0.1),
                 task=SimpleNamespace(y_test=y_test), p_file=sure, no_onnx="", right=torch.ones(len(test), dtype=bool), ok=torch.ones(len(test), dtype=bool), p_odd=torch.full((20, 2), 0.5),
                 answers=lambda p: p.max(1).values >= 0.8)
    world |= {k: v(world[k]) for k, v in changed.items()}
    cells = [c.source for c in nbformat.read(NOTEBOOK, 4).cells if c.source.startswith("of_class") or "\nof_run = {" in c.source]
    assert len(cells) == 2
    for cell in cells: exec(cell, world)
    return {line for line, held in world["checklist"].items() if not held}


def set_(column, value, rows=slice(None)):
    """A change of a table."""
    def change(table):
        table = table.copy()
        table.loc[table.index[rows], column] = value
        return table
    return change


BAD = {"every class is in every part": dict(table=lambda t: t.assign(part=t.part.where((t.part != "valid") | (t.name == "a"), "train"), source=range(len(t)))),
       "no file twice": dict(table=set_("hash", 5, [5, 6])),
       "sources are known": dict(of_sources=lambda _: ["no names of sources were found"]),
       "no source in two parts": dict(table=set_("source", 0, [0, 4])),
       "ten sources or more in the test": dict(test=lambda i: i[:18], right=lambda v: v[:18], ok=lambda v: v[:18], p_file=lambda v: v[:18], task=lambda t: SimpleNamespace(y_test=t.y_test[:18])),
       "whole interval above the commonest class": dict(baseline=lambda _: (1.0, 0.45, 1.0)),
       "fewer than one label in five is suspected": dict(found=lambda v: np.arange(len(v)) % 4 == 0),
       "the temperature makes the test's ECE smaller": dict(ece=lambda _: dict(before=0.1, after=0.2)),
       "of the answers given, 19 in 20 are right": dict(right=lambda v: torch.arange(len(v)) % 10 > 0),
       "fewer than one stranger in ten gets an answer": dict(p_odd=lambda p: torch.tensor([[1.0, 0.0]]).expand(len(p), 2)),
       "the ONNX file is as right as its card says": dict(p_file=lambda p: p.flip(1))}


def test_the_checklist_of_a_good_folder_and_run(): assert checklist() == OPEN


@pytest.mark.parametrize("line", BAD)
def test_each_line_of_the_checklist_can_fail(line): assert checklist(**BAD[line]) == OPEN | {line}


def test_without_onnx_no_file_is_right():
    assert checklist(no_onnx=lambda _: "not installed here", p_file=lambda _: None) == OPEN | {"the ONNX file is as right as its card says"}


def test_no_answer_at_all_is_no_right_answer():
    assert "of the answers given, 19 in 20 are right" in checklist(ok=lambda v: ~v)
