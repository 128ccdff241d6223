"""
EM path of dynamax (float64) on growth of GDP, consumption and investment, everything free.

Needs dynamax and jax (not needed by the tests, which read dynamax_em.json):

    python tests/reference/dynamax_em.py > tests/reference/dynamax_em.json
"""

import json

import jax
import numpy as np
import statsmodels.api as sm

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
from dynamax.linear_gaussian_ssm import LinearGaussianSSM  # noqa: E402

ITERATIONS = 100
START = {
    "transition": [[0.7, 0.1], [0.0, 0.5]],
    "state_intercept": [0.0, 0.0],
    "state_cov": [[1.0, 0.2], [0.2, 0.8]],
    "design": [[0.6, 0.2], [0.4, 0.1], [2.0, -1.0]],
    "obs_intercept": [0.5, 0.7, 0.3],
    "obs_cov": [[0.5, 0.1, 0.2], [0.1, 0.4, 0.0], [0.2, 0.0, 8.0]],
    "initial_state": [0.0, 0.0],
    "initial_state_cov": [[1.0, 0.0], [0.0, 1.0]],
}


def growth() -> np.ndarray:
    """Return 100 times the log differences of the three series."""
    data = sm.datasets.macrodata.load_pandas().data[["realgdp", "realcons", "realinv"]]
    return 100.0 * np.diff(np.log(data.to_numpy()), axis=0)


def main() -> None:
    """Print the start values and the log-likelihoods before each M-step."""
    model = LinearGaussianSSM(state_dim=2, emission_dim=3)
    start = {key: jnp.array(value) for key, value in START.items()}
    params, props = model.initialize(
        initial_mean=start["initial_state"],
        initial_covariance=start["initial_state_cov"],
        dynamics_weights=start["transition"],
        dynamics_bias=start["state_intercept"],
        dynamics_covariance=start["state_cov"],
        emission_weights=start["design"],
        emission_bias=start["obs_intercept"],
        emission_covariance=start["obs_cov"],
    )
    _, path = model.fit_em(params, props, jnp.array(growth()), num_iters=ITERATIONS, verbose=False)
    print(json.dumps({"start": START, "loglikelihoods": [float(value) for value in path]}, indent=1))


if __name__ == "__main__":
    main()
