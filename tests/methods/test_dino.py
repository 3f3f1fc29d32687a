"""DINO: its loss, centre, prototypes, temperatures and crops."""

import copy
import math

import pytest
import torch
from lightly.loss import DINOLoss
from oracles.losses import dino as dino_by_hand
from oracles.small_methods import of_preset, small, views_of
from torch import Tensor, nn

from brainssl.methods.dino import DINO, DINOSettings, cross_entropy
from brainssl.methods.heads import ExactLinear, Prototypes
from brainssl.methods.method import Crop, Moment
from brainssl.training.trainer import without_decay


def dino(**own: object) -> DINO:
    method = small("dino", **own)
    assert isinstance(method, DINO)
    return method


def outputs(views: int, n: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random outputs of a student and of a teacher, and a centre."""
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(views, n, k, generator=generator) / 4
    teacher = torch.randn(2, n, k, generator=generator) / 4
    return student, teacher, torch.randn(k, generator=generator) / 4


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("teacher_temperature", [0.04, 0.5])
@pytest.mark.parametrize(("local", "n", "k"), [(0, 1, 3), (1, 4, 5), (6, 3, 16)])
def test_loss_is_the_formula(local: int, n: int, k: int, teacher_temperature: float) -> None:
    student, teacher, centre = outputs(2 + local, n, k)
    temperatures = {"student_temperature": 0.1, "teacher_temperature": teacher_temperature}
    loss = cross_entropy(student, teacher, centre, **temperatures)
    by_hand = dino_by_hand(student, teacher, centre, **temperatures)
    assert loss.item() == pytest.approx(by_hand, abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_loss_gradient_and_centre_agree_with_lightly() -> None:
    """lightly moves its centre inside of the loss, after it, too; its warm-up is not used."""
    reference = DINOLoss(16, teacher_temp=0.04, student_temp=0.1, center_momentum=0.8)
    centre = torch.zeros(16)
    for step in range(3):
        student, teacher, _ = outputs(5, 6, 16, seed=step)
        ours, theirs = student.clone().requires_grad_(), student.clone().requires_grad_()
        loss = cross_entropy(
            ours, teacher, centre, student_temperature=0.1, teacher_temperature=0.04
        )
        expected = reference(list(teacher), list(theirs))
        loss.backward()
        expected.backward()
        torch.testing.assert_close(loss, expected, atol=1e-10, rtol=0)
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-10, rtol=0)
        centre = 0.8 * centre + 0.2 * teacher.mean(dim=(0, 1))
        torch.testing.assert_close(reference.center[0, 0], centre)


def test_loss_stays_float32_under_autocast() -> None:
    student, teacher, centre = outputs(4, 8, 64)
    temperatures = {"student_temperature": 0.1, "teacher_temperature": 0.04}
    exact = cross_entropy(student, teacher, centre, **temperatures)
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy(student, teacher, centre, **temperatures)
    assert loss.dtype == torch.float32
    assert loss.item() == exact.item()


@pytest.mark.parametrize("preset", ["paper", "quick", "reference"])
def test_the_heads_outputs_are_exact_under_autocast(preset: str) -> None:
    """Not only cast to float32: what the last layer does is not rounded to bfloat16."""
    method = of_preset("dino", preset)
    last, heard = method.online[1][-1], list[tuple[Tensor, Tensor]]()
    last.register_forward_hook(lambda _m, given, out: heard.append((given[0], out)))
    view = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        student, teacher = method.online(view), method.teacher(view)
    [(given, out)] = heard
    assert given.dtype == torch.bfloat16, "autocast has not reached the head"
    assert student.dtype == teacher.dtype == torch.float32
    rows, columns, bias = given.double(), last.weight.double(), 0.0
    if preset == "paper":
        bias = last.bias.double()
    else:
        rows, columns = (each / each.norm(dim=1, keepdim=True) for each in (rows, columns))
    # Each of n terms is rounded, and so are their sums: by chance up as often as down.
    terms, n = (rows.square() @ columns.square().T).sqrt(), rows.shape[1]
    rounding = math.sqrt(n) * torch.finfo(torch.float32).eps * terms.max()
    wrong = (out - (rows @ columns.T + bias)).abs().max()
    assert wrong < 2 * rounding
    assert 200 * rounding < torch.finfo(torch.bfloat16).eps * out.abs().max()


class Listener:
    """Keeps what goes into and comes out of the student and the teacher."""

    def __init__(self, method: DINO) -> None:
        self.student: list[tuple[Tensor, Tensor]] = []
        self.teacher: list[tuple[Tensor, Tensor]] = []
        for network, heard in ((method.online, self.student), (method.teacher, self.teacher)):
            network.register_forward_hook(
                lambda _m, given, out, heard=heard: heard.append((given[0], out.detach()))
            )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_the_centre_moves_after_the_loss_has_used_the_old_one(momentum: float) -> None:
    """Closed form: c_k = (1 − m) Σ_i m^(k−1−i) μ_i."""
    method = dino(centre_momentum=momentum)
    heard, means = Listener(method), []
    for step in range(4):
        before = method.centre.clone()
        loss = method.loss(views_of(method, 4, seed=step))
        assert torch.equal(method.centre, before), "a step may still be skipped"
        method.after_step()
        student = torch.cat([out for _, out in heard.student[-2:]]).view(4, 4, -1)
        taught = heard.teacher[-1][1]
        by_hand = dino_by_hand(
            student,
            taught.view(2, 4, -1),
            before,
            student_temperature=0.1,
            teacher_temperature=0.04,
        )
        assert loss.item() == pytest.approx(by_hand, abs=1e-10)
        means.append(taught.mean(dim=0))
        weights = [(1 - momentum) * momentum ** (step - i) for i in range(step + 1)]
        expected = sum(w * mean for w, mean in zip(weights, means, strict=True))
        torch.testing.assert_close(method.centre, expected, atol=1e-6, rtol=1e-5)
    assert (method.centre.abs().max() > 1e-3) == (momentum < 1)


def test_the_centre_is_saved() -> None:
    method, other = dino(), dino(seed=1)
    method.loss(views_of(method, 4))
    method.after_step()
    assert "centre" in method.state_dict()
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.centre, method.centre)
    assert other.centre.any()


def test_local_crops_go_to_the_student_alone() -> None:
    """One forward for each size, and the teacher's BatchNorm sees the global crops alone."""
    method = dino(local_crops=3)
    heard, apart = Listener(method), copy.deepcopy(method.teacher)
    views = views_of(method, 4)
    method.loss(views)
    assert [tuple(given.shape) for given, _ in heard.student] == [(8, 1, 32, 32), (12, 1, 24, 24)]
    assert [tuple(given.shape) for given, _ in heard.teacher] == [(8, 1, 32, 32)]
    assert torch.equal(heard.teacher[0][0], torch.cat(views[:2]))
    apart(torch.cat(views[:2]))
    for name, buffer in method.teacher.named_buffers():
        assert torch.equal(buffer, dict(apart.named_buffers())[name]), name


def test_without_local_crops_there_is_one_forward() -> None:
    method = dino(local_crops=0)
    heard = Listener(method)
    method.loss(views_of(method, 4)).backward()
    assert [tuple(given.shape) for given, _ in heard.student] == [(8, 1, 32, 32)]


def test_crops_are_two_global_ones_and_smaller_local_ones() -> None:
    chosen = DINOSettings(local_crops=6, local_area=(0.05, 0.4), local_scale=0.43)
    crops = DINO.crops(chosen)
    assert crops == (Crop(), Crop(), *[Crop(area=(0.05, 0.4), scale=0.43)] * 6)
    assert [crop.side(224) for crop in crops[1:3]] == [224, 96]  # as in the original


def test_what_is_kept_is_the_teachers_encoder() -> None:
    method = dino()
    assert method.trained is method.teacher[0]
    assert method.trained is not method.encoder


@pytest.mark.parametrize("bottleneck", [16, None])
@pytest.mark.parametrize("freeze", [0.0, 1.0])
def test_the_last_layer_learns_after_the_first_epoch(freeze: float, bottleneck: int | None) -> None:
    """Neither gradients nor weight decay nor the optimiser's memory move it before."""
    method = dino(freeze_epochs=freeze, bottleneck_dim=bottleneck)
    last = method.online[1][-1]
    start = [p.detach().clone() for p in last.parameters()]
    groups = without_decay(method, weight_decay=0.1, lr=1e-2)
    optimizer = torch.optim.AdamW(groups)
    moved = []
    for step in range(4):
        method.moment = Moment(step=step, steps=8, epoch_steps=2)
        optimizer.zero_grad()
        method.loss(views_of(method, 4, seed=step)).backward()
        method.after_backward()
        optimizer.step()
        pairs = zip(last.parameters(), start, strict=True)
        moved.append(any(not torch.equal(now, then) for now, then in pairs))
    assert moved == ([False, False, True, True] if freeze else [True] * 4)


def temperatures(chosen: DINOSettings, epochs: int, epoch_steps: int) -> list[float]:
    method = dino(**chosen.model_dump(include={"warmup_epochs", "teacher_warmup_temperature"}))
    seen = []
    for step in range(epochs * epoch_steps + 1):
        method.moment = Moment(step=step, steps=epochs * epoch_steps, epoch_steps=epoch_steps)
        seen.append(method.teacher_temperature)
    return seen


def test_the_teachers_temperature_rises_linearly() -> None:
    chosen = DINOSettings(teacher_warmup_temperature=0.02, warmup_epochs=2.5)
    seen = temperatures(chosen, epochs=5, epoch_steps=4)
    expected = [0.02 + 0.02 * min(1, step / 10) for step in range(21)]
    assert seen == pytest.approx(expected)


def test_a_warmup_longer_than_the_training_fills_it() -> None:
    chosen = DINOSettings(teacher_warmup_temperature=0.02, warmup_epochs=30)
    seen = temperatures(chosen, epochs=3, epoch_steps=2)
    assert seen == pytest.approx([0.02 + 0.02 * step / 6 for step in range(7)])


def test_without_warmup_the_temperature_is_the_last_from_the_first() -> None:
    chosen = DINOSettings(teacher_warmup_temperature=0.02, warmup_epochs=0)
    assert temperatures(chosen, epochs=2, epoch_steps=2) == pytest.approx([0.04] * 5)


@pytest.mark.usefixtures("float64")
def test_the_loss_takes_the_temperature_of_the_moment() -> None:
    method = dino(teacher_warmup_temperature=0.02, teacher_temperature=0.06, warmup_epochs=2)
    method.moment = Moment(step=3, steps=12, epoch_steps=3)
    heard = Listener(method)
    loss = method.loss(views_of(method, 4))
    by_hand = dino_by_hand(
        torch.cat([out for _, out in heard.student]).view(4, 4, -1),
        heard.teacher[0][1].view(2, 4, -1),
        torch.zeros_like(method.centre),
        student_temperature=0.1,
        teacher_temperature=0.04,
    )
    assert loss.item() == pytest.approx(by_hand, abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_the_sentinel_sees_the_teachers_centred_and_sharpened_answers() -> None:
    method = dino().eval()
    method.centre.normal_(generator=torch.Generator().manual_seed(0))
    view = views_of(method, 4)[0]
    with torch.no_grad():
        logits = method.teacher(view) - method.centre
        torch.testing.assert_close(method.embed(view), logits)
        torch.testing.assert_close(method.answers(view), torch.softmax(logits / 0.04, dim=1))


def test_head_of_reference_is_the_originals() -> None:
    method = of_preset("dino", "reference")
    head, width = method.online[1], method.encoder.dim
    kinds = [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear, Prototypes]
    assert [type(each) for each in head] == kinds
    sizes = [(each.in_features, each.out_features) for each in head[:5:2]]
    assert sizes == [(width, 2048), (2048, 2048), (2048, 256)]
    assert head[-1].weight.shape == (4096, 256)
    assert method.chosen.freeze_epochs == 1


def test_head_of_paper_is_the_formulas() -> None:
    method = of_preset("dino", "paper")
    head, width = method.online[1], method.encoder.dim
    assert [type(each) for each in head] == [nn.Linear, nn.GELU, ExactLinear]
    sizes = [(each.in_features, each.out_features) for each in head[::2]]
    assert sizes == [(width, 2048), (2048, 256)]
    assert (method.chosen.student_temperature, method.teacher_temperature) == (0.1, 0.04)
