"""How objects that methods return look in a session and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from html import escape
from typing import Any

import pandas as pd

_LONGEST = 60
"""Number of characters of a value above which its kind is shown in place of it."""


class Displayed:
    """Base class of dataclasses that are returned to users: a short `repr`, and tables in notebooks."""

    def __repr__(self) -> str:
        parts = [f"{name}={_brief(value)}" for name, value in _shown(self)]
        return f"<{type(self).__name__}: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        named = _shown(self)
        summary = getattr(self, "summary", None)
        tables = {name: value for name, value in named if isinstance(value, (pd.DataFrame, pd.Series))}
        values = [f"{name}: {_brief(value)}" for name, value in named if name not in tables]
        text = "; ".join(values) if type(self).__str__ is object.__str__ else str(self)
        return page(type(self).__name__, text, {"": summary()} if summary else tables)


def page(title: str, text: str, tables: Mapping[str, Any]) -> str:
    """Return HTML: a title, a text, and tables (DataFrame or Series) by name."""
    out = [f"<p><b>{escape(title)}</b></p>"]
    if text:
        out.append(f"<pre>{escape(text)}</pre>")
    for name, table in tables.items():
        frame: Any = table.to_frame(table.name or name) if isinstance(table, pd.Series) else table
        out += [f"<p>{escape(name)}</p>"] if name else []
        out.append(frame._repr_html_())
    return "\n".join(out)


def _shown(record: Any) -> list[tuple[str, Any]]:
    named = [each.name for each in fields(record) if each.repr and not each.name.startswith("_")]
    return [(name, getattr(record, name)) for name in named]


def _brief(value: object) -> str:
    """Return a value in a few words: short ones themselves, tables and arrays by their shape."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} {' x '.join(map(str, shape))}"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    if len(text) <= _LONGEST and "\n" not in text:
        return text
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
