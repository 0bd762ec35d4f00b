"""What a column of a table is, read off its texts, and its texts as numbers.

Each kind has parts for a network, numbers or a category, and writes texts of
parts:

- `Constant`, one text in every row: no part. It is put back.
- `Decimals`, where more than ten distinct texts are there and all are numbers:
  a number, written with as many decimals as the data have, so that integers
  stay integers. Missing is what the data write for it: nothing, ?, NA, N/A,
  NaN, null or none. Numbers that begin with zeros, as codes do, are labels. All
  may have a unit, one for all: a currency's sign before, or what is no digit
  after them, as $5.20, 10% and 3 kg have.
- `Times`, where they are dates, times of a day, or both: a number of days, one
  of minutes or seconds, or one of each. All may end in one zone (Z, +01:00).
- `Labels`, where they are anything else: a category, each text a value of it,
  that for missing too. Of more than so many values the rarest are one to the
  network; which of them is written, is drawn by their frequencies.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeAlias

import numpy as np

from experiments.data.csv_files import Texts, has_commas, texts, with_point

_MISSING = frozenset(('', '?', 'na', 'n/a', 'nan', 'null', 'none'))
_FEW = 10  # numbers of so many distinct texts, or fewer, are labels
_LARGEST = 1e100  # of the sizes of numbers, whose squares floats must hold
_NUMBER = re.compile(r'[+-]?(0|[1-9]\d*|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?')
_GROUPED = re.compile(
  r"[+-]?[1-9]\d{0,2}([,.'\u2019 \xa0\u202f])\d{3}(\1\d{3})*([.,]\d*)?"
)
_UNITS = re.compile(r'[+-]?([^\d.,+-]*)[\d.,](?:.*[\d.,])?([^\d.,]*)')
_ZONE = re.compile(r'(\.0+)?( ?(Z|UTC|[+-]\d\d:?\d\d))?$')
_DAYS = ('%Y-%m-%d', '%Y/%m/%d', '%d.%m.%Y', '%d/%m/%Y', '%m/%d/%Y')
_CLOCKS = ('%H:%M', '%H:%M:%S')
_FORMATS = (
  *_DAYS,
  *_CLOCKS,
  *(f'{day}{t}{clock}' for day in _DAYS for t in ' T' for clock in _CLOCKS),
)


class Constant(NamedTuple):
  """A column of one text."""

  text: str

  def parts(self, column: Texts) -> list[np.ndarray]:
    """None: there is nothing to learn."""
    return []

  def write(
    self, parts: Sequence[np.ndarray], count: int, rng: np.random.Generator
  ) -> Texts:
    return Texts((self.text,), np.zeros(count, np.int32))


class Decimals(NamedTuple):
  """A column of numbers.

  Attributes:
    places: decimals that are written; None for as many as are needed.
    comma: decimals stand after a comma, not after a point.
    missing: the text for a missing value, the most frequent of such.
    prefix: what stands before each number, after its sign.
    suffix: what stands after each.
  """

  places: int | None
  comma: bool = False
  missing: str = ''
  prefix: str = ''
  suffix: str = ''

  def parts(self, column: Texts) -> list[np.ndarray]:
    """The numbers, float64 `[n]`, NaN where missing."""
    values = [
      np.nan if _is_missing(x) else float(self.plain(x)) for x in column.values
    ]
    return [np.array(values)[column.codes]]

  def write(
    self, parts: Sequence[np.ndarray], count: int, rng: np.random.Generator
  ) -> Texts:
    """Texts of numbers `[count]`."""
    (numbers,) = parts
    return texts([self._text(x) for x in numbers.tolist()])

  def plain(self, text: str) -> str:
    """A number as Python writes it."""
    bare = text.strip().replace(self.prefix, '', 1).removesuffix(self.suffix)
    return with_point(bare, self.comma)

  def _text(self, x):
    if x != x:
      return self.missing
    if self.places is None:
      written = repr(x)
    else:
      # Adding 0 makes 0 of -0.
      written = f'{round(x, self.places) + 0:.{self.places}f}'
    if self.comma:
      written = written.replace('.', ',')
    sign = '-' * written.startswith('-')
    return sign + self.prefix + written.removeprefix('-') + self.suffix


class Times(NamedTuple):
  """A column of dates, of times of a day, or of both.

  Attributes:
    format: as of `datetime.strptime`.
    missing: the text for a missing value, the most frequent of such.
    padded: days, months and hours have two digits; else as few as they need.
  """

  format: str
  missing: str = ''
  padded: bool = True

  def parts(self, column: Texts) -> list[np.ndarray]:
    """Numbers of days, of minutes or seconds, or both, float64 `[n]` each."""
    values = np.array([self._numbers(x) for x in column.values], np.float64)
    return list(values.T[:, column.codes])

  def write(
    self, parts: Sequence[np.ndarray], count: int, rng: np.random.Generator
  ) -> Texts:
    """Texts of numbers `[count]`, to the nearest day, minute or second."""
    rows = zip(*(part.tolist() for part in parts), strict=True)
    return texts([self._text(row) for row in rows])

  def reads(self, text: str) -> bool:
    """Whether it is a time of this form, written as `write` does."""
    try:
      return self._written(datetime.strptime(text, self.format)) == text
    except ValueError:
      return False

  @property
  def _unit(self):
    return 1 if '%S' in self.format else 60

  def _numbers(self, text):
    day, clock = '%d' in self.format, '%H' in self.format
    if _is_missing(text):
      return [np.nan] * (day + clock)
    then = datetime.strptime(text.strip(), self.format)
    seconds = then.hour * 3600 + then.minute * 60 + then.second
    return [then.toordinal()] * day + [seconds // self._unit] * clock

  def _text(self, numbers):
    if any(x != x for x in numbers):
      return self.missing
    day = numbers[0] if '%d' in self.format else 1
    clock = numbers[-1] if '%H' in self.format else 0
    then = datetime.combine(date.fromordinal(round(day)), time())
    then += timedelta(seconds=round(clock) * self._unit)
    return self._written(then)

  def _written(self, then):
    text = then.strftime(self.format)
    if self.padded:
      return text
    return re.sub(r'(?<![\d:])0(?=\d)', '', text)


class Labels(NamedTuple):
  """A column of categories.

  Attributes:
    values: the texts that are values to the network, sorted.
    counts: how often each occurs.
    rare: the texts that are one value to it, the last, if there are any.
    rare_counts: how often each of them occurs.
  """

  values: tuple[str, ...]
  counts: tuple[int, ...]
  rare: tuple[str, ...] = ()
  rare_counts: tuple[int, ...] = ()

  def parts(self, column: Texts) -> list[np.ndarray]:
    """The values' numbers, int32 `[n]`. KeyError: a text is none of them."""
    numbers = self.numbers
    return [np.array([numbers[x] for x in column.values])[column.codes]]

  @property
  def numbers(self) -> dict[str, int]:
    """The number of each text's value."""
    numbers = {text: i for i, text in enumerate(self.values)}
    return numbers | dict.fromkeys(self.rare, len(self.values))

  def write(
    self, parts: Sequence[np.ndarray], count: int, rng: np.random.Generator
  ) -> Texts:
    """Texts of the values' numbers `[count]`."""
    (codes,) = parts
    codes = codes.astype(np.int32)
    if self.rare:
      chances = np.array(self.rare_counts) / sum(self.rare_counts)
      drawn = rng.choice(len(self.rare), len(codes), p=chances)
      codes = np.where(codes < len(self.values), codes, codes + drawn)
    return Texts((*self.values, *self.rare), codes.astype(np.int32))


Kind: TypeAlias = Constant | Decimals | Times | Labels


def kind_of(
  name: str, column: Texts, delimiter: str, forced: bool, max_values: int
) -> Kind:
  """What a column is.

  Args:
    name: of the column, for errors.
    column: all of it.
    delimiter: between columns in its file; decimals after a comma need another.
    forced: its texts are labels though they may be numbers.
    max_values: of labels, to the network; 2 or more.

  Raises:
    ValueError: it is of no kind: most rows have a text that no other has, or of
      many texts most are numbers while others are not (both but where `forced`
      names the column and its texts are at most `max_values`); or it has
      numbers whose largest is above 1e100, or below 1e-100, or whose thousands
      stand apart.
  """
  if len(column.values) == 1:
    return Constant(column.values[0])
  if not forced:
    present = [x.strip() for x in column.values if not _is_missing(x)]
    if len(present) > _FEW:
      missing = _missing_text(column)
      for kind in (
        _decimals(name, present, missing, delimiter),
        _times(present, missing),
      ):
        if kind is not None:
          return kind
  many = len(column.values) > max_values
  if many or (not forced and len(column.values) > _FEW and _are_names(column)):
    _check_labels(name, column, forced, many)
  return labels_of(column, max_values)


def _decimals(name, present, missing, delimiter):
  """What numbers they are, or None if one is none.

  ValueError: their size, or thousands that stand apart.
  """
  form = Decimals(None, has_commas(present, delimiter), missing)
  form = form._replace(**_units(present))
  plain = [form.plain(x) for x in present]
  if not all(map(_is_number, plain)):
    _check_grouped(name, present, plain)
    return None
  text = max(plain, key=lambda x: abs(float(x)))
  largest = abs(float(text))
  if largest and not 1 / _LARGEST <= largest <= _LARGEST:
    raise ValueError(
      f'column {name!r}: its largest number is {text}, and one from '
      f'{1 / _LARGEST:g} to {_LARGEST:g} is needed; correct it, write the '
      'column in another unit, or give --labels or --drop'
    )
  places = max(-min(Decimal(x).as_tuple().exponent for x in plain), 0)
  exact = places <= 15 and not any('e' in x.lower() for x in plain)
  return form._replace(places=places if exact else None)


def _check_grouped(name, present, plain) -> None:
  """ValueError: all are numbers, but of some the thousands stand apart."""
  odd = {
    x: text for x, text in zip(plain, present, strict=True) if not _is_number(x)
  }
  grouped = [x for x in odd if _GROUPED.fullmatch(x)]
  others = odd.keys() - grouped
  if grouped and all(_is_number(with_point(x, True)) for x in others):
    raise ValueError(
      f'column {name!r} has numbers with thousands apart, such as '
      f'{odd[grouped[0]]!r}; write them without (1234567), or give --labels or '
      '--drop'
    )


def _units(present):
  """The prefix and the suffix that all have; none where they differ."""
  found = {x and x.groups() for x in map(_UNITS.fullmatch, present)}
  prefix, suffix = found.pop() or ('', '')
  money = any(unicodedata.category(x) == 'Sc' for x in prefix)
  if found or (prefix and not money):
    return {}
  return {'prefix': prefix, 'suffix': suffix}


def _times(present, missing):
  """What times they are, or None if they are of no format, or of several."""
  zone = _ZONE.search(present[0])[0]
  for padded in (True, False):
    for form in _FORMATS:
      times = Times(form + zone * ('%H' in form), missing, padded)
      if all(map(times.reads, present)):
        return times
  return None


def labels_of(column: Texts, max_values: int) -> Labels:
  """The labels of a column whose texts are some; arguments as of `kind_of`."""
  counts = np.bincount(column.codes, minlength=len(column.values))
  order = np.argsort(-counts, kind='stable').tolist()
  kept = len(order) if len(order) <= max_values else max_values - 1
  ranked = [
    sorted((column.values[i], int(counts[i])) for i in part)
    for part in (order[:kept], order[kept:])
  ]
  columns = [tuple(zip(*part, strict=True)) or ((), ()) for part in ranked]
  return Labels(*columns[0], *columns[1])


def _check_labels(name, column, forced, many) -> None:
  """ValueError: the texts are no labels; more than `max_values` are many."""
  values = [x for x in column.values if not _is_missing(x)]
  odd = [x for x in values if not _is_number(x.strip())]
  if not forced and len(values) > _FEW and len(odd) < len(values) / 2:
    raise ValueError(
      f'column {name!r}: {odd[0]!r} is no number, though most of its '
      f'{len(values)} values are; correct it, or give --labels or --drop'
    )
  if _are_names(column):
    kept = '' if many else ', or keep its texts as they are by --labels'
    example = (odd or values)[0]
    raise ValueError(
      f'column {name!r}: {_once(column)} of {len(column.codes)} rows have a '
      f'text that no other has, such as {example!r}: there is nothing to learn '
      'of such names, or of times in such a format (2024-02-29 13:05 is one '
      f'that is read); leave the column out by --drop{kept}'
    )


def _are_names(column: Texts) -> bool:
  return _once(column) > len(column.codes) / 2


def _once(column: Texts) -> int:
  return int((np.bincount(column.codes) == 1).sum())


def _is_number(text: str) -> bool:
  return bool(_NUMBER.fullmatch(text)) and math.isfinite(float(text))


def _is_missing(text: str) -> bool:
  return text.strip().lower() in _MISSING


def _missing_text(column: Texts) -> str:
  """The most frequent text for a missing value; '' where there is none."""
  counts = np.bincount(column.codes)
  return max(
    (x for x in column.values if _is_missing(x)),
    key=lambda x: counts[column.values.index(x)],
    default='',
  )
