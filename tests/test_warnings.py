"""
A warning of the package is shown at the line of the user who called it, whatever the way in.

Of fits that fail: inference/test_failures.py; of a fit at the border of its region: engine/test_trials.py.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from walk_subjects import SUBJECTS, N

import statespace_ext as sse

SOURCE = Path(sse.__file__).parent
SERIES = SUBJECTS["LGSSM"].y.iloc[:N].to_numpy()
DAYS = pd.bdate_range("2024-01-01", periods=2 * N)
HOLES = DAYS[np.sort(np.random.default_rng(0).permutation(2 * N)[:N])]
YIELDS = SUBJECTS["ATSM"].y.iloc[:N].to_numpy()


def irregular() -> Any:
    model = sse.LGSSM(pd.DataFrame(SERIES, index=HOLES), 1, identification="triangular")
    return model.smooth(model.start_params, cov_type="none")


STEPS, FEW = "labelled by steps", {"maxiter": 1, "cov_type": "none"}
CALLS: dict[str, tuple[str, Callable[[], Any]]] = {
    "months": ("divide by 12", lambda: sse.ATSM(YIELDS, [6.0, 12.0, 24.0, 60.0], k_factors=1, dt=1 / 12)),
    "units": ("units say", lambda: sse.ATSM(YIELDS, [1.0, 2.0, 5.0, 10.0], 1, units="percent", dt=1 / 12)),
    "fit": ("did not converge", lambda: sse.LGSSM(SERIES, 1, identification="unit").fit(maxiter=1)),
    "fit of the ATSM": ("did not converge", lambda: SUBJECTS["ATSM"].model().fit(**FEW, method="lbfgs")),
    "unidentified": ("Not identified", lambda: sse.LGSSM(SERIES, 2).fit(maxiter=1)),
    "forecast": (STEPS, lambda: irregular().forecast(2)),
    "get_forecast": (STEPS, lambda: irregular().get_forecast(2)),
    "get_prediction": (STEPS, lambda: irregular().get_prediction(N - 2, N + 1)),
    "predict": (STEPS, lambda: irregular().predict(N - 2, N + 1)),
    "simulate": (STEPS, lambda: irregular().simulate(3, anchor="end", rng=0)),
    "append": (STEPS, lambda: irregular().append(SERIES[:2])),
    "extend": (STEPS, lambda: irregular().extend(SERIES[:2])),
    "forecast of results": (STEPS, lambda: irregular()._results.forecast(2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_is_shown_at_the_line_of_the_caller(name: str) -> None:
    said, call = CALLS[name]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    places = {each.filename for each in found if said in str(each.message)}
    assert places == {__file__}, [(each.filename, str(each.message)) for each in found]


def test_all_warnings_are_issued_in_one_place() -> None:
    places = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"warnings\.warn\(|warn_explicit\(|stacklevel", path.read_text(encoding="utf-8"))
    }
    assert places == {"exceptions.py"}
