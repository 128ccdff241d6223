"""Standard errors of results, and parameters without them: flat directions and boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd

from ..engine.representation import Mixin
from ..exceptions import IdentificationWarning, UnsupportedError, shown, warn
from ..fit.problem import EstimationProblem
from ..inference.identification import Identification
from ..inference.information import (
    MOST,
    CovType,
    ParamsCov,
    Scored,
    cov_type_of,
    innovations_information,
    inverse_columns,
    observed_information,
    params_covariance,
    period_scores,
    scores_along,
    without_errors,
)
from ..numerics.differences import jacobian, step_sizes
from ..numerics.linear_algebra import NOT_HERE, Array, is_diagonal, quiet, symmetrize
from ..params.affine import AffineMatrix, IntArray
from ..params.covariance import Multiple, Unstructured
from ..params.layout import ParameterLayout


class Derivatives(Mixin):
    """Mixin of the models with derivatives by period and second derivatives."""

    likelihood_neutral: tuple[str, ...] = ("score_obs",)

    def score_obs(self, params: object, *args: object, **kwargs: object) -> Array:
        """
        Return the score of each period, (nobs, free parameters); see `MLEModel.score_obs`.

        The derivatives are central differences of fourth order for any ``method``, with steps in proportion
        to the standard errors: the steps of statsmodels are larger than small variances.
        """
        vector, free = self._arguments_of("score_obs", params, args, kwargs)
        with self.preserved():
            return period_scores(self, vector, free)

    def observed_information_matrix(self, params: object, *args: object, **kwargs: object) -> Array:
        """Return Harvey's information matrix per period; see `MLEModel.observed_information_matrix`."""
        vector, free = self._arguments_of("observed_information_matrix", params, args, kwargs)
        with self.preserved(), quiet():
            return innovations_information(self, vector, free) / (self.nobs - self.ssm.loglikelihood_burn)

    def opg_information_matrix(self, params: object, *args: object, **kwargs: object) -> Array:
        """Return the mean outer product of `score_obs`; see `MLEModel.opg_information_matrix`."""
        vector, free = self._arguments_of("opg_information_matrix", params, args, kwargs)
        with self.preserved():
            scores = period_scores(self, vector, free)
        return np.asarray(scores.T @ scores / (self.nobs - self.ssm.loglikelihood_burn))

    def _vector_and_free(
        self, params: object, transformed: bool = True, includes_fixed: bool = False, **others: object
    ) -> tuple[Array, Array]:
        """Return the full parameter vector, and the positions of the parameters that are given."""
        vector = self.handle_params(params, transformed, includes_fixed)
        if not self._has_fixed_params or includes_fixed:
            return vector, np.arange(len(vector))
        return vector, np.asarray(self.layout.positions(self.layout.fix(self._fixed_params).names))

    def _arguments_of(self, name: str, params: object, args: Any, kwargs: Any) -> tuple[Array, Array]:
        """Return `_vector_and_free` for the arguments of a method of `MLEModel`; reject complex steps."""
        given = signature(getattr(super(), name)).bind(params, *args, **kwargs).arguments
        if given.get("approx_complex_step"):
            raise UnsupportedError(
                "Complex-step derivatives are not supported", remedy="Leave approx_complex_step out."
            )
        return self._vector_and_free(**given)

    def hessian(self, params: object, *args: Any, **kwargs: Any) -> Array:
        """Return the Hessian per period, exact or from differences of the exact score."""
        vector, free = self._vector_and_free(params, *args[:2], **kwargs)
        return -observed_information(self, vector, free, self.difference_steps(vector)) / self.nobs

    def difference_steps(self, params: Array, share: float = 1e-4) -> Array:
        """
        Return step sizes for numerical differences at a full parameter vector.

        A step is a share of the standard error with complete data, or of a tenth of the parameter if that is
        larger. Without noise, the standard error is zero. The steps scale with the units of the data.
        """
        problem = EstimationProblem(self, {})
        with quiet():
            information = problem.updates.information(params, problem.moments(params))
        known = np.isfinite(information) & (information > 0)
        errors = np.where(known, 1.0 / np.sqrt(np.where(known, information, 1.0)), 0.0)
        size = np.maximum(errors, 0.1 * np.abs(params))
        return np.where(size > 0, share * size, step_sizes(params, 0.1 * share))


class StandardErrors(Mixin):
    """Mixin of the results with the covariance of the estimates, identification and boundaries."""

    _cov: ParamsCov | None = None

    # -- standard errors -------------------------------------------------------------------------------

    def _get_robustcov_results(self, cov_type: str = "oim", **kwargs: Any) -> Any:
        if cov_type == "custom":
            self.cov_type, self._cov_type = kwargs["custom_cov_type"], cov_type_of("none")
            self._cov = ParamsCov(np.asarray(kwargs["custom_cov_params"]), len(self.params), [])
            description = kwargs["custom_description"]
        else:
            self._cov_type = cov_type_of(cov_type)
            self.cov_type, description = self._cov_type.name, self._cov_type.description
        self.cov_kwds = {"description": description}
        self._rank = len(self.params)  # `summary` of statsmodels reads it
        return self

    @property
    def params_cov(self) -> ParamsCov:
        """The covariance of the estimates with its notes, computed once."""
        if self._too_many:
            return self._compute_cov(self._cov_type)
        if self._cov is None:
            self._cov = self._compute_cov(self._cov_type)
        return self._cov

    def _compute_cov(self, cov_type: CovType) -> ParamsCov:
        params = np.asarray(self.params, dtype=float)
        parts = cov_type.parts
        if parts is None or self._dependence():
            return without_errors(len(params))
        if self._too_many:
            return without_errors(
                len(params),
                f"Standard errors of all {len(params)} parameters were left out: their covariance would take "
                "minutes. `bse_of(names)` computes those of some.",
            )
        found, index = self._found_inside, self._found_inside.free
        with self._as_it_was(), self.model.preserved(), quiet():
            steps = self.model.difference_steps(params, cov_type.share)
            information, middle = parts(self.model, params, index, steps)
        out = params_covariance(information, index, found.flat, len(params), middle)
        if cov_type.name == "oim" and self.boundary and not found.n_flat:
            out = self._reduced_rank(out, params, index, steps)
        lost = [name for name in found.names if name not in self.identification.names]
        if lost:
            note = f"Without effect while a variance is zero, and without standard errors: {shown(lost)}."
            out = replace(out, notes=[note, *out.notes])
        return out

    @property
    def _too_many(self) -> bool:
        """Whether there are too many parameters to compute their covariance."""
        return self._cov is None and len(self.params) - len(self._fixed) > MOST

    @property
    def bse(self) -> pd.Series[float]:
        """The standard errors of the estimates. NaN marks parameters without a standard error."""
        with quiet():
            errors: Any = np.sqrt(np.diagonal(self.params_cov.cov))
        return errors  # the wrapper of statsmodels adds the names

    def bse_of(self, params: object, cov_type: str | None = None) -> pd.Series:
        r"""
        Return standard errors of selected parameters, without the covariance of all parameters.

        .. math::

            \mathrm{se}_j^2 = e_j' A^{-1} e_j

        where A is the observed information. Conjugate gradients solve A x = e_j. Each product of A with a
        vector is a difference of two exact scores along this vector. "robust" is x' B x, where B comes from
        the derivatives of the log-likelihood of each period along x.

        Parameters
        ----------
        params : str or sequence of str
            Names of parameters.
        cov_type : {"oim", "robust"}, optional
            By default the type of the fit. Other types, and fits at a boundary, use the full covariance.

        Returns
        -------
        Series
            Standard errors by parameter name. NaN marks parameters without a standard error.

        Raises
        ------
        ParameterError
            If a name is not the name of a parameter.
        UnsupportedError
            If the type needs the full covariance, and there are too many parameters to compute it.
        """
        names = list(params) if np.iterable(params) and not isinstance(params, str) else [params]
        places = self.model.layout.positions(names)
        kind = self._cov_type if cov_type is None else cov_type_of(cov_type)
        if self._cov is not None and kind is self._cov_type:
            return pd.Series(self.bse[places], index=names)
        if kind.name not in ("oim", "robust") or self.boundary or self._dependence():
            return pd.Series(np.sqrt(np.diagonal(self.cov_params_of(kind))[places]), index=names)
        return pd.Series(self._errors_of(places, kind), index=names)

    def _errors_of(self, places: Array, kind: CovType) -> Array:
        """Return standard errors of the parameters at given positions of the full vector."""
        vector, out = np.asarray(self.params, dtype=float), np.full(len(places), np.nan)
        found = self._found_inside
        index = found.free
        has = np.flatnonzero(np.isin(places, index))
        wanted = np.searchsorted(index, places[has])
        with self._as_it_was(), self.model.preserved(), quiet():
            columns = inverse_columns(self.model, vector, index, found.flat, wanted)
            if kind.name == "oim":
                out[has] = np.sqrt(columns[wanted, np.arange(len(wanted))])
            else:
                out[has] = [scores_along(self.model, vector, index, column) for column in columns.T]
        return out

    def _reduced_rank(self, held: ParamsCov, params: Array, index: Array, steps: Array) -> ParamsCov:
        """Return the covariance in the model of lower rank if one covariance matrix is singular."""
        layout = self.model.layout
        keys = {key for key in layout.covariances if set(layout.blocks[key].names) & set(self.boundary)}
        if len(keys) != 1 or set(layout.blocks[next(iter(keys))].names) != set(self.boundary):
            return held
        try:
            with self._as_it_was(), quiet():
                found = reduced_rank_cov(self.model, layout, params, next(iter(keys)), index, steps)
        except NOT_HERE:  # a step away, the score does not exist or is not finite
            return held
        if found is None or not np.all(np.isfinite(found)):
            return held
        cov = np.full_like(held.cov, np.nan)
        cov[np.ix_(index, index)] = found
        return replace(held, cov=cov)

    @cached_property
    def _found_inside(self) -> Identification:
        """The flat directions of the parameters in the interior, with the others fixed at the boundary."""
        if not self._boundary_values:
            return self.identification
        params = np.array(self.params, dtype=float)
        params[self.model.layout.positions(self.boundary)] = list(self._boundary_values.values())
        with self._as_it_was():
            return self.model.identification(params, {**self._fixed, **self._boundary_values})

    @property
    def cov_params_default(self) -> Array:
        """The covariance matrix of the estimates, of the type passed to `fit`."""
        return self.params_cov.cov

    @cov_params_default.setter
    def cov_params_default(self, value: Array) -> None:
        self._cov = ParamsCov(np.asarray(value), len(value), [])

    def cov_params_of(self, cov_type: str | CovType) -> Array:
        """
        Return the covariance of the estimates by another estimator, without a new fit.

        Parameters
        ----------
        cov_type : {"oim", "opg", "robust", "harvey", "approx", "none"} or CovType
            As in `fit`.
        """
        self._require_few()
        return self._compute_cov(cov_type_of(cov_type)).cov

    def _require_few(self) -> None:
        if self._too_many:
            raise UnsupportedError(
                "The covariance of all parameters would need minutes or too much memory",
                got=f"{len(self.params)} parameters",
                expected=f"at most {MOST}",
                remedy="Use `bse_of(names)` for the standard errors of a few parameters.",
            )

    cov_params_oim = property(lambda self: self.cov_params_of("oim"), doc="See `cov_params_of`.")
    cov_params_approx = property(lambda self: self.cov_params_of("approx"), doc="See `cov_params_of`.")
    cov_params_opg = property(lambda self: self.cov_params_of("opg"), doc="See `cov_params_of`.")
    cov_params_robust = property(lambda self: self.cov_params_of("robust"), doc="See `cov_params_of`.")
    cov_params_robust_oim = cov_params_robust

    # -- identification and boundaries -----------------------------------------------------------------

    @property
    def identification(self) -> Identification:
        """The flat directions of the likelihood (`Identification`). After `fit`, the first use warns."""
        if not hasattr(self, "_identification"):
            with self._as_it_was():
                self._identification = self.model.identification(np.asarray(self.params), self._fixed)
            if self._fit is not None and self._identification.message:
                warn(self._identification.message, IdentificationWarning)
        return self._identification

    @property
    def _fixed(self) -> dict[str, float]:
        return dict(self._fixed_params or {})

    @property
    def boundary(self) -> list[str]:
        """The parameters of covariance matrices that are singular at the estimates."""
        return list(self._boundary_values)

    @cached_property
    def _boundary_values(self) -> dict[str, float]:
        layout = self.model.layout.fix(self._fixed)
        params = np.asarray(self.params, dtype=float)
        free = params[self.model.layout.positions(layout.names)]
        return boundary_params(layout, free, self.model.variance_sizes(params))

    @property
    def df_model(self) -> int:
        """The number of identified free parameters plus the number of exact-diffuse states."""
        if not self._constructed:  # statsmodels reads it in its constructor, too early
            return int(self._df_declared)
        return int(self._df_declared) - self.identification.n_flat

    @df_model.setter
    def df_model(self, value: int) -> None:
        self._df_declared = value

    @property
    def df_resid(self) -> int:
        """The number of periods minus `df_model`."""
        return int(self.nobs_effective) - self.df_model

    @df_resid.setter
    def df_resid(self, value: int) -> None:
        pass


_RELATIVE = 1e-7
"""A variance (or an eigenvalue of the correlation matrix) below this share counts as zero."""
_RELATIVE_INSIDE = 1e-5
"""The same share for a matrix that a barrier kept positive definite."""
_END = 1.0 - 1e-6
"""A parameter in (-1, 1) with a larger modulus counts as 1 or -1."""


def boundary_params(layout: ParameterLayout, params: Array, sizes: Mapping[str, Array]) -> dict[str, float]:
    """
    Return the parameters of singular covariance blocks, and those at the end of their interval.

    If a variance is zero, relative to its scale, the result contains the variance and its covariances, with
    the value zero. If a correlation matrix is singular, the result contains all parameters involved, with
    their values. A matrix that is singular by declaration (one variance times a fixed matrix) is omitted.

    Parameters
    ----------
    layout : ParameterLayout
        The blocks.
    params : ndarray
        Full parameter vector.
    sizes : mapping of str to ndarray
        For each covariance block, the variances that would explain the data on their own.
    """
    out: dict[str, float] = {}
    matrices = layout.matrices(params)
    values = dict(zip(layout.names, params.tolist(), strict=True))
    for key, structure in layout.recognised.items():
        whole = layout.blocks[key]
        share = _RELATIVE_INSIDE if key in layout.untransformed else _RELATIVE
        for block, cov in whole.by_regime(matrices[key]) if whole.moves or not whole.time_varying else ():
            zero, dependent = _singular_rows(cov, block, sizes.get(key), share)
            dependent = set() if isinstance(structure, Multiple) else dependent
            out |= dict.fromkeys(_in_rows(block, zero), 0.0)
            for name in _in_rows(block, dependent):
                out.setdefault(name, values[name])
    return {**out, **{name: value for name, value in values.items() if _at_end(layout, name, value)}}


def _in_rows(block: AffineMatrix, rows: set[int]) -> list[str]:
    """Return the names of the elements in given rows or columns."""
    inside = np.isin(block.rows, list(rows)) | np.isin(block.columns, list(rows))
    return [block.names[i] for i in np.flatnonzero(inside)]


def _at_end(layout: ParameterLayout, name: str, value: float) -> bool:
    return name in layout.bounded and abs(value) > _END


def _singular_rows(
    cov: Array, block: AffineMatrix, size: Array | None, share: float
) -> tuple[set[int], set[int]]:
    """Return the rows with a zero variance, and the rows involved in a singular correlation matrix."""
    free = np.zeros(block.shape[0], bool)
    free[block.rows] = True
    if size is None:
        size = np.full(len(cov), max(float(np.max(np.diag(cov))), np.finfo(float).tiny))
    zero = free & (np.diag(cov) <= share * size)
    rest = np.flatnonzero(free & ~zero)
    dependent: set[int] = set()
    if len(rest) > 1 and not is_diagonal(cov):
        weight = 1.0 / np.sqrt(np.diag(cov)[rest])
        values, vectors = np.linalg.eigh(cov[np.ix_(rest, rest)] * weight[:, None] * weight)
        involved = np.abs(vectors[:, values <= share]).max(axis=1, initial=0.0) > 1e-4
        dependent = set(rest[involved].tolist())
    return set(np.flatnonzero(zero).tolist()), dependent


_NEGLIGIBLE = 1e-6


def reduced_rank_cov(
    model: Scored, layout: ParameterLayout, params: Array, key: str, others: IntArray, steps: Array
) -> Array | None:
    """
    Return the covariance of the other estimates if an unstructured block is singular.

    The block is W = G G', where G has as many columns as the rank of W. The likelihood is regular in G, up to
    rotations of G, which a pseudo-inverse excludes. With W fixed, the other standard errors would be too
    small.

    Parameters
    ----------
    model : Scored
        A model with an exact score.
    layout : ParameterLayout
        The layout of all parameters.
    params : ndarray
        Full parameter vector.
    key : str
        The singular covariance block.
    others : ndarray of int
        Positions of the other free parameters, none of which is at a boundary.
    steps : ndarray
        Step sizes of the differences, by parameter.

    Returns
    -------
    ndarray or None
        The covariance; None if the block is not unstructured, or the information is not positive definite.
    """
    block = layout.blocks[key]
    if not isinstance(layout.structures.get(key), Unstructured) or np.any(block.fixed):
        return None
    cov = layout.matrices(params)[key]
    scale = np.sqrt(np.maximum(np.diag(cov), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(cov / scale[:, None] / scale)
    keep = values > _NEGLIGIBLE * values[-1]
    loading = scale[:, None] * vectors[:, keep] * np.sqrt(values[keep])
    m = len(others)

    def _score(point: Array) -> Array:
        G = point[m:].reshape(loading.shape)
        full = np.array(params)
        full[others] = point[:m]
        full = layout.project({key: G @ G.T}, full)
        gradient = model.loglike_and_score(full)[1]
        by_cov = np.zeros(block.shape)
        share = np.where(block.rows == block.columns, 1.0, 0.5)
        np.add.at(by_cov, (block.rows, block.columns), share * gradient[layout.index[key]])
        return np.concatenate([gradient[others], 2.0 * (by_cov @ G).ravel()])

    point = np.concatenate([params[others], loading.ravel()])
    size = np.concatenate([steps[others], 1e-4 * np.repeat(scale, loading.shape[1])])
    information = -symmetrize(jacobian(_score, point, size))
    weight = 1.0 / np.sqrt(np.clip(np.diag(information), np.finfo(float).tiny, None))
    scaled = information * weight[:, None] * weight
    values = np.linalg.eigvalsh(scaled)
    if not np.all(np.isfinite(values)) or values[0] < -1e-4 or np.any(np.diag(information) <= 0):
        return None
    inverse = np.linalg.pinv(scaled, rcond=1e-6, hermitian=True) * weight[:, None] * weight
    return np.asarray(inverse[:m, :m])
