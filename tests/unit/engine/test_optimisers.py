from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.shared.errors import Diverged, Stopped
from impasto.worker.engine.adam import minimise_adam
from impasto.worker.engine.curvature import CurvatureHistory
from impasto.worker.engine.lbfgs import minimise_lbfgs
from impasto.worker.engine.optimise import Evaluate, Solution
from impasto.worker.engine.terms import Evaluation

Minimise = Callable[..., Solution]
lbfgs: Minimise = partial(minimise_lbfgs, history=20)
adam: Minimise = partial(minimise_adam, learning_rate=0.02)
both = pytest.mark.parametrize("minimise", [lbfgs, adam], ids=["lbfgs", "adam"])


def _problem(function: Callable[[torch.Tensor], torch.Tensor]) -> Evaluate:
    def evaluate(picture: torch.Tensor) -> Evaluation:
        leaf = picture.detach().requires_grad_()
        loss = function(leaf)
        (gradient,) = torch.autograd.grad(loss, leaf)
        value = float(loss.detach())
        finite = bool(loss.isfinite()) and bool(gradient.isfinite().all())
        return Evaluation(gradient, 0.0, value, 0.0, value, finite)

    return evaluate


def _start(value: float = 0.5) -> torch.Tensor:
    return torch.full((1, 3, 4, 4), value)


def _silent(held: Evaluation) -> None:
    pass


def _bounded_quadratic() -> tuple[Evaluate, torch.Tensor]:
    """Curvatures over three decades, and a free minimum that lies outside the bounds for half the values."""
    generator = torch.Generator().manual_seed(4)
    centre = torch.rand(1, 3, 4, 4, generator=generator) * 2 - 0.5
    curvature = 10 ** (torch.rand(1, 3, 4, 4, generator=generator) * 3)
    return _problem(lambda x: (curvature * (x - centre).square()).sum()), centre.clamp(0, 1)


def test_lbfgs_finds_the_minimum_within_the_bounds() -> None:
    evaluate, answer = _bounded_quadratic()
    found = minimise_lbfgs(evaluate, _start(), steps=120, history=20, observe=_silent)
    torch.testing.assert_close(found.picture, answer, rtol=0, atol=5e-3)
    assert found.evaluation.total <= evaluate(answer).total * (1 + 1e-4)


def test_adam_comes_near_the_minimum_within_the_bounds() -> None:
    evaluate, answer = _bounded_quadratic()
    found = minimise_adam(evaluate, _start(), steps=300, learning_rate=0.02, observe=_silent)
    torch.testing.assert_close(found.picture, answer, rtol=0, atol=2e-2)


def test_lbfgs_follows_a_curved_valley() -> None:
    def rosenbrock(x: torch.Tensor) -> torch.Tensor:
        flat = 2 * x.flatten()
        return (100 * (flat[1:] - flat[:-1].square()).square() + (1 - flat[:-1]).square()).sum()

    found = minimise_lbfgs(_problem(rosenbrock), _start(0.1), steps=300, history=20, observe=_silent)
    assert found.evaluation.total < 1e-3


@both
def test_pictures_never_leave_the_bounds(minimise: Minimise) -> None:
    seen: list[torch.Tensor] = []
    problem, _ = _bounded_quadratic()

    def evaluate(picture: torch.Tensor) -> Evaluation:
        seen.append(picture)
        return problem(picture)

    minimise(evaluate, _start() * 5, steps=40, observe=_silent)
    assert len(seen) == 40
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in seen)


@both
def test_each_evaluation_is_observed_once_and_the_budget_is_kept(minimise: Minimise) -> None:
    problem, _ = _bounded_quadratic()
    calls: list[str] = []

    def evaluate(picture: torch.Tensor) -> Evaluation:
        calls.append("evaluate")
        return problem(picture)

    minimise(evaluate, _start(), steps=25, observe=lambda held: calls.append("observe"))
    assert calls == ["evaluate", "observe"] * 25


@both
@settings(deadline=None, max_examples=25)
@given(faults=st.sets(st.integers(2, 30), max_size=12), value=st.sampled_from([float("nan"), float("inf")]))
def test_losses_that_are_not_finite_are_undone_and_the_best_is_kept(
    minimise: Minimise, faults: set[int], value: float
) -> None:
    problem, _ = _bounded_quadratic()
    totals: list[float] = []

    def evaluate(picture: torch.Tensor) -> Evaluation:
        healthy = problem(picture)
        if len(totals) + 1 in faults:
            totals.append(float("inf"))
            return Evaluation(healthy.gradient * value, value, value, value, value, False)
        totals.append(healthy.total)
        return healthy

    held: list[Evaluation] = []
    found = minimise(evaluate, _start(), steps=30, observe=held.append)
    assert all(e.finite for e in held)
    assert found.recoveries >= len([fault for fault in faults if fault <= len(totals)])
    assert found.evaluation.total == min(totals) == held[-1].total
    assert problem(found.picture).total == found.evaluation.total


@both
def test_a_gradient_that_points_nowhere_useful_never_makes_the_answer_worse(minimise: Minimise) -> None:
    generator = torch.Generator().manual_seed(9)
    problem, _ = _bounded_quadratic()

    def evaluate(picture: torch.Tensor) -> Evaluation:
        honest = problem(picture)
        lie = torch.randn(picture.shape, generator=generator)
        return Evaluation(lie, 0.0, honest.total, 0.0, honest.total, True)

    start = _start()
    assert minimise(evaluate, start, steps=60, observe=_silent).evaluation.total <= problem(start).total


@both
def test_no_finite_loss_at_the_start_is_an_error(minimise: Minimise) -> None:
    with pytest.raises(Diverged, match="first picture"):
        minimise(_problem(lambda x: x.sum() * float("inf")), _start(), steps=5, observe=_silent)


@both
def test_what_the_observer_raises_comes_through(minimise: Minimise) -> None:
    stop = Stopped("enough")

    def observe(held: Evaluation) -> None:
        raise stop

    with pytest.raises(Stopped) as caught:
        minimise(_bounded_quadratic()[0], _start(), steps=5, observe=observe)
    assert caught.value is stop


def test_lbfgs_ends_where_nothing_is_left_to_do() -> None:
    held: list[Evaluation] = []
    found = minimise_lbfgs(_problem(lambda x: x.sum()), _start(0.0), steps=50, history=5, observe=held.append)
    assert (len(held), found.evaluation.total) == (1, 0.0)


def _two_loops(pairs: list[tuple[torch.Tensor, torch.Tensor]], gradient: torch.Tensor) -> torch.Tensor:
    """Nocedal and Wright, algorithm 7.4, word for word, but from the largest recent scale."""
    q, alphas = gradient.clone(), []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (y @ s))
        q = q - alphas[-1] * y
    r = max((s @ y) / (y @ y) for s, y in pairs[-5:]) * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r = r + s * (alpha - y @ r / (y @ s))
    return -r


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), size=st.integers(1, 6))
def test_the_history_in_one_matrix_is_the_two_loop_recursion_over_the_last_pairs(
    seed: int, count: int, size: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(16, 16, generator=generator, dtype=torch.float64)
    hessian = root @ root.T + torch.eye(16, dtype=torch.float64)
    history = CurvatureHistory(size, torch.zeros(16, dtype=torch.float64))
    pairs = []
    for _ in range(count):
        s = torch.randn(16, generator=generator, dtype=torch.float64)
        pairs.append((s, hessian @ s))
        assert history.add(*pairs[-1])
    gradient = torch.randn(16, generator=generator, dtype=torch.float64)
    assert len(history) == min(size, count)
    torch.testing.assert_close(
        history.descent(gradient), _two_loops(pairs[-size:], gradient), rtol=1e-6, atol=1e-8
    )


def test_a_pair_without_positive_curvature_is_not_taken() -> None:
    history = CurvatureHistory(3, torch.zeros(4))
    assert not history.add(torch.ones(4), -torch.ones(4))
    assert not history.add(torch.zeros(4), torch.ones(4))
    assert len(history) == 0
