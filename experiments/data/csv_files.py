"""Tables of a CSV file, as they are written: read whole, and written the same.

A column is kept as its distinct texts and a number for each row, which takes
little room and leaves every text what it was, spaces and all.
"""

import array
import codecs
import contextlib
import csv
import dataclasses
import gzip
import hashlib
import io
import itertools
import os
import re
import types
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.errors import counted

_DELIMITERS = (',', ';', '\t', '|')
_SNIFFED = 1 << 16  # characters that tell the delimiter
_TOLD = re.compile(r'("?)sep=([,;\t|])\1(?=[\r\n])')  # to a spreadsheet
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Texts(NamedTuple):
  """A column: the text of row i is `values[codes[i]]`.

  Attributes:
    values: texts, in the order in which they first occur.
    codes: int32 `[n]`.
  """

  values: tuple[str, ...]
  codes: np.ndarray

  def array(self) -> np.ndarray:
    """The texts of all rows, `[n]`."""
    return np.array(self.values, object)[self.codes]


@dataclasses.dataclass(frozen=True)
class Table:
  """Columns of one length, by name and in order.

  Attributes:
    columns: one or more.
    delimiter: what stands between two of them in a file.
  """

  columns: Mapping[str, Texts]
  delimiter: str = ','

  def __len__(self) -> int:
    return len(next(iter(self.columns.values())).codes)

  def rows(self, positions: np.ndarray) -> 'Table':
    """Returns some of the rows, with the texts that occur in them."""
    columns = {}
    for name, column in self.columns.items():
      used, codes = np.unique(column.codes[positions], return_inverse=True)
      values = tuple(column.values[i] for i in used)
      columns[name] = Texts(values, codes.astype(np.int32))
    return Table(columns, self.delimiter)

  def without(self, names: Sequence[str]) -> 'Table':
    """Returns all columns but these. ValueError: one is not there, or all."""
    dropped = {self.find(name) for name in names}
    kept = {k: x for k, x in self.columns.items() if k not in dropped}
    if not kept:
      raise ValueError('--drop leaves no column')
    return Table(kept, self.delimiter)

  def find(self, name: str) -> str:
    """The name of a column as the file writes it; spaces around do not count.

    Raises:
      ValueError: there is no such column.
    """
    for own in self.columns:
      if own.strip() == name.strip():
        return own
    raise ValueError(
      f'there is no column {name!r}; there are: {", ".join(self.columns)}'
    )


def texts(cells: Sequence[str]) -> Texts:
  """A column of these texts."""
  numbers = {value: i for i, value in enumerate(dict.fromkeys(cells))}
  codes = np.fromiter((numbers[x] for x in cells), np.int32, len(cells))
  return Texts(tuple(numbers), codes)


def read_rows(
  path: str | os.PathLike,
) -> tuple[str, Iterator[tuple[int, list[str]]]]:
  """The rows of a CSV file, in UTF-8, plain or compressed by gzip.

  What stands between columns (a comma, a semicolon, a tab or a bar) is found
  out, or told by a first line as spreadsheets read it: `sep=;`. Lines without
  anything are left out. All rows have as many cells as the first.

  Args:
    path: the file.

  Returns:
    The delimiter; and the rows, read one by one, each after the number of its
    line, one or more.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is a folder, damaged, no text in UTF-8; and while rows are
      read: there is none, a row has more or less cells than the first, or a
      quote is open.
  """
  path = Path(os.path.expanduser(path))
  text = _text(path)
  if told := _TOLD.match(text):
    text = text[told.end() :]  # its end stays, so that lines keep their numbers
  delimiter = told[2] if told else _delimiter(text)
  return delimiter, _rows(path, text, delimiter)


def read_csv(
  path: str | os.PathLike, names: Sequence[str] | None = None
) -> Table:
  """Reads a table from a CSV file, whose rows `read_rows` reads.

  Nothing is taken for missing here: a cell without text is the text ''.

  Args:
    path: the file. Its first line names the columns.
    names: of the columns, for a file that may have no such line: where the
      first line is another it is a row.

  Returns:
    A table of one row or more.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is no table: as of `read_rows`, or it has a header
      alone, none, or two columns of one name.
  """
  delimiter, rows = read_rows(path)
  cells = (row for _, row in rows)
  first = next(cells)
  header = _header(path, first, names, delimiter)
  if header is not first:
    cells = itertools.chain([first], cells)
  columns = _columns(header, cells)
  table = Table(dict(zip(header, columns, strict=True)), delimiter)
  if not len(table):
    raise ValueError(f'{path} has a header and no row')
  return table


def digest(path: str | os.PathLike) -> str:
  """The SHA-256 of a file. FileNotFoundError, ValueError: there is none."""
  return hashlib.sha256(_content(Path(os.path.expanduser(path)))).hexdigest()


def csv_bytes(table: Table) -> bytes:
  """A table as the content of a CSV file, with a line of names."""
  lines = []
  # It quotes those ends of lines alone that it writes: both, and one is kept.
  writer = csv.writer(
    types.SimpleNamespace(write=lines.append),
    delimiter=table.delimiter,
    lineterminator='\r\n',
  )
  writer.writerow(table.columns)
  cells = [column.array() for column in table.columns.values()]
  writer.writerows(zip(*cells, strict=True))
  return ''.join(x.removesuffix('\r\n') + '\n' for x in lines).encode()


def _content(path: Path) -> bytes:
  if not path.exists():
    raise FileNotFoundError(f'there is no file {path}')
  if path.is_dir():
    raise ValueError(f'{path} is a folder; one file is needed')
  return path.read_bytes()


def _text(path: Path) -> str:
  content = _content(path)
  try:
    if content[:2] == b'\x1f\x8b':
      content = gzip.decompress(content)
    return content.decode('utf-8-sig')
  except (EOFError, OSError, zlib.error) as error:
    raise ValueError(f'{path} is damaged: {error}') from error
  except UnicodeDecodeError as error:
    line = content[: error.start].count(b'\n') + 1
    encoding = 'UTF-16' if content[:2] in _UTF_16 else 'WINDOWS-1252'
    raise ValueError(
      f'{path}: line {line} is no text in UTF-8; convert the file, for example '
      f'by: iconv -f {encoding} -t UTF-8'
    ) from error


def _rows(path, text, delimiter):
  reader = csv.reader(
    io.StringIO(text, newline=''), delimiter=delimiter, strict=True
  )
  width, comment = 0, ''
  try:
    for row in reader:
      if not row or (width != 1 and len(row) == 1 and not row[0].strip()):
        continue
      if not width and row[0].startswith('#'):
        comment = f"; line {reader.line_num} begins with '#': comments are not "
        comment += 'read, so take them out'
      width = width or len(row)
      if len(row) != width:
        raise ValueError(
          f'{path}: line {reader.line_num} has '
          f'{counted(len(row), "cell")}, and the first line {width}; all rows '
          f'need as many{comment}'
        )
      comment *= row[0].startswith('#')  # it was a line of names
      yield reader.line_num, row
  except csv.Error as error:
    raise ValueError(f'{path}: line {reader.line_num}: {error}') from error
  if not width:
    raise ValueError(f'{path} is empty: it needs a line of names, and rows')


def _delimiter(text: str) -> str:
  """The one by which most of the first rows have as many cells as the header.

  Of several, the one by which more rows are all numbers, so that the comma of
  decimals is none; then the one that makes more columns; then a comma.
  """

  def fit(delimiter):
    lines = io.StringIO(text[:_SNIFFED], newline='')
    rows = []
    # The rows before a broken one tell enough; _rows names the broken one.
    with contextlib.suppress(csv.Error):
      rows.extend(row for row in csv.reader(lines, delimiter=delimiter) if row)
    if len(text) > _SNIFFED and len(rows) > 1:
      rows.pop()  # cut in the middle
    if not rows or len(rows[0]) < 2:
      return 0, 0, 0
    same = sum(len(row) == len(rows[0]) for row in rows)
    numbers = sum(is_all_numbers(row, delimiter) for row in rows)
    return same / len(rows), numbers, len(rows[0])

  return max(_DELIMITERS, key=fit)


def _header(path, first, names, delimiter):
  plain = [cell.strip() for cell in first]
  if names is not None and len(first) == len(names) and plain != list(names):
    return list(names)
  twice = {name for name in plain if plain.count(name) > 1}
  if twice:
    raise ValueError(
      f'{path} has several columns of the name {sorted(twice)[0]!r}; each '
      'needs a name of its own'
    )
  if is_all_numbers(plain, delimiter):
    raise ValueError(
      f'{path}: the first line must name the columns, but it has numbers alone'
    )
  return first


def _columns(header, rows):
  """Each column's texts, found while the rows are read one by one."""
  numbers = [{} for _ in header]
  codes = [array.array('i') for _ in header]
  for row in rows:
    for known, column, cell in zip(numbers, codes, row, strict=True):
      column.append(known.setdefault(cell, len(known)))
  return [
    Texts(tuple(known), np.array(column, np.int32))
    for known, column in zip(numbers, codes, strict=True)
  ]


def is_number(text: str) -> bool:
  """Whether Python reads it as a number, NaN and infinities among them."""
  try:
    float(text)
  except ValueError:
    return False
  return True


def is_all_numbers(row: Sequence[str], delimiter: str) -> bool:
  """Whether all are numbers; decimals after a comma need another delimiter."""
  comma = has_commas(row, delimiter)
  return all(is_number(with_point(cell, comma)) for cell in row)


def has_commas(numbers: Sequence[str], delimiter: str) -> bool:
  """Whether decimals stand after a comma: some have one, and none a point."""
  return (
    delimiter != ','
    and any(',' in x for x in numbers)
    and not any('.' in x for x in numbers)
  )


def with_point(number: str, comma: bool) -> str:
  """A number with a point before its decimals, where a comma stands there."""
  return number.replace(',', '.') if comma else number
