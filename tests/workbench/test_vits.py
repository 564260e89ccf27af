"""Networks of today with random weights: ViT, DINOv2, ConvNeXt in stages that give what timm's own functions give."""
import pytest
import timm
import torch

from transfer_course import backbones, finetuning, training
from transfer_course.backbone import tokens_before
from transfer_course.cache import extract_stages
from transfer_course.features import extract
from transfer_course.frozen import split_at
from transfer_course.own_pictures import grad_cam, with_probe
from transfer_course.probes import CommonScaler
from transfer_course.tasks import Task

SMALL = dict(embed_dim=48, depth=6, num_heads=3)
VITS = {"vit_tiny_patch16_224": dict(SMALL, num_classes=5), "vit_small_patch14_dinov2": SMALL, "vit_small_patch14_reg4_dinov2": SMALL,
        "vit_base_patch16_siglip_gap_224": dict(SMALL, num_classes=4)}


def made(name):
    torch.manual_seed(0)
    vit = timm.create_model(name, **VITS[name]).eval()
    net = backbones.from_timm(vit, card=dict(name=name))
    return vit, backbones.set_size(net, 4 * net.preprocess.step)


@pytest.fixture(params=VITS)
def both(request): return made(request.param)


@pytest.fixture
def x(): return torch.randint(256, (5, 3, 70, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_same_scores_and_the_tokens_of_timm(both, x):
    vit, net = both
    assert net.stages == ["embed", "stage1", "stage2", "stage3", "stage4", "top"] and not net.training
    with torch.no_grad():
        pixels = net.preprocess(x)
        torch.testing.assert_close(net(x), vit(pixels))
        torch.testing.assert_close(net.trunk.top(net.trunk[:-1](pixels)), vit.forward_head(vit.forward_features(pixels), pre_logits=True))
        z = pixels
        for stage, block in zip(net.trunk[:5], (None, 1, 3, 4, 5)):
            z = stage(z)
            if block is None: continue
            (patches, *rest), = vit.forward_intermediates(pixels, indices=[block], output_fmt="NLC", intermediates_only=True, return_prefix_tokens=True, norm=False) if vit.num_prefix_tokens \
                else [(vit.forward_intermediates(pixels, indices=[block], output_fmt="NLC", intermediates_only=True, norm=False)[0],)]
            torch.testing.assert_close(z[:, tokens_before(net):], patches)
            if rest: torch.testing.assert_close(z[:, :tokens_before(net)], rest[0])


def test_features_and_their_pooling(both, x):
    vit, net = both
    before = tokens_before(net)
    assert before == vit.num_prefix_tokens
    with torch.no_grad(): z = net.trunk[:3](net.preprocess(x))
    mean = extract(net, x, "stage2", cache=False, progress=False)
    torch.testing.assert_close(mean, z[:, before:].mean(1))
    torch.testing.assert_close(net.features(x, "stage2").detach(), mean)
    torch.testing.assert_close(extract(net, x, "stage2", cache=False, progress=False, pool=4).unflatten(1, (-1, 16)), z[:, before:].transpose(1, 2))
    if before: torch.testing.assert_close(extract(net, x, "stage2", cache=False, progress=False, pool="token"), z[:, 0])
    else:
        with pytest.raises(ValueError, match="no class token"): extract(net, x, "stage2", cache=False, progress=False, pool="token")
    assert net.widths() == dict.fromkeys(net.stages, 48)
    assert extract(net, x, "top", cache=False, progress=False, pool="token").shape == (5, 48)


def test_sizes_are_multiples_of_the_patch(both, x):
    vit, net = both
    step = net.preprocess.step
    assert extract(net, x, "stage1", size=6 * step, cache=False, progress=False).shape == (5, 48)
    with pytest.raises(ValueError, match=f"patches of {step}×{step}"): extract(net, x, size=step + 1, cache=False, progress=False)
    with pytest.raises(ValueError, match="multiple of"): backbones.set_size(net, 5 * step + 1)


def test_it_is_kept_and_a_changed_class_token_is_seen(x, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    vit, net = made("vit_small_patch14_dinov2")
    first = extract_stages(net, x, ["embed", "top"], progress=False)
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2
    with torch.no_grad(): vit.cls_token += 1
    again = extract_stages(net, x, ["embed", "top"], progress=False)
    assert not torch.equal(first["top"], again["top"])


@pytest.fixture
def task(x):
    y = torch.tensor([0, 1, 2, 0, 1])
    return Task("five", x, y, x, y, list("abc"), {}, x, y)


def test_training_frozen_halves_and_no_batchnorm(task):
    _, net = made("vit_small_patch14_dinov2")
    net.replace_head(3).freeze("stage3")
    assert not any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in net.modules())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with finetuning.frozen_bn(net): training.fit(net, task, epochs=2, batch_size=5, lr=1e-3, progress=False)
    moved = {k.split(".")[1] for k, v in net.state_dict().items() if k.startswith("trunk") and not torch.equal(v, before[k])}
    assert moved == {"stage4", "top"}
    front, rest = split_at(net.eval(), "stage2")
    with torch.no_grad(): torch.testing.assert_close(rest(front(task.x_test)), net(task.x_test))
    finetuning.fine_tune(net, task, 1, freeze_epochs=0, lr=1e-4, freeze_upto="stage2", batch_size=5, progress=False)


def test_a_probe_at_a_stage_of_tokens_is_a_head(task):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    _, net = made("vit_small_patch14_reg4_dinov2")
    for stage in ("stage3", "top"):
        z = extract(net, task.x_train, stage, cache=False, progress=False).numpy()
        probe = make_pipeline(CommonScaler(), LogisticRegression(C=1.)).fit(z, task.y_train)
        head = with_probe(net, stage, probe, task.classes)
        with torch.no_grad(): p = head(task.x_test).softmax(1).numpy()
        assert abs(p - probe.predict_proba(z)).max() < 1e-3


def test_weights_are_saved_and_read_again(tmp_path):
    _, net = made("vit_tiny_patch16_224")
    net.save(tmp_path / "w.safetensors", only_weights=True)
    other = made("vit_tiny_patch16_224")[1]
    with torch.no_grad():
        for p in other.parameters(): p.zero_()
    backbones.load_checkpoint(tmp_path / "w.safetensors", into=other)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize(("name", "classes"), [("convnext_atto", 5), ("convnext_tiny.dinov3_lvd1689m", 0)])
def test_convnext(name, classes, x):
    torch.manual_seed(0)
    whole = timm.create_model(name.partition(".")[0], depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=classes).eval()
    net = backbones.from_timm(whole, card=dict(name=name))
    assert net.stages == ["stem", "stage1", "stage2", "stage3", "stage4", "top"]
    x = x[:, :, :64, :64].contiguous()
    with torch.no_grad():
        torch.testing.assert_close(net(x), whole(net.preprocess(x)), atol=1e-4, rtol=1e-4)
        want = whole.forward_head(whole.forward_features(net.preprocess(x)), pre_logits=True)
    torch.testing.assert_close(net.features(x).detach(), want, atol=1e-4, rtol=1e-4)
    assert extract(net, x, "stage2", cache=False, progress=False, pool=2).shape == (5, 4 * 16)
    assert net.replace_head(3)(x).shape == (5, 3)
    assert grad_cam(net, x, torch.zeros(5, dtype=torch.long), "stage4").shape[0] == 5


def test_its_relatives_are_one_stage_and_right():
    vit = timm.create_model("vit_small_patch16_dinov3", embed_dim=48, depth=2, num_heads=3).eval()
    net = backbones.from_timm(vit, card=dict(name="dinov3"))
    x = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    assert net.stages == ["trunk"] and net.preprocess.size == 256
    with torch.no_grad(): torch.testing.assert_close(net(x), vit(net.preprocess(x)), atol=1e-4, rtol=1e-4)
    two = timm.create_model("deit_tiny_distilled_patch16_224", embed_dim=48, depth=2, num_heads=3)
    with pytest.raises(ValueError, match="can't take off"): backbones.from_timm(two)
