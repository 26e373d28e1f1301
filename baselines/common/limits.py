"""Limit distributions: what a generator of unlimited capacity learns against optimal discriminators, on a line.

The self-supervised task is to tell by which of K evenly spaced shifts a point was moved, every loss has weight 1, every
point takes part in all K shifts, and the generator's loss is the non-saturating one; `msgan` plays Eqs. 8 and 9 of its
paper, `ssgan_la` the cross-entropy. With data density p and generator density q, the limit is the minimiser over all
densities of a strictly convex functional, so there is at most one (derived in docs/limit_distributions.md):

    gan        2 KL((p + q) / 2 | p)                                   q = p
    ssgan      2 KL((p + q) / 2 | p) + E_q[s]                          q = p max(0, exp(c - s) - 1)
    msgan      2 KL((p + q) / 2 | p) + KL(q | p) - I_q(shift; point)   a fixed point, found by Newton's method
    ssgan_la   KL(q | p)                                               q = p

s(x) is the mean cross-entropy of the optimal classifier of shifts on the K shifted copies of x, I_q the mutual
information of the shift and the shifted point, and c makes q integrate to 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Density = Callable[[Floats], ArrayLike]

STEPS_PER_SHIFT = {"ssgan": 512, "msgan": 32}  # of the grid of integration: a density with kinks, and a smooth one
MAX_NEWTON_STEPS = 200
MAX_CHANGE = 1.0  # of log(q / p) in one Newton step
CONVERGED = 1e-10  # change of log(q / p), where q has mass
NEGLIGIBLE = 1e-12  # density


def limit_density(method: str, density: Density, grid: ArrayLike, shifts: Sequence[float]) -> Floats | None:
    """The generator's limit density at the points of `grid`, or None for a method without a known limit.

    Args:
        method: name of a method, such as `ssgan`.
        density: positive density p of the real data, for an array of points. All but a negligible part of its mass
            lies in the range of `grid`, widened on both sides by the distance from the first shift to the last.
        grid: (n,) points, in ascending order.
        shifts: K evenly spaced shifts, in ascending order, of which the first is 0.

    Raises:
        ValueError: the shifts are not as described.
    """
    points = np.asarray(grid, dtype=np.float64)
    step = _spacing(shifts)
    if method in ("gan", "ssgan_la"):
        return _at(density, points)
    if method not in STEPS_PER_SHIFT:
        return None
    per_shift, reach = STEPS_PER_SHIFT[method], step * (len(shifts) - 1)
    h = step / per_shift
    domain = np.arange(np.floor((points[0] - reach) / h), np.ceil((points[-1] + reach) / h) + 1) * h
    if method == "ssgan":
        excess = _normalising_level(_at(density, domain), mean_cross_entropy(density, domain, shifts), h)
        return _ssgan_limit(_at(density, points), mean_cross_entropy(density, points, shifts), excess)
    from scipy.interpolate import CubicSpline  # importing it takes a while

    log_ratio = CubicSpline(domain, _msgan_log_ratio(_at(density, domain), len(shifts), per_shift, h))
    return np.asarray(_at(density, points) * np.exp(log_ratio(points)))


def mean_cross_entropy(density: Density, points: Floats, shifts: Sequence[float]) -> Floats:
    """s(x) of `points`, in nats: the mean of -log C_k(x + shift k) over k, for the optimal classifier C of shifts.

    It is trained on real points alone: C_k(y) = p(y - shift k) / sum_j p(y - shift j).
    """
    mixtures = [np.sum([_at(density, points + moved - shift) for shift in shifts], axis=0) for moved in shifts]
    return np.asarray(np.mean(np.log(mixtures), axis=0) - np.log(_at(density, points)))


def _ssgan_limit(p: Floats, s: Floats, level: float) -> Floats:
    """q = p max(0, exp(level - s) - 1)."""
    return p * np.expm1(np.maximum(level - s, 0.0))


def _normalising_level(p: Floats, s: Floats, h: float) -> float:
    """The c with which SSGAN's limit has mass 1 on a grid of spacing h."""
    from scipy.optimize import brentq

    lowest = float(s.min())
    highest = lowest + 1.0
    while _ssgan_limit(p, s, highest).sum() * h < 1:
        highest += 1.0
    return float(brentq(lambda level: _ssgan_limit(p, s, level).sum() * h - 1, lowest, highest, xtol=1e-14))


def _msgan_log_ratio(p: Floats, num_shifts: int, per_shift: int, h: float) -> Floats:
    """log(q / p) of MSGAN's limit, on a grid of spacing h on which a shift is `per_shift` points.

    Newton's method on f = c, where f(x) = log(1 + q/p) + 1/K sum_k log(S(x + shift k) / p(x)) is the generator's loss
    at x and S(y) = sum_j q(y - shift j). With q as a vector, S = A q for a matrix A of zeros and ones,
    f = log(1 + q/p) + A^T log(S) / K - log p, and the Jacobian with respect to log q is
    (diag(1/(p + q)) + A^T diag(1/S) A / K) diag(q). Each step also solves the linearised sum(q) h = 1 for c.
    """
    from scipy import sparse

    n, extended = len(p), len(p) + (num_shifts - 1) * per_shift
    sums = sparse.csc_array(sum(sparse.eye_array(extended, n, k=-k * per_shift) for k in range(num_shifts)))
    log_p, log_ratio = np.log(p), np.zeros(n)
    for _ in range(MAX_NEWTON_STEPS):
        q = p * np.exp(log_ratio)
        mixture = sums @ q
        loss = np.log1p(q / p) + sums.T @ np.log(mixture) / num_shifts - log_p
        hessian = sparse.diags_array(1 / (p + q)) + sums.T @ sparse.diags_array(1 / mixture) @ sums / num_shifts
        solve = sparse.linalg.splu(sparse.csc_array(hessian @ sparse.diags_array(q))).solve
        towards_loss, towards_level = solve(loss), solve(np.ones(n))
        level = (1 / h - q.sum() + q @ towards_loss) / (q @ towards_level)
        change = level * towards_level - towards_loss
        log_ratio += change * min(1.0, MAX_CHANGE / np.abs(change).max())
        if np.abs(change[q > NEGLIGIBLE]).max() < CONVERGED:
            return log_ratio
    raise ArithmeticError(f"MSGAN's limit was not found in {MAX_NEWTON_STEPS} steps of Newton's method")


def _at(density: Density, points: Floats) -> Floats:
    return np.asarray(density(points), dtype=np.float64)


def _spacing(shifts: Sequence[float]) -> float:
    """The distance between neighbouring shifts."""
    gaps = np.diff(shifts)
    if len(shifts) < 2 or shifts[0] != 0 or gaps[0] <= 0 or not np.allclose(gaps, gaps[0]):
        raise ValueError(f"shifts {list(shifts)} are not evenly spaced from 0 upwards")
    return float(gaps[0])
