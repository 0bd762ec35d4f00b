"""DRAGAN: a gradient penalty around the data, with the networks of DCGAN.

Kodali et al., On Convergence and Stability of GANs, 2017
(https://arxiv.org/abs/1705.07215): the discriminator's gradient is held near
norm 1 in a cloud of noise around real samples, with lambda = 10; loss and
optimizers are those of a plain GAN.

Differences: those of `jgan.models.dcgan`; no batch normalisation in the
discriminator, since the penalty is of each picture's own gradient, and batch
statistics would mix in the others' (Gulrajani et al., 2017, section 4); the
cloud is normal, as in the paper, of deviation .25 for pictures in [-1, 1],
which is wider than that of the authors' code and lies on both sides (see
`jgan.penalties.dragan`).
"""

import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from jgan import latents, losses, penalties
from jgan.gan import GAN
from jgan.models.dcgan import Discriminator, Generator, layer_widths
from jgan.standard import standard_gan


def dragan(
  resolution: int | tuple[int, int] = 32,
  channels: int = 3,
  *,
  loss: losses.AdversarialLoss = losses.non_saturating,
  penalty_weight: float = 10.0,
  std: float = 0.25,
  latent_dim: int = 100,
  width: int = 64,
  learning_rate: float = 2e-4,
  b1: float = 0.5,
  n_critic: int = 1,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The penalised GAN of Kodali et al.

  Args:
    resolution: as of `jgan.models.dcgan`: a side, or height and width;
      `batch['image']` is `[n, height, width, channels]` in [-1, 1].
    channels: of the pictures.
    loss: the game; the penalty goes with any.
    penalty_weight: lambda.
    std: of the cloud around the data, in the units of the pictures.
    latent_dim: entries of a latent, standard normal.
    width: channels at half of the resolution.
    learning_rate: Adam's, of both players.
    b1: Adam's decay of the first moment.
    n_critic: discriminator moves for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` without labels.

  Raises:
    ValueError: if the resolution is another; the nearest is named.
  """
  layer_widths(resolution, width)  # refuses what cannot be built

  def penalty(critic, real, fake, keys):
    del fake
    return penalty_weight * penalties.dragan(critic, real, keys, std)

  shared = {'width': width, 'dtype': dtype, 'axis_name': axis_name}
  return standard_gan(
    Generator(resolution, channels, **shared),
    Discriminator(batch_norm=False, **shared),
    loss=loss,
    generator_optimizer=optax.adam(learning_rate, b1=b1),
    discriminator_optimizer=optax.adam(learning_rate, b1=b1),
    latent=latents.normal(latent_dim),
    penalty=penalty,
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
  )
