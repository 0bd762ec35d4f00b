r"""How sure a score is: means with their spread, and confidence intervals.

Both functions compute the score again on subsets of the samples, and give

.. math:: \hat\theta \pm t_{B-1}\, s

around the score :math:`\hat\theta` of all samples, with s the standard
deviation of the B recomputed scores and t the quantile of Student's
distribution. They differ in how they draw, and each is right for other scores.

`half_samples` is for scores of a whole set. Drawing with replacement would
repeat samples, and such scores mistake repetitions for structure: a repeated
sample is its own nearest neighbour, so the balls of `precision_recall` and
`density_coverage` shrink; the pairs of a sample with itself, which the unbiased
`kernel_distance` leaves out, come back in; and `frechet_distance`, too high by
about c/n, comes out too high by 2c/n. Halves drawn without replacement repeat
nothing. Their scores are biased, too, as any score of n/2 samples, so only
their spread is used, and that needs no factor:

.. math:: \mathrm{Var}(\hat\theta_{n/2} - \hat\theta_n)
  = (2/n - 1/n)\,\sigma^2 = \sigma^2 / n = \mathrm{Var}(\hat\theta_n)

`bootstrap` is for means, medians and shares of values that each sample has for
itself, as `ms_ssim` and the distances of `nearest_neighbours` are.

An interval speaks of the draw of the samples. Whether the network that made
them would come out the same again, only several seeds can tell.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree
from scipy.special import stdtrit

from jgan.metrics.arrays import Array


class Estimate(NamedTuple):
  """A mean and the standard deviation of what it is the mean of."""

  mean: float
  std: float


class Interval(NamedTuple):
  """From `low` to `high`; not clipped to the range of the score."""

  low: float
  high: float


def half_samples(
  score: Callable[..., PyTree],
  *arrays: Array,
  resamples: int = 20,
  seed: int = 0,
  level: float = 0.95,
) -> PyTree:
  """Intervals of a score of whole sets, by halves drawn without replacement.

  For `frechet_distance`, `kernel_distance`, `inception_score`,
  `precision_recall`, `density_coverage`, `memorisation`, `label_coverage` (its
  divergence). Half of the samples must be enough for the score. In simulations
  the intervals were up to 1.3 times wider than needed, and wider yet for
  distances of sets that hardly differ, whose spread falls faster than assumed;
  of coverage, those by `bootstrap` would be 1.7 times too wide.

  Args:
    score: of the arrays, a number or a tuple of numbers, as the scores return.
    *arrays: samples along the leading axis; each is halved by its own draw.
      What belongs together (features and labels, say) goes in as one array
      `np.arange(n)` of positions, by which `score` looks both up. What is given
      once for all, as the features of a whole population, is left out.
    resamples: B, 2 or more.
    seed: of the draws.
    level: the probability with which such intervals hold the score's mean.

  Returns:
    What `score` returns, with an `Interval` in place of each number.

  Raises:
    ValueError: an array has fewer than two samples, or an argument is out of
      its range.

  References:
    Politis and Romano, Large Sample Confidence Regions Based on Subsamples
    under Minimal Assumptions, 1994; Shao and Wu, A General Theory for Jackknife
    Variance Estimation, 1989 (the half-sample is their delete-d with d = n/2).
  """

  def draw(rng, n):
    return rng.permutation(n)[: n // 2]

  return _intervals('half_samples', draw, score, arrays, resamples, seed, level)


def bootstrap(
  score: Callable[..., PyTree],
  *arrays: Array,
  resamples: int = 20,
  seed: int = 0,
  level: float = 0.95,
) -> PyTree:
  """Intervals of a mean, median or share, by samples drawn with replacement.

  Not for scores of whole sets; see `half_samples` and why at the head of this
  module. Arguments, results and errors are those of `half_samples`.

  References:
    Efron, Bootstrap Methods: Another Look at the Jackknife, 1979.
  """

  def draw(rng, n):
    return rng.randint(0, n, n)

  return _intervals('bootstrap', draw, score, arrays, resamples, seed, level)


def _intervals(who, draw, score, arrays, resamples, seed, level) -> PyTree:
  if resamples < 2 or not 0 < level < 1:
    raise ValueError(
      f'{who}: needs resamples of 2 or more and a level between 0 and 1, got '
      f'{resamples} and {level}.'
    )
  if not arrays or min(len(array) for array in arrays) < 2:
    raise ValueError(
      f'{who}: needs arrays of two samples or more, got '
      f'{[len(array) for array in arrays]}.'
    )
  arrays = [np.asarray(array) for array in arrays]
  rng = np.random.RandomState(seed)  # its stream is the same in every numpy
  scores = [
    score(*(array[draw(rng, len(array))] for array in arrays))
    for _ in range(resamples)
  ]
  factor = stdtrit(resamples - 1, (1 + level) / 2)

  def interval(whole, *parts):
    margin = float(factor * np.std(parts, ddof=1))
    return Interval(float(whole) - margin, float(whole) + margin)

  return jax.tree.map(interval, score(*arrays), *scores)
