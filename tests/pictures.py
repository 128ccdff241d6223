"""
Every picture of the package, from numbers that no model computes; the tests compare them with stored ones.

    python tests/pictures.py

draws those in tests/plots/pictures/, and that of the start page, anew. Look at each before you keep it.
The numbers are sines, so that only the pictures are compared; ``shift`` moves what is drawn, in parts of its
size.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from statespace_ext.base.reporting import Reporting
from statespace_ext.base.shocks import ImpulseResponses
from statespace_ext.inference.bootstrap import Bootstrap
from statespace_ext.inference.profile import Profile
from statespace_ext.inference.windows import RollingFit
from statespace_ext.plots import plot_factors, plot_forecast
from statespace_ext.regression.plots import plot_coefficients, plot_lead
from statespace_ext.term_structure.plots import Pictures

ROOT = Path(__file__).parents[1]
START_PAGE, START_DPI = ROOT / "docs" / "pictures" / "start.png", 70
FOLDER = Path(__file__).parent / "plots" / "pictures"
DPI = 45
METHODS = {
    "windows": RollingFit,
    "profile": Profile,
    "bootstrap": Bootstrap,
    "responses": ImpulseResponses,
}
"""Classes whose method `plot` draws a picture."""
QUARTERS = pd.period_range("1990Q1", periods=80, freq="Q", name="quarter")
MONTHS = pd.period_range("1990-01", periods=120, freq="M", name="month")
TAU = np.array([0.25, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0])


def waves(index: pd.Index, names: list[str], size: float = 1.0, level: float = 0.0) -> pd.DataFrame:
    """Return paths that differ: sums of two sines."""
    t = np.arange(len(index))[:, None]
    j = np.arange(len(names))
    return pd.DataFrame(
        level + size * (np.sin(t / (5 + 2 * j)) + 0.4 * np.sin(t * (0.9 + 0.1 * j))), index, names
    )


def spread(paths: pd.DataFrame, size: float) -> pd.DataFrame:
    """Return standard deviations that vary over time."""
    t = np.arange(len(paths))[:, None]
    return pd.DataFrame(size * (1 + 0.6 * np.cos(t / 9)) * np.ones(paths.shape), paths.index, paths.columns)


def factors(shift: float = 0.0) -> Figure:
    """Two factors, one of them far from zero."""
    paths = waves(QUARTERS, ["f1", "f2"]) + [0.0, 64.0]
    return plot_factors(paths + shift, spread(paths, 0.4))


def coefficients(shift: float = 0.0) -> Figure:
    """Five series on two regressors: two rows of panels a regressor, the last not full."""
    names = ["NoDur", "Durbl", "Manuf", "Enrgy", "Utils"]
    alpha, beta = waves(MONTHS, names, 0.1, 0.2), waves(MONTHS, names, 0.3, 1.0)
    paths = {
        "const": (alpha + 0.1 * shift, spread(alpha, 0.05)),
        "MKT": (beta + 0.3 * shift, spread(beta, 0.1)),
    }
    lines = {
        "const": dict.fromkeys(names, 0.15),
        "MKT": {name: 0.8 + 0.1 * i for i, name in enumerate(names)},
    }
    return plot_coefficients(paths, lines)


def nelson_siegel(tau: np.ndarray) -> pd.DataFrame:
    """Return the loadings of level, slope and curvature."""
    slope = (1 - np.exp(-0.6 * tau)) / (0.6 * tau)
    columns = {"level": np.ones(len(tau)), "slope": slope, "curvature": slope - np.exp(-0.6 * tau)}
    return pd.DataFrame(columns, index=pd.Index(tau, name="maturity"))


class TermStructure(Pictures):
    """What the plots of a term structure read, given instead of fitted; each model has these maturities."""

    _yields, fitted_yields = pd.DataFrame(), pd.DataFrame()

    def __init__(self, **given: Any) -> None:
        panel = SimpleNamespace(maturities=TAU, longest=TAU[-1])
        self.model, self.params = SimpleNamespace(_given={"units": "decimal"}, panel=panel, k_factors=3), []
        for name, value in given.items():
            setattr(self, name, value)


def rates(estimate: pd.Series | pd.DataFrame, se: float | pd.DataFrame) -> SimpleNamespace:
    """Return rates with their standard errors."""
    frame = pd.DataFrame(estimate)
    return SimpleNamespace(estimate=frame, se=frame * 0.0 + se)


def loadings(shift: float = 0.0) -> Figure:
    """Three loadings."""
    tau = np.linspace(0.1, 10, 100)
    frame = nelson_siegel(tau) + 0.5 * shift
    results = TermStructure(_grid=lambda *given: tau)
    results.model.factor_names = list(frame)
    lines = SimpleNamespace(yields=lambda tau: SimpleNamespace(slope=frame.to_numpy()))
    results.model.curves = lambda params: lines
    return results.plot_loadings()


def yields(shift: float = 0.0) -> pd.DataFrame:
    """Return yields of seven maturities, a fraction a year."""
    x = waves(MONTHS, ["level", "slope", "curvature"], 0.01, 0.02)
    out = x @ nelson_siegel(TAU).T.set_axis([f"y{tau:g}" for tau in TAU], axis=1)
    return out + 0.01 * shift


def fit(shift: float = 0.0) -> Figure:
    """Seven maturities, with errors, a gap in one."""
    observed = yields() + 0.002 * np.sin(np.arange(len(MONTHS)) * 2.3)[:, None]
    observed.iloc[30:50, 2] = np.nan
    rmse = 1e4 * ((observed - yields(shift)) ** 2).mean() ** 0.5
    results = TermStructure(
        _yields=observed, fitted_yields=yields(shift), pricing_error_summary=lambda: {"rmse": rmse}
    )
    return results.plot_fit()


def term_premium(shift: float = 0.0) -> Figure:
    """Ten years."""
    long, expected = yields()["y10"], 0.6 * yields()["y10"] + 0.01 * shift
    premium = long - expected
    results = TermStructure(
        _neutral=lambda definition: False,
        term_premium=lambda *given, **options: rates(premium, spread(premium.to_frame(), 0.002).to_numpy()),
        yield_curve=lambda *given, **options: rates(long, 0.0),
    )
    return results.plot_term_premium(10.0, param_uncertainty=False)


def curve(shift: float = 0.0) -> Figure:
    """One date, a maturity missing."""
    tau = np.linspace(0.25, 10, 50)
    centre = nelson_siegel(tau) @ [0.06, -0.03, 0.02] + 0.01 * shift
    observed = nelson_siegel(TAU) @ [0.06, -0.03, 0.02] + 0.0007 * np.cos(5 * TAU)
    observed.iloc[3] = np.nan
    date = [pd.Timestamp("2003-05-31")]
    results = TermStructure(
        _yields=observed.to_frame().T.set_axis(date),
        _grid=lambda *given: tau,
        yield_curve=lambda *given, **options: rates(centre.to_frame().T.set_axis(date), 0.001),
    )
    return results.plot_curve()


def windows(shift: float = 0.0) -> Figure:
    """Four parameters: the last row of panels is not full."""
    paths = waves(QUARTERS, ["loading", "L1", "obs_var", "state_var"])
    whole = pd.Series({"loading": 0.3, "L1": -0.2, "obs_var": 0.1})
    results: Any = SimpleNamespace(params=paths + shift, bse=spread(paths, 0.4), full_sample=whole)
    return RollingFit.plot(results)


def profile(shift: float = 0.0) -> Figure:
    """A variance whose interval has two ends."""
    values = np.linspace(0.5, 2.5, 11)
    ratios = pd.Series(40 * (np.log(values) + 1 / values - 1) + 2 * shift, index=values)
    results: Any = SimpleNamespace(
        param="obs_var", table=ratios.to_frame("lr"), estimate=1.0, interval=(0.66, 1.6), cut=3.84
    )
    return Profile.plot(results)


def forecast(shift: float = 0.0) -> Figure:
    """Four series, the last row of panels not full; of the second the last value is missing."""
    paths = waves(QUARTERS[-30:], ["a", "b", "c", "d"])
    observed, mean = paths.copy(), paths + shift
    observed.iloc[22:], mean.iloc[:22], observed.iloc[21, 1] = np.nan, np.nan, np.nan
    se = pd.DataFrame(
        0.2 * np.sqrt(np.arange(-21.0, 9.0).clip(0))[:, None] * np.ones(4), paths.index, paths.columns
    )
    return plot_forecast(observed, mean, se, levels=[0.5, 0.8, 0.95], band="given the parameters")


def responses(shift: float = 0.0) -> Figure:
    """Two shocks to three series."""
    index = pd.MultiIndex.from_product([["f1", "f2"], range(9)], names=["shock", "step"])
    h = np.tile(np.arange(9.0), 2)[:, None]
    sizes = np.repeat([[1.0, -0.5, 0.3], [0.2, 0.8, -0.6]], 9, axis=0)
    values = pd.DataFrame(sizes * 0.75**h * np.cos(0.4 * h), index, ["a", "b", "c"])
    return ImpulseResponses(values + shift, 0.1 + 0.05 * values.abs()).plot()


def lead(shift: float = 0.0) -> Figure:
    """Five assets over two benchmarks: the last row of panels is not full."""
    paths = waves(QUARTERS, ["a", "b", "c", "d", "e"]).cumsum()
    return plot_lead({"least squares": paths + shift, "the mean": -0.5 * paths}, "log score")


def bootstrap(shift: float = 0.0) -> Figure:
    """Five parameters: the last row of panels is not full."""
    names = ["loading.f1->b", "L1.f1->f1", "obs_var.a", "obs_var.b", "state_var.f1"]
    grid = np.linspace(-0.995, 0.995, 200)[:, None]
    samples = pd.DataFrame(np.arctanh(grid) + 0.4 * grid**2 * np.arange(5.0), columns=names)
    ends = samples.quantile([0.025, 0.975]).T.set_axis(["lower", "upper"], axis=1)
    results: Any = SimpleNamespace(
        params=samples + 2 * shift, estimates=samples.mean(), conf_int=lambda *given: ends
    )
    return Bootstrap.plot(results)


def em_trace(shift: float = 0.0) -> Figure:
    """Thirty iterations, the last without a change."""
    gap = 80 * 0.6 ** np.arange(30.0)
    gap[-1] = 0.0
    gap *= 1 + 2 * shift * np.arange(30)
    results = Reporting()
    results.em_trace = pd.DataFrame({"iteration": np.arange(30), "llf": -512.25 - gap})
    return results.plot_em_trace()


PICTURES: dict[str, Callable[..., Figure]] = {
    draw.__name__: draw
    for draw in (
        factors,
        coefficients,
        loadings,
        fit,
        term_premium,
        curve,
        windows,
        profile,
        forecast,
        responses,
        lead,
        bootstrap,
        em_trace,
    )
}


def start_page() -> Figure:
    """The picture of docs/index.md, drawn by the block of code above it."""
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()):
        exec(re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL).group(1), names)
    return names["fig"]


def save(draw: Callable[..., Figure], path: Path, dpi: int = DPI, **options: float) -> None:
    """Draw a picture with matplotlib's own settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.use("Agg")
        fig = draw(**options)
        fig.savefig(path, dpi=dpi, metadata={"Software": None})
        plt.close(fig)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, each in PICTURES.items():
        save(each, FOLDER / f"{name}.png")
    save(start_page, START_PAGE, START_DPI)
