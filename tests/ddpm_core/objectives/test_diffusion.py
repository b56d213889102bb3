"""Laws of the loss: the mask alone normalises, importance weights leave it unbiased, a draw is one of (seed, step)."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Floats
from ddpm_core.diffusion.schedules import Cosine, Edm, Linear
from ddpm_core.diffusion.time_law import FixedLaw, SecondMoment, Uniform
from ddpm_core.diffusion.weighting import Simple, Vlb, vlb_weights
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.objectives.batch import Batch, Known, LabelDropout
from ddpm_core.objectives.diffusion import Bound, DiffusionObjective, build_objective
from ddpm_core.objectives.diffusion_config import DiffusionConfig
from ddpm_core.spec import labelled
from ddpm_core.tensors.process import Process
from tests.support.close import assert_close

LINEAR = Linear("linear", 10, 1e-3, 0.6, False, False)
PICTURES = labelled((1, 2, 2), (-1.0, 1.0), 256, ("a", "b"))


class Fixed(nn.Module):
    """A network whose answer is a constant."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, x: Tensor, t: Tensor, **cond: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (x.ndim - 2))
        return self.values.reshape(shape).expand(x.shape[0], -1, *x.shape[2:])


def objective(
    weights: Floats | None = None,
    p: Floats | None = None,
    *,
    target: str = "x0",
    stratified: bool = False,
    bound: Bound | None = None,
    dropout: LabelDropout | None = None,
) -> DiffusionObjective:
    process = Process(Parameterisation(target, LINEAR.build()))
    law = FixedLaw(np.full(10, 0.1) if p is None else p, stratified, corrected=True)
    return DiffusionObjective(process, np.ones(11) if weights is None else weights, law, bound=bound, dropout=dropout)


def batch(n: int = 6, mask: Tensor | None = None, weight: Tensor | None = None) -> Batch:
    x0 = torch.randn(n, 1, 3, generator=torch.Generator().manual_seed(0))
    return Batch(x0, {"label": torch.arange(n) % 2}, mask, weight)


def test_simple_loss_is_the_mean_squared_error_of_the_target() -> None:
    ours = objective()
    data = batch()
    loss = ours.loss(Fixed(0.5), ours.draw(data, 0, 0))
    assert_close(loss.total, ((data.x0 - 0.5) ** 2).mean())
    assert_close(loss.items, ((data.x0 - 0.5) ** 2).mean((1, 2)))


def test_only_the_mask_normalises_and_its_sum_is_that_of_the_whole_batch() -> None:
    mask = torch.zeros(6, 1, 3)
    mask[0] = 1
    mask[1, 0, 0] = 1
    data = batch(mask=mask)
    ours = objective()
    loss = ours.loss(Fixed(0.0), ours.draw(data, 0, 0))
    # The mean over the 4 elements that count, and not the mean of the items' means.
    assert_close(loss.total, (data.x0**2 * mask).sum() / 4)
    assert_close(loss.items[:2], torch.stack([(data.x0[0] ** 2).mean(), data.x0[1, 0, 0] ** 2]))


def test_the_loss_is_the_plain_mean_of_weight_times_factor_times_error() -> None:
    """Of this very draw, not on average alone: neither w nor 1 / (T p_t) is divided out."""
    weights = np.linspace(0.5, 2.0, 11)
    skewed = np.linspace(1, 5, 10) / np.linspace(1, 5, 10).sum()
    ours, data = objective(weights, skewed), batch()
    draw = ours.draw(data, 0, 0)
    factor = torch.tensor(1 / (10 * skewed[draw.t - 1]))
    each = (data.x0.double() - 0.5).square().mean((1, 2)) * torch.tensor(weights[draw.t])
    loss = ours.loss(Fixed(0.5), draw)
    assert loss.total.item() == pytest.approx((factor * each).mean().item(), rel=1e-6)
    np.testing.assert_allclose(loss.items, each, rtol=1e-6)


def test_the_network_sees_data_of_unit_variance_under_ve() -> None:
    parameterisation = Parameterisation("edm", Edm("edm", 40, 0.002, 80.0, 7.0, 0.5).build())
    process = Process(parameterisation)
    ours = DiffusionObjective(process, np.ones(41), Uniform("uniform", True).build(parameterisation.schedule))
    x0 = 0.5 * torch.randn(200, 1, 500, generator=torch.Generator().manual_seed(0))
    draw = ours.draw(Batch(x0, {}), 0, 0)
    np.testing.assert_allclose(draw.x_in.std((1, 2)), 1, atol=0.15)
    np.testing.assert_array_equal(draw.time, parameterisation.schedule.time[draw.t])


def test_the_bands_of_a_draw_are_four_equal_parts_of_the_levels() -> None:
    draw = objective().draw(batch(400), 0, 0)
    lowest = {band: min(draw.t[draw.band == band]) for band in range(4)}
    assert lowest == {0: 1, 1: 3, 2: 6, 3: 8}  # of T = 10: each t lies in ((band) T / 4, (band + 1) T / 4]


def test_level_weights_and_element_weights_do_not_cancel() -> None:
    data = batch()
    plain = objective()
    whole = plain.loss(Fixed(0.0), plain.draw(data, 0, 0)).total
    threefold = objective(np.full(11, 3.0))
    assert_close(threefold.loss(Fixed(0.0), threefold.draw(data, 0, 0)).total, 3 * whole)
    weighted = batch(weight=torch.full((6, 1, 3), 2.0), mask=torch.ones(6, 1, 3))
    assert_close(plain.loss(Fixed(0.0), plain.draw(weighted, 0, 0)).total, 2 * whole)


def test_what_the_mask_leaves_out_may_be_anything() -> None:
    mask = torch.ones(6, 1, 3)
    mask[2, 0, 1] = 0
    data = batch(mask=mask)
    data.x0[2, 0, 1] = torch.nan
    ours = objective()
    net = Fixed(0.1)
    loss = ours.loss(net, ours.draw(data, 0, 0))
    loss.total.backward()
    assert torch.isfinite(loss.total)
    assert net.values.grad is not None
    assert torch.isfinite(net.values.grad).all()


def test_a_batch_in_which_nothing_counts_has_the_loss_zero() -> None:
    ours = objective()
    draw = ours.draw(batch(mask=torch.zeros(6, 1, 3)), 0, 0)
    assert ours.loss(Fixed(0.3), draw).total.item() == 0


@pytest.mark.parametrize("stratified", [False, True])
def test_importance_weights_leave_the_loss_unbiased(stratified: bool) -> None:
    weights = np.linspace(0.5, 2.0, 11)
    skewed = np.linspace(1, 5, 10) / np.linspace(1, 5, 10).sum()
    data = Batch(torch.ones(4000, 1, 1), {})
    net = Fixed(0.0)
    exact = weights[1:].mean()  # x0 = 1 and the answer 0: the error is 1 at every level
    ours = objective(weights, skewed, stratified=stratified)
    assert ours.loss(net, ours.draw(data, 0, 0)).total.item() == pytest.approx(exact, rel=0.03)


def test_the_parts_of_a_batch_add_up_to_its_loss_and_share_its_draws() -> None:
    mask = (torch.arange(18).reshape(6, 1, 3) % 4 > 0).float()
    ours = objective(np.linspace(0.5, 2, 11), dropout=LabelDropout({"label": 2}, 0.5))
    draw = ours.draw(batch(mask=mask), 3, 1)
    parts = draw.parts(3)
    assert [len(part.t) for part in parts] == [2, 2, 2]
    assert_close(sum(ours.loss(Fixed(0.2), p).total for p in parts), ours.loss(Fixed(0.2), draw).total)
    assert_close(torch.cat([part.cond["label"] for part in parts]), draw.cond["label"])


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    ours = objective()
    one, again = ours.draw(batch(), 5, 7), ours.draw(batch(), 5, 7)
    assert_close(one.x_in, again.x_in, rtol=0, atol=0)
    np.testing.assert_array_equal(one.t, again.t)


def test_two_steps_and_two_seeds_never_share_their_noise() -> None:
    ours = objective(target="eps")
    draws = [ours.draw(batch(), seed, step).target for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1))]
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert not torch.isclose(one, other).any()


def test_noise_is_standard_normal_and_differs_between_items() -> None:
    ours = objective(target="eps")
    eps = ours.draw(Batch(torch.zeros(2, 1, 50_000), {}), 0, 0).target.flatten(1)
    np.testing.assert_allclose(eps.std(1), 1, atol=0.02)
    assert abs(float((eps[0] * eps[1]).mean())) < 0.02


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.6])
def test_labels_are_dropped_to_the_null_class_at_their_rate(probability: float) -> None:
    ours = objective(dropout=LabelDropout({"label": 2}, probability))
    data = Batch(torch.zeros(4000, 1, 1), {"label": torch.zeros(4000, dtype=torch.int64)})
    label = ours.draw(data, 0, 0).cond["label"]
    assert set(label.tolist()) <= {0, 2}
    assert float((label == 2).float().mean()) == pytest.approx(probability, abs=0.03)
    assert int(data.cond["label"].sum()) == 0


def test_the_bound_under_the_fixed_variance_is_the_weighted_square_plus_its_constant() -> None:
    """f = -1 makes sigma^2 = beta_tilde, so that for t >= 2 the KL is w_vlb d and nothing else."""
    process = Process(Parameterisation("eps", LINEAR.build()))
    ours = objective(np.zeros(11), target="eps", bound=Bound(1.0, True, None, None))
    draw = ours.draw(batch(600), 0, 0)
    items = ours.loss(Fixed(0.0, -1.0), draw).items.numpy()
    later = draw.t >= 2
    expected = 10 * vlb_weights(process.parameterisation, "fixed_small")[draw.t] * (draw.target**2).mean((1, 2)).numpy()
    np.testing.assert_allclose(items[later], expected[later], rtol=1e-3, atol=1e-5)


def test_the_bound_of_a_perfect_answer_is_zero_but_for_its_last_term() -> None:
    class Perfect(nn.Module):
        def forward(self, x: Tensor, t: Tensor, **cond: Tensor) -> Tensor:
            return torch.cat([draw.target, torch.full_like(x, -1.0)], 1)

    ours = objective(np.zeros(11), bound=Bound(1.0, True, (-1.0, 1.0), 256))
    draw = ours.draw(batch(200), 0, 0)
    items = ours.loss(Perfect(), draw).items.numpy()
    np.testing.assert_allclose(items[draw.t >= 2], 0, atol=1e-5)
    assert (items[draw.t == 1] > 0).all()


def test_hybrid_stops_the_gradient_of_the_mean_in_the_bound() -> None:
    def gradients(moves_mean: bool) -> Tensor:
        ours = objective(np.zeros(11), bound=Bound(0.5, moves_mean, (-1.0, 1.0), 256))
        net = Fixed(0.3, 0.1)
        ours.loss(net, ours.draw(batch(50), 0, 0)).total.backward()
        assert net.values.grad is not None
        return net.values.grad

    stopped, free = gradients(False), gradients(True)
    assert float(stopped[0]) == 0
    assert float(free[0]) != 0
    assert_close(stopped[1], free[1])


def config(variance: str, weighting: Simple | Vlb) -> DiffusionConfig:
    cosine = Cosine("cosine", 20, 0.008, 0.999, False)
    return DiffusionConfig("diffusion", cosine, "v", variance, weighting, Uniform("uniform", True), 0.001)


def test_build_objective_makes_simple_hybrid_and_bound() -> None:
    simple = build_objective(config("fixed_small", Simple("simple")), PICTURES, None)
    assert simple.bound is None
    hybrid = build_objective(config("learned", Simple("simple")), PICTURES, None)
    assert hybrid.bound == Bound(0.001, False, (-1.0, 1.0), 256)
    alone = build_objective(config("learned", Vlb("vlb", "fixed_small")), PICTURES, None)
    assert alone.bound == Bound(1.0, True, (-1.0, 1.0), 256)
    draw = alone.draw(Batch(torch.zeros(8, 1, 2, 2), {}), 0, 0)
    assert not draw.weight.any()


def test_a_law_that_learns_is_told_the_losses_and_kept_in_the_state() -> None:
    process = Process(Parameterisation("x0", LINEAR.build()))
    law = SecondMoment("second_moment", True, 1, 0.1).build(LINEAR.build())
    ours = DiffusionObjective(process, np.ones(11), law)
    assert ours.learns_from_losses
    assert not objective().learns_from_losses
    draw = ours.draw(batch(), 0, 0)
    ours.observe(draw, ours.loss(Fixed(0.0), draw).items, lambda rows: rows)
    state = ours.state_dict()
    assert sum(state["seen"]) == 6
    other = DiffusionObjective(process, np.ones(11), SecondMoment("second_moment", True, 1, 0.1).build(LINEAR.build()))
    other.load_state_dict(state)
    assert other.state_dict() == state


def test_whole_numbers_are_refused_as_data() -> None:
    with pytest.raises(DataError, match=r"data must be floating point, got torch.uint8; encode them"):
        objective().draw(Batch(torch.zeros(2, 1, 1, dtype=torch.uint8), {}), 0, 0)


def test_a_network_of_the_wrong_width_is_refused() -> None:
    ours = objective(bound=Bound(1.0, False, None, None))
    with pytest.raises(ParamsError, match="2 channels, got 1"):
        ours.loss(Fixed(0.0), ours.draw(batch(), 0, 0))


def test_weights_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"one for each of the levels 0..10, got shape \(10,\)"):
        objective(np.ones(10))


def test_only_a_network_that_asks_for_it_is_told_the_clean_data() -> None:
    """What the mask leaves out is told as 0, so that it cannot reach a network by this way."""
    told = []

    class Forced(Fixed):
        teacher_forced = True

        def forward(self, x: Tensor, t: Tensor, *, known: Known, **cond: Tensor) -> Tensor:
            told.append(known)
            return super().forward(x, t)

    mask = torch.ones(6, 1, 3)
    mask[2:, 0, 1] = 0
    data = batch()
    gone = Batch(torch.where(mask > 0, data.x0, torch.nan), data.cond, mask)
    ours = objective()
    ours.loss(Forced(0.0), ours.draw(gone, 0, 0))
    ours.loss(Fixed(0.0), ours.draw(gone, 0, 0))
    (known,) = told
    assert torch.equal(known.x0, torch.where(mask > 0, data.x0, 0.0))
    assert torch.equal(known.mask, mask)
