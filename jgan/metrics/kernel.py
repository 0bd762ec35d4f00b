"""The kernel distance of two sets of features: a polynomial MMD."""

import jax
import jax.numpy as jnp
import numpy as np

from jgan.metrics import arrays
from jgan.metrics.arrays import Features
from jgan.metrics.intervals import Estimate


def kernel_distance(
  real: Features,
  fake: Features,
  *,
  subsets: int = 100,
  subset_size: int = 1000,
  seed: int = 0,
) -> Estimate:
  r"""The unbiased squared maximum mean discrepancy, averaged over subsets.

  With the kernel :math:`k(x, y) = (x \cdot y / d + 1)^3` and m reals x and m
  fakes y drawn without replacement,

  .. math:: \frac{1}{m (m - 1)} \sum_{i \neq j} k(x_i, x_j)
    + \frac{1}{m (m - 1)} \sum_{i \neq j} k(y_i, y_j)
    - \frac{2}{m^2} \sum_{i, j} k(x_i, y_j)

  With the Inception network's features it is the KID. Its expectation does not
  depend on the number of samples, so it may be negative, and small sets can be
  compared.

  The products are taken in float32 on the device, with a constant subtracted
  from the kernel (the discrepancy does not notice), since the three means are
  large and nearly equal; the sums over rows in float64. It takes
  `12 * subset_size**2` bytes.

  Args:
    real: features `[n, d]`.
    fake: features `[k, d]`.
    subsets: how many pairs of subsets.
    subset_size: m, from 2 to the smaller of n and k.
    seed: of the draws, by which torch-fidelity's `rng_seed`, with the reals as
      its first input, draws the same subsets.

  Returns:
    The mean, and the standard deviation over the subsets, which is not an error
    of the mean: it depends on m, and the subsets share samples. For an
    interval, `half_samples`.

  Raises:
    ValueError: NaN or infinity among the features, different dimensions, or
      fewer samples than `subset_size`.

  References:
    Binkowski et al., Demystifying MMD GANs, 2018, section 4
    (https://arxiv.org/abs/1801.01401).
  """
  who = 'kernel_distance'
  real, fake = arrays.features(who, real=real, fake=fake)
  if subsets < 1 or subset_size < 2:
    raise ValueError(
      f'{who}: needs subsets of 1 or more and a subset_size of 2 or more, got '
      f'{subsets} and {subset_size}.'
    )
  for name, features in (('real', real), ('fake', fake)):
    why = 'a subset; choose subset_size to fit'
    arrays.enough(who, name, len(features), subset_size, why)
  centre = real.mean(0, dtype=np.float64)
  typical = 1 + centre @ centre / centre.size
  rng = np.random.RandomState(seed)
  discrepancies = [
    _discrepancy(
      real[rng.choice(len(real), subset_size, replace=False)],
      fake[rng.choice(len(fake), subset_size, replace=False)],
      np.float32(typical),
    )
    for _ in range(subsets)
  ]
  return Estimate(float(np.mean(discrepancies)), float(np.std(discrepancies)))


def _discrepancy(real, fake, typical):
  sums = jax.device_get(_kernel_sums(real, fake, typical))
  within_real, within_fake, across = (np.sum(s, dtype=np.float64) for s in sums)
  m = len(real)
  return (within_real + within_fake) / (m * (m - 1)) - 2 * across / m**2


@jax.jit
def _kernel_sums(real, fake, typical):
  """Of each row, the kernel less that of a typical pair; no x with itself."""
  others = 1 - jnp.eye(real.shape[0])

  def kernel(x, y):
    base = jnp.matmul(x, y.T, precision='highest') / x.shape[1] + 1
    # base^3 - typical^3, factored: the difference is not rounded away.
    return (base - typical) * (base**2 + base * typical + typical**2)

  real, fake = real.astype(jnp.float32), fake.astype(jnp.float32)
  return (
    (kernel(real, real) * others).sum(1),
    (kernel(fake, fake) * others).sum(1),
    kernel(real, fake).sum(1),
  )
