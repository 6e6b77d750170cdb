from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import impasto.worker.engine.lbfgs
from impasto.shared.errors import Diverged, Stopped
from impasto.worker.engine.adam import Adam
from impasto.worker.engine.curvature import CurvatureHistory
from impasto.worker.engine.lbfgs import Lbfgs
from impasto.worker.engine.optimise import Evaluate, Observe, Solution, minimise
from impasto.worker.engine.spectrum import Spectrum
from impasto.worker.engine.terms import Evaluation, Losses, Terms

Minimise = Callable[..., Solution]


def _silent(held: list[Losses]) -> None:
    pass


def lbfgs(
    evaluate: Evaluate,
    start: torch.Tensor,
    *,
    steps: int,
    observe: Observe = _silent,
    thrifty: bool = False,
    even: bool = True,
) -> Solution:
    optimiser = Lbfgs(start, history=20, thrifty=thrifty, even=even)
    return minimise(optimiser, evaluate, steps=steps, observe=observe)


def adam(evaluate: Evaluate, start: torch.Tensor, *, steps: int, observe: Observe = _silent) -> Solution:
    return minimise(Adam(start, learning_rate=0.02), evaluate, steps=steps, observe=observe)


both = pytest.mark.parametrize("descend", [lbfgs, adam], ids=["lbfgs", "adam"])


def _problem(function: Callable[[torch.Tensor], torch.Tensor]) -> Evaluate:
    def evaluate(picture: torch.Tensor) -> Evaluation:
        leaf = picture.detach().requires_grad_()
        loss = function(leaf)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return _evaluation(loss.detach().reshape(1), gradient)

    return evaluate


def _evaluation(style: torch.Tensor, gradient: torch.Tensor) -> Evaluation:
    nothing = torch.zeros_like(style)
    return Evaluation(Terms(nothing, style, nothing), gradient)


def _total(of: Evaluation) -> float:
    return float(of.terms.total)


def _start(value: float = 0.5) -> torch.Tensor:
    return torch.full((1, 3, 4, 4), value)


def _bounded_quadratic() -> tuple[Evaluate, torch.Tensor]:
    """Curvatures over three decades, and a free minimum that lies outside the bounds for half the values."""
    generator = torch.Generator().manual_seed(4)
    centre = torch.rand(1, 3, 4, 4, generator=generator) * 2 - 0.5
    curvature = 10 ** (torch.rand(1, 3, 4, 4, generator=generator) * 3)
    return _problem(lambda x: (curvature * (x - centre).square()).sum()), centre.clamp(0, 1)


def test_lbfgs_finds_the_minimum_within_the_bounds() -> None:
    evaluate, answer = _bounded_quadratic()
    found = lbfgs(evaluate, _start(), steps=120)
    torch.testing.assert_close(found.picture, answer, rtol=0, atol=5e-3)
    assert found.losses[0].total <= _total(evaluate(answer)) * (1 + 1e-4)


def test_adam_comes_near_the_minimum_within_the_bounds() -> None:
    evaluate, answer = _bounded_quadratic()
    found = adam(evaluate, _start(), steps=300)
    torch.testing.assert_close(found.picture, answer, rtol=0, atol=2e-2)


def test_lbfgs_follows_a_curved_valley() -> None:
    def rosenbrock(x: torch.Tensor) -> torch.Tensor:
        flat = 2 * x.flatten()
        return (100 * (flat[1:] - flat[:-1].square()).square() + (1 - flat[:-1]).square()).sum()

    found = lbfgs(_problem(rosenbrock), _start(0.1), steps=300, even=False)
    assert found.losses[0].total < 1e-3


@both
def test_pictures_never_leave_the_bounds(descend: Minimise) -> None:
    seen: list[torch.Tensor] = []
    problem, _ = _bounded_quadratic()

    def evaluate(picture: torch.Tensor) -> Evaluation:
        seen.append(picture)
        return problem(picture)

    descend(evaluate, _start() * 5, steps=40)
    assert len(seen) == 40
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in seen)


@both
def test_each_evaluation_is_observed_once_and_the_budget_is_kept(descend: Minimise) -> None:
    problem, _ = _bounded_quadratic()
    calls: list[str] = []

    def evaluate(picture: torch.Tensor) -> Evaluation:
        calls.append("evaluate")
        return problem(picture)

    descend(evaluate, _start(), steps=25, observe=lambda held: calls.append("observe"))
    assert calls == ["evaluate", "observe"] * 25


@both
@settings(deadline=None, max_examples=25)
@given(faults=st.sets(st.integers(2, 30), max_size=12), value=st.sampled_from([float("nan"), float("inf")]))
def test_losses_that_are_not_finite_are_undone_and_the_best_is_kept(
    descend: Minimise, faults: set[int], value: float
) -> None:
    problem, _ = _bounded_quadratic()
    totals: list[float] = []

    def evaluate(picture: torch.Tensor) -> Evaluation:
        healthy = problem(picture)
        if len(totals) + 1 in faults:
            totals.append(float("inf"))
            return _evaluation(healthy.terms.style * value, healthy.gradient * value)
        totals.append(_total(healthy))
        return healthy

    held: list[Losses] = []
    found = descend(evaluate, _start(), steps=30, observe=lambda losses: held.extend(losses))
    assert all(math.isfinite(losses.total) for losses in held)
    assert found.recoveries[0] >= len([fault for fault in faults if fault <= len(totals)])
    assert found.losses[0].total == min(totals) == held[-1].total
    assert _total(problem(found.picture)) == found.losses[0].total


@both
def test_a_gradient_that_points_nowhere_useful_never_makes_the_answer_worse(descend: Minimise) -> None:
    generator = torch.Generator().manual_seed(9)
    problem, _ = _bounded_quadratic()

    def evaluate(picture: torch.Tensor) -> Evaluation:
        honest = problem(picture)
        return Evaluation(honest.terms, torch.randn(picture.shape, generator=generator))

    start = _start()
    assert descend(evaluate, start, steps=60).losses[0].total <= _total(problem(start))


@both
def test_no_finite_loss_at_the_start_is_an_error(descend: Minimise) -> None:
    with pytest.raises(Diverged, match="first picture"):
        descend(_problem(lambda x: x.sum() * float("inf")), _start(), steps=5)


@both
def test_what_the_observer_raises_comes_through(descend: Minimise) -> None:
    stop = Stopped("enough")

    def observe(held: list[Losses]) -> None:
        raise stop

    with pytest.raises(Stopped) as caught:
        descend(_bounded_quadratic()[0], _start(), steps=5, observe=observe)
    assert caught.value is stop


def test_lbfgs_ends_where_nothing_is_left_to_do() -> None:
    held: list[list[Losses]] = []
    found = lbfgs(_problem(lambda x: x.sum()), _start(0.0), steps=50, observe=held.append)
    assert (len(held), found.losses[0].total) == (1, 0.0)


def _each(functions: list[Callable[[torch.Tensor], torch.Tensor]]) -> Evaluate:
    """One function for each picture of a stack."""

    def evaluate(pictures: torch.Tensor) -> Evaluation:
        alone = [
            _problem(function)(picture.unsqueeze(0))
            for function, picture in zip(functions, pictures, strict=True)
        ]
        return _evaluation(
            torch.cat([one.terms.style for one in alone]), torch.cat([one.gradient for one in alone])
        )

    return evaluate


@both
def test_each_picture_of_a_stack_goes_its_own_way_and_comes_to_its_own_end(descend: Minimise) -> None:
    def steep(x: torch.Tensor) -> torch.Tensor:
        return (x - 0.2).square().mul(torch.linspace(1, 900, 48).view_as(x)).sum()

    def bent(x: torch.Tensor) -> torch.Tensor:
        # Not finite past 0.9, where its slope leads.
        return torch.where(x < 0.9, -x.square().sum(), float("nan")).sum()

    def done(x: torch.Tensor) -> torch.Tensor:
        return x.sum()

    functions = [steep, bent, done]
    starts = [_start(), _start(0.6), _start(0.0)]
    stack = descend(_each(functions), torch.cat(starts), steps=40)
    for index, (function, start) in enumerate(zip(functions, starts, strict=True)):
        alone = descend(_problem(function), start, steps=40)
        torch.testing.assert_close(stack.picture[index], alone.picture[0], rtol=1e-5, atol=1e-6)
        assert stack.losses[index].total == pytest.approx(alone.losses[0].total, rel=1e-4, abs=1e-6)
        assert stack.recoveries[index] == alone.recoveries[0]
    assert stack.recoveries[1] > 0


def test_a_history_of_half_the_bytes_finds_the_minimum_too() -> None:
    evaluate, answer = _bounded_quadratic()
    found = lbfgs(evaluate, _start(), steps=150, thrifty=True)
    torch.testing.assert_close(found.picture, answer, rtol=0, atol=2e-2)


def test_long_vectors_in_stretches_are_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate, _ = _bounded_quadratic()
    whole = lbfgs(evaluate, _start(), steps=8, thrifty=True)
    monkeypatch.setattr(impasto.worker.engine.lbfgs, "_STRETCH", 7)
    pieces = lbfgs(evaluate, _start(), steps=8, thrifty=True)
    torch.testing.assert_close(pieces.picture, whole.picture, rtol=1e-3, atol=1e-4)


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
    history = CurvatureHistory(size, torch.zeros(1, 16, dtype=torch.float64), torch.float64)
    pairs = []
    for _ in range(count):
        s = torch.randn(16, generator=generator, dtype=torch.float64)
        pairs.append((s, hessian @ s))
        assert _add(history, *pairs[-1])
    gradient = torch.randn(16, generator=generator, dtype=torch.float64)
    assert history.filled == min(size, count)
    torch.testing.assert_close(
        _descent(history, gradient), _two_loops(pairs[-size:], gradient), rtol=1e-6, atol=1e-8
    )


def _add(history: CurvatureHistory, step: torch.Tensor, change: torch.Tensor) -> bool:
    everything = slice(0, len(step))
    history.open()
    history.write(everything, step.unsqueeze(0), change.unsqueeze(0))
    new = change.unsqueeze(0)
    table = history.products(everything, (new, new), (new, new))
    history.close(table[..., 0].double(), step.square().sum().view(1).double(), torch.tensor([True]))
    return bool(history.known())


def _descent(history: CurvatureHistory, gradient: torch.Tensor) -> torch.Tensor:
    everything = slice(0, len(gradient))
    each = gradient.unsqueeze(0)
    products = history.products(everything, (each, each), (each, each))[..., 0]
    coefficients = history.coefficients(products.double(), history.scale())
    along_s, along_y = history.combined(everything, coefficients, gradient.dtype)
    return (along_s + along_y - history.scale().unsqueeze(1) * gradient).squeeze(0)


def test_a_pair_without_positive_curvature_is_not_taken() -> None:
    history = CurvatureHistory(3, torch.zeros(1, 4), torch.float32)
    assert not _add(history, torch.ones(4), -torch.ones(4))
    assert not _add(history, torch.zeros(4), torch.ones(4))


def test_pairs_that_do_not_count_leave_the_direction_to_those_that_do() -> None:
    history = CurvatureHistory(4, torch.zeros(1, 4, dtype=torch.float64), torch.float64)
    s, y = torch.tensor([1.0, 0, 0, 0]).double(), torch.tensor([4.0, 1, 0, 0]).double()
    assert _add(history, s, y)
    _add(history, s, -y)
    gradient = torch.tensor([1.0, 2, 3, 4]).double()
    torch.testing.assert_close(_descent(history, gradient), _two_loops([(s, y)], gradient))


def _picture(seed: int, size: tuple[int, int] = (9, 14)) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(9, 14), (8, 7), (1, 12), (16, 16)])
def test_the_filter_is_symmetric_positive_and_the_stronger_the_slower_the_wave(size: tuple[int, int]) -> None:
    one, other = _picture(1, size), _picture(2, size)
    even = Spectrum(size, one)
    there, back = (even(x.flatten(1)).flatten() for x in (one, other))
    torch.testing.assert_close(there @ other.flatten(), one.flatten() @ back)
    assert there @ one.flatten() > 0
    across = torch.arange(size[1], dtype=torch.float64)
    strengths = []
    for waves in (1, size[1] // 2):
        wave = torch.cos(2 * torch.pi * waves * across / size[1]).expand(1, 3, *size)
        strengths.append(float(even(wave.flatten(1)).norm() / wave.norm()))
    assert strengths[0] > 1.2 * strengths[1]


def test_with_even_curvatures_the_direction_is_that_of_the_filtered_problem() -> None:
    """One step of L-BFGS in z, x = L z, taken back to x."""
    size = (6, 10)
    even = Spectrum(size, _picture(1, size))
    s, y, gradient = (_picture(seed, size).flatten(1) for seed in (1, 2, 3))
    y = y + 3 * s
    history = CurvatureHistory(4, s, torch.float64)
    history.open()
    everything = slice(0, s.shape[1])
    history.write(everything, s, even(y))
    table = history.products(everything, (y, gradient), (even(y), even(gradient)))
    history.close(table[..., 0], s.square().sum(1), torch.tensor([True]))
    coefficients = history.coefficients(table[..., 1], history.scale())
    along_s, along_y = history.combined(everything, coefficients, torch.float64)
    found = along_s + even(along_y - history.scale().unsqueeze(1) * even(gradient))

    length = s.shape[1]
    matrix = torch.stack([even(row.unsqueeze(0)).squeeze(0) for row in torch.eye(length).double()])
    inverse = torch.linalg.inv(matrix)
    in_z = _two_loops([((inverse @ s[0]), matrix @ y[0])], matrix @ gradient[0])
    torch.testing.assert_close(found[0], matrix @ in_z)
