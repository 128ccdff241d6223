"""
Beside other packages: an EM iteration, the time to the maximum, memory. Not collected by pytest.

    python tests/benchmarks/bench_side_by_side.py

Part 1: one iteration of EM with everything free (intercepts, full H and Q, the first state), from the same
start values. The log-likelihoods after the same number of iterations must agree, or the row fails.
Part 2: from the data to within 1e-6 of the maximum of a dynamic factor model (one AR(1) factor, diagonal H,
stationary start), each from its own start values. dynamax has no EM for it: jax differentiates its filter,
and scipy's L-BFGS does the rest, which is more than the package offers by itself.

Each package runs in a process of its own, on one processor; packages take turns, `ROUNDS` times, and medians
are compared. Times are processor times without imports. Memory is by how much the peak of the process rose
after the imports and the data. "cold" is the first call, with what is compiled. What is not installed is left
out.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from bench_estep import sample

SHAPES = ((200, 2, 3), (1000, 4, 10))
ITERATIONS, ROUNDS = 10, 3
LIMITS = {"dynamax": 15.0, "pykalman": 200.0}
"""Times an iteration of ours at the last shape; "to the maximum at least 20 times the best of them"."""
LIMIT_TO_MAXIMUM, CLOSE, LONGEST = 20.0, 1e-6, 60.0
"""LONGEST: seconds after which a fit is given up."""
FACTOR_SHAPES = ((300, 5), (500, 20))


def start_values(k: int, p: int) -> dict[str, np.ndarray]:
    """Return start values by matrix."""
    rng = np.random.default_rng(1)
    return {
        "transition": 0.5 * np.eye(k), "state_intercept": np.zeros(k), "state_cov": np.eye(k),
        "design": rng.standard_normal((p, k)), "obs_intercept": np.zeros(p), "obs_cov": 2.0 * np.eye(p),
        "initial_state": np.zeros(k), "initial_state_cov": np.eye(k),
    }  # fmt: skip


def ours_iterations(y: np.ndarray, start: dict[str, np.ndarray]) -> Callable[[], float]:
    """Return a function that runs EM and returns the last log-likelihood."""
    import statespace_ext as sse
    from statespace_ext.em.driver import EMOptions, run_em

    model = sse.LGSSM(
        y, len(start["transition"]), state_intercept="free", obs_cov="unstructured",
        initialization="estimated", initial_state_cov="free",
    )  # fmt: skip
    problem = model.problem()
    params, cycles = problem.layout.project(start, model.default_start(problem)), problem.updates.cycles()
    options = EMOptions(ITERATIONS - 1, 0.0)
    return lambda: run_em(params, problem.moments, problem.loglike, cycles, options).llf


def dynamax_iterations(y: np.ndarray, start: dict[str, np.ndarray]) -> Callable[[], float]:
    """Return the loop of dynamax's own `fit_em`, its step compiled once."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM

    model = LinearGaussianSSM(len(start["transition"]), y.shape[1])
    names = {
        "initial_mean": "initial_state", "initial_covariance": "initial_state_cov",
        "dynamics_weights": "transition", "dynamics_bias": "state_intercept",
        "dynamics_covariance": "state_cov",
        "emission_weights": "design", "emission_bias": "obs_intercept", "emission_covariance": "obs_cov",
    }  # fmt: skip
    first, props = model.initialize(**{key: jnp.array(start[name]) for key, name in names.items()})
    batch, inputs = jnp.array(y)[None], jnp.zeros((1, len(y), 0))
    state = model.initialize_m_step_state(first, props)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        stats, llf = jax.vmap(lambda emissions, inputs: model.e_step(params, emissions, inputs))(
            batch, inputs
        )
        return *model.m_step(params, props, stats, state), llf.sum()

    def run() -> float:
        params, m_state, llf = first, state, None
        for _ in range(ITERATIONS):
            params, m_state, llf = step(params, m_state)
        return float(llf)

    return run


def pykalman_iterations(y: np.ndarray, start: dict[str, np.ndarray]) -> Callable[[], float]:
    """Return pykalman's EM; it updates everything but the intercepts of the states at once."""
    from pykalman import KalmanFilter

    def run() -> float:
        model = KalmanFilter(
            start["transition"], start["design"], start["state_cov"], start["obs_cov"],
            start["state_intercept"], start["obs_intercept"], start["initial_state"],
            start["initial_state_cov"], em_vars="all",
        )  # fmt: skip
        model.em(y, n_iter=ITERATIONS)
        return np.nan

    return run


def factor_data(n: int, p: int) -> np.ndarray:
    """Return centred data of one factor."""
    y = sample(n, 1, p)
    return y - y.mean(axis=0)


def ours_maximum(method: str) -> Callable[[np.ndarray], Watch]:
    """Return a fit of ours that tells its path."""

    def fit(y: np.ndarray) -> Watch:
        import statespace_ext as sse

        watch = Watch()
        model = sse.LGSSM(
            y,
            1,
            identification="unit",
            initialization="stationary",
            obs_intercept="zero",
            state_cov="diagonal",
        )
        maxiter = {"auto": None, "accelerated-em": 2000, "em": 10_000}[method]
        options = {} if method == "auto" else {"tolerance": 1e-12, "maxiter": maxiter}
        watch.loglike = model.loglike
        model.fit(method=method, callback=watch, return_params=True, **options)
        return watch

    return fit


def dynamic_factor_maximum(y: np.ndarray) -> Watch:
    """Fit statsmodels' DynamicFactor by its default, L-BFGS with a numerical score."""
    import statsmodels.api as sm

    watch = Watch()
    model = sm.tsa.DynamicFactor(y, k_factors=1, factor_order=1)
    watch.loglike = lambda params: model.loglike(params, transformed=False)
    model.fit(
        disp=False, maxiter=10_000, maxfun=10**9, pgtol=1e-9, factr=10.0, callback=watch, cov_type="none"
    )
    return watch


def dynamic_factor_mq_maximum(y: np.ndarray) -> Watch:
    """Fit statsmodels' DynamicFactorMQ by EM; told after the fit, as if each iteration took the same."""
    import statsmodels.api as sm

    model = sm.tsa.DynamicFactorMQ(y, factors=1, factor_orders=1, idiosyncratic_ar1=False, standardize=False)
    began = time.process_time()
    res = model.fit(disp=False, maxiter=1000, tolerance=1e-13, em_initialization=False, cov_type="none")
    taken, path = time.process_time() - began, list(res.mle_retvals["llf"])
    watch = Watch()
    watch.path = [(taken * (i + 1) / len(path), llf) for i, llf in enumerate(path)]
    return watch


def dynamax_maximum(y: np.ndarray) -> Watch:
    """Maximise dynamax's filter likelihood by L-BFGS with jax's gradient, after a call that compiles it."""
    import jax
    import jax.numpy as jnp
    import scipy.optimize

    jax.config.update("jax_enable_x64", True)
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM, lgssm_filter

    p, emissions = y.shape[1], jnp.array(y)
    template = LinearGaussianSSM(1, p).initialize()[0]

    @jax.jit
    @jax.value_and_grad
    def objective(z: Any) -> Any:
        root, design, noise = jnp.tanh(z[0]), z[1 : p + 1, None], jnp.exp(z[p + 1 :])
        one, zero = jnp.ones((1, 1)), jnp.zeros(1)
        params = template._replace(
            initial=template.initial._replace(mean=zero, cov=one / (1.0 - root**2)),
            dynamics=template.dynamics._replace(weights=root * one, bias=zero, cov=one),
            emissions=template.emissions._replace(weights=design, bias=jnp.zeros(p), cov=jnp.diag(noise)),
        )
        return -lgssm_filter(params, emissions).marginal_loglik

    vectors = np.linalg.svd(y, full_matrices=False)
    loadings = vectors[2][0] * vectors[1][0] / np.sqrt(len(y)) * np.sqrt(1.0 - 0.5**2)
    z = np.concatenate([[np.arctanh(0.5)], loadings, np.log(0.5 * y.var(axis=0))])
    before = time.process_time()
    jax.block_until_ready(objective(z))
    compiled = time.process_time() - before
    watch = Watch()

    def told(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(z)
        watch.note(-float(value))
        return float(value), np.asarray(gradient)

    options = {"maxiter": 10_000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-8}
    scipy.optimize.minimize(told, z, jac=True, method="L-BFGS-B", options=options)
    watch.compiled = compiled
    return watch


class TooLongError(Exception):
    """The time limit."""


class Watch:
    """Processor times and log-likelihoods of a fit, by its callback; looking takes no time."""

    def __init__(self) -> None:
        self.loglike: Callable[[Any], float] = lambda params: np.nan
        self.path: list[tuple[float, float]] = []
        self.start, self.looking, self.compiled = time.process_time(), 0.0, 0.0

    def note(self, llf: float) -> None:
        """Note a log-likelihood that the fit has computed."""
        self.path.append((time.process_time() - self.start - self.looking, llf))

    def __call__(self, params: Any) -> None:
        """Compute the log-likelihood after an iteration and note it."""
        before = time.process_time()
        self.path.append((before - self.start - self.looking, float(self.loglike(params))))
        self.looking += time.process_time() - before


EM = {"ours": ours_iterations, "dynamax": dynamax_iterations, "pykalman": pykalman_iterations}
MAXIMUM = {
    "ours, auto": ours_maximum("auto"),
    "ours, accelerated-em": ours_maximum("accelerated-em"),
    "ours, em": ours_maximum("em"),
    "statsmodels DynamicFactor, lbfgs": dynamic_factor_maximum,
    "statsmodels DynamicFactorMQ, em": dynamic_factor_mq_maximum,
    "dynamax filter, jax gradient, lbfgs": dynamax_maximum,
}
NEEDS = {"dynamax": "dynamax", "pykalman": "pykalman", "dynamax filter, jax gradient, lbfgs": "dynamax"}


def peak() -> float:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def child(part: str, name: str, shape: list[int]) -> dict[str, Any]:
    """Run one package, in a process of its own."""
    warnings.simplefilter("ignore")
    if part == "maximum":
        y = factor_data(*shape)
        MAXIMUM[name](y[:, :3])  # imports, and what is set up once
        before = peak()
        watch = MAXIMUM[name](y)
        return {"path": watch.path, "compiled": watch.compiled, "memory": peak() - before}
    run = EM[name](sample(*shape), start_values(*shape[1:]))
    before, began = peak(), time.process_time()
    llf = run()
    cold, began = time.process_time() - began, time.process_time()
    llf = run()
    return {"llf": llf, "cold": cold, "warm": time.process_time() - began, "memory": peak() - before}


def ask(part: str, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Run one package in a new process and return what it tells."""
    command = [sys.executable, __file__, "--child", json.dumps([part, name, shape])]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return {"path": [(LONGEST, -np.inf)], "memory": np.nan, "compiled": 0.0}
    if run.returncode:
        raise RuntimeError(f"{name} failed:\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def installed(names: dict[str, Any]) -> list[str]:
    """Return what can be run here, and say what cannot."""
    absent = [name for name in names if name in NEEDS and find_spec(NEEDS[name]) is None]
    for name in absent:
        print(f"{name} is left out: {NEEDS[name]} is not installed (the extra `bench` has it)")
    return [name for name in names if name not in absent]


def iterations(shape: tuple[int, ...], limits: dict[str, float]) -> int:
    """Print the first part for a shape; return how many rows fail."""
    names, failed = installed(EM), 0
    runs = [{name: ask("iterations", name, shape) for name in names} for _ in range(ROUNDS)]
    print(f"\nEM iteration, (n, k, p) = {shape}")
    print(f"{'':<10}{'warm':>10}{'cold, 1st':>11}{'MiB':>7}{'ratio':>8}{'limit':>7}")
    warm = {name: median(run[name]["warm"] for run in runs) / ITERATIONS for name in names}
    for name in names:
        cold, memory = (median(run[name][key] for run in runs) for key in ("cold", "memory"))
        ratio, verdict, llf = warm[name] / warm["ours"], "", runs[0][name]["llf"]
        if np.isfinite(llf) and abs(llf - runs[0]["ours"]["llf"]) > CLOSE * (1.0 + abs(llf)):
            verdict, failed = f"  another path: {llf:.6f}, {runs[0]['ours']['llf']:.6f}  FAIL", failed + 1
        elif name in limits:
            verdict = f"{limits[name]:>7g}  {'PASS' if ratio >= limits[name] else 'FAIL'}"
            failed += ratio < limits[name]
        print(
            f"{name:<10}{1e3 * warm[name]:>8.2f}ms{1e3 * cold:>9.0f}ms{memory:>7.1f}{ratio:>8.1f}{verdict}",
            flush=True,
        )
    return failed


def maximum(shape: tuple[int, ...]) -> int:
    """Print the second part for a shape; return how many rows fail."""
    names = installed(MAXIMUM)
    runs = [{name: ask("maximum", name, shape) for name in names} for _ in range(ROUNDS)]
    top = max(llf for run in runs for told in run.values() for _, llf in told["path"])
    print(f"\nto within {CLOSE:g} of the maximum, {top:.6f}; (n, p) = {shape}")
    print(f"{'':<38}{'time':>10}{'MiB':>7}{'best':>12}{'ratio':>8}")
    near: dict[str, float] = {}
    for name in names:
        paths = [run[name]["path"] for run in runs]
        times = [
            min((seconds for seconds, llf in path if llf > top - CLOSE), default=np.inf) for path in paths
        ]
        near[name] = median(times)
        shown = f"{1e3 * near[name]:.0f}ms"
        if not np.isfinite(near[name]):
            shown = f">{1e3 * max(seconds for seconds, _ in paths[0]):.0f}ms"
        best, memory = max(llf for _, llf in paths[0]) - top, median(run[name]["memory"] for run in runs)
        compiled = median(run[name].get("compiled", 0.0) for run in runs)
        extra = f"  + {1e3 * compiled:.0f}ms to compile" if compiled else ""
        ratio = near[name] / near["ours, auto"]
        print(f"{name:<38}{shown:>10}{memory:>7.1f}{best:>12.1e}{ratio:>8.1f}{extra}", flush=True)
        if compiled:
            near[f"{name}, compiled"] = near[name] + compiled
    return verdicts(near)


def verdicts(near: dict[str, float]) -> int:
    """Print by how much the best of ours is before the best of others, warm and cold; return the failures."""
    ours, failed = min(taken for name, taken in near.items() if name.startswith("ours")), 0
    for what, left_out in (
        ("warm", ", compiled"),
        ("compilation included", "dynamax filter, jax gradient, lbfgs"),
    ):
        others = {
            name: taken
            for name, taken in near.items()
            if not name.startswith("ours") and not name.endswith(left_out)
        }
        best = min(others, key=others.__getitem__)
        passed = others[best] >= LIMIT_TO_MAXIMUM * ours
        failed += not passed
        print(
            f"best of the others ({what}: {best}) by best of ours: {others[best] / ours:.1f},"
            f" limit {LIMIT_TO_MAXIMUM:g}  {'PASS' if passed else 'FAIL'}"
        )
    return failed


def main() -> int:
    """Print the tables."""
    failed = sum(iterations(shape, LIMITS if shape == SHAPES[-1] else {}) for shape in SHAPES)
    failed += sum(maximum(shape) for shape in FACTOR_SHAPES)
    return int(failed > 0)


if __name__ == "__main__":
    if "--child" in sys.argv:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(child(*json.loads(sys.argv[-1]))))
        sys.exit(0)
    sys.exit(main())
