"""
Check the built documentation: `python .ci/check_site.py docs/_build/html` (needs node for the search).

No page may load a script, a style sheet or a picture from the network. For each subject a search, by the
site's own scripts, must find among its first three hits a page whose title has the word.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

SUBJECTS = (
    "forecast", "nowcast", "news", "mixed frequency", "missing", "term premium", "beta", "EM", "Kalman",
    "MARSS", "standard errors",
)  # fmt: skip
LOADED = re.compile(
    r"""<(?:script|img|iframe)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b[^>]*\brel=["']?stylesheet[^>]*(?:https?:)?//"""
)
SEARCH = r"""
const fs = require("fs"), vm = require("vm"), folder = process.argv[1] + "/_static/";
const nothing = () => undefined, element = { dataset: {}, addEventListener: nothing };
const scope = {
  window: { location: { search: "" } }, console, URLSearchParams, localStorage: { setItem: nothing },
  document: { addEventListener: nothing, getElementById: () => null, querySelector: () => element,
              querySelectorAll: () => [], documentElement: element },
  SPHINX_HIGHLIGHT_ENABLED: false, _: (text) => text, _ready: nothing,
};
vm.createContext(scope);
for (const name of ["language_data.js", "searchtools.js"]) {
  vm.runInContext(fs.readFileSync(folder + name, "utf8"), scope);
  scope.Stemmer = scope.window.Stemmer;
}
vm.runInContext(fs.readFileSync(process.argv[1] + "/searchindex.js", "utf8"), scope);
const found = {};
for (const query of JSON.parse(process.argv[2])) {
  scope.window.location.search = "?q=" + encodeURIComponent(query);
  scope.query = query;
  const hits = vm.runInContext("Search._performSearch(...Search._parseQuery(query))", scope);
  found[query] = hits.reverse().slice(0, 3).map((hit) => [hit[0], hit[1], hit[4]]);
}
console.log(JSON.stringify(found));
"""


def network(folder: Path) -> list[str]:
    """Return the pages that load something from the network."""
    pages = sorted(folder.rglob("*.html"))
    return [str(page) for page in pages if LOADED.search(page.read_text(encoding="utf-8"))]


def searched(folder: Path) -> dict[str, list[tuple[str, str, float]]]:
    """Return the first three hits of each subject: page, title, score."""
    command = ["node", "-e", SEARCH, str(folder), json.dumps(SUBJECTS)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main(folder: Path) -> int:
    """Print what is wrong and return how many faults there are."""
    faults = [f"{page} loads something from the network" for page in network(folder)]
    if not (folder / "_static" / "mathjax" / "tex-chtml.js").is_file():
        faults.append("MathJax is not among the files of the site")
    for query, hits in searched(folder).items():
        print(f"{query}: " + "; ".join(f"{title} ({score})" for _, title, score in hits))
        if not any(query.lower() in title.lower() for _, title, _ in hits):
            faults.append(f"no title among the first three hits has {query!r}")
    print("\n".join(faults) or "no fault")
    return len(faults)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) > 0)
