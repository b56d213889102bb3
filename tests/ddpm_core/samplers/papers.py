"""The samplers as their papers write them, against data N(0.3, 0.25); nothing is shared with the plans."""

import math
from itertools import pairwise

import numpy as np


def unit(length, place):
    coefficients = np.zeros(length)
    coefficients[place] = 1
    return coefficients


class Probe:
    """An affine random variable: its mean and the coefficient of each unit noise, closed under + and *."""

    def __init__(self, coefficients):
        self.c = np.asarray(coefficients, float)

    def __add__(self, other):
        return Probe(self.c + (other.c if isinstance(other, Probe) else unit(len(self.c), 0) * other))

    def __sub__(self, other):
        return self + other * -1

    def __mul__(self, factor):
        return Probe(self.c * factor)

    __rmul__ = __mul__

    @property
    def moments(self):
        return self.c[0], (self.c[1:] ** 2).sum()


class Reference:
    """The samplers as their papers write them, in eps, sigma, score or lambda; nothing is shared with the plans."""

    def __init__(self, schedule, draws=400):
        self.a, self.g, self.T = schedule.a, schedule.g, schedule.T
        self.draws, self.drawn = draws, 1
        start = np.zeros(draws)
        start[1] = schedule.g[-1] if schedule.process == "ve" else 1.0
        self.x = Probe(start)
        self.past: list[tuple[int, Probe]] = []  # (level, x0_hat) of the steps before, the newest first

    def z(self):
        self.drawn += 1
        return Probe(unit(self.draws, self.drawn))

    def x0(self, x, t):
        v = self.a[t] ** 2 * 0.25 + self.g[t] ** 2
        return (x - 0.3 * self.a[t]) * (0.25 * self.a[t] / v) + 0.3

    def eps(self, x, t):
        """From the marginal's score, -(x - mean) / variance."""
        return (x - 0.3 * self.a[t]) * (self.g[t] / (self.a[t] ** 2 * 0.25 + self.g[t] ** 2))

    def lam(self, t):
        return math.log(self.a[t] / self.g[t]) if self.a[t] > 0 else -math.inf

    def beta(self, t, s):
        return self.g[t] ** 2 - (self.a[t] / self.a[s]) ** 2 * self.g[s] ** 2

    def sigma2(self, t, s, variance):
        large = self.beta(t, s)
        small = large * self.g[s] ** 2 / self.g[t] ** 2
        return {"fixed_large": large, "fixed_small": small, "learned": large**0.3 * small**0.7}[variance]

    def ancestral_step(self, t, s, variance):
        """Algorithm 2 in eps where there is signal: (x_t - beta / g_t eps) / sqrt(alpha); else from eq. 7."""
        alpha, beta = (self.a[t] / self.a[s]) ** 2, self.beta(t, s)
        if self.a[t] > 0:
            x = (self.x - beta / self.g[t] * self.eps(self.x, t)) * alpha**-0.5
        else:
            x = self.x0(self.x, t) * self.a[s]
        self.x = x + self.z() * self.sigma2(t, s, variance) ** 0.5 if s > 0 else x

    def ddim_step(self, t, s, eta=0.0):
        """Eq. 12 of DDIM: predicted x_0, the direction to x_t, and noise."""
        w = eta * self.sigma2(t, s, "fixed_small") ** 0.5 if eta else 0.0
        x = self.a[s] * self.x0(self.x, t) + math.sqrt(max(self.g[s] ** 2 - w**2, 0)) * self.eps(self.x, t)
        self.x = x + self.z() * w if w else x

    def langevin_step(self, t, share):
        d = share * self.g[t] ** 2
        self.x = self.x + self.eps(self.x, t) * (-1 / self.g[t]) * d + self.z() * math.sqrt(2 * d)

    def heun_step(self, t, s):
        """EDM's algorithm 1 in x / a and sigma."""
        if s == 0 or self.g[t] * self.a[s] > 10 * self.g[s] * self.a[t]:
            return self.ddim_step(t, s)
        sigma_t, sigma_s = self.g[t] / self.a[t], self.g[s] / self.a[s]
        x = self.x * (1 / self.a[t])
        slope = (x - self.x0(self.x, t)) * (1 / sigma_t)
        guess = x + (sigma_s - sigma_t) * slope
        slope_s = (guess - self.x0(guess * self.a[s], s)) * (1 / sigma_s)
        self.x = (x + (sigma_s - sigma_t) * 0.5 * (slope + slope_s)) * self.a[s]
        return None

    def churn_step(self, t, churn, steps, sigmas, noise):
        """The first lines of EDM's algorithm 2, in x / a; the level where that comes nearest to a level."""
        low, high = sigmas or (0, math.inf)
        if self.a[t] == 0 or not low <= self.g[t] / self.a[t] <= high:
            return t
        sigma = self.g[t] / self.a[t]
        wanted = sigma + min(churn / steps, math.sqrt(2) - 1) * sigma
        levels = [u for u in range(t, self.T + 1) if self.a[u] > 0]
        up = min(levels, key=lambda u: abs(self.g[u] / self.a[u] - wanted))
        if up > t:
            added = math.sqrt((self.g[up] / self.a[up]) ** 2 - sigma**2)
            self.x = (self.x * (1 / self.a[t]) + self.z() * (noise * added)) * self.a[up]
        return up

    def exponential(self, t, s, D, x=None):
        h = math.inf if s == 0 else self.lam(s) - self.lam(t)
        return self.g[s] / self.g[t] * (self.x if x is None else x) + (-self.a[s] * math.expm1(-h)) * D

    def remember(self, t, D):
        self.past = [(t, D), *self.past[:1]] if self.a[t] > 0 else []

    def with_slope(self, t, s, D):
        """What DPM-Solver++ 2M takes for x0_hat, where there is a step before and lambda is finite."""
        if not self.past or s == 0:
            return D
        ratio = (self.lam(t) - self.lam(self.past[0][0])) / (self.lam(s) - self.lam(t))
        return (1 + 1 / (2 * ratio)) * D - (1 / (2 * ratio)) * self.past[0][1]

    def third_order_step(self, t, s, left):
        """DPM-Solver++ 3M by h D' and h^2 D'' from divided differences (the second of them is h^2 D'' / 2)."""
        D = self.x0(self.x, t)
        if min(1 + len(self.past), left) < 3:
            self.x = self.exponential(t, s, self.with_slope(t, s, D))
        else:
            (u, D_u), (w, D_w) = self.past
            h = self.lam(s) - self.lam(t)
            r_0, r_1 = (self.lam(t) - self.lam(u)) / h, (self.lam(u) - self.lam(w)) / h
            first, second = (D - D_u) * (1 / r_0), (D_u - D_w) * (1 / r_1)
            slope = first + (first - second) * (r_0 / (r_0 + r_1))
            bend = (first - second) * (2 / (r_0 + r_1))
            phi_2 = math.expm1(-h) / h + 1
            phi_3 = phi_2 / h - 0.5
            self.x = self.exponential(t, s, D) + self.a[s] * phi_2 * slope - self.a[s] * phi_3 * bend
        self.remember(t, D)

    def unipc_step(self, t, s):
        """UniPC-2 with B_2: correct x_t from the corrected x before it, by the paper's R rho = b; then predict."""
        D = self.x0(self.x, t)
        if self.past:
            u, D_u = self.past[0]
            h = self.lam(t) - self.lam(u)
            B = math.expm1(-h)
            nodes = [((self.lam(w) - self.lam(u)) / h, D_w) for w, D_w in self.past[1:]] + [(1.0, D)]
            rho = uni_rho(h, B, [node for node, _ in nodes])
            total = self.g[t] / self.g[u] * self.corrected - self.a[t] * B * D_u
            for weight, (node, D_node) in zip(rho, nodes, strict=True):
                total = total - (self.a[t] * B * weight / node) * (D_node - D_u)
            self.x = total
        self.corrected = self.x
        self.x = self.exponential(t, s, self.with_slope(t, s, D))
        self.remember(t, D)


def uni_rho(h, B, nodes):
    """sum_m rho_m r_m^(n-1) = n! (-h) phi_(n+1)(-h) / B, with phi_(n+1)(z) = (phi_n(z) - 1/n!) / z; 1/2 for one."""
    if len(nodes) == 1:
        return [0.5]
    phi, b = math.expm1(-h) / -h, []
    for n in range(1, len(nodes) + 1):
        phi = (phi - 1 / math.factorial(n)) / -h
        b.append(math.factorial(n) * -h * phi / B)
    return np.linalg.solve(np.vander(nodes, increasing=True).T, b)


WRITTEN_OUT = (
    *("ancestral", "ddim", "euler", "dpmpp_1", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m", "unipc_2", "heun", "heun_churn"),
    *("predictor_corrector", "langevin"),
)
"""The samplers whose papers are copied out below; test_conformance.py and test_orders.py hold one that is not."""


def reference(kind, schedule, levels, variance, sampler):
    r = Reference(schedule)
    for number, (t, s) in enumerate(pairwise(levels)):
        if kind == "ancestral":
            r.ancestral_step(t, s, variance)
        elif kind in ("ddim", "euler"):
            r.ddim_step(t, s, getattr(sampler, "eta", 0.0))
        elif kind == "dpmpp_1":
            r.x = r.exponential(t, s, r.x0(r.x, t))
        elif kind == "dpmpp_2m":
            D = r.x0(r.x, t)
            r.x = r.exponential(t, s, r.with_slope(t, s, D))
            r.remember(t, D)
        elif kind == "dpmpp_3m":
            r.third_order_step(t, s, len(levels) - 1 - number)
        elif kind == "unipc_2":
            r.unipc_step(t, s)
        elif kind == "dpmpp_2s":
            D = r.x0(r.x, t)
            between = range(s + 1, t) if s > 0 and r.a[t] > 0 else ()
            if not between:
                r.x = r.exponential(t, s, D)
                continue
            m = min(between, key=lambda u: (round(abs(2 * r.lam(u) - r.lam(t) - r.lam(s)), 8), u))
            share = (r.lam(m) - r.lam(t)) / (r.lam(s) - r.lam(t))
            D_m = r.x0(r.exponential(t, m, D), m)
            r.x = r.exponential(t, s, (1 - 1 / (2 * share)) * D + (1 / (2 * share)) * D_m)
        elif kind == "heun":
            r.heun_step(t, s)
        elif kind == "heun_churn":
            up = r.churn_step(t, sampler.churn, len(levels) - 1, sampler.churn_sigmas, sampler.churn_noise)
            r.heun_step(up, s)
        elif kind == "predictor_corrector":
            r.ancestral_step(t, s, variance)
            for _ in range(sampler.corrections if s > 0 else 0):
                r.langevin_step(s, sampler.step_size)
        elif kind == "langevin":
            for _ in range(sampler.corrections):
                r.langevin_step(t, sampler.step_size)
            if s == 0:
                r.x = r.x0(r.x, t)
            elif r.a[t] > 0:
                r.x = r.x * (r.a[s] / r.a[t])
        else:
            raise AssertionError(f"no algorithm of {kind} here")
    return r.x.moments
