"""Linear expressions of named parameters, such as ``"a + 2*b"``, parsed by patsy."""

from __future__ import annotations

import re

import numpy as np
from patsy import DesignInfo, PatsyError

from ..exceptions import SpecificationError

_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")


def parse_expression(text: str, where: str) -> tuple[float, dict[str, float]]:
    """
    Parse a linear expression into its constant and its coefficients by parameter name.

    Parameters
    ----------
    text : str
        A number or a linear expression in Python identifiers: ``"a"``, ``"a + 2*b"``, ``"1 - a/2"``.
    where : str
        The place of the element, for messages.

    Raises
    ------
    SpecificationError
        If the text is not linear, or is an equality.
    """
    try:
        return float(text), {}
    except ValueError:
        pass
    names = list(dict.fromkeys(_NAME.findall(text)))
    problem = SpecificationError(
        f"{where} is not a linear expression of named parameters",
        got=repr(text),
        expected='a number, a name, or a linear expression such as "a + 2*b"',
    )
    if not names or "=" in text or "," in text:
        raise problem
    try:
        with np.errstate(all="ignore"):  # "a/0": refused below, as not finite
            constraint = DesignInfo(names).linear_constraint(text)
    except PatsyError as error:
        raise problem from error
    constant = -float(np.asarray(constraint.constants).item())
    coefficients = dict(zip(names, np.asarray(constraint.coefs, dtype=float)[0], strict=True))
    if not np.isfinite(constant) or not np.all(np.isfinite(list(coefficients.values()))):
        raise problem
    return constant, {name: float(value) for name, value in coefficients.items() if value != 0.0}
