"""The betas of 12 industries, month by month from 1949 to 2017.

    python -m pip install ".[examples]" && python examples/capm_industries.py

Fits the CAPM with constant alphas and random-walk betas under several covariance structures of the steps of
beta; asks which betas move, by how much, whether alpha is zero, and whether any of it helps to predict. Saves
capm_industries_betas.png and capm_industries_alphas.png in the current folder. Takes about a minute.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import statespace_ext as sse

INDUSTRIES = sse.datasets.INDUSTRIES
STRUCTURES = ("diagonal", "scalar", "equicorrelated", "proportional", "factor:1", "factor:2", "unstructured")
PEAK = "2000-03"
BETAS, ALPHAS = "capm_industries_betas.png", "capm_industries_alphas.png"


def load_returns() -> tuple[pd.DataFrame, pd.Series]:
    """Return monthly excess returns of the industries and of the market, in percent."""
    data = sse.datasets.load_industries()
    excess = data.returns.sub(data.risk_free, axis=0)  # the portfolios are raw returns
    return excess.rename(columns=INDUSTRIES), data.factors["MktRF"].rename("market")


def fit(returns: pd.DataFrame, market: pd.Series, **options: str) -> sse.CAPMResults:
    """Return a fit with a full V; standard errors of V and W are not shown, so they are not computed."""
    return sse.CAPM(returns, market, **options).fit(cov_type="none")


def compare_structures(fits: dict[str, sse.CAPMResults]) -> str:
    """Print the comparison and return the structure with the lowest AIC."""
    first, *others = fits.values()
    table = first.compare(*others)
    print("How the steps of the betas go together: W of several structures, V full")
    print(table[["llf", "n_params", "aic", "bic"]].round(1).to_string())
    best = min(fits, key=lambda name: float(fits[name].aic))
    for name, res in fits.items():
        rank = res.state_cov_rank["market"]
        if rank < len(INDUSTRIES):
            print(f"W {name} is singular: rank {rank} of {len(INDUSTRIES)}.")
    print(f"AIC chooses {best!r}, which is used below where nothing else is said.")
    return best


def show_betas(fits: dict[str, sse.CAPMResults], best: str, constant: pd.Series) -> None:
    """Print how far each beta moved, and how much of that the structures agree on."""
    path, se = fits[best].beta.smoothed, fits[best].beta.smoothed_se
    table = pd.DataFrame(
        {
            "constant": constant,
            "lowest": path.min(),
            "in": path.idxmin().astype(str),
            "highest": path.max(),
            "in ": path.idxmax().astype(str),
            PEAK: path.loc[PEAK],
            "s.e.": se.loc[PEAK],
            "range": path.max() - path.min(),
            "range, diagonal W": fits["diagonal"].beta.smoothed.agg(np.ptp),
        }
    )
    print("\nBetas: constant, and smoothed random walks (standard errors given V and W)")
    print(table.sort_values("range", ascending=False).round(2).to_string())


def show_constancy(fits: dict[str, sse.CAPMResults]) -> None:
    """Print the tests that betas are constant."""
    # with W = q V the likelihood ratio has no unknown parameters and costs little to simulate
    test = fits["proportional"].test_constancy(n_sim=499, rng=0, per_series=True)
    print(f"\nConstant betas? All together (W = q V): LR = {test.statistic:.1f}, p = {test.pvalue:.3f}")
    print(
        f"({test.distribution}, {test.n_sim} samples; their 95 % point is {test.critical_values[0.05]:.2f})"
    )
    table = test.per_series[["statistic", "pvalue", "pvalue_holm"]]
    nyblom = test.nyblom.xs("market", level="regressor")[["statistic", "pvalue"]]
    print("Industry by industry: likelihood ratio, Holm's correction; Nyblom's statistic")
    print(table.join(nyblom.add_prefix("nyblom_")).round(3).to_string())


def show_alphas(fits: dict[str, sse.CAPMResults], best: str) -> None:
    """Print the tests that all alphas are zero."""
    print("\nAre all alphas zero?")
    tests = fits[best].test_alpha(n_sim=39, rng=0)  # of each sample the model is fitted again
    print(tests["grs"])
    print(f"moving betas, W {best}: {tests['wald']}")


def show_predictions(fits: dict[str, sse.CAPMResults]) -> None:
    """Print how the model predicts returns one month ahead, given the market's."""
    # W = q V: one parameter more than constant betas; estimated again every five years
    evaluation = fits["proportional"].rolling_evaluation(window=240, refit_every=60)
    rmse = evaluation.summary()["rmse"].unstack("method")
    better = (rmse["dynamic"] < rmse[["static OLS", "rolling OLS"]].min(axis=1)).sum()
    print(
        f"\nOut of sample, {evaluation.errors.index[0]} to {evaluation.errors.index[-1]}, given the market: "
        f"moving betas (W = q V) have\nthe smallest root mean square error in {better} of {len(rmse)} "
        "industries. Mean over industries:"
    )
    print(rmse.mean().round(3).to_string())


def draw_betas(res: sse.CAPMResults) -> Figure:
    """Return the picture of the betas."""
    fig = res.plot_coefficients()
    for axis in fig.axes:
        axis.axvline(pd.Period(PEAK, "M").to_timestamp(), color="0.5", linewidth=0.8, linestyle=":")
    fig.supxlabel(f"dotted: {PEAK}", fontsize="small")
    return fig


def draw_alphas(static: sse.CAPMResults, moving: sse.CAPMResults, best: str) -> Figure:
    """Return the picture of the alphas with constant and with moving betas."""
    order = static.alpha.estimate.sort_values().index
    fig, axis = plt.subplots(figsize=(7.5, 5), layout="constrained")
    rows = np.arange(len(order))
    for res, shift, colour, marker, label in (
        (static, 0.15, "#D55E00", "s", "constant betas"),
        (moving, -0.15, "#0072B2", "o", f"moving betas, W {best}"),
    ):
        estimate, se = res.alpha.estimate[order], res.alpha.se[order]
        axis.errorbar(
            estimate, rows + shift, xerr=1.96 * se, fmt=marker, color=colour, markersize=5, label=label
        )
    axis.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axis.set_yticks(rows, order)
    axis.set_xlabel("alpha, percent a month, with 95 % intervals given V and W")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="lower right", frameon=False)
    return fig


def main() -> None:
    """Fit, print, draw."""
    returns, market = load_returns()
    print(
        f"{len(returns)} months, {returns.index[0]} to {returns.index[-1]}; {returns.shape[1]} industries\n"
    )
    static = fit(returns, market, beta="static")
    fits = {structure: fit(returns, market, state_cov=structure) for structure in STRUCTURES}
    best = compare_structures(fits)
    show_betas(fits, best, static.beta.estimate)
    show_constancy(fits)
    show_alphas(fits, best)
    show_predictions(fits)
    draw_betas(fits[best]).savefig(BETAS, dpi=120)
    draw_alphas(static, fits[best], best).savefig(ALPHAS, dpi=120)
    print(f"\nSaved {BETAS} and {ALPHAS}")


if __name__ == "__main__":
    main()
