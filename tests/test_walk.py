"""
Every public name of statsmodels' results, smoother results and models, after other uses of the model.

The answer equals that of a model left alone, and that of a plain `MLEModel` with the same matrices. A call
that only reads leaves every byte of the model as it was. `walk_verdicts` has a verdict for each name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import fuzz_walk
import numpy as np
import pytest
import statsmodels
from statsmodels.tsa.statespace.kalman_smoother import SmootherResults
from statsmodels.tsa.statespace.mlemodel import MLEModel, MLEResults, MLEResultsWrapper
from walk import COPIES, DISTURBANCES, WAYS, Case, step, values
from walk_subjects import SUBJECTS
from walk_verdicts import COVARIANCE, GROUPS

ROOT = Path(__file__).parents[1]
Step = tuple[str, list[str], str, str]


def steps_of(group: str) -> list[list[str]]:
    """Return the names of a group, in the order in which they are called: attributes share one result."""
    attributes = {name: verdict for name, verdict in GROUPS[group].items() if verdict.attribute}
    errors = [name for name, verdict in attributes.items() if verdict.why == COVARIANCE]
    others = [name for name in attributes if name not in errors]
    batches = [others, errors] if errors else [others]
    return batches + [[name] for name in GROUPS[group] if name not in attributes]


def pairwise(place: int) -> list[Step]:
    """Return the calls of a subject: over the subjects, every name meets every way and every disturbance."""
    ways, disturbances = list(WAYS), list(DISTURBANCES)
    return [
        (group, names, ways[(j + place) % len(ways)], disturbances[(j + 3 * place) % len(disturbances)])
        for group in GROUPS
        for j, names in enumerate(steps_of(group))
    ]


def faults(subject: str, steps: list[Step], folder: Path) -> list[str]:
    found = []
    for group, names, way, disturbance in steps:
        for name, what in step(subject, group, names, way, disturbance, folder).items():
            found.append(f"{subject}, {group}.{name}, {way}, after {disturbance}: {what}")
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_name_in_a_pairwise_design(subject: str, tmp_path: Path) -> None:
    found = faults(subject, pairwise(list(SUBJECTS).index(subject)), tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_name_in_every_way(subject: str, disturbance: str, tmp_path: Path) -> None:
    steps = [
        (group, names, way, disturbance) for group in GROUPS for names, way in product(steps_of(group), WAYS)
    ]
    found = faults(subject, steps, tmp_path)
    assert not found, "\n".join(found)


def test_the_design_is_pairwise() -> None:
    met = [
        (place, group, name, way, disturbance)
        for place in range(len(SUBJECTS))
        for group, names, way, disturbance in pairwise(place)
        for name in names
    ]
    names = sum(len(verdicts) for verdicts in GROUPS.values())
    assert len({(place, *call[1:3]) for place, *call in [(m[0], *m) for m in met]}) == len(SUBJECTS) * names
    for column, others in ((3, WAYS), (4, DISTURBANCES)):
        assert len({(m[1], m[2], m[column]) for m in met}) == names * len(others)
        assert len({(m[0], m[column]) for m in met}) == len(SUBJECTS) * len(others)
    print(f"{len(met)} calls of {names} names, {len(SUBJECTS)} subjects")


def test_every_public_name_has_a_verdict() -> None:
    """A new name fails with the versions of statsmodels in .ci, and is printed with others."""

    class One(MLEModel):
        param_names, start_params = ["variance"], np.ones(1)

        def __init__(self) -> None:
            super().__init__(np.arange(20.0) % 3, 1, initialization="approximate_diffuse")
            self["design", 0, 0] = self["selection", 0, 0] = self["state_cov", 0, 0] = 1.0

        def update(self, params, **kwargs):
            self["obs_cov", 0, 0] = super().update(params, **kwargs)[0]

    model = One()
    results = model.smooth([1.0])
    public = {
        "results": {*dir(results._results), *dir(MLEResults), *dir(MLEResultsWrapper)},
        "smoother": {*dir(results.smoother_results), *dir(SmootherResults)},
        "model": set(dir(model)),
    }
    unknown = [
        f"{group}.{name}"
        for group, names in public.items()
        for name in sorted(names - GROUPS[group].keys())
        if not name.startswith("_")
    ]
    pinned = {
        version
        for path in (ROOT / ".ci").glob("*.txt")
        for version in re.findall(r"statsmodels==(\S+)", path.read_text())
    }
    print("names without a verdict:", unknown)
    assert not unknown or statsmodels.__version__ not in pinned
    if statsmodels.__version__ == "0.15.0":
        gone = [name for group, names in public.items() for name in GROUPS[group].keys() - names]
        assert gone == []


@pytest.mark.parametrize(("calls", "seed"), [(200, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)])
def test_random_models_ways_and_names(calls: int, seed: int) -> None:
    done, found = fuzz_walk.run(calls, seed)
    assert done == calls and not found, "\n".join(found)


SCRIPT = """
import pickle, sys, warnings
sys.path.insert(0, {tests!r})
import walk
warnings.simplefilter("ignore")
for name, subject in walk.SUBJECTS.items():
    res = subject.model().smooth(subject.params)
    for each in (res, pickle.loads(pickle.dumps(res)), walk.copy.deepcopy(res)):
        each.get_smoothed_decomposition()
        each.model.ssm.loglike()
        each.smoother_results.model.loglike()
        each.get_smoothed_decomposition()
        if hasattr(each.model, "layout"):
            before = each.bse.to_numpy()
            other = each.model.smooth(subject.params)
            each.remove_data()
            assert walk.np.array_equal(each.bse.to_numpy(), before, equal_nan=True)
            other.forecast(1, **subject.future(1))
            each = pickle.loads(pickle.dumps(walk.copy.deepcopy(each)))
            for attribute in dir(each):
                if attribute.startswith("_"):
                    continue
                try:
                    value = getattr(each, attribute)
                    if callable(value) and attribute not in ("initialize", "load", "save", "attach"):
                        value()
                except walk.StateSpaceError:
                    pass
                except TypeError as error:
                    assert "required" in str(error), (attribute, error)
    print(name)
"""


def test_copies_and_removed_data_never_end_the_interpreter() -> None:
    """What needs the data raises an error of the package; other results of the model keep theirs."""
    script = SCRIPT.format(tests=str(ROOT / "tests"))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split("\n")[:-1] == list(SUBJECTS)


@pytest.mark.parametrize("way", COPIES)
def test_copies_of_plain_models(way: str, tmp_path: Path) -> None:
    """A copy of a plain model that was smoothed does not follow its parameters; a copy of ours does."""
    trap, ours = (Case(SUBJECTS["MixedSARIMAX"], way, plain, tmp_path, False) for plain in (True, False))
    moved = ours.params + 0.05
    assert trap.model.loglike(moved) == trap.model.loglike(trap.params)
    fresh = SUBJECTS["MixedSARIMAX"].model().loglike
    assert np.isclose(ours.model.loglike(moved), fresh(moved), rtol=1e-10)
    assert not np.isclose(fresh(moved), fresh(ours.params), rtol=1e-6)


def test_the_walk_sees_a_difference() -> None:
    one, two = values({"a": np.ones(3), "b": "x"}), values({"a": np.ones(3) + 1e-6, "b": "x"})
    from walk import Answer

    assert Answer(tuple(one)).differs(Answer(tuple(two)), 1e-8) and not Answer(tuple(one)).differs(
        Answer(tuple(one)), 0.0
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", ["known", "approximate_diffuse", "diffuse"])
@pytest.mark.parametrize("subject", [name for name in SUBJECTS if not name.startswith("Mixed")])
def test_a_start_set_by_the_user_replaces_the_whole_start(subject: str, start: str) -> None:
    """The likelihood of the model is that of its results: no block of the constructor's start is left."""
    s = SUBJECTS[subject]
    model = s.model()
    k = model.k_states
    given = {"known": (np.full(k, 0.1), 2.0 * np.eye(k)), "approximate_diffuse": (50.0,), "diffuse": ()}
    getattr(model.ssm, f"initialize_{start}")(*given[start])
    res = model.smooth(s.params, cov_type="none")
    assert np.isclose(model.loglike(s.params), res.llf, rtol=1e-9)
