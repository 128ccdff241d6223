"""What a fit shows while it runs: nothing, one line an iteration, or a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..exceptions import UnsupportedError


@contextmanager
def reporter(disp: bool, progress: bool, total: int) -> Iterator[Callable[[int, float], None] | None]:
    """
    Yield a function of (iteration, log-likelihood), None where nothing is to be shown.

    Parameters
    ----------
    disp : bool
        Print one line an iteration.
    progress : bool
        Show a tqdm bar.
    total : int
        Length of the bar.

    Raises
    ------
    UnsupportedError
        If a bar is asked for and tqdm is not installed.
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
        bar.total = bar.n  # most fits end before their largest number of iterations
        bar.refresh()


def _print_line(iteration: int, llf: float) -> None:
    print(f"Iteration {iteration:4d}: log-likelihood = {llf:.8g}")
