"""Lines, points and texts, drawn without a plotting library."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 170, 90  # pixels of a panel
_SIDE = 320  # pixels of a plot of points
_MARGIN, _LINE = 6, 13  # pixels
_ROW, _WIDEST = 17, 520  # pixels of a line of text
_FINER = 3  # times as fine is what is drawn, for smooth lines
_BACKGROUND, _PAPER, _INK = (235,) * 3, (255,) * 3, (20,) * 3
_COLOURS = (
  (31, 119, 180),
  (214, 39, 40),
  (44, 160, 44),
  (255, 127, 14),
  (148, 103, 189),
  (140, 86, 75),
  (227, 119, 194),
  (23, 190, 207),
)


class Panel(NamedTuple):
  """Lines in one frame.

  Attributes:
    lines: `[n, t]`.
    colours: of the lines, by number, int `[n]`.
    low: at the bottom of the frame.
    high: at its top.
  """

  lines: np.ndarray
  colours: np.ndarray
  low: float
  high: float


def line_panels(
  rows: Mapping[str, Sequence[Panel]], columns: Sequence[str]
) -> np.ndarray:
  """Returns frames of lines, each with its range, in rows and columns.

  Time runs to the right. What lies outside of a frame's range is not seen.

  Args:
    rows: frames by the name of their row, as many as there are columns.
    columns: their names.

  Returns:
    One RGB picture, uint8 [H, W, 3].
  """
  width = len(columns) * (_WIDTH + _MARGIN) + _MARGIN
  row_height = _LINE + _HEIGHT + _MARGIN
  page = Image.new(
    'RGB', (width, _LINE + len(rows) * row_height + _MARGIN), _BACKGROUND
  )
  draw = ImageDraw.Draw(page)
  for column, name in enumerate(columns):
    left = _MARGIN + column * (_WIDTH + _MARGIN)
    draw.text((left, 1), _short(name), _INK)
    for row, (about, panels) in enumerate(rows.items()):
      panel = panels[column]
      top = _LINE + row * row_height
      told = f'{panel.low:.3g} to {panel.high:.3g}'
      # The row's name once, at its left.
      draw.text((left, top), told if column else f'{about}: {told}', _INK)
      page.paste(_drawn(panel), (left, top + _LINE))
  return np.array(page)


def points(title: str, sets: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns sets of points in one plane, each set in a colour.

  Args:
    title: above them.
    sets: `[n, 2]` by name.

  Returns:
    One RGB picture, uint8 [H, W, 3].
  """
  everything = np.concatenate(list(sets.values()))
  low, span = everything.min(0), np.ptp(everything, axis=0)
  side = _SIDE * _FINER
  plot = Image.new('RGB', (side, side), _PAPER)
  draw = ImageDraw.Draw(plot, 'RGBA')
  named = list(zip(sets.items(), _COLOURS, strict=False))
  for (_, places), colour in named:
    at = 0.03 + 0.94 * (places - low) / np.where(span, span, 1)
    for x, y in at * side:
      box = [x - 4, side - y - 4, x + 4, side - y + 4]
      draw.ellipse(box, (*colour, 110))
  page = Image.new('RGB', (_SIDE + 2 * _MARGIN, _SIDE + 3 * _LINE), _BACKGROUND)
  words = ImageDraw.Draw(page)
  words.text((_MARGIN, 1), title, _INK)
  left = _MARGIN
  for (name, _), colour in named:
    words.text((left, _LINE + 1), name, colour)
    left += words.textlength(name) + 3 * _MARGIN
  page.paste(
    plot.resize((_SIDE, _SIDE), Image.Resampling.BOX), (_MARGIN, 2 * _LINE + 2)
  )
  return np.array(page)


def texts(columns: Mapping[str, Sequence[str]]) -> np.ndarray:
  """Returns a page of texts, a line each, in columns under their names.

  A text that is wider than a column's 520 pixels is cut off there. Letters that
  Pillow's own font lacks are boxes.

  Args:
    columns: texts by the name of their column.

  Returns:
    One RGB picture, uint8 [H, W, 3].
  """
  font = ImageFont.load_default(size=12)
  widths = [
    min(_WIDEST, max(font.getlength(text) for text in [name, *lines]))
    for name, lines in columns.items()
  ]
  width = math.ceil(sum(widths) + _MARGIN * (3 * len(columns) + 1))
  rows = 1 + max(map(len, columns.values()))
  page = Image.new('RGB', (width, rows * _ROW + 2 * _MARGIN), _PAPER)
  left = 2 * _MARGIN
  for (name, lines), wide in zip(columns.items(), widths, strict=True):
    column = Image.new('RGB', (math.ceil(wide), page.height), _PAPER)
    draw = ImageDraw.Draw(column)
    for row, text in enumerate([name, *lines]):
      colour = _INK if row else _COLOURS[0]
      draw.text((0, _MARGIN + row * _ROW), text, colour, font)
    page.paste(column, (round(left), 0))
    left += wide + 3 * _MARGIN
  return np.array(page)


def _drawn(panel: Panel) -> Image.Image:
  """One frame's lines."""
  width, height = _WIDTH * _FINER, _HEIGHT * _FINER
  frame = Image.new('RGB', (width, height), _PAPER)
  draw = ImageDraw.Draw(frame)
  span = panel.high - panel.low or 1
  x = np.linspace(0, width - 1, panel.lines.shape[1])
  for line, colour in zip(panel.lines, panel.colours, strict=True):
    y = (height - 1) * (1 - (line - panel.low) / span)
    places = np.clip(np.stack([x, y], -1), -height, 2 * height + width)
    chosen = _COLOURS[colour % len(_COLOURS)]
    # Wide enough to cover one pixel of the smaller picture whole.
    draw.line([tuple(p) for p in places.tolist()], chosen, width=2 * _FINER - 1)
  return frame.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX)


def _short(name: str) -> str:
  return name if len(name) <= 22 else name[:21] + '…'
