r"""Scores of tables: of their columns alone, of pairs of them, of whole rows.

A table is its columns, arrays `[n]` of one length: floats are numbers, NaN
where one is missing, and all else (integers, texts) are categories.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float, Shaped

from jgan.metrics.arrays import enough

Column = Shaped[np.ndarray, '_']
Columns = Sequence[Column]


def total_variation(real: Column, fake: Column) -> float:
  r"""Half of the sum of the differences of all values' shares.

  .. math:: \frac12 \sum_v |p_{real}(v) - p_{fake}(v)|

  0 where both have all values equally often, 1 where they share none.

  Args:
    real: categories `[n]`.
    fake: categories `[m]`, of the same type.

  Raises:
    ValueError: one is empty.
  """
  _check_filled('total_variation', real, fake)
  both = np.concatenate([real, fake])
  values, codes = np.unique(both, return_inverse=True)
  counts = [
    np.bincount(part, minlength=len(values)) / len(part)
    for part in np.split(codes, [len(real)])
  ]
  return float(np.abs(counts[0] - counts[1]).sum() / 2)


def kolmogorov_smirnov(real: Column, fake: Column) -> float:
  r"""The largest difference of the shares of numbers up to any one.

  .. math:: \sup_x |F_{real}(x) - F_{fake}(x)|

  0 where both are distributed alike, 1 where all numbers of one are below all
  of the other. Missing numbers count as one below all others, so that their
  share is compared as well.

  Args:
    real: numbers `[n]`.
    fake: numbers `[m]`.

  Raises:
    ValueError: one is empty.
  """
  _check_filled('kolmogorov_smirnov', real, fake)
  real, fake = (
    np.sort(np.where(np.isnan(x), -np.inf, x)) for x in (real, fake)
  )
  steps = np.concatenate([real, fake])
  shares = [x.searchsorted(steps, 'right') / len(x) for x in (real, fake)]
  return float(np.abs(shares[0] - shares[1]).max())


def associations(columns: Columns) -> Float[np.ndarray, 'c c']:
  """How much each column tells of each other, 1 with itself.

  Of two numbers their correlation, in [-1, 1], over the rows that have both; of
  two categories Cramer's V, and of a category and a number the correlation
  ratio (the square root of the share of the number's variance that lies
  between the categories, over the rows that have the number), both in [0, 1].
  Where a column is constant there is nothing to tell: 0.

  V and the ratio are above 0 by chance, the more so the more categories and the
  fewer rows there are: tables that are compared need equally many rows.

  Args:
    columns: of one length.

  Raises:
    ValueError: there is no column, or they are empty or of several lengths.
  """
  if not columns or len({len(x) for x in columns}) != 1:
    raise ValueError(
      'associations: needs columns of one length, got '
      f'{[len(x) for x in columns]}.'
    )
  _check_filled('associations', columns[0])
  columns = [np.asarray(column) for column in columns]
  coded = [x if _is_number(x) else _codes(x) for x in columns]
  result = np.eye(len(columns))
  for i, j in combinations(range(len(columns)), 2):
    result[i, j] = result[j, i] = _association(coded[i], coded[j])
  return result


def association_difference(real: Columns, fake: Columns) -> float:
  """The mean absolute difference of two tables' associations, over all pairs.

  Args:
    real: two columns or more.
    fake: as many, of the same kinds, with equally many rows.

  Raises:
    ValueError: they do not suit each other, or `associations` refuses one.
  """
  if len(real) != len(fake) or len(real) < 2:
    raise ValueError(
      'association_difference: needs as many columns of one table as of the '
      f'other, two at least, got {len(real)} and {len(fake)}.'
    )
  difference = np.abs(associations(real) - associations(fake))
  return float(difference[np.triu_indices(len(real), 1)].mean())


def record_features(
  columns: Columns, reference: Columns
) -> Float[np.ndarray, 'n d']:
  """Rows as points, whose squared distances are sums over the columns.

  Of numbers, of the squared difference in deviations of the reference; of
  categories, of 1 where they differ. A missing number lies at the mean, and
  where the reference misses some, 1 from those that are there besides. From a
  category that the reference lacks all others differ by half as much.

  Args:
    columns: of the rows.
    reference: the columns of a table that tells deviations and categories.

  Raises:
    ValueError: there are not as many columns of one as of the other.
  """
  if len(columns) != len(reference):
    raise ValueError(
      'record_features: needs as many columns as the reference has, '
      f'{len(reference)}, got {len(columns)}.'
    )
  enough('record_features', 'reference', len(reference), 1, 'columns')
  parts = []
  for column, known in zip(columns, reference, strict=True):
    column, known = np.asarray(column), np.asarray(known)
    if _is_number(known):
      parts.extend(_scaled(column, known))
    else:
      values = np.unique(known)
      parts.append((column[:, None] == values[None]) / np.sqrt(2))
  return np.concatenate(parts, 1, dtype=np.float32)


def _association(a, b):
  if not _is_number(a) and not _is_number(b):
    return _cramers_v(a, b)
  if _is_number(a) and _is_number(b):
    return _correlation(a, b)
  return _correlation_ratio(*((b, a) if _is_number(a) else (a, b)))


def _correlation(a, b):
  both = ~(np.isnan(a) | np.isnan(b))
  if not both.any():
    return 0.0
  a, b = (_about_mean(x[both]) for x in (a, b))
  scale = np.sqrt((a**2).sum() * (b**2).sum())
  return float((a * b).sum() / scale) if scale > 0 else 0.0


def _correlation_ratio(codes, numbers):
  there = ~np.isnan(numbers)
  if not there.any():
    return 0.0
  codes, numbers = codes[there], _about_mean(numbers[there])
  total = (numbers**2).sum()
  counts = np.bincount(codes)
  sums = np.bincount(codes, numbers)
  between = (sums**2 / np.maximum(counts, 1)).sum()
  return float(np.sqrt(between / total)) if total > 0 else 0.0


def _cramers_v(a, b):
  shape = a.max() + 1, b.max() + 1
  if min(shape) < 2:
    return 0.0
  joint = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1])
  joint = joint.reshape(shape) / len(a)
  expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
  phi = ((joint - expected) ** 2 / expected).sum()
  return float(np.sqrt(phi / (min(shape) - 1)))


def _scaled(column, known):
  """Numbers in deviations, and whether they are missing where some are."""
  present = known[~np.isnan(known)]
  mean, scale = 0.0, 0.0
  if len(present):
    mean, scale = present.mean(), _about_mean(present).std()
  missing = np.isnan(column)
  scaled = np.where(missing, 0, column - mean) / (scale or 1.0)
  parts = [scaled[:, None]]
  if len(present) < len(known):
    parts.append(missing[:, None].astype(np.float64))
  return parts


def _about_mean(numbers):
  """Numbers less their mean; of a constant 0, though its mean is rounded."""
  shifted = numbers - numbers[0]
  return shifted - shifted.mean()


def _codes(column):
  return np.unique(column, return_inverse=True)[1]


def _is_number(column):
  return np.issubdtype(column.dtype, np.floating)


def _check_filled(who, *columns):
  for column in columns:
    enough(who, 'a column', len(column), 1, 'rows')
