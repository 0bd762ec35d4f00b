"""Nearest neighbours, and what they tell of copied training data."""

from typing import NamedTuple

import numpy as np

from jgan.metrics import arrays, distances
from jgan.metrics.arrays import Features


class Neighbours(NamedTuple):
  """The references nearest to each query, the nearest first.

  Attributes:
    distances: Euclidean, float64 `[n, k]`.
    indices: rows of the references, int64 `[n, k]`.
  """

  distances: np.ndarray
  indices: np.ndarray


class Memorisation(NamedTuple):
  """How much nearer to the training data fakes are than held-out reals.

  Attributes:
    ratio: median distance of the fakes to their nearest training sample,
      divided by that of the held-out reals; about 1 without copying, 0 if more
      than half are copies.
    share: of the fakes, those nearer to the training data than all but 1% of
      the held-out reals; about .01 without copying.
    z: of the test of Meehan et al.; standard normal without copying or
      underfitting, far below 0 where fakes are copied (but also where they keep
      to dense parts of the data), far above where they are far from all data.
      It grows with the numbers of samples.
  """

  ratio: float
  share: float
  z: float


def nearest_neighbours(
  queries: Features, references: Features, k: int = 1
) -> Neighbours:
  """The k nearest references of each query, in blocks, exact as in float64.

  Args:
    queries: features `[n, d]`.
    references: features `[m, d]`. A query that is one of them finds itself,
      at distance 0.
    k: neighbours, from 1 to m.

  Raises:
    ValueError: NaN or infinity among the features, different dimensions, or
      a k below 1 or above the references.
  """
  who = 'nearest_neighbours'
  queries, references = arrays.features(
    who, queries=queries, references=references
  )
  if k < 1:
    raise ValueError(f'{who}: needs k of 1 or more, got {k}.')
  arrays.enough(who, 'references', len(references), k, f'for k={k}')
  squared, indices = distances.nearest(queries, references, k)
  return Neighbours(np.sqrt(squared), indices)


def memorisation(
  fake: Features, train: Features, held_out: Features
) -> Memorisation:
  r"""Whether samples lie nearer to the training data than new reals do.

  With the distances F of the fakes and H of the held-out reals to their nearest
  training samples, and U the number of pairs with F > H, ties counting half,

  .. math:: z = \frac{U - n m / 2}{\sqrt{n m (n + m + 1) / 12}}

  is the Mann-Whitney statistic of Meehan et al.'s data-copying test, here over
  the whole space as one cell. Copies of some training samples hide in the
  median and in z behind a majority of others: `share` finds those. Reals must
  be held out at random, or their distances are too large.

  Args:
    fake: features `[n, d]` of samples.
    train: features `[k, d]` of what the generator was trained on.
    held_out: features `[m, d]` of reals that it was not trained on.

  Raises:
    ValueError: NaN or infinity among the features, different dimensions, or
      held-out reals most of which are training samples.

  References:
    Meehan et al., A Non-Parametric Test to Detect Data-Copying in Generative
    Models, 2020, section 3 (https://arxiv.org/abs/2004.05675).
  """
  who = 'memorisation'
  fake, train, held_out = arrays.features(
    who, fake=fake, train=train, held_out=held_out
  )
  of_fake, of_held_out = (
    np.sqrt(distances.nearest(queries, train, 1)[0][:, 0])
    for queries in (fake, held_out)
  )
  if np.median(of_held_out) == 0:
    raise ValueError(
      f'{who}: needs held-out reals that were not trained on, but most of them '
      'are among the training samples.'
    )
  return Memorisation(
    float(np.median(of_fake) / np.median(of_held_out)),
    float(np.mean(of_fake < np.quantile(of_held_out, 0.01))),
    _mann_whitney(of_fake, of_held_out),
  )


def _mann_whitney(a, b):
  n, m = len(a), len(b)
  b = np.sort(b)
  wins = (b.searchsorted(a, 'left') + b.searchsorted(a, 'right')).sum() / 2
  return float((wins - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
