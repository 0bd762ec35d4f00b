"""The Inception score, of any classifier's probabilities."""

import itertools

import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

from jgan.metrics import arrays
from jgan.metrics.arrays import Array
from jgan.metrics.intervals import Estimate


def inception_score(
  probabilities: Float[Array, '_ _'],
  splits: int = 10,
  seed: int | None = 0,
) -> Estimate:
  r"""The exponential of the mean divergence of p(y|x) from p(y).

  .. math:: \exp \mathbb{E}_x\, \mathrm{KL}(p(y \mid x)\, \Vert\, p(y))

  taken in each of the splits, with p(y) the split's own mean. It lies between 1
  and the number of classes. Computed in float64. It reads no reals: a generator
  that makes one perfect picture of each class reaches the maximum. Only scores
  of one classifier and one number of samples per split can be compared.

  Args:
    probabilities: p(y|x) `[n, classes]`, rows that add up to 1.
    splits: parts of which the mean and the standard deviation are taken; the
      published scores have 10 of 5,000 samples.
    seed: of the order in which samples are dealt to the splits (the order of
      torch-fidelity's `rng_seed`). None takes them as they come, which is wrong
      where they are sorted, by class say.

  Returns:
    Mean and standard deviation over the splits.

  Raises:
    ValueError: no split or fewer samples than splits, NaN or infinity, or rows
      that are no probabilities (logits, for one).

  References:
    Salimans et al., Improved Techniques for Training GANs, 2016, section 4
    (https://arxiv.org/abs/1606.03498).
  """
  who = 'inception_score'
  (probabilities,) = arrays.features(who, probabilities=probabilities)
  n = len(probabilities)
  if splits < 1:
    raise ValueError(f'{who}: needs splits of 1 or more, got {splits}.')
  arrays.enough(who, 'probabilities', n, splits, f'for {splits} splits')
  totals = probabilities.sum(1, dtype=np.float64)
  if probabilities.min() < 0 or abs(totals - 1).max() > 1e-3:
    raise ValueError(
      f'{who}: needs probabilities, 0 or more and with rows that add up to 1, '
      f'got values from {probabilities.min():.4g} and sums from '
      f'{totals.min():.4g} to {totals.max():.4g}. Logits go through a softmax.'
    )
  order = np.arange(n)
  if seed is not None:
    order = np.random.RandomState(seed).permutation(n)
  ends = [i * n // splits for i in range(splits + 1)]
  scores = [
    _score(probabilities[order[start:end]])
    for start, end in itertools.pairwise(ends)
  ]
  return Estimate(float(np.mean(scores)), float(np.std(scores)))


def _score(conditional):
  conditional = conditional.astype(np.float64)
  marginal = conditional.mean(0)
  # KL = sum p log p - sum p log q, and the second sum's mean is of q alone.
  negative_entropy = xlogy(conditional, conditional).sum(1).mean()
  return np.exp(negative_entropy - xlogy(marginal, marginal).sum())
