r"""Gradient penalties: functions of a critic and samples, one value an example.

A critic is any `Callable[[Array], Array]` from samples `[n, ...]` to logits
(`[n]`, or `[n, h, w]` of patches, which are summed), not a network; it must
treat the examples separately, for the gradient of the sum is taken as the
gradients of each. Every function returns `[n]`, unweighted: the caller
multiplies by the paper's factor (:math:`\gamma / 2`, :math:`\lambda`) and takes
the mean. All can be differentiated again, also where a gradient is zero.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgan import norms, sharding
from jgan.sharding import Keys

Critic = Callable[[Array], Array]
Samples = Float[Array, 'n ...']
PerExample = Float[Array, 'n']


def r1(critic: Critic, real: Samples) -> PerExample:
  r"""The squared gradient norm at real samples.

  .. math:: \lVert \nabla_x D(x) \rVert_2^2

  Weighted by gamma / 2 in the paper.

  Args:
    critic: D.
    real: x, where the gradient is taken.

  References:
    Mescheder et al., Which Training Methods for GANs do actually Converge?,
    2018, equation 9 (https://arxiv.org/abs/1801.04406).
  """
  return sum_of_squares(jax.grad(lambda x: critic(x).sum())(real))


def r2(critic: Critic, fake: Samples) -> PerExample:
  """`r1` at fake samples: the squared gradient norm there.

  Args:
    critic: D.
    fake: G(z), where the gradient is taken.

  References:
    Mescheder et al., Which Training Methods for GANs do actually Converge?,
    2018, equation 10 (https://arxiv.org/abs/1801.04406).
  """
  return r1(critic, fake)


def gradient_penalty(
  critic: Critic,
  real: Samples,
  fake: Samples,
  key: Keys,
  target: float = 1.0,
  one_sided: bool = False,
) -> PerExample:
  r"""WGAN-GP's penalty between pairs of real and fake samples.

  With :math:`\hat x = \epsilon x + (1 - \epsilon) G(z)`, epsilon uniform in
  [0, 1) for each pair,

  .. math:: (\lVert \nabla_{\hat x} D(\hat x) \rVert_2 - t)^2

  Weighted by lambda = 10 in the paper.

  Args:
    critic: D.
    real: x.
    fake: G(z), of the shape of `real`.
    key: one key for each pair (`jgan.example_keys`), or one for all, from
      which each pair's is folded by its position.
    target: t, the norm that costs nothing; 0 is the zero-centred penalty.
    one_sided: charge only norms above the target, max(0, norm - t)^2.

  Raises:
    ValueError: if the shapes of `real` and `fake` differ.

  References:
    Gulrajani et al., Improved Training of Wasserstein GANs, 2017, equation 3;
    one-sided in its section 4 (https://arxiv.org/abs/1704.00028).
  """
  if real.shape != fake.shape:
    raise ValueError(
      f'gradient_penalty: real and fake samples need one shape, got '
      f'{real.shape} and {fake.shape}.'
    )
  epsilon = jax.vmap(lambda k: jax.random.uniform(k, (), real.dtype))(
    _for_each(key, real)
  )
  epsilon = epsilon.reshape(-1, *[1] * (real.ndim - 1))
  between = epsilon * real + (1 - epsilon) * fake
  return _distance(critic, between, target, one_sided)


def dragan(
  critic: Critic,
  real: Samples,
  key: Keys,
  std: float = 0.25,
  target: float = 1.0,
  one_sided: bool = False,
) -> PerExample:
  r"""DRAGAN's penalty in a cloud around the real samples.

  .. math:: (\lVert \nabla_x D(x + \delta) \rVert_2 - t)^2, \quad
    \delta \sim \mathcal{N}(0, s^2)

  Weighted by lambda = 10 in the paper.

  Args:
    critic: D.
    real: x.
    key: one key for each example (`jgan.example_keys`), or one for all, from
      which each example's is folded by its position.
    std: s, in the units of `real`; .25 is about half of the deviation of
      pictures in [-1, 1]. The authors' code adds uniform noise from 0 to half
      of the batch's deviation, times a share of its own for each example.
    target: t, the norm that costs nothing.
    one_sided: charge only norms above the target.

  References:
    Kodali et al., On Convergence and Stability of GANs, 2017, algorithm 1
    (https://arxiv.org/abs/1705.07215).
  """
  noise = jax.vmap(lambda k: jax.random.normal(k, real.shape[1:], real.dtype))(
    _for_each(key, real)
  )
  return _distance(critic, real + std * noise, target, one_sided)


def _distance(critic, samples, target, one_sided):
  gradient = jax.grad(lambda x: critic(x).sum())(samples)
  excess = norms.root(sum_of_squares(gradient)) - target
  return (jax.nn.relu(excess) if one_sided else excess) ** 2


def sum_of_squares(x: Samples) -> PerExample:
  """The squared norm of each example, in float32: the sum is long."""
  return (x.reshape(x.shape[0], -1).astype(jnp.float32) ** 2).sum(1)


def _for_each(key: Keys, samples: Samples) -> Keys:
  key, n = sharding.typed(key), samples.shape[0]
  if key.shape not in ((), (n,)):
    raise ValueError(
      f'penalty: needs one key, or one for each of {n} examples, got keys of '
      f'shape {key.shape}.'
    )
  if key.ndim == 1:
    return key
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(n))
