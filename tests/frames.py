"""
The calls from `LGSSM.fit(method="em")` to the update of obs_cov: a script that prints what a test counts.

    python tests/frames.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pytest

import statespace_ext as sse
from statespace_ext.em.updates import LinearGaussianUpdates


def frames_to_update() -> list[str]:
    """Return the frames of the package on the stack of the first update of obs_cov, `fit` first."""
    found: list[str] = []
    update = LinearGaussianUpdates.obs_cov

    def recording(self: LinearGaussianUpdates, params: np.ndarray, moments: object) -> object:
        if not found:
            frame = sys._getframe(1)
            found.append(f"em/updates.py: {update.__qualname__}")
            while frame is not None:
                path = Path(frame.f_code.co_filename)
                if path.is_relative_to(Path(sse.__file__).parent):
                    name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
                    found.append(f"{path.relative_to(Path(sse.__file__).parent)}: {name}")
                frame = frame.f_back
        return update(self, params, moments)

    data = np.random.default_rng(0).standard_normal((50, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LinearGaussianUpdates, "obs_cov", recording)
        sse.LGSSM(data, 1).fit(method="em", maxiter=2, tolerance=0.0, cov_type="none")
    return found[::-1]


if __name__ == "__main__":
    print("\n".join(f"{place:>2}  {frame}" for place, frame in enumerate(frames_to_update(), 1)))
