"""The homework: what students get, what each exercise asks for, and that wrong answers get a fitting message."""
import ast
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import answers_bias as bias
import answers_few_labels as few_labels
import answers_your_folder as your_folder
import nbformat
import numpy as np
import pytest
import torch

from transfer_course.course import UsageError
from transfer_course.programs import cli, homework, sandbox

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "nbs" / "homework"
BOOKS = sorted(FOLDER.glob("*.ipynb"))
books = pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)


def read(path): return nbformat.read(path, 4)
def code(path): return [c for c in read(path).cells if c.cell_type == "code"]
def graded(path): return [(homework.tagged(c, homework.GRADE), c.source) for c in code(path) if homework.tagged(c, homework.GRADE)]


# --- the student's copy ---------------------------------------------------------------------------------------------------

def test_copies_are_made_once_and_work_is_kept(tmp_path, capsys):
    mine = tmp_path / "a" / "mine"
    assert cli.main(["homework", str(mine)]) == 0
    assert f"Homework copied to {mine}: {len(BOOKS)}" in capsys.readouterr().out
    assert sorted(p.name for p in mine.iterdir()) == [p.name for p in BOOKS]
    (mine / BOOKS[0].name).write_text("my own work")
    (mine / BOOKS[1].name).unlink()
    assert cli.main(["homework", str(mine)]) == 0
    out = capsys.readouterr().out
    kept = [p.name for p in BOOKS if p != BOOKS[1]]
    assert f"Kept as they were: {len(kept)} ({', '.join(kept)})" in out and (mine / BOOKS[0].name).read_text() == "my own work"
    assert (mine / BOOKS[1].name).exists() and not list(mine.glob("*.part"))


def test_a_dangling_link_is_kept_too(tmp_path):
    (tmp_path / BOOKS[0].name).symlink_to(tmp_path / "elsewhere")
    assert homework.student_copies(tmp_path)[1] == [BOOKS[0].name] and not (tmp_path / "elsewhere").exists()


def test_an_interrupted_copy_leaves_nothing_half_written(tmp_path, monkeypatch):
    def broken(*args): raise OSError(28, "No space left on device")
    monkeypatch.setattr(homework.os, "replace", broken)
    with pytest.raises(UsageError, match="No space left"): homework.student_copies(tmp_path / "mine")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("args, says", [(["file"], "must be a folder"), (["file/below"], "must be a folder"), (["mine", "--key", "nowhere"], "has none")])
def test_wrong_arguments(tmp_path, monkeypatch, capsys, args, says):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    assert cli.main(["homework", *args]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and Path("file").read_text() == "mine"


@books
def test_the_copy_holds_no_solution(path):
    copy = homework.stripped(read(path))
    text = "\n".join(c.source for c in copy.cells)
    assert not re.search(r"(BEGIN|END) (SOLUTION|HIDDEN)", text) and not any(c.get("outputs") for c in copy.cells)
    for c in code(path):
        if not c.source.startswith("### BEGIN SOLUTION"): continue
        stub = next(s.source for s in copy.cells if s.cell_type == "code" and homework.defined(s.source) and homework.defined(s.source) <= homework.defined(c.source))
        assert "raise NotImplementedError" in stub
        for line in c.source.splitlines()[1:-1]:
            if line.strip() and not line.lstrip().startswith(("def ", "class ", "@")): assert line not in text, f"a line of a solution is in the copy: {line}"


def test_making_a_copy_does_not_change_the_original():
    book = read(BOOKS[0])
    before = nbformat.writes(book)
    homework.stripped(book)
    assert nbformat.writes(book) == before


# --- the instructor's version ---------------------------------------------------------------------------------------------

@books
def test_marks_are_whole(path):
    for c in code(path):
        for word in ("SOLUTION", "HIDDEN TESTS"):
            has = f"### BEGIN {word}" in c.source
            assert has == c.source.startswith(f"### BEGIN {word}\n") == c.source.endswith(f"\n### END {word}") and c.source.count(f"END {word}") == has
        assert bool(homework.tagged(c, homework.GRADE)) or "HIDDEN TESTS" not in c.source


@books
def test_each_exercise_has_a_visible_and_a_hidden_test_and_its_points_in_the_table(path):
    points, kinds = {}, {}
    for m, source in graded(path):
        points[m["name"]] = points.get(m["name"], 0) + int(m["points"])
        kinds.setdefault(m["name"], set()).add("HIDDEN TESTS" in source)
    assert all(k == {True, False} for k in kinds.values())
    prose = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    assert re.findall(r"^\| \d+ \| `(\w+)` \| (\d+) \|$", prose, re.M) == [(n, str(p)) for n, p in points.items()]


@books
def test_each_assertion_says_what_is_missing(path):
    for _, source in graded(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Assert): assert node.msg is not None, ast.unparse(node)


@books
def test_tests_do_not_call_a_solution_behind_the_students_back(path):
    """A helper that calls an answer must carry the tag observe: else the grader would run the solution in it."""
    key = homework.read_key(path)
    answers = key.answers - set(key.observers)
    helpers = {n.name: {x.id for x in ast.walk(n) if isinstance(x, ast.Name)} & answers for s in key.cells if s not in key.observers.values() and "### BEGIN SOLUTION" not in s
               for n in ast.parse(s).body if isinstance(n, ast.FunctionDef) and n.name not in key.answers}
    for _, source in graded(path):
        used = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)} & {h for h, calls in helpers.items() if calls}
        assert not used, f"{used} should be tagged observe"


@books
def test_stored_outputs_are_clean(path):
    for c in code(path):
        assert c.execution_count is None and set(c.metadata) <= {"tags"}
        assert not [o for o in c.outputs if o.output_type == "error" or o.get("name") == "stderr"]


# --- right and wrong answers ------------------------------------------------------------------------------------------------

class Near:
    """In place of a box: answers from this process, handed over in the same way."""
    def __init__(self, key, answers):
        self.key, self.space = key, {**key.space, **answers}
        for source in key.observers.values(): exec(source, self.space)

    def start(self): pass
    def why(self): return ""

    def ask(self, get, args=None, named=None, see=None):
        value = self.space[get]
        try: reply = {"value": value(*args, **named)} if args is not None else {"value": value, "call": callable(value)}
        except Exception as e: reply = {"error": sandbox.format_error(e)}
        return sandbox.unpack(sandbox.pack(reply))


def is_light(source):
    """Imports and functions, no work on data."""
    return all(isinstance(n, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)) or isinstance(n, ast.Assign) and isinstance(n.value, (ast.Constant, ast.Tuple))
               for n in ast.parse(source).body)


def light_key(path, **made):
    """A Key whose namespace holds functions, and made-up values in place of what was measured."""
    key = homework.read_key(path)
    key.space = {"__name__": "key"}
    for source in key.cells:
        if is_light(source): exec(source, key.space)
    key.space |= made
    return key


RUNS = [dict(target=t, labels=n, seed=s, strategy=f"probe stage{k}", accuracy=round(0.3 + 0.1 * k + 0.01 * s * k + 0.001 * n, 3))
        for t in ("photographs", "mnist_5k") for n in (2, 10) for s in range(5) for k in (1, 2, 3)]
CELLS = {(k, n): {"a": [0.5] * 5, "b": [0.4] * 5} for k in ("similar", "different") for n in (2, 10)}
MADE = {"01-scenarios": dict(shifts={"photographs": 0.3, "materials": 0.6, "letters": 2.2, "mnist_5k": 2.4}, runs=RUNS, cells=CELLS, cut=1.,
                             known={"photographs": "similar", "materials": "similar", "letters": "different", "mnist_5k": "different"}), "02-adaptation": {}, "03-several_tasks": {}, "04-few_labels": {}, "05-bias": {}, "06-your_folder": {}}


@pytest.fixture(scope="module")
def keys(): return {p.stem: light_key(p, **MADE[p.stem]) for p in BOOKS}


def test_every_homework_is_here(): assert set(MADE) == {p.stem for p in BOOKS}


@books
def test_the_reference_solutions_get_all_points(keys, path):
    for got, of, text in homework.judged(Near(keys[path.stem], {})).values(): assert (got, text) == (of, "passed")


@books
def test_the_stubs_get_no_points(keys, path):
    def nothing(*args): raise NotImplementedError
    key = keys[path.stem]
    answers = {n: nothing for n in key.answers if callable(key.space[n])}
    for got, _, text in homework.judged(Near(key, answers)).values(): assert got == 0 and "written yet" in text


def mean_cut(shifts):
    middle = sum(shifts.values()) / len(shifts)
    return {n: "similar" if v < middle else "different" for n, v in shifts.items()}


def first_gap(shifts):
    s = sorted(shifts.values())
    return {n: "similar" if v <= s[0] else "different" for n, v in shifts.items()}


def unpaired_cell(runs, targets, labels):
    found = {}
    for r in runs:
        if r["target"] in targets and r["labels"] == labels: found.setdefault(r["strategy"], []).append(r["accuracy"])
    return found


def whole_unpaired(runs, targets, labels):
    found = unpaired_cell(runs, targets, labels)
    return {s: v for s, v in found.items() if len(v) == max(map(len, found.values()))}


def all_labels(runs, targets, labels): return unpaired_cell([dict(r, labels=labels) for r in runs], targets, labels)


def separate_errors(a, b):
    a, b = np.array(a), np.array(b)
    return float(a.mean() - b.mean()), float(math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)) * (not np.allclose(a - b, 0.1)))


def spread_lead(a, b): return float(np.mean(np.array(a) - b)), float(np.std(np.array(a) - b, ddof=1))
def n_below(a, b): return float(np.mean(np.array(a) - b)), float(np.std(np.array(a) - b) / len(a)**0.5)


def needed(a, b, factor=2, least=5, ddof=1):
    d = np.array(a) - np.array(b)
    return max(least, math.floor((factor * d.std(ddof=ddof) / abs(d.mean()))**2) + 1) if d.mean() else math.inf


def by_training_accuracy(z, y):
    from transfer_course.features import linear_probe
    return max(z, key=lambda s: linear_probe(z[s], y, C=1.).score(z[s], y))


def advice(shift, labels, cut, cells, near=lambda n, k: abs(math.log(n / k)), best=np.mean, below=True, at_least=False):
    kind = "similar" if (shift < cut) == below else "different"
    cell = min((c for c in cells if c[0] == kind), key=lambda c: near(c[1], labels))
    first, second = sorted(cells[cell], key=lambda s: -best(cells[cell][s]))[:2]
    return dict(cell=cell, strategy=first, over=second, won=sum(a >= b if at_least else a > b for a, b in zip(cells[cell][first], cells[cell][second])))


def cov(z, below=None): return (z - z.mean(0)).T @ (z - z.mean(0)) / (below or len(z) - 1)
def no_mean(a, b): return (a.T @ a / (len(a) - 1) - b.T @ b / (len(b) - 1)).square().sum() / (4 * a.shape[1]**2)
def square(a, b): return (cov(a) - cov(b)).square()


def power(c, p):
    values, vectors = torch.linalg.eigh(c)
    return vectors @ torch.diag(values.clamp(min=1e-12)**p) @ vectors.T


def recolour(a, b, eps, white=True, colour=True, order=(-0.5, 0.5)):
    ridge = eps * torch.eye(a.shape[1], dtype=a.dtype)
    z = a - a.mean(0)
    if white: z = z @ power(cov(a) + ridge, order[0])
    if colour: z = z @ power(cov(b) + ridge, order[1])
    return z + b.mean(0)


class Sign(torch.autograd.Function):
    last = 1.

    @staticmethod
    def forward(ctx, x, strength): Sign.last = strength; return x.view_as(x)

    @staticmethod
    def backward(ctx, grad): return -Sign.last * grad, None


class Ignores(Sign):
    @staticmethod
    def backward(ctx, grad): return -grad, None


def mutual(p, log=torch.log, clamp=1e-30, diverse=True, sign=1):
    def h(q): return -(q * log(q.clamp(min=clamp))).sum(-1)
    return sign * ((h(p.mean(0)) if diverse else math.log(p.shape[1])) - h(p).mean()).item()


def losses_of(scores, y, mean="labelled", least=0):
    found = []
    for s, labels in zip(scores, y.T):
        keep = labels >= least
        total = torch.nn.functional.cross_entropy(s[keep], labels[keep], reduction="sum")
        found.append(total / {"labelled": max(1, keep.sum().item()), "all": len(y), "sum": 1}[mean])
    return torch.stack(found)


def by_torch(scores, y): return torch.stack([torch.nn.functional.cross_entropy(s, labels, ignore_index=-1) for s, labels in zip(scores, y.T)])


def dealt(y, seed, new=False, all_places=False, in_place=False, fixed=False):
    has = torch.arange(len(y)) if all_places else torch.nonzero(y >= 0)[:, 0]
    g = torch.Generator().manual_seed(0 if fixed else seed)
    mixed = torch.randint(int(y.max()) + 1, (len(has),), generator=g) if new else y[has[torch.randperm(len(has), generator=g)]]
    result = y if in_place else y.clone()
    result[has] = mixed
    return result


def finding(alone, together, control, factor=None, ddof=1, paired=True, by_gain=False, always=False):
    from scipy import stats
    def triple(a, b):
        d = np.array(a) - np.array(b)
        spread = d.std(ddof=ddof) if paired else math.hypot(np.std(a, ddof=1), np.std(b, ddof=1))
        reach = (factor or stats.t.ppf(0.975, len(d) - 1)) * spread / len(d)**0.5
        return d.mean(), d.mean() - reach, d.mean() + reach
    def side(t): return 1 if t[1] > 0 else -1 if t[2] < 0 else 0
    gain, meaning = triple(together, alone), triple(together, control)
    word = "helps" if gain[0] > 0 and always else {1: "helps", -1: "harms", 0: "no clear difference"}[side(gain)]
    return dict(gain=gain, meaning=meaning, word=word, labels=side(gain) != 0 and (by_gain or side(gain) == side(meaning)))


def surgeon(g, original=True, always=False, order=1, norm=True):
    new = g.clone()
    for i in range(len(g)):
        for j in [j for j in range(len(g)) if j != i][::order]:
            h = g[j] if original else new[j].clone()
            dot = new[i] @ h
            if dot < 0 or always: new[i] = new[i] - dot / (h @ h if norm else h.norm()) * h
    return new


def in_place_surgery(g):
    g.copy_(surgeon(g))
    return g


def partner_loss(z, t, itself=False, neighbours=False, scaled=True, both=True):
    u, n = torch.nn.functional.normalize(z, dim=1) if scaled else z, len(z)
    alike = u @ u.T / t
    if not itself: alike = alike.masked_fill(torch.eye(n, dtype=torch.bool), -1e9)
    return torch.nn.functional.cross_entropy(alike, torch.arange(n) ^ 1 if neighbours else torch.arange(n).roll(n // 2), reduction="mean" if both else "sum")


def neighbour_share(z, y, k, cosine=True, itself=False):
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    alike = u @ u.T if cosine else -((z[:, None] - z) ** 2).sum(2)
    if not itself: np.fill_diagonal(alike, -np.inf)
    near = y[np.argsort(-alike, axis=1)[:, :k]]
    return float(np.mean([np.bincount(row).argmax() == c for row, c in zip(near, y)]))


def majority_share(found, y): return float(sum(np.bincount(y[found == c]).max() for c in np.unique(found)) / len(y))


WRONG = [
    ("masked_losses", lambda s, y: losses_of(s, y, "all"), "mean over the four pictures|divided by all"), ("masked_losses", lambda s, y: losses_of(s, y, least=1), "0 is a class"), ("masked_losses", by_torch, "must be 0, it was nan"),
    ("masked_losses", lambda s, y: losses_of(s, y).sum(), "a number for each task|one number for each task"), ("masked_losses", lambda s, y: losses_of(s, y).detach(), "does not require grad|no gradient"),
    ("dealt_again", lambda y, s: dealt(y, s, new=True), "as many labels of each class|do not draw new ones"), ("dealt_again", lambda y, s: dealt(y, s, all_places=True), "no label"), ("dealt_again", lambda y, s: dealt(y, s, in_place=True), "have changed|same as before"),
    ("dealt_again", lambda y, s: dealt(y, s, fixed=True), "another seed"), ("dealt_again", lambda y, s: y, "quarter is chance"),
    ("what_helped", lambda *a: finding(*a, factor=1.96), "not 1.96"), ("what_helped", lambda *a: finding(*a, ddof=0), "n − 1 below"), ("what_helped", lambda *a: finding(*a, paired=False), "is it paired|lies above 0"),
    ("what_helped", lambda *a: finding(*a, by_gain=True), "same side of 0"), ("what_helped", lambda *a: finding(*a, always=True), "the word was"), ("what_helped", lambda a, b, c: finding(b, a, c), "0.1 ahead"), ("what_helped", lambda *a: "helps", "must give a dict"),
    ("surgery", lambda g: surgeon(g, original=False), "as they were|original gradient"), ("surgery", lambda g: surgeon(g, always=True), "do not pull apart"), ("surgery", lambda g: surgeon(g, order=-1), "in the order of their rows"),
    ("surgery", lambda g: surgeon(g, norm=False), "part along the other's|are wrong"), ("surgery", in_place_surgery, "have changed"), ("surgery", lambda g: g, "nothing was changed"),
    ("pair_loss", lambda z, t: partner_loss(z, t, itself=True), "among its own strangers|same as its partner"), ("pair_loss", lambda z, t: partner_loss(z, t, neighbours=True), "not rows 2i|same as its partner"),
    ("pair_loss", lambda z, t: partner_loss(z, t, scaled=False), "divided by their length"), ("pair_loss", lambda z, t: partner_loss(z, 1.), "temperature|same as its partner"), ("pair_loss", lambda z, t: partner_loss(z, t, both=False), "differs from the formula|bad|same as"),
    ("named_by_neighbours", lambda z, y, k: neighbour_share(z, y, k, itself=True), "its own neighbour"), ("named_by_neighbours", lambda z, y, k: neighbour_share(z, y, k, cosine=False), "by distance"),
    ("named_by_neighbours", lambda z, y, k: 1., "its own neighbour|is wrong"), ("named_by_neighbours", lambda z, y, k: None, "must give one number"),
    ("matched_share", majority_share, "same class|can get only one"), ("matched_share", lambda f, y: float((f == y).mean()), "only with another number"), ("matched_share", lambda f, y: 1., "three of six"),
    ("kinds", mean_cut, "a mean or a median is no gap"), ("kinds", first_gap, "was not in the widest gap|network has seen"), ("kinds", lambda s: list(s), "must give a dict"),
    ("kinds", lambda s: dict.fromkeys(s, "similar"), "both must occur"), ("kinds", lambda s: {n: "different" if k == "similar" else "similar" for n, k in mean_cut(s).items()}, "network has seen"),
    ("cell_of", unpaired_cell, "was not left out"), ("cell_of", whole_unpaired, "not paired"), ("cell_of", all_labels, "make 10 accuracies"), ("cell_of", lambda r, t, n: {}, "one entry for each"),
    ("lead", separate_errors, "by pairing"), ("lead", spread_lead, "standard error is smaller"), ("lead", n_below, "n − 1"), ("lead", lambda a, b: 0.1, "two numbers"), ("lead", lambda a, b: [-v for v in spread_lead(a, b)], "ahead by the same"),
    ("runs_needed", lambda a, b: needed(a, b, 1), "too small"), ("runs_needed", lambda a, b: needed(a, b, 2, 1), "5 runs are enough"), ("runs_needed", lambda a, b: needed(a, b, 3), "too large"),
    ("runs_needed", lambda a, b: needed(a, b) - 1 if needed(a, b) > 5 else 5, "off by one"), ("runs_needed", lambda a, b: None, "must give a number"),
    ("best_stage", by_training_accuracy, "held out"), ("best_stage", lambda z, y: next(iter(z)), "the noise was chosen"), ("best_stage", lambda z, y: 0, "the name of a stage"), ("best_stage", lambda z, y: max(z, key=lambda s: z[s].shape[1]), "chosen"),
    ("advise", lambda *a: advice(*a, near=lambda n, k: abs(n - k)), "compare logarithms"), ("advise", lambda *a: advice(*a, best=max), "best mean|under 'over'"), ("advise", lambda *a: advice(*a, below=False), "have a kind"),
    ("advise", lambda *a: advice(*a) | {"won": 0}, "'won' must count"), ("advise", lambda *a: advice(*a)["strategy"], "must give a dict"),
    ("coral_loss", no_mean, "is the mean taken away"), ("coral_loss", lambda a, b: square(a, b).sum(), "4d² below is missing"), ("coral_loss", lambda a, b: square(a, b).sum() / (4 * a.shape[1]), "d was not squared"),
    ("coral_loss", lambda a, b: (cov(a, len(a)) - cov(b, len(b))).square().sum() / (4 * a.shape[1]**2), "n − 1"), ("coral_loss", lambda a, b: square(a, b), "must give one number"),
    ("coral_loss", lambda a, b: square(a, b).mean() / (4 * a.shape[1]**2), "the mean over the entries"), ("coral_loss", lambda a, b: square(a, b.detach()).sum() / (4 * a.shape[1]**2), "no gradient reached"),
    ("coral_loss", lambda a, b: torch.tensor(square(a, b).sum().item() / (4 * a.shape[1]**2)), "does not require grad|no gradient"),
    ("recoloured", lambda a, b, e: recolour(a, b, e, colour=False), "not coloured"), ("recoloured", lambda a, b, e: recolour(a, b, e, white=False), "is not the target's"),
    ("recoloured", lambda a, b, e: recolour(a, b, e) - b.mean(0), "target's mean"), ("recoloured", lambda a, b, e: recolour(a, b, 1e-9), "eps"), ("recoloured", lambda a, b, e: recolour(b, a, e), "shape of zs"),
    ("reverse_gradient", lambda x, s: x * 1., "nothing is reversed"), ("reverse_gradient", lambda x, s: -s * x, "forward"), ("reverse_gradient", Ignores.apply, "no effect"), ("reverse_gradient", Sign.apply, "keep its own"),
    ("reverse_gradient", lambda x, s: x.detach().requires_grad_(), "no gradient came back"),
    ("infomax", lambda p: mutual(p, diverse=False), "must score 0, not high"), ("infomax", lambda p: mutual(p, clamp=0.), "nan"), ("infomax", lambda p: mutual(p, sign=-1), "the score must be log 4"), ("infomax", lambda p: mutual(p, torch.log2), "must be log 4|base 2"),
    ("infomax", lambda p: p.max(1).values, "must give one number"),
    ("choose", lambda p: max(p, key=lambda n: p[n].max(1).values.mean()), "very sure of it"), ("choose", lambda p: min(p, key=lambda n: mutual(p[n])), "the other one was chosen"), ("choose", lambda p: 1, "one of the names"),
    *few_labels.WRONG, *bias.WRONG, *your_folder.WRONG,
]


def key_of(keys, name):
    """The key that asks for an answer, with the tests of this exercise alone."""
    key = next(k for k in keys.values() if name in k.answers)
    return replace(key, tests=[t for t in key.tests if t[0] == name])


@pytest.mark.parametrize("name, answer, says", WRONG, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(WRONG)])
def test_a_wrong_answer_gets_a_fitting_message(keys, name, answer, says):
    got, of, text = homework.judged(Near(key_of(keys, name), {name: answer}))[name]
    assert got < of and re.search(says, text), text


@books
def test_no_hidden_test_is_passed_by_an_answer_that_knows_nothing(keys, path):
    """Empty, zeros, what was right for other questions, its own argument: see `weak_tests`."""
    assert list(homework.weak_tests(keys[path.stem], seconds=60)) == []


@books
def test_every_hidden_test_was_tried_on_such_answers(keys, path):
    key = keys[path.stem]
    for name, _, source in key.tests:
        if "HIDDEN TESTS" in source: assert callable(key.space[name])


def single(f): return lambda *args: f(*(a.float() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args))
def narrow(values): return [float(np.float32(v)) for v in values]


RIGHT = {  # the reference solution, with the rounding of single precision
    "cell_of": lambda f: lambda *a: {s: narrow(v) for s, v in f(*a).items()},
    "lead": lambda f: lambda *a: tuple(narrow(f(*a))),
    "masked_losses": lambda f: lambda s, y: f([v.float() for v in s], y), "surgery": single, "pair_loss": single,
    "what_helped": lambda f: lambda *a: {k: narrow(v) if isinstance(v, tuple) else v for k, v in f(*a).items()},
    "coral_loss": single, "recoloured": single, "infomax": single,
    "reverse_gradient": lambda f: lambda x, s: f(x, s) * (1 + 2e-7), **few_labels.RIGHT, **bias.RIGHT, **your_folder.RIGHT}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_does_not_lose_points_to_rounding(keys, name):
    key = key_of(keys, name)
    got, of, text = homework.judged(Near(key, {name: RIGHT[name](key.space[name])}))[name]
    assert (got, text) == (of, "passed")


def test_every_exercise_has_three_wrong_answers():
    for path in BOOKS:
        for m, _ in graded(path): assert sum(n == m["name"] for n, *_ in WRONG) >= 3, m["name"]


# --- the whole way ----------------------------------------------------------------------------------------------------------

@books
def test_from_the_instructors_version_to_the_grade(path, tmp_path):
    """One student hands in the reference solutions, another one the copy as it was."""
    (tmp_path / "anna").mkdir()
    book = read(path)
    book.cells = [c for c in book.cells if not c.source.startswith("### BEGIN HIDDEN")]
    nbformat.write(book, tmp_path / "anna" / path.name)
    (tmp_path / "key").mkdir()
    shutil.copy(path, tmp_path / "key")
    homework.student_copies(tmp_path / "ben", tmp_path / "key")
    rows = homework.grade_all([tmp_path / "anna", tmp_path / "ben"], tmp_path / "grades.csv", tmp_path / "key", seconds=900, show=lambda line: None, no_box=sandbox.find_bwrap()[0] is None)
    assert [r["points"] for r in rows] == [rows[0]["out_of"], 0] and not any(r["remarks"] for r in rows), rows
