"""Output of a running fit: none, one line per iteration, or a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..exceptions import UnsupportedError


@contextmanager
def reporter(disp: bool, progress: bool, total: int) -> Iterator[Callable[[int, float], None] | None]:
    """
    Yield a function of (iteration, log-likelihood), or None without output.

    Parameters
    ----------
    disp : bool
        Whether to print one line per iteration.
    progress : bool
        Whether to show a progress bar of tqdm.
    total : int
        Length of the bar.

    Raises
    ------
    UnsupportedError
        If a bar is requested and tqdm is not installed.
    """
    if not progress:
        yield _print_line if disp else None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise UnsupportedError(
            "A progress bar needs tqdm", remedy='Install it: pip install "statespace-ext[progress]".'
        ) from error
    with tqdm(total=total, desc="fit") as bar:

        def advance(iteration: int, llf: float) -> None:
            bar.update(1)
            bar.set_postfix(llf=f"{llf:.6g}")
            if disp:
                _print_line(iteration, llf)

        yield advance
        bar.total = bar.n  # most fits stop before the maximum number of iterations
        bar.refresh()


def _print_line(iteration: int, llf: float) -> None:
    print(f"Iteration {iteration:4d}: log-likelihood = {llf:.8g}")
