"""Tables as a run shows and keeps them: CSV files, and histograms on a grid."""

import numpy as np
from PIL import Image, ImageDraw

from experiments import pictures
from experiments.data.csv_files import Table, csv_bytes
from experiments.data.kinds import Labels
from experiments.data.tables import Column, Encoded, Encoding
from experiments.modality import Modality, Shown

_COUNT = 500  # rows that a run shows
_WIDTH, _HEIGHT, _LINE = 168, 96, 14  # pixels of a histogram, and of its name
_BINS = 40
_PAPER, _INK, _BAR = 255, 20, 90  # levels of grey


def modality(encoding: Encoding, rows: Encoded) -> Modality:
  """Rows of a table, shown as a histogram of each column.

  Samples are a table with the columns of the data, as the data write them, in a
  .csv beside the picture. Reals are pictures alone.

  Args:
    encoding: of the table.
    rows: the reals, of which the first are shown.
  """

  def reals(batch):
    del batch  # in which rare values are more frequent
    first = np.arange(min(_COUNT, len(rows)))
    return Shown(histograms(encoding, rows[first]['row']))

  def samples(made, conditions):
    return Shown(
      histograms(encoding, made), {'.csv': csv_bytes(encoding.decode(made))}
    )

  return Modality(
    unit='rows',
    count=_COUNT,
    reals=reals,
    samples=samples,
    suffix='.csv',
    encode=lambda one: csv_bytes(encoding.decode(one[None])),
    arrays=lambda made: cells(encoding.decode(made)),
  )


def cells(table: Table) -> dict[str, np.ndarray]:
  """A table as arrays of text: 'names' `[c]` and 'cells' `[n, c]`."""
  columns = [column.array().astype(str) for column in table.columns.values()]
  return {'names': np.array([*table.columns]), 'cells': np.stack(columns, 1)}


def histograms(encoding: Encoding, rows: np.ndarray) -> np.ndarray:
  """Returns a picture of rows: of each column how often it has which values.

  Numbers from the least to the greatest of the data, missing ones apart on the
  right; labels from the most frequent of the data on, at most as many as there
  is room for. Bars are in units of the highest.

  Args:
    encoding: of the table.
    rows: `[n, d]`, as a generator makes them.

  Returns:
    One RGB picture, uint8 [H, W, 3].
  """
  panels = [
    _panel(name, shares)
    for column, parts in zip(
      encoding.columns, encoding.parts(rows), strict=True
    )
    for name, shares in _bars(column, parts)
  ]
  return pictures.grid(np.stack(panels))


def _bars(column: Column, parts: list[np.ndarray]):
  """The name and the bars of each part of a column."""
  if isinstance(column.kind, Labels):
    counts = np.array(column.layout[0].frequencies)
    order = np.argsort(-counts, kind='stable')
    shares = np.bincount(parts[0], minlength=len(counts))[order]
    yield column.name, shares[: _WIDTH // 4]
    return
  for mixture, numbers in zip(column.mixtures, parts, strict=True):
    span = mixture.low, mixture.high
    bins, _ = np.histogram(numbers[~np.isnan(numbers)], _BINS, span)
    missing = [0, np.isnan(numbers).sum()] if mixture.missing else []
    yield column.name, np.array([*bins, *missing])


def _panel(name: str, shares: np.ndarray) -> np.ndarray:
  """One histogram under its name, uint8 [height, width, 1]."""
  image = Image.new('L', (_WIDTH, _HEIGHT), _PAPER)
  draw = ImageDraw.Draw(image)
  draw.text((3, 1), name.strip().encode('ascii', 'replace'), _INK)
  step = _WIDTH / len(shares)
  heights = shares / max(shares.max(), 1) * (_HEIGHT - _LINE - 2)
  for i, height in enumerate(heights.tolist()):
    if height > 0:
      left = i * step
      right = max(left, left + step - 2)
      draw.rectangle([left, _HEIGHT - max(height, 1), right, _HEIGHT], _BAR)
  return np.asarray(image)[..., None]
