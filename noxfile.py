#!/usr/bin/env python3
# /// script
# dependencies = ["nox>=2024.10"]
# ///
"""
All that is run on a change and on a release: `python -m nox` runs the lot, `python -m nox -l` lists it.

The sets of versions are pip constraints files in .ci/, each with the Python that goes with it. The tests run
against the installed package, never the checkout: pytest is started in another folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
SETS = {"oldest": "3.10", "middle": "3.12", "recent": "3.11", "newest": "3.13"}
NEWEST = SETS["newest"]
ALSO = {"recent": ["pyarrow"]}
"""What a user of pandas may have: with one set, since the others show that it is not needed."""
nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True


def run_tests(session: nox.Session, versions: str | None = None, *more: str) -> None:
    """Run pytest in a folder from which the checkout cannot be imported."""
    session.env.update({"MPLBACKEND": "Agg"} | ({"VERSIONS_UNDER_TEST": versions} if versions else {}))
    session.chdir(session.create_tmp())
    session.run("python", "-c", "import statespace_ext as sse; assert 'site-packages' in sse.__file__")
    configuration = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-p", "no:cacheprovider")
    paths = [str(ROOT / each) for each in session.posargs if (ROOT / each).exists()] or [str(ROOT / "tests")]
    options = [each for each in session.posargs if not (ROOT / each).exists()]
    session.run("pytest", *configuration, *more, *paths, *options)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, types, import directions and sizes."""
    session.install("-r", ".ci/tools.txt", ".[test]")
    session.run(".ci/lint", external=True)


@nox.session(python=NEWEST)
def package(session: nox.Session) -> None:
    """Build the sdist and from it the wheel, and look at what is in them; render the conda recipe."""
    shutil.rmtree(DIST, ignore_errors=True)
    session.install("build", "twine", "py-rattler-build")
    session.run("python", "-m", "build", "--outdir", str(DIST))
    files = [str(path) for path in sorted(DIST.iterdir())]
    session.run("twine", "check", "--strict", *files)
    session.run("python", ".ci/check_package.py", *files)
    session.run("python", ".ci/check_recipe.py")


@nox.session(python=NEWEST, requires=["package"])
def installed(session: nox.Session) -> None:
    """Use the wheel in an empty environment; then run the tests there, with the newest set."""
    wheel = next(DIST.glob("*.whl"))
    session.install("-c", ".ci/newest.txt", str(wheel))
    session.run("python", ".ci/smoke.py")
    session.install("-c", ".ci/newest.txt", f"{wheel}[test]")
    run_tests(session, "newest")


@nox.session
@nox.parametrize(
    ("python", "versions"),
    [nox.param(python, versions, id=versions) for versions, python in SETS.items()],
)
def tests(session: nox.Session, versions: str) -> None:
    """Run the tests with a set of versions."""
    session.install("-c", f".ci/{versions}.txt", ".[test]", *ALSO.get(versions, []))
    run_tests(session, versions)


@nox.session(python=NEWEST)
def arviz(session: nox.Session) -> None:
    """Run the tests with ArviZ, which the other sessions do not install."""
    session.install(".[arviz]", "pytest>=8", "hypothesis")
    session.posargs[:] = ["tests/inference/test_arviz.py"]
    run_tests(session)


@nox.session(python=SETS["recent"])
def sktime(session: nox.Session) -> None:
    """Run the tests of the forecaster, and sktime's own checks of it: it needs pandas before 3.1."""
    session.install("-c", ".ci/recent.txt", ".[sktime]", "pytest>=8", "hypothesis")
    session.posargs[:] = ["tests/test_sktime.py"]
    run_tests(session, None, "-m", "slow or not slow")


@nox.session(python=NEWEST)
def examples(session: nox.Session) -> None:
    """Run every script and notebook in examples/."""
    session.install(".[examples]")
    session.run(".ci/examples", external=True, env={"MPLBACKEND": "Agg"})


@nox.session(python=NEWEST)
def docs(session: nox.Session) -> None:
    """
    Build the documentation into docs/_build/html: from nothing, warnings fatal; search it (with node).

    Run the code of its long pages too, which the tests of the sets leave out.
    """
    session.install(".[docs,test]")
    shutil.rmtree(ROOT / "docs" / "generated", ignore_errors=True)
    options = ("-W", "--keep-going", "--fresh-env", "-c", "docs")
    session.run("sphinx-build", "--quiet", *options, ".", "docs/_build/html", env={"MPLBACKEND": "Agg"})
    session.run("python", ".ci/check_site.py", "docs/_build/html")
    session.posargs[:] = ["tests/test_docs.py"]
    run_tests(session, None, "-m", "slow")


@nox.session(python=NEWEST, default=False)
def slow(session: nox.Session) -> None:
    """Run what takes too long for every change: long tests, statsmodels' own tests, 20,000 random calls."""
    session.install("-c", ".ci/newest.txt", ".[test]")
    run_tests(session, "newest", "-m", "slow")
    session.run("python", str(ROOT / "tests" / "own_tests_of_statsmodels.py"))
    for fuzz in ("fuzz.py", "fuzz_walk.py"):
        session.run("python", str(ROOT / "tests" / fuzz), "--calls", "10000", "--seconds", "7200")


@nox.session(python=NEWEST, default=False)
def prerelease(session: nox.Session) -> None:
    """Run the tests with what statsmodels, numpy, scipy and pandas are about to release."""
    session.install("--pre", "--upgrade", ".[test]")
    session.run("python", "-m", "pip", "list")
    run_tests(session)


if __name__ == "__main__":
    nox.main()
