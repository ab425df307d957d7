"""What all figures share: colours, a plain look, and files."""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's palette, which people with colour blindness can tell apart, in an order
# in which neighbours differ in lightness as well.
COLORS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#56b4e9",
    "#cc79a7",
    "#7f7f7f",
    "#b8ae00",
    "#5d3a9b",
    "#000000",
)


def color(i: int) -> str:
    return COLORS[i % len(COLORS)]


def faded(hex_color: str, opacity: float) -> str:
    """A colour for areas."""
    red, green, blue = (int(hex_color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def light(hex_color: str) -> str:
    """A colour for areas under dark text, whatever the page behind them."""
    parts = [int(hex_color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - 0.35 * (255 - part)):02x}" for part in parts)


def escaped(text: str) -> str:
    """A text that plotly shows as it is: it takes `<b>` and the like for HTML."""
    shown = html.escape(text, quote=False).replace("\n", "<br>")
    return shown.replace("  ", "\N{NO-BREAK SPACE}" * 2)


def text_width(text: str) -> float:
    """About how many pixels a line of 12 pixels takes, rather more than less."""
    return sum(_WIDE.get(character, 7.6) for character in text)


_WIDE = {
    **dict.fromkeys("ijl.,:;|!'()[] ", 4.6),
    **dict.fromkeys("frt-", 5.2),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ=+<>", 9.4),
    **dict.fromkeys("mwMW@%", 11.6),
}


def plain(figure: go.Figure) -> go.Figure:
    """Takes away what does not carry data."""
    figure.update_layout(
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13},
        margin={"l": 60, "r": 20, "t": 80, "b": 50},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
    )
    figure.update_xaxes(showline=True, linecolor="#888", ticks="outside")
    figure.update_yaxes(showline=True, linecolor="#888", ticks="outside")
    return figure


def write_html(figure: go.Figure, path: str | os.PathLike[str]) -> None:
    """Writes a page that needs nothing from elsewhere."""
    figure.write_html(path, include_plotlyjs=True, config={"displaylogo": False})


def write_png(figure: go.Figure, path: str | os.PathLike[str]) -> None:
    """Writes a picture.

    Raises:
      ImportError: kaleido is missing.
      RuntimeError: there is no Chrome or Chromium that could draw it.
    """
    try:
        import kaleido  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            "Pictures need kaleido: pip install 'symnas[png]', and Chrome or Chromium."
        ) from None
    try:
        figure.write_image(path, format="png", scale=2)
    except (RuntimeError, ValueError, kaleido.ChromeNotFoundError) as error:
        raise RuntimeError(
            "The picture was not drawn. Is Chrome or Chromium installed? "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
