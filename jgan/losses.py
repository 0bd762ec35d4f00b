r"""Adversarial losses: elementwise, unreduced, in pairs.

Both functions of a pair take `(real_logits, fake_logits)`, arrays of one shape
whose leading axis is examples (`[n]`, or `[n, h, w]` of a patch discriminator)
and return one loss for each element, finite at logits of +-1e4 in float32 and
bfloat16; the caller takes the mean. Where a loss reads only one of the two, the
compiler drops the other. An `AdversarialLoss` is such a pair.

Notation: x are real samples, G(z) fakes, D the discriminator before any
sigmoid (for Wasserstein, the critic), and

.. math:: \mathrm{softplus}(t) = \log(1 + e^t) = -\log \sigma(-t)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

Logits = Float[Array, 'n *patches']


class AdversarialLoss(NamedTuple):
  """The two sides of one game.

  Attributes:
    generator: `(real_logits, fake_logits) -> ` the generator's loss.
    discriminator: the same of the discriminator.
  """

  generator: Callable[[Logits, Logits], Logits]
  discriminator: Callable[[Logits, Logits], Logits]


def minimax_generator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
  """Goodfellow et al.'s original generator: log(1 - sigmoid(D(G(z)))).

  Its gradient vanishes while the discriminator is sure; see
  `non_saturating_generator_loss`.

  References:
    Goodfellow et al., Generative Adversarial Nets, 2014, equation 1
    (https://arxiv.org/abs/1406.2661).
  """
  _check('minimax_generator_loss', real_logits, fake_logits)
  return -jax.nn.softplus(fake_logits)


def minimax_discriminator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """Cross-entropy: -log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))).

  References:
    Goodfellow et al., Generative Adversarial Nets, 2014, equation 1
    (https://arxiv.org/abs/1406.2661).
  """
  _check('minimax_discriminator_loss', real_logits, fake_logits)
  return jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits)


def non_saturating_generator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """Goodfellow et al.'s second generator: -log sigmoid(D(G(z))).

  References:
    Goodfellow et al., Generative Adversarial Nets, 2014, section 3
    (https://arxiv.org/abs/1406.2661).
  """
  _check('non_saturating_generator_loss', real_logits, fake_logits)
  return jax.nn.softplus(-fake_logits)


def least_squares_generator_loss(
  real_logits: Logits, fake_logits: Logits, *, generator_label: float = 1.0
) -> Logits:
  """Half the squared distance to c: (D(G(z)) - c)^2 / 2.

  Args:
    real_logits: not read.
    fake_logits: D(G(z)).
    generator_label: c, what the generator wants D to say of its samples.

  References:
    Mao et al., Least Squares Generative Adversarial Networks, 2017,
    equation 2 (https://arxiv.org/abs/1611.04076).
  """
  _check('least_squares_generator_loss', real_logits, fake_logits)
  return 0.5 * (fake_logits - generator_label) ** 2


def least_squares_discriminator_loss(
  real_logits: Logits,
  fake_logits: Logits,
  *,
  real_label: float = 1.0,
  fake_label: float = 0.0,
) -> Logits:
  """Half the squared distances: (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2.

  Args:
    real_logits: D(x).
    fake_logits: D(G(z)).
    real_label: b, the target for reals.
    fake_label: a, the target for fakes. With b - c = 1 and b - a = 2 the game
      minimises a Pearson chi-square divergence (a=-1, b=1, c=0).

  References:
    Mao et al., Least Squares Generative Adversarial Networks, 2017,
    equation 2 (https://arxiv.org/abs/1611.04076).
  """
  _check('least_squares_discriminator_loss', real_logits, fake_logits)
  real = 0.5 * (real_logits - real_label) ** 2
  return real + 0.5 * (fake_logits - fake_label) ** 2


def wasserstein_generator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """The critic's value, raised: -D(G(z)).

  References:
    Arjovsky et al., Wasserstein GAN, 2017, algorithm 1
    (https://arxiv.org/abs/1701.07875).
  """
  _check('wasserstein_generator_loss', real_logits, fake_logits)
  return -fake_logits


def wasserstein_discriminator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """The critic's estimate of the distance, negated: D(G(z)) - D(x).

  Meaningful only for a critic held to be Lipschitz: by weight clipping, a
  gradient penalty or spectral norm.

  References:
    Arjovsky et al., Wasserstein GAN, 2017, equation 3
    (https://arxiv.org/abs/1701.07875).
  """
  _check('wasserstein_discriminator_loss', real_logits, fake_logits)
  return fake_logits - real_logits


def hinge_generator_loss(real_logits: Logits, fake_logits: Logits) -> Logits:
  """The hinge game's generator: -D(G(z)).

  References:
    Lim and Ye, Geometric GAN, 2017 (https://arxiv.org/abs/1705.02894);
    Miyato et al., Spectral Normalization, 2018, equation 17
    (https://arxiv.org/abs/1802.05957).
  """
  _check('hinge_generator_loss', real_logits, fake_logits)
  return -fake_logits


def hinge_discriminator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """Two hinges: max(0, 1 - D(x)) + max(0, 1 + D(G(z))).

  References:
    Lim and Ye, Geometric GAN, 2017 (https://arxiv.org/abs/1705.02894);
    Miyato et al., Spectral Normalization, 2018, equation 16
    (https://arxiv.org/abs/1802.05957).
  """
  _check('hinge_discriminator_loss', real_logits, fake_logits)
  return jax.nn.relu(1 - real_logits) + jax.nn.relu(1 + fake_logits)


def relativistic_generator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """The pair (x, G(z)) told the wrong way: softplus(-(D(G(z)) - D(x))).

  References:
    Jolicoeur-Martineau, The relativistic discriminator, 2018, equation 7
    (https://arxiv.org/abs/1807.00734); the loss of R3GAN, Huang et al., 2024.
  """
  _check('relativistic_generator_loss', real_logits, fake_logits)
  return jax.nn.softplus(real_logits - fake_logits)


def relativistic_discriminator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """Each real against one fake: softplus(-(D(x) - D(G(z)))).

  References:
    Jolicoeur-Martineau, The relativistic discriminator, 2018, equation 6
    (https://arxiv.org/abs/1807.00734); the loss of R3GAN, Huang et al., 2024.
  """
  _check('relativistic_discriminator_loss', real_logits, fake_logits)
  return jax.nn.softplus(fake_logits - real_logits)


def relativistic_average_generator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """The average game told the wrong way round.

  With means E over the batch (axis 0, each patch for itself),
  softplus(-(D(G(z)) - E D(x))) + softplus(D(x) - E D(G(z))).

  References:
    Jolicoeur-Martineau, The relativistic discriminator, 2018, equation 11
    (https://arxiv.org/abs/1807.00734).
  """
  _check('relativistic_average_generator_loss', real_logits, fake_logits)
  return relativistic_average_discriminator_loss(fake_logits, real_logits)


def relativistic_average_discriminator_loss(
  real_logits: Logits, fake_logits: Logits
) -> Logits:
  """Each real against the average fake, each fake against the average real.

  With means E over the batch (axis 0, each patch for itself),
  softplus(-(D(x) - E D(G(z)))) + softplus(D(G(z)) - E D(x)).

  References:
    Jolicoeur-Martineau, The relativistic discriminator, 2018, equation 10
    (https://arxiv.org/abs/1807.00734).
  """
  _check('relativistic_average_discriminator_loss', real_logits, fake_logits)
  real = real_logits - fake_logits.mean(0, keepdims=True)
  fake = fake_logits - real_logits.mean(0, keepdims=True)
  return jax.nn.softplus(-real) + jax.nn.softplus(fake)


def check_pair(who: str, loss: AdversarialLoss) -> None:
  """Raises TypeError where a game is given something else than a pair."""
  sides = (getattr(loss, side, None) for side in AdversarialLoss._fields)
  if not all(map(callable, sides)):
    raise TypeError(
      f'{who}: loss needs an AdversarialLoss, such as jgan.losses.hinge, got '
      f'{loss!r}.'
    )


def _check(name: str, real_logits: Array, fake_logits: Array) -> None:
  # [n, 1] against [n] would broadcast to [n, n] without a word.
  if real_logits.shape != fake_logits.shape:
    raise ValueError(
      f'{name}: real and fake logits need one shape, got '
      f'{real_logits.shape} and {fake_logits.shape}.'
    )


minimax = AdversarialLoss(minimax_generator_loss, minimax_discriminator_loss)
non_saturating = AdversarialLoss(
  non_saturating_generator_loss, minimax_discriminator_loss
)
least_squares = AdversarialLoss(
  least_squares_generator_loss, least_squares_discriminator_loss
)
wasserstein = AdversarialLoss(
  wasserstein_generator_loss, wasserstein_discriminator_loss
)
hinge = AdversarialLoss(hinge_generator_loss, hinge_discriminator_loss)
relativistic = AdversarialLoss(
  relativistic_generator_loss, relativistic_discriminator_loss
)
relativistic_average = AdversarialLoss(
  relativistic_average_generator_loss, relativistic_average_discriminator_loss
)
