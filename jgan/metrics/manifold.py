r"""Precision, recall, density and coverage: balls around samples.

The ball of a sample reaches to its k-th nearest neighbour among the samples of
its own kind, itself not counted; B(x) is that of a real x, B(y) that of a fake
y. All are computed in blocks, exactly as in float64, ties included.
"""

from typing import NamedTuple

import numpy as np

from jgan.metrics import arrays, distances
from jgan.metrics.arrays import Features


class PrecisionRecall(NamedTuple):
  """Shares from 0 to 1: of fakes among the reals, of reals among the fakes."""

  precision: float
  recall: float


class DensityCoverage(NamedTuple):
  """Density, 0 or more and about 1 for reals; coverage, a share of the reals.

  Between two sets of n reals coverage is about 1 - 2^-k.
  """

  density: float
  coverage: float


def precision_recall(
  real: Features, fake: Features, k: int = 3
) -> PrecisionRecall:
  r"""The share of fakes in the reals' manifold, and of reals in the fakes'.

  .. math:: \mathrm{precision} = \frac{1}{m} \sum_j
    1\Big[y_j \in \bigcup_i B(x_i)\Big], \quad
    \mathrm{recall} = \frac{1}{n} \sum_i 1\Big[x_i \in \bigcup_j B(y_j)\Big]

  A ball holds its surface (the `prdc` package, which computes these two as
  well, leaves it out). One outlier among the reals has a large ball, and can
  raise precision; density does not have that fault. Both depend on n, m and k:
  the paper has 50,000 samples and k = 3.

  Args:
    real: features `[n, d]`, n above k.
    fake: features `[m, d]`, m above k.
    k: the neighbour that a ball reaches.

  Raises:
    ValueError: NaN or infinity among the features, different dimensions, or
      too few samples.

  References:
    Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing
    Generative Models, 2019, equations 1 and 2
    (https://arxiv.org/abs/1904.06991).
  """
  who = 'precision_recall'
  real, fake = arrays.features(who, real=real, fake=fake)
  real_radii = _squared_radii(who, 'real', real, k)
  fake_radii = _squared_radii(who, 'fake', fake, k)
  held_fakes = distances.ball_counts(fake, real, real_radii) > 0
  held_reals = distances.ball_counts(real, fake, fake_radii) > 0
  return PrecisionRecall(float(held_fakes.mean()), float(held_reals.mean()))


def density_coverage(
  real: Features, fake: Features, k: int = 5
) -> DensityCoverage:
  r"""How many reals' balls hold a fake, and how many balls hold any fake.

  .. math:: \mathrm{density} = \frac{1}{k m} \sum_j \sum_i
    1[y_j \in B(x_i)], \quad
    \mathrm{coverage} = \frac{1}{n} \sum_i
    1\big[\exists j: y_j \in B(x_i)\big]

  A ball leaves out its surface, as in the authors' package. Both read the balls
  of reals only, so that outliers among the fakes do no harm; coverage falls
  with every mode that is dropped.

  Args:
    real: features `[n, d]`, n above k.
    fake: features `[m, d]`.
    k: the neighbour that a ball reaches.

  Raises:
    ValueError: NaN or infinity among the features, different dimensions, or
      too few reals.

  References:
    Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models,
    2020, equations 3 and 4; its section 3.3 on how to choose k
    (https://arxiv.org/abs/2002.09797).
  """
  who = 'density_coverage'
  real, fake = arrays.features(who, real=real, fake=fake)
  radii = _squared_radii(who, 'real', real, k)
  # The largest distance within an open ball is the float before its radius.
  counts = distances.ball_counts(fake, real, np.nextafter(radii, -np.inf))
  to_fakes, _ = distances.nearest(real, fake, 1)
  covered = to_fakes[:, 0] < radii
  return DensityCoverage(float(counts.mean() / k), float(covered.mean()))


def _squared_radii(who, name, features, k):
  if k < 1:
    raise ValueError(f'{who}: needs k of 1 or more, got {k}.')
  arrays.enough(who, name, len(features), k + 1, f'for k={k} neighbours')
  # The nearest of all is the sample itself or a copy of it, at distance 0.
  return distances.nearest(features, features, k + 1)[0][:, k]
