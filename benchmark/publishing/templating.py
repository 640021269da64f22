"""The templates of README.md and index.html."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup, escape

from benchmark.publishing.text import plain


@cache
def template(name: str) -> Template:
    """Return a template of this package; whatever enters an .html.j2 is escaped."""
    loader = PackageLoader("benchmark.publishing", "templates")
    settings = Environment(
        loader=loader,
        autoescape=select_autoescape(("html.j2",)),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    settings.filters["breakable"] = breakable
    return settings.get_template(name)


def breakable(name: object) -> Markup:
    """Escape a name for HTML, with places where a narrow column may break it."""
    pieces = re.split(r"(?<=[+_(,/-])", plain(name))
    return Markup("<wbr>").join(map(escape, filter(None, pieces)))
