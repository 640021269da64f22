"""The templates of README.md."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape


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
    return settings.get_template(name)
