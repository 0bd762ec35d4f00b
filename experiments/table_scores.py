"""Scores of a synthetic table against the real one that it imitates."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.data.csv_files import Table
from experiments.data.kinds import Constant, Decimals, Labels, Times
from experiments.data.tables import Encoding
from experiments.scoring import Score
from jgan import metrics

_CLOSEST = 2000  # rows whose closest record is looked for, at most
_DEPTH = 15  # of a decision tree


class Tables(NamedTuple):
  """What is compared.

  Attributes:
    encoding: fitted to `train`; it tells what the columns are.
    train: the reals that the generator learned from.
    held_out: reals that it did not.
    fake: its samples.
  """

  encoding: Encoding
  train: Table
  held_out: Table
  fake: Table


def scores(tables: Tables, target: str, seed: int) -> dict[str, Score]:
  """All scores of the fakes, and beside each the same of the held-out reals.

  'total_variation' is the mean over the columns of labels,
  'kolmogorov_smirnov' over those of numbers (of a date with its time over
  both), 'marginal_distance' over all; 'association_difference' is that of
  `jgan.metrics`; all compare with the rows trained on, and 'held_out_...' is
  the same of reals. For the target see `efficacy`, for 'closest_record' and
  'copies' `closeness`.

  Args:
    tables: what is compared.
    target: the column to predict; '' for none.
    seed: decides which rows are taken where not all are.
  """
  found = {}
  for prefix, other in (('', tables.fake), ('held_out_', tables.held_out)):
    compared = _compared(tables.encoding, tables.train, other, seed)
    found |= {prefix + name: x for name, x in compared.items()}
  found |= closeness(tables, seed)
  if target:
    found |= efficacy(tables, target, seed)
  return {name: Score(value) for name, value in found.items()}


def names(encoding: Encoding, target: str) -> set[str]:
  """The scores of fakes that `scores` gives for such a table, but closeness."""
  kinds = [column.kind for column in encoding.columns]
  found = {'marginal_distance'}
  if any(isinstance(kind, Labels) for kind in kinds):
    found.add('total_variation')
  if any(isinstance(kind, Decimals | Times) for kind in kinds):
    found.add('kolmogorov_smirnov')
  if len(encoding.layout) > 1:
    found.add('association_difference')
  if target:
    is_label = isinstance(target_kind(encoding, target), Labels)
    found |= {'f1', 'accuracy'} if is_label else {'r2'}
  return found


def target_kind(encoding: Encoding, target: str) -> Labels | Decimals:
  """What the column to predict is.

  Raises:
    ValueError: it is not there, or neither labels nor numbers, or alone.
  """
  kinds = {column.name.strip(): column.kind for column in encoding.columns}
  kind = kinds.get(target.strip())
  if not isinstance(kind, Labels | Decimals):
    found = 'no column' if kind is None else type(kind).__name__.lower()
    raise ValueError(
      f'--target={target} must be a column of labels or of numbers, and is '
      f'{found}; columns: {", ".join(kinds)}'
    )
  if len(encoding.layout) < 2:
    raise ValueError(f'--target={target} has no other column to tell it')
  return kind


def models(encoding: Encoding, target: str) -> str:
  """By what `efficacy` predicts the target."""
  is_label = isinstance(target_kind(encoding, target), Labels)
  linear = 'logistic' if is_label else 'ridge'
  return f'{linear} regression, decision tree, AdaBoost'


def worst(tables: Tables) -> Mapping[str, str]:
  """The columns that are furthest from those trained on, with their score."""
  found = {}
  for name, kind, real, fake in _pairs(
    tables.encoding, tables.train, tables.fake
  ):
    value = _marginal(kind, real, fake)
    of_kind = 'labels' if isinstance(kind, Labels) else 'numbers'
    if value >= found.get(of_kind, (0, ''))[0]:
      found[of_kind] = value, name
  return {
    f'worst_column_of_{of_kind}': f'{name} ({value:.3f})'
    for of_kind, (value, name) in found.items()
  }


def closeness(tables: Tables, seed: int) -> dict[str, float]:
  """Whether fakes lie nearer to the rows trained on than new reals do.

  'closest_record' is the median distance to the closest row trained on, in
  `jgan.metrics.record_features`, 'copies' the share at distance 0;
  'closest_record_ratio' is the former by that of held-out reals, about 1 where
  nothing is copied.
  """
  columns = {
    name: _columns(tables.encoding, table)
    for name, table in tables._asdict().items()
    if name != 'encoding'
  }
  points = {
    name: metrics.record_features(each, columns['train'])
    for name, each in columns.items()
  }
  rng = np.random.default_rng(seed)
  found = {}
  for prefix, name in (('', 'fake'), ('held_out_', 'held_out')):
    some = points[name][rng.permutation(len(points[name]))[:_CLOSEST]]
    near = metrics.nearest_neighbours(some, points['train']).distances[:, 0]
    found |= {
      f'{prefix}closest_record': float(np.median(near)),
      f'{prefix}copies': float((near < 1e-3).mean()),
    }
  usual = found['held_out_closest_record']
  if usual > 0:
    found['closest_record_ratio'] = found['closest_record'] / usual
  return found


def efficacy(tables: Tables, target: str, seed: int) -> dict[str, float]:
  """How well models that learned from fakes predict the held-out target.

  Of a target of labels 'f1' and 'accuracy', the means of three models; F1 is
  that of the rarer of two labels, of more labels their mean. Of a target of
  numbers 'r2', NaN where there is none to learn from or none to predict, or all
  of the latter are the same. 'real_...' is the same of models that learned from
  as many rows of reals.

  Args:
    tables: what is compared.
    target: the column to predict, of labels or numbers.
    seed: decides which rows are learned from where not all are.

  Raises:
    ValueError: scikit-learn is not installed.
  """
  kind = target_kind(tables.encoding, target)
  score = _classified if isinstance(kind, Labels) else _regressed
  count = min(len(tables.fake), len(tables.train))
  tested = _split(tables.encoding, tables.held_out, target)
  found = {}
  for prefix, table in (('', tables.fake), ('real_', tables.train)):
    some = table.rows(_some(len(table), count, seed))
    learned = _split(tables.encoding, some, target)
    scored = score(learned, tested)
    found |= {prefix + name: value for name, value in scored.items()}
  return found


def _classified(learned, tested):
  (inputs, labels), (test_inputs, truth) = learned, tested
  exceptions = _sklearn().exceptions
  test_points = metrics.record_features(test_inputs, inputs)
  points = metrics.record_features(inputs, inputs)
  found = []
  for model in _classifiers():
    if len(np.unique(labels)) < 2:  # there is nothing to learn from
      guessed = np.full(len(truth), labels[0])
    else:
      with warnings.catch_warnings():
        # A regression that still moves a little predicts as well.
        warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
        guessed = model.fit(points, labels).predict(test_points)
    found.append((f1(truth, guessed), (truth == guessed).mean()))
  means = np.mean(found, 0)
  return {'f1': float(means[0]), 'accuracy': float(means[1])}


def f1(truth: np.ndarray, guessed: np.ndarray) -> float:
  """F1 of the rarer of two labels; of more labels the mean of theirs.

  The harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn). A label
  that is guessed and never true counts as well, with 0.
  """
  labels = np.union1d(truth, guessed)
  if len(labels) == 2:
    labels = labels[[np.argmin([(truth == x).sum() for x in labels])]]
  hits = [((truth == x) & (guessed == x)).sum() for x in labels]
  sizes = [(truth == x).sum() + (guessed == x).sum() for x in labels]
  return float(np.mean(2 * np.array(hits) / np.array(sizes)))


def _regressed(learned, tested):
  (inputs, numbers), (test_inputs, truth) = learned, tested
  if not len(numbers) or not len(truth) or np.ptp(truth) == 0:
    return {'r2': np.nan}
  test_points = metrics.record_features(test_inputs, inputs)
  points = metrics.record_features(inputs, inputs)
  missed = [
    ((truth - model.fit(points, numbers).predict(test_points)) ** 2).mean()
    for model in _regressors()
  ]
  return {'r2': float(1 - np.mean(missed) / truth.var())}


def _classifiers():
  sklearn = _sklearn()
  return (
    sklearn.linear_model.LogisticRegression(max_iter=200),
    sklearn.tree.DecisionTreeClassifier(max_depth=_DEPTH, random_state=0),
    sklearn.ensemble.AdaBoostClassifier(random_state=0),
  )


def _regressors():
  sklearn = _sklearn()
  return (
    sklearn.linear_model.Ridge(),
    sklearn.tree.DecisionTreeRegressor(max_depth=_DEPTH, random_state=0),
    sklearn.ensemble.AdaBoostRegressor(random_state=0),
  )


def _sklearn():
  try:
    import sklearn.ensemble
    import sklearn.exceptions
    import sklearn.linear_model
    import sklearn.tree
  except ImportError as error:
    raise ValueError(
      'efficacy: the models are of scikit-learn, which is not installed. Run: '
      'pip install "jgan[tables]"'
    ) from error
  return sklearn


def _split(encoding, table, target):
  """The columns to predict from, and the target, of rows that have it."""
  name = table.find(target)
  columns = {
    column.name: _column(column.kind, table.columns[column.name])
    for column in encoding.columns
    if not isinstance(column.kind, Constant)
  }
  (truth,) = columns.pop(name)
  there = np.ones(len(table), bool)
  if np.issubdtype(truth.dtype, np.floating):
    there = ~np.isnan(truth)
  return [x[there] for parts in columns.values() for x in parts], truth[there]


def _compared(encoding, real, other, seed):
  pairs = list(_pairs(encoding, real, other))
  values = [(kind, _marginal(kind, a, b)) for _, kind, a, b in pairs]
  by_kind = {
    'total_variation': [x for kind, x in values if isinstance(kind, Labels)],
    'kolmogorov_smirnov': [
      x for kind, x in values if not isinstance(kind, Labels)
    ],
    'marginal_distance': [x for _, x in values],
  }
  found = {name: float(np.mean(x)) for name, x in by_kind.items() if x}
  if len(pairs) > 1:
    count = min(len(real), len(other))
    sides = [
      _columns(encoding, table.rows(_some(len(table), count, seed)))
      for table in (real, other)
    ]
    found['association_difference'] = metrics.association_difference(*sides)
  return found


def _marginal(kind, real, fake):
  if isinstance(kind, Labels):
    return metrics.total_variation(real, fake)
  return metrics.kolmogorov_smirnov(real, fake)


def _pairs(encoding, real, other):
  """Name, kind, and both tables' array of each part of each column.

  Of labels the texts themselves: rare ones count each for itself.
  """
  for column in encoding.columns:
    texts = (table.columns[column.name] for table in (real, other))
    if isinstance(column.kind, Labels):
      parts = ([x.array().astype(str)] for x in texts)
    else:
      parts = (column.kind.parts(x) for x in texts)
    for a, b in zip(*parts, strict=True):
      yield column.name, column.kind, a, b


def _columns(encoding, table):
  return [
    part
    for column in encoding.columns
    for part in _column(column.kind, table.columns[column.name])
  ]


def _column(kind, column):
  """Its parts. Labels that the rows trained on do not have are -1."""
  if not isinstance(kind, Labels):
    return kind.parts(column)
  numbers = kind.numbers
  codes = np.array([numbers.get(text, -1) for text in column.values])
  return [codes[column.codes]]


def _some(size, count, seed):
  return np.random.default_rng(seed).permutation(size)[:count]
