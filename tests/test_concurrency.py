"""The same numbers from threads, pickles and any number of BLAS threads; memory of long samples."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_data import BUILD, N
from numpy.testing import assert_allclose, assert_array_equal

import statespace_ext as sse

every_class = pytest.mark.parametrize("kind", BUILD)
unidentified = pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("shared", [True, False], ids=["one model", "a model each"])
@every_class
@unidentified
def test_threads_fit_as_one_does(kind: str, shared: bool) -> None:
    build, sample = BUILD[kind]
    y = sample()
    alone = build(y).fit()
    model = build(y)

    def fit(_: int) -> Any:
        res = (model if shared else build(y)).fit()
        return np.asarray(res.params), res.llf, res.smoothed_state, np.asarray(res.bse)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fit, range(4)))
    for params, llf, smoothed, errors in found:
        assert_allclose(params, np.asarray(alone.params), rtol=1e-10)
        assert_allclose(llf, alone.llf, rtol=1e-13)
        assert_allclose(smoothed, alone.smoothed_state, rtol=1e-10, atol=1e-12)
        assert_allclose(errors, np.asarray(alone.bse), rtol=1e-8)


@every_class
@unidentified
def test_results_survive_a_pickle(kind: str) -> None:
    build, sample = BUILD[kind]
    res = build(sample()).fit()
    again = pickle.loads(pickle.dumps(res))
    assert_array_equal(np.asarray(again.params), np.asarray(res.params))
    assert_array_equal(again.smoothed_state, res.smoothed_state)
    assert_allclose(np.asarray(again.bse), np.asarray(res.bse), rtol=1e-9)
    assert_allclose(again.model.loglike(again.params), res.llf, rtol=1e-12)
    assert again.converged == res.converged and str(again) == str(res)
    refitted = again.model.fit()
    assert_allclose(refitted.llf, res.llf, rtol=1e-12)


REFIT = """
import json, pickle, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
out = {}
for kind, (model, res) in pickle.load(sys.stdin.buffer).items():
    again = model.fit()
    out[kind] = {
        "loaded": [res.llf, *np.asarray(res.params).tolist(), *np.asarray(res.bse).tolist()],
        "fitted": [again.llf, *np.asarray(again.params).tolist(), *np.asarray(again.bse).tolist()],
        "forecast": np.asarray(res.predict(0, 3)).ravel().tolist(),
        "summary": str(res),
    }
print(json.dumps(out))
"""


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
@unidentified
def test_fresh_processes_load_models_and_results_and_fit_as_one_does(count: int) -> None:
    """The same pickle for all of them, at once."""
    pairs = {}
    for kind, (build, sample) in BUILD.items():
        model = build(sample())
        pairs[kind] = model, model.fit()
    content = pickle.dumps(pairs)
    command = [sys.executable, "-c", REFIT]
    env = os.environ | {"PYTHONPATH": str(ROOT)}

    def in_one(_: int) -> dict[str, Any]:
        out = subprocess.run(command, input=content, capture_output=True, env=env, timeout=600)
        assert out.returncode == 0, out.stderr.decode()
        return dict(json.loads(out.stdout))

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(in_one, range(count)))
    for numbers in found:
        assert numbers == found[0]
        for kind, (_, res) in pairs.items():
            want = [res.llf, *np.asarray(res.params), *np.asarray(res.bse)]
            assert_allclose(numbers[kind]["loaded"], want, rtol=1e-9)
            assert_allclose(numbers[kind]["fitted"], want, rtol=1e-8)
            assert_allclose(numbers[kind]["forecast"], np.ravel(res.predict(0, 3)), rtol=1e-12)
            assert numbers[kind]["summary"] == str(res)


CHILD = """
import json, sys, warnings
sys.path[:0] = sys.argv[1:]
warnings.simplefilter("ignore")
import numpy as np
from edge_data import BUILD
out = {}
for kind, (build, sample) in BUILD.items():
    res = build(sample()).fit()
    out[kind] = [res.llf, *np.asarray(res.params).tolist(), *res.smoothed_state[:, -1].tolist()]
rng = np.random.default_rng(0)
import statespace_ext as sse
model = sse.LGSSM(rng.standard_normal((200, 30)).cumsum(axis=0), 4)
out["large"] = [model.loglike(model.start_params), *model.score(model.start_params).tolist()]
print(json.dumps(out))
"""


def in_a_process(threads: int) -> dict[str, list[float]]:
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    env = os.environ | dict.fromkeys(names, str(threads))
    command = [sys.executable, "-c", CHILD, str(ROOT), str(ROOT / "tests")]
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=300)
    return dict(json.loads(out.stdout))


def test_the_number_of_blas_threads_does_not_matter() -> None:
    one, two = in_a_process(1), in_a_process(2)
    for kind, numbers in one.items():
        size = np.maximum(np.abs(numbers), 1e-3 * np.max(np.abs(numbers)))
        assert np.max(np.abs(np.subtract(two[kind], numbers)) / size) < 1e-10, kind


MEMORY = """
import resource, sys, warnings
sys.path[:0] = sys.argv[1:]
warnings.simplefilter("ignore")
import numpy as np
import statespace_ext as sse
rng = np.random.default_rng(0)
n = 1_000_000
x = np.zeros((n, 4))
noise = rng.standard_normal((n, 4))
for t in range(1, n):
    x[t] = [0.9, 0.7, 0.5, 0.3] * x[t - 1] + noise[t]
y = x + 0.5 * rng.standard_normal((n, 4))
del x, noise
res = sse.LGSSM(y, 4, identification="unit").fit(method="em", maxiter=3, low_memory=True)
print(res.llf, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_a_million_periods_within_two_gibibytes() -> None:
    command = [sys.executable, "-c", MEMORY, str(ROOT), str(ROOT / "tests")]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    llf, peak = (float(word) for word in out.stdout.split())
    assert np.isfinite(llf)
    assert peak < 2.0, f"{peak:.2f} GiB"


def test_low_memory_changes_no_estimate() -> None:
    build, sample = BUILD["LGSSM"]
    one, two = build(sample()).fit(), build(sample()).fit(low_memory=True)
    assert_array_equal(np.asarray(one.params), np.asarray(two.params))
    assert_allclose(one.llf, two.llf, rtol=1e-12)
    assert two.nobs == N and isinstance(two.model, sse.LGSSM)
