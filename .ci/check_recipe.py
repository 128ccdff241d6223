"""Render the conda recipe; an error in it is raised: `python .ci/check_recipe.py` (py-rattler-build)."""

from __future__ import annotations

from pathlib import Path

from rattler_build import Stage0Recipe

if __name__ == "__main__":
    (variant,) = Stage0Recipe.from_file(Path(__file__).parent / "recipe" / "recipe.yaml").render()
    print(variant)
