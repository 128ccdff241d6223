"""One factor behind five series of the US economy, with missing values and two lags.

    python -m pip install ".[examples]" && python examples/quickstart.py

Prints the summary of the fit and what it found; saves quickstart.png in the current folder.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
from matplotlib.figure import Figure

import statespace_ext as sse

PICTURE = "quickstart.png"
WITHHELD = slice(9, None, 10)  # every tenth quarter of GDP is held back, to be compared with the estimate
INCOME_STARTS = "1970Q1"

LINE = {"color": "#0072B2", "linewidth": 1.3}
BAND = {"color": "#56B4E9", "alpha": 0.5, "linewidth": 0, "label": "95 % band"}


def load_growth() -> pd.DataFrame:
    """Return growth rates (percent, annual rate) and the change of unemployment (percentage points)."""
    macro = sm.datasets.macrodata.load_pandas().data
    macro.index = pd.period_range("1959Q1", periods=len(macro), freq="Q", name="quarter")
    levels = macro[["realgdp", "realcons", "realinv", "realdpi"]]
    levels.columns = pd.Index(["gdp", "consumption", "investment", "income"])
    growth = 400 * np.log(levels).diff()
    growth["unemployment"] = macro["unemp"].diff()
    return growth.iloc[1:]


def blank_out(full: pd.DataFrame) -> pd.DataFrame:
    """Return the data as a forecaster might have them: gaps, a series that starts late, a late release."""
    endog = full.copy()
    endog.iloc[WITHHELD, endog.columns.get_loc("gdp")] = np.nan
    endog.loc[endog.index < INCOME_STARTS, "income"] = np.nan
    endog.iloc[-1, endog.columns.get_loc("investment")] = np.nan
    return endog


def upright(res: sse.LGSSMResults) -> tuple[pd.Series, pd.Series]:
    """Return the loadings and the factor with the sign (which is arbitrary) that lets GDP load positively."""
    loadings = res.matrices["design"]["f1"]
    sign = np.sign(loadings["gdp"])
    return sign * loadings, sign * res.factors.smoothed["f1"]


def gdp_estimate(res: sse.LGSSMResults) -> pd.DataFrame:
    """Return what the model says of GDP growth given all the data, with a 95 % band for the value itself."""
    prediction = res.get_prediction(information_set="smoothed")
    band = prediction.conf_int(alpha=0.05)
    return pd.DataFrame(
        {"mean": prediction.predicted_mean["gdp"], "low": band["lower gdp"], "high": band["upper gdp"]}
    )


def say_what_was_found(res: sse.LGSSMResults, full: pd.DataFrame, endog: pd.DataFrame) -> None:
    """Print what the fit says of these data."""
    trace = res.em_trace
    loadings, factor = upright(res)
    by_factor = loadings**2 * res.matrices["initial_state_cov"].loc["f1", "f1"]
    share = by_factor / (by_factor + np.diag(res.matrices["obs_cov"]))
    persistence = res.matrices["transition"].to_numpy().sum()
    out = endog["gdp"].isna()
    estimate = gdp_estimate(res)
    missed = (full["gdp"] - estimate["mean"])[out]
    naive = (full["gdp"] - endog["gdp"].mean())[out]
    inside = full["gdp"][out].between(estimate["low"][out], estimate["high"][out]).sum()
    print("\nWhat it found")
    print(
        f"- {int(endog.isna().sum().sum())} of {endog.size} values are missing; the fit uses all the others."
    )
    print(
        f"- The gradient method went from a log-likelihood of {trace['llf'].iloc[0]:.1f} "
        f"after one iteration to {trace['llf'].iloc[-1]:.1f} after {trace['iteration'].iloc[-1]}."
    )
    print("- Share of the variance that the factor explains:", end=" ")
    print(", ".join(f"{name} {100 * value:.0f} %" for name, value in share.sort_values()[::-1].items()) + ".")
    print(
        f"- The two lags sum to {persistence:.2f}; the second is {res.params['L2.f1->f1']:.2f} "
        f"(standard error {res.bse['L2.f1->f1']:.2f})."
    )
    print(
        f"- The {out.sum()} withheld quarters of GDP growth, estimated from the rest: root mean square error "
        f"{np.sqrt((missed**2).mean()):.2f} points\n"
        f"  (of the sample mean: {np.sqrt((naive**2).mean()):.2f}); {inside} lie in the 95 % band."
    )
    print(f"- The factor was lowest in {factor.idxmin()}.")


def draw(res: sse.LGSSMResults, full: pd.DataFrame, endog: pd.DataFrame) -> Figure:
    """Return a figure of the factor against the series, and of GDP growth against its estimate."""
    dates = endog.index.to_timestamp()
    fig, (above, below) = plt.subplots(2, 1, figsize=(10, 7.5), sharex=True, layout="constrained")

    loadings, factor = upright(res)
    se, signs = res.factors.smoothed_se["f1"], np.sign(loadings)
    rescaled = (endog - endog.mean()) / endog.std() * signs * factor.std()
    for name, colour in zip(endog, ("0.15", "#E69F00", "#009E73", "#CC79A7", "0.65"), strict=True):
        label = name if signs[name] > 0 else f"{name}, sign reversed"
        above.plot(dates, rescaled[name], ".", color=colour, markersize=3.5, label=label)
    above.fill_between(dates, factor - 1.96 * se, factor + 1.96 * se, **BAND)
    above.plot(dates, factor, label="factor", **LINE)
    above.set_ylabel("standard deviations of\nthe factor's innovation")
    above.set_title("The factor, and the series rescaled to its standard deviation", loc="left", fontsize=11)

    estimate, out = gdp_estimate(res), endog["gdp"].isna()
    below.fill_between(dates, estimate["low"], estimate["high"], **BAND)
    below.plot(dates, estimate["mean"], label="model, given all the data", **LINE)
    below.plot(dates[~out], full["gdp"][~out], ".", color="0.15", markersize=4, label="used in the fit")
    below.plot(
        dates[out], full["gdp"][out], "o", color="#D55E00", markersize=5, label="withheld from the fit"
    )
    below.set_ylabel("GDP growth\n(percent, annual rate)")
    below.set_title("GDP growth: the model and the withheld quarters", loc="left", fontsize=11)
    below.set_xlabel("quarter")

    for axis in (above, below):
        axis.axhline(0, color="0.6", linewidth=0.6, zorder=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.01)
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
    return fig


def main() -> None:
    """Fit, print, draw."""
    full = load_growth()
    endog = blank_out(full)
    # "triangular": the factor's innovation has variance one, so loadings and standard errors exist
    res = sse.LGSSM(endog, k_factors=1, lags=2, identification="triangular").fit()
    print(res.summary())
    say_what_was_found(res, full, endog)
    draw(res, full, endog).savefig(PICTURE, dpi=120)
    print(f"\nSaved {PICTURE}")


if __name__ == "__main__":
    main()
