"""How LGSSM refuses: the data of its tests of bad input, and what a message must have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

import statespace_ext as sse

unidentified = pytest.mark.filterwarnings("ignore::statespace_ext.IdentificationWarning")
not_converged = pytest.mark.filterwarnings("ignore::statespace_ext.ConvergenceWarning")
N = 60
NAN, INF = np.nan, np.inf
Refusal = tuple[Callable[[], object], type[Exception], str]


def panel(n: int = N, p: int = 3) -> np.ndarray:
    """Draw 3 series of one AR(1) factor."""
    rng = np.random.default_rng(1)
    x = np.zeros(n)
    for t in range(1, n):
        x[t] = 0.7 * x[t - 1] + rng.normal()
    return x[:, None] * np.array([1.0, 0.5, -0.8])[:p] + 0.5 * rng.normal(size=(n, p))


Y = panel()
MONTHS = pd.period_range("2000-01", periods=N, freq="M")
FRAME = pd.DataFrame(Y, index=MONTHS, columns=["a", "b", "c"])
NEXT = FRAME.iloc[:3].set_axis(pd.period_range("2005-01", periods=3, freq="M"))
X = np.random.default_rng(5).normal(size=(N, 2))
REGRESSORS = pd.DataFrame(X, index=MONTHS, columns=["u", "v"])


def model(**spec: Any) -> sse.LGSSM:
    return sse.LGSSM(Y, 1, **{"identification": "triangular", **spec})


def changed(value: object, row: int = 3, column: int = 0, of: np.ndarray = Y) -> np.ndarray:
    out = np.array(of, dtype=float)
    out[row, column] = value
    return out


def refused(call: Callable[[], object], error: type[Exception], words: str) -> str:
    """Check that a call is refused by one error, in a message of a few sentences with these words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert caught.type is error
    assert re.search(words, message), message
    assert message.endswith((".", "`")) and "\n" not in message and len(message) < 1200
    assert re.search(r": got |: expected |\. [A-Z]", message), f"neither value nor remedy: {message}"
    return message


def cases(of: Mapping[str, Refusal]) -> Callable:
    return pytest.mark.parametrize(("call", "error", "words"), of.values(), ids=of.keys())
