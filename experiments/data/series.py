"""Time series: a CSV file of numbers, and the windows of it.

Columns are brought to [0, 1], each from its lowest to its highest number, and
samples go back to the units of the file.
"""

import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.data.csv_files import (
  has_commas,
  is_all_numbers,
  is_number,
  read_rows,
  with_point,
)

Label = Callable[[np.ndarray], np.ndarray]
"""`(windows [n, t, d]) -> [n]`, the class of each, int32."""


class Numbers(NamedTuple):
  """The numbers of a CSV file.

  Attributes:
    names: of the columns; '1', '2', ... where the file does not name them.
    header: whether it does.
    values: float64 `[rows, columns]`, all finite.
    delimiter: what stands between two columns in the file.
    comma: decimals stand after a comma, not after a point.
  """

  names: tuple[str, ...]
  header: bool
  values: np.ndarray
  delimiter: str = ','
  comma: bool = False

  def to_unit(self, values: np.ndarray) -> np.ndarray:
    """Numbers `[..., columns]` in the file's units as float32 in [0, 1].

    A column that is constant becomes 0.
    """
    low, high = self.range()
    constant = low == high
    unit = (values - low) / np.where(constant, 1, high - low)
    return np.where(constant, 0, unit).astype(np.float32)

  def to_data(self, values: np.ndarray) -> np.ndarray:
    """The inverse, float64; what is outside of [0, 1] is clipped."""
    low, high = self.range()
    return low + (high - low) * np.clip(np.asarray(values, np.float64), 0, 1)

  def to_csv(self, series: np.ndarray) -> bytes:
    """Series in [0, 1] as a CSV file in the file's units, written as it is.

    Each column has at most as many decimals as in the file.

    Args:
      series: `[t, columns]`; or several, `[n, t, columns]`, which come one
        after the other, each row after the number of its series.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter=self.delimiter, lineterminator='\n')
    several = series.ndim == 3
    if self.header:
      writer.writerow(['series'] * several + list(self.names))
    numbers = self._rounded(series if several else series[None])
    for number, one in enumerate(numbers):
      for row in one.tolist():
        writer.writerow([number] * several + [self._text(x) for x in row])
    return text.getvalue().encode('utf-8')

  def _text(self, x: float) -> str:
    text = f'{x:.15g}'
    return text.replace('.', ',') if self.comma else text

  def _rounded(self, series: np.ndarray) -> np.ndarray:
    """Numbers with no more decimals than those of their column."""
    numbers = self._shortest(series)
    for i, column in enumerate(self.values.T):
      for places in range(16):
        if (np.round(column, places) == column).all():
          numbers[..., i] = np.round(numbers[..., i], places)
          break
    return numbers

  def _shortest(self, series: np.ndarray) -> np.ndarray:
    """Of the numbers that `to_unit` brings to `series`, those of fewest digits.

    So numbers of the file come back as they are written there, and not with the
    digits of float32's rounding.
    """
    low, high = self.range()
    unit = np.clip(series, 0, 1)
    shortest = exact = self.to_data(unit)
    for digits in range(15, 0, -1):
      shorter = np.vectorize(lambda x, n=digits: float(f'{x:.{n}g}'))(exact)
      same = (self.to_unit(shorter) == unit) & (low < high)
      shortest = np.where(same, shorter, shortest)
    return shortest

  def range(self) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest number of each column."""
    return self.values.min(0), self.values.max(0)


class Windows:
  """A source of all windows of a table: rows 0 to t - 1, rows 1 to t, ...

  Args:
    values: float32 `[rows, d]`.
    length: t, rows of a window.
    label: makes a label of each window; None for windows without.

  Raises:
    ValueError: a window would have less than two rows, or the table has less
      rows than a window.
  """

  def __init__(
    self, values: np.ndarray, length: int, label: Label | None = None
  ):
    if not 2 <= length <= len(values):
      raise ValueError(
        f'Windows: a window needs from 2 rows up to the {len(values)} rows of '
        f'the data, got {length}.'
      )
    self.values, self.length, self.label = values, length, label

  def __len__(self) -> int:
    return len(self.values) - self.length + 1

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.asarray(indices)[:, None] + np.arange(self.length)
    series = self.values[rows]
    label = {'label': self.label(series)} if self.label else {}
    return {'series': series} | label


def read_numbers(
  path: str | os.PathLike, columns: Sequence[str] = ()
) -> Numbers:
  """Reads a CSV file of numbers, one step of time to a row.

  The rows are those of `read_rows`. The first names the columns unless it is
  all numbers. Decimals are after a point, or all after a comma where a comma is
  not what stands between columns.

  Args:
    path: the file.
    columns: names of those wanted, in this order; empty for all. The others
      need not be numbers.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: as of `read_rows`; or a cell wanted is no finite number, or
      there is no column of a name, or there are several.
  """
  if not os.fspath(path):
    raise FileNotFoundError('series: needs the path of a CSV file of numbers.')
  delimiter, rows = read_rows(path)
  lines = [(line, [cell.strip() for cell in row]) for line, row in rows]
  _, first = lines[0]
  header = not is_all_numbers(first, delimiter)
  names = tuple(first) if header else _numbered(len(first))
  if header and len(lines) == 1:
    raise ValueError(f'series: {path} has a line of names and no numbers.')
  places = _places(path, names, columns)
  wanted = tuple(names[i] for i in places)
  rows = [(n, [row[i] for i in places]) for n, row in lines[header:]]
  comma = has_commas([cell for _, row in rows for cell in row], delimiter)
  values = np.array(
    [_numbers(path, line, row, wanted, comma) for line, row in rows]
  )
  return Numbers(wanted, header, values, delimiter, comma)


def _numbered(count):
  return tuple(str(i + 1) for i in range(count))


def _places(path, names, columns):
  """Where the columns wanted are."""
  if unknown := [name for name in columns if name not in names]:
    raise ValueError(
      f'series: {path} has no column {unknown[0]!r}; its columns are '
      f'{", ".join(names)}.'
    )
  if twice := [name for name in columns if names.count(name) > 1]:
    raise ValueError(
      f'series: {path} has several columns of the name {twice[0]!r}, so that '
      '--columns cannot tell which; each of those needs a name of its own.'
    )
  return [names.index(name) for name in columns] or list(range(len(names)))


def _numbers(path, line, cells, names, comma):
  """The numbers of a line in the columns wanted."""
  numbers = [with_point(cell, comma) for cell in cells]
  for name, cell, number in zip(names, cells, numbers, strict=True):
    if is_number(number) and math.isfinite(float(number)):
      continue
    what = f'{cell!r} is no finite number' if cell else 'the cell is empty'
    if ',' in cell:
      what += (
        ' (decimals need a point; or all of them a comma, and another sign '
        'between columns; thousands no sign)'
      )
    raise ValueError(
      f'series: {path}, line {line}, column {name!r}: {what}. Fill in or take '
      'out what is missing, and choose the columns of numbers with --columns.'
    )
  return [float(number) for number in numbers]
