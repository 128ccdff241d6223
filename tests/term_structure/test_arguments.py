"""Arguments that a method does not have: messages name the method that a user calls, and what it takes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from yields import random_panel

import statespace_ext as sse

TAU = np.array([1 / 12, 0.5, 1.0, 3.0, 7.0, 10.0])


Y = random_panel(np.random.default_rng(1), 63, TAU, 2)
Y += 0.0005 * np.random.default_rng(2).standard_normal(Y.shape)
PASSED_ON: dict[str, list[Any]] = {"extend": [Y[60:]], "get_prediction": [], "simulate": [3]}
"""Methods that pass arguments on by name, with valid arguments."""


def results(kind: str) -> Any:
    y = Y[:60]
    if kind == "ACM":
        return sse.ACM(y, TAU, 1).fit()
    model = sse.ATSM(y, TAU, 2, obs_cov="scalar")
    return model.smooth(model.start_params, cov_type="none")


def outputs(cls: type) -> list[str]:
    """Return the public methods that the term structure adds to the results."""
    found = inspect.getmembers(cls, inspect.isfunction)
    return [
        name
        for name, member in found
        if not name.startswith("_") and ".term_structure." in inspect.unwrap(member).__module__
    ]


@pytest.mark.parametrize("kind", ["ATSM", "ACM"])
def test_unknown_and_misplaced_arguments_of_each_output(kind: str) -> None:
    res = results(kind)
    for owner in (res, res.yield_curve(1.0)):
        names = outputs(type(getattr(owner, "_results", owner)))
        assert len(names) > (2 if owner is not res else 20)
        for name in names:
            method = getattr(owner, name)
            known = list(inspect.signature(method).parameters)
            with pytest.raises(TypeError) as caught:
                method(*PASSED_ON.get(name, []), zzz=1)
            message = str(caught.value)
            assert "zzz" in message, (name, message)
            assert "__init__" not in message and "Implied" not in message, message
            if name in PASSED_ON:
                continue
            assert message.startswith(f"{name}() got an unexpected keyword argument 'zzz'."), message
            assert not known or known[-1] in message
            with pytest.raises(TypeError, match=rf"^{name}\(\): too many positional arguments"):
                method(*range(20))


def test_hints() -> None:
    res = results("ACM")
    with pytest.raises(TypeError, match=r"^term_premium\(\) .*'alpha'. .*pass alpha to `lower`"):
        res.term_premium(5, alpha=0.1)
    with pytest.raises(TypeError, match=r"^yield_curve\(\) .*'maturity'. The nearest name is maturities\.$"):
        res.yield_curve(maturity=5)
    with pytest.raises(TypeError, match=r"^term_premium\(\): missing a required argument: 'maturity'"):
        res.term_premium()
    with pytest.raises(TypeError, match=r"^ACM\(\) .*'k_factor'. The nearest name is k_factors\.$"):
        sse.ACM(res.model.endog, TAU, k_factor=2)
    with pytest.raises(TypeError, match=r"^ACM\(\) .*'dts'"):
        res.model.clone(res.model.endog, dts=1)
    assert "maturity" in inspect.signature(res.term_premium).parameters
