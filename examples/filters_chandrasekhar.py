"""How many past years tell the temperature of the sea? Seasonal autoregressions with up to 110 states.

    python -m pip install ".[examples]" && python examples/filters_chandrasekhar.py

Fits seasonal autoregressions to monthly sea-surface temperatures (the El Nino region, 1950 to 2010) with the
filter that is valid and fast; compares it with the Kalman filter; shows where statsmodels' own switch is
silently wrong. Saves filters_chandrasekhar.png in the current folder. Takes less than a minute.
"""

from __future__ import annotations

import time
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import statsmodels.api as sm
from matplotlib.figure import Figure

import statespace_ext as sse

YEARS = (1, 3, 6, 9)
PICTURE = "filters_chandrasekhar.png"


def load_temperatures() -> pd.Series:
    """Return sea-surface temperatures by month, minus their mean."""
    table = sm.datasets.elnino.load_pandas().data.set_index("YEAR")
    months = pd.period_range(f"{int(table.index[0])}-01", periods=table.size, freq="M", name="month")
    series = pd.Series(table.to_numpy(dtype=float).ravel(), months, name="temperature")
    return series - series.mean()


def seasonal(temperatures: pd.Series, years: int) -> Any:
    """Return an autoregression on the last two months and on the same month of some years."""
    return sm.tsa.SARIMAX(temperatures, order=(2, 0, 0), seasonal_order=(years, 0, 0, 12))


def milliseconds(model: Any, params: Any, runs: int = 5) -> float:
    """Return the median processor time of a log-likelihood."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        model.loglike(params)
        taken.append(time.process_time() - start)
    return 1e3 * float(np.median(taken))


def compare_years(temperatures: pd.Series) -> tuple[pd.DataFrame, dict[int, Any]]:
    """Fit each number of years with the fastest valid filter, and time it against the Kalman filter."""
    rows, fits = {}, {}
    for years in YEARS:
        model, kalman = seasonal(temperatures, years), seasonal(temperatures, years)
        chosen = sse.use_fastest_filter(model)
        fits[years] = model.fit(disp=False, cov_type="none")
        params = fits[years].params
        rows[years] = {
            "states": model.k_states,
            "filter": chosen,
            "llf": model.loglike(params),
            "llf by Kalman": kalman.loglike(params),
            "AIC": fits[years].aic,
            "ms": milliseconds(model, params),
            "ms by Kalman": milliseconds(kalman, params),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("years"), fits


def where_the_switch_is_wrong(temperatures: pd.Series) -> str:
    """Set statsmodels' switch on a model without a stationary start, then ask for it properly."""
    level = sm.tsa.UnobservedComponents(temperatures, "local level")
    params = [0.1, 0.5]
    right = level.loglike(params)
    level.ssm.filter_chandrasekhar = True
    wrong = level.loglike(params)
    level.ssm.filter_chandrasekhar = False
    try:
        sse.use_chandrasekhar(level, params)
    except sse.UnsupportedError as error:
        switched = f"log-likelihood {right:.1f}; with filter_chandrasekhar = True {wrong:.1f}"
        return f"{switched}\nuse_chandrasekhar: {error}"
    raise RuntimeError("a start that is not stationary was accepted")


def plot_forecast(temperatures: pd.Series, fit: Any, months: int = 36) -> Figure:
    """Draw the last years and the forecast."""
    fig, ax = plt.subplots(figsize=(9, 4))
    forecast = fit.get_forecast(months)
    band = forecast.conf_int(alpha=0.2)
    recent = temperatures.iloc[-120:]
    ax.plot(recent.index.to_timestamp(), recent, color="black", label="observed")
    dates = forecast.predicted_mean.index.to_timestamp()
    ax.plot(dates, forecast.predicted_mean, color="C0", label="forecast")
    ax.fill_between(dates, band.iloc[:, 0], band.iloc[:, 1], color="C0", alpha=0.25, label="80 %")
    ax.set(ylabel="degrees Celsius, from the mean", title="Sea-surface temperature")
    ax.legend(ncols=3, loc="upper left")
    return fig


def main() -> None:
    """Print the comparison and the refusal, save the picture."""
    temperatures = load_temperatures()
    table, fits = compare_years(temperatures)
    print(table.round(2).to_string())
    if not np.allclose(table["llf"], table["llf by Kalman"], rtol=1e-8):
        raise SystemExit("the filters differ")
    best = int(table["AIC"].astype(float).idxmin())
    print(f"\nLowest AIC: {best} years\n")
    print(where_the_switch_is_wrong(temperatures))
    plot_forecast(temperatures, fits[best]).savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
