"""What all figures share: colours, a plain look, and files."""

from __future__ import annotations

import html
import os
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


# What colours mean where they mean something.
GOOD, MEDIUM, PLAIN, BAD = COLORS[0], COLORS[4], "#8a8f98", COLORS[3]
OF_STATUS = {"completed": GOOD, "failed": BAD, "skipped": COLORS[1], "pending": PLAIN}


class NothingToDraw(ValueError):
    """A figure has nothing to show; the message says why."""


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


def explained(figure: go.Figure, sentence: str, height: int) -> go.Figure:
    """The look of a figure of one study: what it shows stands above it."""
    plain(figure)
    lines = textwrap.wrap(sentence, 100)
    figure.update_layout(
        title={"text": "<br>".join(lines), "font_size": 14, "x": 0.01, "y": 0.985},
        title_yanchor="top",
        margin={"l": 60, "r": 20, "t": 70 + 18 * len(lines), "b": 50},
        legend={"y": 1.0, "yanchor": "bottom", "x": 0, "font_size": 12},
        hoverlabel={"align": "left"},
        width=760,
        height=height,
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure


def goal(name: str, sign: float) -> str:
    """The title of the axis of an objective."""
    return f"{label(name, 24)} ({'larger' if sign > 0 else 'smaller'} is better)"


def label(value: Any, longest: int = 60) -> str:
    """A name or value of a user in a figure: in one line, short, and no markup.

    Plotly reads a part of HTML in all texts.

    >>> label("<b>wide</b>")
    '&lt;b&gt;wide&lt;/b&gt;'
    >>> label("nor_conv_3x3", 9)
    'nor_\u2026_3x3'
    """
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    if len(text) > longest:  # Both ends tell candidates apart.
        text = f"{text[: longest // 2]}\u2026{text[-(longest - longest // 2 - 1) :]}"
    return escaped(text)


def thinned(items: ArrayLike, most: int) -> NDArray[Any]:
    """At most so many of some items, in their order; the same ones each time."""
    items = np.asarray(items)
    if len(items) <= most:
        return items
    # Not every k-th: algorithms that propose in rounds would be seen at one point of it.
    drawn = np.random.default_rng(0).choice(len(items), most, replace=False)
    return items[np.sort(drawn)]


def cropped(values: NDArray[np.float64], sign: float) -> tuple[float, float, int]:
    """The range of an axis for some results, and how many bad ones lie outside.

    A few that are far worse than all others would flatten what matters.

    Args:
      values: (n,) as reported.
      sign: 1 if larger is better, -1 if smaller is.
    """
    gains = sign * values
    low, high = float(gains.min()), float(gains.max())
    usual, quarter = np.quantile(gains, [0.05, 0.25]).tolist()
    if (
        high - usual > 50 * (high - quarter) > 0
    ):  # Many are, as where training diverges.
        usual = quarter
    if high - low > 4 * (high - usual):
        low = high - 1.5 * (high - usual)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    ends = sorted([sign * low, sign * high])
    return ends[0], ends[1], int((gains < low).sum())


def duration(seconds: float) -> tuple[float, str]:
    """The unit in which to show times up to `seconds`: its length and its name.

    >>> duration(7000.0)
    (60.0, 'minutes')
    """
    units = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))
    for length, name in units:
        if seconds >= 3 * length:
            return length, name
    return 1.0, "seconds"


def write_html(figure: go.Figure, path: str | os.PathLike[str]) -> None:
    """Writes a page that needs nothing from elsewhere."""
    # Plotly's own page has a button that sends the figure to its makers.
    config = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}
    figure.write_html(path, include_plotlyjs=True, config=config)


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
