"""Tables as rows of entries that a network reads, and back.

What a column is, is read off its texts. Each kind has parts for the network,
numbers or a category, and writes texts of parts:

- `Constant`, one text in every row: no part. It is put back.
- `Decimals`, where more than ten distinct texts are there and all are numbers:
  a number, written with as many decimals as the data have, so that integers
  stay integers. Missing is what the data write for it: nothing, ?, NA, N/A,
  NaN, null or none. Numbers that begin with zeros, as codes do, are labels.
- `Times`, where they are dates, times of a day, or both: a number of days, one
  of minutes or seconds, or one of each.
- `Labels`, where they are anything else: a category, each text a value of it,
  that for missing too. Of more than so many values the rarest are one to the
  network; which of them is written, is drawn by their frequencies.

A number becomes a mode and a scalar, by a Gaussian mixture with a Dirichlet
process prior on ten modes (Xu et al., 2019, section 4.2). Beside those it has
modes that the paper does not know and that hold no scalar: one for each value
that more than a tenth of the rows have, which comes out exactly (a Gaussian
makes of 0 something near it), and one for what is missing.
"""

import dataclasses
import functools
import math
import re
import warnings
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.special import gammaincinv

from experiments.data.csv_files import Table, Texts, texts
from jgan.models.ctgan import Category, Number, row_width

OVERFLOW = 1e-15  # probability that a Poisson draw does not fit its batch
_MISSING = frozenset(('', '?', 'na', 'n/a', 'nan', 'null', 'none'))
_FEW = 10  # numbers of so many distinct texts, or fewer, are labels
_MODES = 10
_LEAST_WEIGHT = 0.005  # of a mode that is kept, as in the authors' code
_REACH = 0.99  # of a scalar, likewise
_POINT = 0.1  # share of rows above which a value is a mode of its own
_FITTED = 5000  # values that a mixture is fitted to, at most
_NUMBER = re.compile(r'[+-]?(0|[1-9]\d*|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?')
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
  """

  places: int | None
  comma: bool = False
  missing: str = ''

  def parts(self, column: Texts) -> list[np.ndarray]:
    """The numbers, float64 `[n]`, NaN where missing."""
    values = [
      np.nan if _is_missing(x) else float(_with_point(x, self.comma))
      for x in column.values
    ]
    return [np.array(values)[column.codes]]

  def write(
    self, parts: Sequence[np.ndarray], count: int, rng: np.random.Generator
  ) -> Texts:
    """Texts of numbers `[count]`."""
    (numbers,) = parts
    return texts([self._text(x) for x in numbers.tolist()])

  def _text(self, x):
    if x != x:
      return self.missing
    if self.places is None:
      written = repr(x)
    else:
      # Adding 0 makes 0 of -0.
      written = f'{round(x, self.places) + 0:.{self.places}f}'
    return written.replace('.', ',') if self.comma else written


class Times(NamedTuple):
  """A column of dates, of times of a day, or of both.

  Attributes:
    format: as of `datetime.strptime`.
    missing: the text for a missing value, the most frequent of such.
  """

  format: str
  missing: str = ''

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
    return then.strftime(self.format)


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


class Mixture(NamedTuple):
  """What numbers are as modes and scalars.

  The modes in order: Gaussians, single values, missing.

  Attributes:
    means: of the Gaussians, ascending.
    deviations: of them.
    weights: of them.
    points: the single values, ascending.
    missing: whether there is a mode for missing numbers.
    low: the least number.
    high: the greatest.
  """

  means: tuple[float, ...]
  deviations: tuple[float, ...]
  weights: tuple[float, ...]
  points: tuple[float, ...]
  missing: bool
  low: float
  high: float

  @property
  def modes(self) -> int:
    """How many there are."""
    return len(self.means) + len(self.points) + self.missing

  def encode(
    self, numbers: np.ndarray, rng: np.random.Generator
  ) -> tuple[np.ndarray, np.ndarray]:
    """Scalars, float32 `[n]` in [-1, 1], and modes, int32 `[n]`.

    The mode of a number is drawn by how probable the Gaussians make it.
    """
    codes = np.full(len(numbers), self.modes - 1, np.int32)
    scalars = np.zeros(len(numbers), np.float32)
    single = np.isnan(numbers)
    for i, point in enumerate(self.points):
      single |= numbers == point
      codes[numbers == point] = len(self.means) + i
    others = np.flatnonzero(~single)
    if len(others):
      means, deviations = np.array(self.means), np.array(self.deviations)
      distances = (numbers[others, None] - means) / deviations
      logs = np.log(self.weights) - np.log(deviations) - distances**2 / 2
      chances = np.exp(logs - logs.max(1, keepdims=True)).cumsum(1)
      chosen = (rng.random((len(others), 1)) * chances[:, -1:] > chances).sum(1)
      codes[others] = chosen
      nearest = distances[np.arange(len(others)), chosen] / 4
      scalars[others] = np.clip(nearest, -_REACH, _REACH)
    return scalars, codes

  def decode(self, scalars: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The numbers, float64 `[n]`, NaN where missing, none out of range."""
    flat = (*self.points, *[np.nan] * self.missing)
    means = np.array((*self.means, *flat))
    deviations = np.array((*self.deviations, *[0.0] * len(flat)))
    numbers = means[codes] + 4 * deviations[codes] * scalars
    return np.clip(numbers, self.low, self.high)


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


class TrainingBySampling:
  """Rows drawn to suit conditions: the paper's training by sampling.

  A column is drawn, of its values one by the logarithm of how often it occurs
  (and 1), and of the rows that have it one. Without categories rows are drawn
  alike. Batch number `step` is a pure function of the seed and the step.

  Args:
    rows: to draw from.

  References:
    Xu et al., 2019, section 4.3.
  """

  def __init__(self, rows: Encoded):
    self._rows = rows
    flat = rows.conditions.T.ravel()
    self._order = np.argsort(flat, kind='stable') % len(rows)
    self._counts = np.bincount(flat)
    self._starts = np.cumsum(self._counts) - self._counts
    self._ends = np.cumsum(_log_shares(rows.layout, self._counts))

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return self._rows[indices]

  def draw(
    self, seed: int, step: int, batch_size: int
  ) -> dict[str, np.ndarray]:
    """'row', and where there are categories 'condition', int32 `[n]`."""
    rng = np.random.default_rng([seed, step])
    place = rng.random(batch_size)
    if not len(self._counts):
      return self._rows[(place * len(self)).astype(int)]
    # Rounding could leave the last end just under a draw.
    value = np.searchsorted(self._ends[:-1], rng.random(batch_size), 'right')
    at = self._starts[value] + (place * self._counts[value]).astype(int)
    return {**self._rows[self._order[at]], 'condition': value.astype(np.int32)}


class PoissonSampling:
  """Rows that are in a batch each by chance, for differential privacy.

  Every row is in every batch with one probability, whatever it holds and
  whoever else is in it. A batch of fixed size holds them with 'weight' 1, then
  others with weight 0; that more are drawn than fit, has a probability of less
  than `OVERFLOW`, and then some are left out. The condition is what the row has
  in a column drawn for its place.

  Args:
    rows: to draw from.
  """

  def __init__(self, rows: Encoded):
    self._rows = rows

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return self._rows[indices]

  def draw(
    self, seed: int, step: int, batch_size: int
  ) -> dict[str, np.ndarray]:
    """'row', 'weight', float32 `[n]`, and 'condition' as the paper's draw."""
    rng = np.random.default_rng([seed, step])
    rate = poisson_rate(len(self), batch_size)
    drawn = rng.permutation(np.flatnonzero(rng.random(len(self)) < rate))
    drawn = drawn[:batch_size]
    at = np.pad(drawn, (0, batch_size - len(drawn)))
    weight = (np.arange(batch_size) < len(drawn)).astype(np.float32)
    batch = {**self._rows[at], 'weight': weight}
    conditions = self._rows.conditions
    if conditions.shape[1]:
      column = rng.integers(conditions.shape[1], size=batch_size)
      batch['condition'] = conditions[at, column]
    return batch


def poisson_rate(rows: int, batch_size: int) -> float:
  """The probability of a row to be in a batch of `PoissonSampling`.

  The largest at which more than `batch_size` are drawn with a probability of
  less than `OVERFLOW`, by that of a Poisson distribution, whose tail is the
  heavier.
  """
  return min(1.0, float(gammaincinv(batch_size + 1, OVERFLOW)) / rows)


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
    kind = _kind(name, column, table.delimiter, name in forced, max_values)
    if isinstance(kind, Labels):
      kind = _labels(part.columns[name], max_values)
    mixtures = ()
    if isinstance(kind, Decimals | Times):
      parts = kind.parts(part.columns[name])
      mixtures = tuple(fit_mixture(numbers) for numbers in parts)
    columns.append(Column(name, kind, mixtures))
  encoding = Encoding(tuple(columns), table.delimiter)
  if not encoding.layout:
    raise ValueError('every column has one text in all rows: nothing to learn')
  return encoding


def fit_mixture(numbers: np.ndarray, seed: int = 0) -> Mixture:
  """The modes of numbers.

  Args:
    numbers: float64 `[n]`, NaN where missing.
    seed: decides which are taken, of more than 5,000, and where modes start.

  Raises:
    ValueError: scikit-learn is not installed.
  """
  present = numbers[~np.isnan(numbers)]
  missing = len(present) < len(numbers)
  if not len(present):
    return Mixture((), (), (), (), True, 0.0, 0.0)
  distinct, counts = np.unique(present, return_counts=True)
  frequent = counts > _POINT * len(numbers)
  if (~frequent).sum() == 1:  # no Gaussian for one value
    frequent[:] = True
  rest = present[~np.isin(present, distinct[frequent])]
  gaussians = _gaussians(rest, seed) if len(rest) else ((), (), ())
  points = tuple(distinct[frequent].tolist())
  low, high = float(distinct[0]), float(distinct[-1])
  return Mixture(*gaussians, points, missing, low, high)


def _gaussians(numbers, seed):
  """Means, deviations and weights of the modes that are kept."""
  try:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture
  except ImportError as error:
    raise ValueError(
      'tables: the modes of numbers are fitted by scikit-learn, which is not '
      'installed. Run: pip install "jgan[tables]"'
    ) from error
  rng = np.random.default_rng(seed)
  if len(numbers) > _FITTED:
    numbers = rng.choice(numbers, _FITTED, replace=False)
  centre, scale = numbers.mean(), numbers.std()
  model = BayesianGaussianMixture(
    n_components=min(_MODES, len(np.unique(numbers))),
    weight_concentration_prior_type='dirichlet_process',
    weight_concentration_prior=0.001,
    max_iter=100,
    n_init=1,
    random_state=seed,
  )
  with warnings.catch_warnings():
    # A mixture that still moves a little serves as well.
    warnings.simplefilter('ignore', ConvergenceWarning)
    model.fit(((numbers - centre) / scale)[:, None])
  kept = model.weights_ > min(_LEAST_WEIGHT, model.weights_.max() / 2)
  order = np.argsort(model.means_[kept, 0])
  means = model.means_[kept, 0][order] * scale + centre
  deviations = np.sqrt(model.covariances_[kept, 0, 0])[order] * scale
  weights = model.weights_[kept][order]
  return tuple(tuple(x.tolist()) for x in (means, deviations, weights))


def _kind(name, column, delimiter, forced, max_values) -> Kind:
  if len(column.values) == 1:
    return Constant(column.values[0])
  if not forced:
    present = [x.strip() for x in column.values if not _is_missing(x)]
    if len(present) > _FEW:
      missing = _missing_text(column)
      for kind in (
        _decimals(present, missing, delimiter),
        _times(present, missing),
      ):
        if kind is not None:
          return kind
  if len(column.values) > max_values:
    _check_labels(name, column, forced)
  return _labels(column, max_values)


def _decimals(present, missing, delimiter):
  """What numbers they are, or None if one is none."""
  comma = (
    delimiter != ','
    and any(',' in x for x in present)
    and not any('.' in x for x in present)
  )
  plain = [_with_point(x, comma) for x in present]
  if not all(map(_is_number, plain)):
    return None
  places = max(-min(Decimal(x).as_tuple().exponent for x in plain), 0)
  exact = places <= 15 and not any('e' in x.lower() for x in plain)
  return Decimals(places if exact else None, comma, missing)


def _times(present, missing):
  """What times they are, or None if they are of no format, or of several."""

  def is_of(text, form):
    try:
      return datetime.strptime(text, form).strftime(form) == text
    except ValueError:
      return False

  for form in _FORMATS:
    if all(is_of(text, form) for text in present):
      return Times(form, missing)
  return None


def _labels(column: Texts, max_values: int) -> Labels:
  counts = np.bincount(column.codes, minlength=len(column.values))
  order = np.argsort(-counts, kind='stable').tolist()
  kept = len(order) if len(order) <= max_values else max_values - 1
  ranked = [
    sorted((column.values[i], int(counts[i])) for i in part)
    for part in (order[:kept], order[kept:])
  ]
  columns = [tuple(zip(*part, strict=True)) or ((), ()) for part in ranked]
  return Labels(*columns[0], *columns[1])


def _check_labels(name, column, forced) -> None:
  """ValueError: texts of so many values are no labels."""
  values = [x for x in column.values if not _is_missing(x)]
  odd = [x for x in values if not _is_number(x.strip())]
  if not forced and len(values) > _FEW and len(odd) < len(values) / 2:
    raise ValueError(
      f'column {name!r}: {odd[0]!r} is no number, though most of its '
      f'{len(values)} values are; correct it, or give --labels or --drop'
    )
  counts = np.bincount(column.codes)
  once = int((counts == 1).sum())
  if once > len(column.codes) / 2:
    raise ValueError(
      f'column {name!r}: {once} of {len(column.codes)} rows have a text that '
      f'no other has, such as {values[0]!r}: there is nothing to learn of such '
      'names; leave the column out by --drop'
    )


def _log_shares(layout, counts) -> np.ndarray:
  """The chances of all conditions, by the logarithms of counts."""
  sizes = [len(x.frequencies) for x in layout if isinstance(x, Category)]
  parts = np.split(np.log1p(counts), np.cumsum(sizes)[:-1])
  return np.concatenate([part / part.sum() / len(parts) for part in parts])


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


def _with_point(text: str, comma: bool) -> str:
  return text.replace(',', '.') if comma else text
