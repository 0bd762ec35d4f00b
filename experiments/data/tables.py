"""Tables as rows of entries that a network reads, and back.

What a column is, experiments/data/kinds.py reads off its texts; how its numbers
are entries, experiments/data/mixtures.py tells. A category is one-hot.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.data.csv_files import Table
from experiments.data.kinds import (
  Decimals,
  Kind,
  Labels,
  Times,
  kind_of,
  labels_of,
)
from experiments.data.mixtures import Mixture, fit_mixture
from jgan.models.ctgan import Category, Number, row_width


class Column(NamedTuple):
  """One column: its name, what it is, and of its numbers the mixtures."""

  name: str
  kind: Kind
  mixtures: tuple[Mixture, ...] = ()

  @property
  def layout(self) -> tuple[Number | Category, ...]:
    """What the network knows of it."""
    if isinstance(self.kind, Labels):
      rare = (sum(self.kind.rare_counts),) if self.kind.rare else ()
      return (Category((*self.kind.counts, *rare)),)
    return tuple(Number(mixture.modes) for mixture in self.mixtures)


class Encoding(NamedTuple):
  """What makes rows of entries of a table, and tables of rows.

  Attributes:
    columns: of the table, in order.
    delimiter: between columns in a file.
  """

  columns: tuple[Column, ...]
  delimiter: str = ','

  @property
  def layout(self) -> tuple[Number | Category, ...]:
    """The columns as `jgan.models.ctgan` takes them."""
    return sum((column.layout for column in self.columns), ())

  def encode(self, table: Table, seed: int = 0) -> 'Encoded':
    """The rows of the table that this was fitted to, or of a part of it.

    Args:
      table: its columns, and no text that it did not have.
      seed: decides which mode a number has that could be of several.
    """
    rng = np.random.default_rng(seed)
    scalars, codes = [], []
    for column in self.columns:
      parts = column.kind.parts(table.columns[column.name])
      if not column.mixtures:
        codes.extend(parts)
      for mixture, part in zip(column.mixtures, parts, strict=False):
        scalar, code = mixture.encode(part, rng)
        scalars.append(scalar)
        codes.append(code)
    n = len(table)
    return Encoded(
      self.layout,
      np.array(scalars, np.float32).reshape(-1, n).T,
      np.array(codes, np.int32).reshape(-1, n).T,
    )

  def decode(self, rows: np.ndarray, seed: int = 0) -> Table:
    """The table of rows `[n, d]`, as a generator makes them.

    Args:
      rows: of what is one-hot the largest entry counts.
      seed: decides which of the rare texts a label becomes.
    """
    rng = np.random.default_rng(seed)
    parts = self.parts(rows)
    columns = {
      column.name: column.kind.write(of_one, len(rows), rng)
      for column, of_one in zip(self.columns, parts, strict=True)
    }
    return Table(columns, self.delimiter)

  def parts(self, rows: np.ndarray) -> list[list[np.ndarray]]:
    """The numbers and the categories' values `[n]` of rows, by column."""
    scalars, codes = map(iter, _parted(rows, self.layout))
    return [
      [x.decode(next(scalars), next(codes)) for x in column.mixtures]
      or [next(codes) for _ in column.layout]
      for column in self.columns
    ]


@dataclasses.dataclass(frozen=True)
class Encoded:
  """A source of rows, each made of its scalars and codes when asked for.

  Attributes:
    layout: what a row is made of.
    scalars: of each number, float32 `[n, numbers]`.
    codes: of what is one-hot, int32 `[n, numbers and categories]`.
  """

  layout: tuple[Number | Category, ...]
  scalars: np.ndarray
  codes: np.ndarray

  def __len__(self) -> int:
    return len(self.codes)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    width = row_width(self.layout)
    row = np.zeros((len(indices), width), np.float32)
    scalar_at, code_at = _places(self.layout)
    row[:, scalar_at] = self.scalars[indices]
    np.put_along_axis(row, code_at + self.codes[indices], 1, 1)
    return {'row': row}

  @functools.cached_property
  def conditions(self) -> np.ndarray:
    """The values of each row's categories, int32 `[n, categories]`.

    Counted through all of them, as `jgan.models.ctgan` has its conditions.
    """
    categories = [isinstance(x, Category) for x in self.layout]
    sizes = [len(x.frequencies) for x in self.layout if isinstance(x, Category)]
    starts = np.cumsum([0, *sizes], dtype=np.int32)[:-1]
    return self.codes[:, categories] + starts


def fit(
  table: Table,
  train: np.ndarray,
  *,
  labels: Sequence[str] = (),
  max_values: int = 500,
) -> Encoding:
  """Finds out what the columns of a table are, and how numbers spread.

  Args:
    table: all of it; it tells the kinds of its columns.
    train: positions of the rows that it is fitted to, int `[n]`.
    labels: names of columns that are labels though their texts are numbers.
    max_values: of a column of labels, to the network; 2 or more.

  Raises:
    ValueError: a column is of no kind: most of its texts are there only once,
      or are numbers while others are not; or all columns are constant, or one
      that `labels` names is not there, or scikit-learn is not installed.
  """
  if max_values < 2:
    raise ValueError(f'--max-values must be 2 or more, got {max_values}')
  forced = {table.find(name) for name in labels}
  part = table.rows(train)
  columns = []
  for name, column in table.columns.items():
    kind = kind_of(name, column, table.delimiter, name in forced, max_values)
    if isinstance(kind, Labels):
      kind = labels_of(part.columns[name], max_values)
    mixtures = ()
    if isinstance(kind, Decimals | Times):
      parts = kind.parts(part.columns[name])
      mixtures = tuple(fit_mixture(numbers) for numbers in parts)
    columns.append(Column(name, kind, mixtures))
  encoding = Encoding(tuple(columns), table.delimiter)
  if not encoding.layout:
    raise ValueError('every column has one text in all rows: nothing to learn')
  return encoding


def _places(layout) -> tuple[np.ndarray, np.ndarray]:
  """Where in a row each scalar is, and where each one-hot begins."""
  scalars, codes, start = [], [], 0
  for column in layout:
    if isinstance(column, Number):
      scalars.append(start)
    codes.append(start + isinstance(column, Number))
    start += row_width([column])
  return np.array(scalars, int), np.array(codes, int)


def _parted(rows, layout):
  """The scalars and the codes of rows, each a list of arrays `[n]`."""
  scalar_at, code_at = _places(layout)
  ends = np.cumsum([row_width([column]) for column in layout])
  return [rows[:, i] for i in scalar_at], [
    rows[:, start:end].argmax(1)
    for start, end in zip(code_at, ends, strict=True)
  ]
