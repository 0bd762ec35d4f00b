r"""Terms of a discriminator's loss that are no gradient penalties.

Like those, functions with one unweighted value an example: the caller weighs
them and takes the mean.
"""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from jgan.penalties import Critic, PerExample, Samples, sum_of_squares
from jgan.sharding import Keys
from jgan.standard import Auxiliary, Tracker


def consistency(
  critic: Critic,
  samples: Samples,
  augment: Callable[[Samples, Keys], Samples],
  keys: Keys,
) -> PerExample:
  r"""How far an augmentation moves the critic: consistency regularisation.

  .. math:: (D(x) - D(T(x)))^2

  Summed over the logits of patches. On reals, weighted by lambda = 10, it is
  CR; on reals and fakes it is the balanced bCR. As a penalty of a standard
  game: `lambda critic, real, fake, keys: 10 * consistency(critic, real, T,
  keys)`.

  Args:
    critic: D.
    samples: x.
    augment: T, as `jgan.augment.chain` makes it; the papers flip and shift.
    keys: `[n]`, one for each sample.

  References:
    Zhang et al., Consistency Regularization for Generative Adversarial
    Networks, 2020 (https://arxiv.org/abs/1910.12027); Zhao et al.,
    Improved Consistency Regularization for GANs, 2021
    (https://arxiv.org/abs/2002.04724).
  """
  moved = critic(samples) - critic(augment(samples, keys))
  return sum_of_squares(moved)


def lecam(
  real_logits: Float[Array, 'n *patches'],
  fake_logits: Float[Array, 'n *patches'],
  real_mean: Float[Array, ''],
  fake_mean: Float[Array, ''],
) -> PerExample:
  r"""LeCam regularisation: logits are drawn to the other kind's running mean.

  .. math:: (D(x) - \alpha_F)^2 + (D(G(z)) - \alpha_R)^2

  Averaged over patches, for little data, where a discriminator would grow ever
  surer of the examples that it knows. That is the paper's formula; in the
  authors' code a real costs only above alpha_F, and a fake only below alpha_R.

  Args:
    real_logits: D(x).
    fake_logits: D(G(z)).
    real_mean: alpha_R, the running mean of D(x).
    fake_mean: alpha_F, the running mean of D(G(z)).

  References:
    Tseng et al., Regularizing Generative Adversarial Networks under Limited
    Data, 2021 (https://arxiv.org/abs/2104.03310).
  """
  real = real_logits.astype(jnp.float32) - fake_mean
  fake = fake_logits.astype(jnp.float32) - real_mean
  return _mean_of_squares(real) + _mean_of_squares(fake)


def logit_means(decay: float = 0.99) -> Tracker:
  """A game's memory of its mean logits: 'real_mean' and 'fake_mean'.

  Exponential moving averages over the discriminator's moves. The decay is
  capped by (1 + t) / (10 + t) at move t, so that the zeros of the start are
  soon forgotten.

  Args:
    decay: of the old averages in a move.
  """

  def update(tracked, real_logits, fake_logits):
    t = tracked['moves']
    keep = jnp.minimum(decay, (1 + t) / (10 + t))
    now = {'real_mean': real_logits.mean(), 'fake_mean': fake_logits.mean()}
    averages = {
      k: keep * tracked[k] + (1 - keep) * x.astype(jnp.float32)
      for k, x in now.items()
    }
    return {**averages, 'moves': t + 1}

  zero = jnp.zeros((), jnp.float32)
  start = {'real_mean': zero, 'fake_mean': zero, 'moves': jnp.int32(0)}
  return Tracker(start, update)


def lecam_term(weight: float = 0.3) -> Auxiliary:
  """`lecam` as an auxiliary term of a standard game.

  `standard_gan(..., tracker=logit_means(), auxiliary=lecam_term(0.3))`.

  Args:
    weight: of the regularisation; the generator's term is 0.
  """

  def auxiliary(real, fake, latent, batch, tracked: Mapping[str, Array]):
    anchors = tracked['real_mean'], tracked['fake_mean']
    term = lecam(real['logits'], fake['logits'], *anchors)
    return jnp.zeros_like(term), weight * term

  return auxiliary


def _mean_of_squares(x: Array) -> PerExample:
  return sum_of_squares(x) * (x.shape[0] / x.size)
