"""Use the installed package as someone does who installed it and nothing else.

No extra is installed here: what needs one has to say so, and the rest has to work without.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np

import statespace_ext as sse

warnings.simplefilter("error")


def main() -> None:
    """Fit, print, forecast; then ask for what is not installed."""
    folder = Path(sse.__file__).parent
    assert "site-packages" in str(folder), folder
    assert (folder / "py.typed").exists()
    assert importlib.metadata.version("statespace-ext") == sse.__version__
    for extra in ("matplotlib", "linearmodels", "tqdm", "joblib"):
        assert importlib.util.find_spec(extra) is None, f"{extra} came along without being asked for"
    macro = sse.datasets.load_macro()[["realcons", "realinv", "realdpi"]]
    endog = 100.0 * np.log(macro).diff().iloc[1:]
    res = sse.LGSSM(endog, k_factors=1, identification="triangular").fit()
    assert res.converged
    print(res.summary())
    assert str(res.forecast(2).index[0]) == "2009Q4"
    for ask, extra in ((sse.datasets.load_industries, "datasets"), (res.plot_factors, "plot")):
        try:
            ask()
        except sse.UnsupportedError as error:
            assert f"[{extra}]" in str(error)
        else:
            raise AssertionError(f"the extra {extra} is not installed, and was not missed")


if __name__ == "__main__":
    sys.exit(main())
