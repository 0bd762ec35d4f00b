r"""The Frechet distance of two sets of features, and moments in a stream."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jgan.metrics import arrays
from jgan.metrics.arrays import Features

_ROWS = 1024  # features added at a time


class Moments(NamedTuple):
  """Mean and unbiased covariance of features, in float64.

  Attributes:
    count: n, the number of samples.
    mean: `[d]`.
    covariance: `[d, d]`, divided by n - 1, as `numpy.cov` does.
  """

  count: int
  mean: Float[np.ndarray, '_']
  covariance: Float[np.ndarray, '_ _']


class MomentSums(NamedTuple):
  """What `add_features` has seen: arrays only, the same size after any number.

  The two sums are each a float32 pair, the sum and what rounding took from it,
  so that they hold some 14 digits on devices without float64.

  Attributes:
    count: n so far.
    shift: c `[d]`, the mean of the first batch: sums around it do not cancel.
    total: the sum of x - c.
    products: the sum of (x - c)(x - c)^T.
  """

  count: Int[Array, '']
  shift: Float[Array, 'd']
  total: tuple[Float[Array, 'd'], Float[Array, 'd']]
  products: tuple[Float[Array, 'd d'], Float[Array, 'd d']]


def moment_sums(dimension: int) -> MomentSums:
  """Sums over no features of that dimension, to start a stream from."""
  vector = jnp.zeros(dimension, jnp.float32)
  matrix = jnp.zeros((dimension, dimension), jnp.float32)
  count = jnp.zeros((), jnp.int32)
  return MomentSums(count, vector, (vector, vector), (matrix, matrix))


@jax.jit
def add_features(sums: MomentSums, features: Features) -> MomentSums:
  """The sums with one batch more, in float32 on the device.

  Memory does not grow with the number of batches, nothing is copied to the
  host, and any split of the same features into batches gives covariances equal
  to about 1e-7 of the variances.

  Args:
    sums: of the batches before; `moment_sums(d)` at first.
    features: the next n, read in float32. Another n compiles again.

  Returns:
    New sums, for the next batch or for `moments`.

  Raises:
    ValueError: the features are no rows of the sums' dimension.
  """
  features = jnp.asarray(features, jnp.float32)
  dimension = sums.shift.shape[0]
  # Others would be repeated to fit.
  if features.ndim != 2 or features.shape[1] != dimension:
    raise ValueError(
      f'add_features: needs the shape [n, {dimension}], as of the sums, got '
      f'{list(features.shape)}.'
    )
  shift = jnp.where(sums.count == 0, features.mean(0), sums.shift)
  centred = features - shift[None]
  # Without `highest`, GPUs multiply in TF32 and TPUs in bfloat16.
  products = jnp.matmul(centred.T, centred, precision='highest')
  return MomentSums(
    sums.count + features.shape[0],
    shift,
    _plus(sums.total, centred.sum(0)),
    _plus(sums.products, products),
  )


def moments(features: Features | MomentSums) -> Moments:
  """Mean and covariance of features, or of a stream of them.

  Args:
    features: `[n, d]`, n at least 2, read in float32; or the sums that
      `add_features` made.

  Raises:
    ValueError: NaN or infinity among the features, or fewer than 2 samples.
  """
  if not isinstance(features, MomentSums):
    (features,) = arrays.features('moments', features=features)
    sums = moment_sums(features.shape[1])
    for i in range(0, len(features), _ROWS):
      sums = add_features(sums, features[i : i + _ROWS])
    features = sums
  count, shift, total, products = jax.device_get(features)
  arrays.enough('moments', 'features', int(count), 2, 'for a covariance')
  offset = np.sum(total, 0, dtype=np.float64) / count
  covariance = np.sum(products, 0, dtype=np.float64)
  covariance -= count * np.outer(offset, offset)
  result = Moments(int(count), shift + offset, covariance / (count - 1))
  arrays.finite('moments', 'features', result.covariance)
  return result


def frechet_distance(
  real: Features | MomentSums | Moments,
  fake: Features | MomentSums | Moments,
) -> float:
  r"""The squared 2-Wasserstein distance of two fitted normal distributions.

  .. math:: \lVert \mu_r - \mu_f \rVert^2 + \mathrm{tr}\,\Sigma_r
    + \mathrm{tr}\,\Sigma_f - 2\,\mathrm{tr} (\Sigma_r \Sigma_f)^{1/2}

  With the Inception network's features it is the FID. It is 0 for equal
  moments, and symmetric. Its estimate is too high by about c/n, with a c that
  depends on the generator: compare only scores of the same numbers of samples,
  and see `half_samples` for its interval.

  The last trace is the sum of the singular values of
  :math:`\Sigma_r^{1/2} \Sigma_f^{1/2}`, in float64. Square roots of the
  eigenvalues of :math:`\Sigma_r \Sigma_f`, as other codes take them, agree
  where the covariances are regular; where features are constant or dependent,
  they turn rounding errors of 1e-16 into 1e-8 for each such dimension.

  Args:
    real: features `[n, d]`, sums over a stream of them, or their moments.
    fake: the same of generated samples.

  Returns:
    The distance, 0 or more.

  Raises:
    ValueError: NaN or infinity among the features, different dimensions, or
      fewer samples than dimensions: the covariance is then singular and the
      distance mostly bias.

  References:
    Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a
    Local Nash Equilibrium, 2017, equation 6 (https://arxiv.org/abs/1706.08500);
    Dowson and Landau, The Frechet Distance between Multivariate Normal
    Distributions, 1982; on the bias, Chong and Forsyth, Effectively Unbiased
    FID and Inception Score, 2020 (https://arxiv.org/abs/1911.07023).
  """
  real, fake = _checked('real', real), _checked('fake', fake)
  arrays.same_dimension(
    'frechet_distance', real=len(real.mean), fake=len(fake.mean)
  )
  gap = real.mean - fake.mean
  roots = _root(real.covariance) @ _root(fake.covariance).T
  cross = np.linalg.svd(roots, compute_uv=False).sum()
  variances = np.trace(real.covariance) + np.trace(fake.covariance)
  return max(0.0, float(gap @ gap + variances - 2 * cross))


def _checked(name, features) -> Moments:
  who = 'frechet_distance'
  if not isinstance(features, Moments | MomentSums):
    (features,) = arrays.features(who, **{name: features})
  if not isinstance(features, Moments):
    features = moments(features)
  count, mean, covariance = features
  if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
    raise ValueError(
      f'{who}: {name} needs a mean [d] and a covariance [d, d], got '
      f'{list(mean.shape)} and {list(covariance.shape)}.'
    )
  arrays.finite(who, name, mean)
  arrays.finite(who, name, covariance)
  why = 'as many as dimensions; kernel_distance does with fewer'
  arrays.enough(who, name, count, max(2, len(mean)), why)
  return features


def _root(covariance):
  """R with R^T R = covariance."""
  values, vectors = np.linalg.eigh(covariance.astype(np.float64))
  # Rounding leaves eigenvalues of 0 on either side of it.
  return np.sqrt(values.clip(0))[:, None] * vectors.T


def _plus(pair, x):
  # Knuth's two-sum: `rounding` is exactly what hi + x lost.
  hi, lo = pair
  total = hi + x
  part = total - hi
  rounding = (hi - (total - part)) + (x - part)
  return total, lo + rounding
