"""Texts as outlines of letters, laid out once: the same names stand in most plots of a board."""

from __future__ import annotations

from functools import cache
from typing import Any

from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath


class Lettering(TextToPath):
    """Matplotlib's text as paths, which keeps what it has laid out."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[tuple[Any, ...], tuple[float, float, float]] = {}
        self._laid_out: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        key = s, hash(prop), ismath
        if key not in self._sizes:
            self._sizes[key] = super().get_text_width_height_descent(s, prop, ismath)
        return self._sizes[key]

    def get_glyphs_with_font(
        self,
        font: Any,
        s: str,
        glyph_map: dict[str, Any] | None = None,
        return_new_glyphs_only: bool = False,
        **options: Any,
    ) -> Any:
        key = font, s, *sorted(options.items())
        if key not in self._laid_out:
            self._laid_out[key] = super().get_glyphs_with_font(font, s, **options)
        places, outlines, boxes = self._laid_out[key]
        known = glyph_map or {}
        if return_new_glyphs_only:
            return places, {k: v for k, v in outlines.items() if k not in known}, boxes
        return places, {**known, **outlines}, boxes


@cache
def lettering() -> Lettering:
    """Return the one of this process."""
    return Lettering()


class Renderer(RendererSVG):
    """Writes a figure as SVG with the process's lettering."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._text2path = lettering()
