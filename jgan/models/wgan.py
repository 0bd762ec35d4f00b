"""WGAN: a critic of clipped weights, with the networks of DCGAN.

Arjovsky et al., Wasserstein GAN, 2017 (https://arxiv.org/abs/1701.07875),
algorithm 1: the critic's loss estimates the distance between data and samples
while its params, batch normalisation's scales among them, are kept in
[-.01, .01]; it moves five times for one move of the generator, both by RMSProp
at 5e-5, in batches of 64.

Differences: those of `jgan.models.dcgan`; no bias of the critic's values, since
the loss cancels it. As in the authors' published code the critic starts in the
box too, and RMSProp is that of PyTorch: decay .99, epsilon beside the root (in
it, as by default in optax, it outweighs the gradients of clipped weights).
That code's 100 moves of the critic for each of the generator's first 25 moves,
and for each 500th, are left out: the paper does not have them.
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import DTypeLike

from jgan import latents, losses
from jgan.gan import GAN
from jgan.models.dcgan import Discriminator, Generator, layer_widths
from jgan.standard import standard_gan


def keep_params_in_box(bound: float) -> optax.GradientTransformation:
  """Changes updates so that the params end in [-bound, bound], exactly.

  The projection of `optax.projections.projection_linf_ball`, for the end of a
  `optax.chain`. Params may start outside.

  Args:
    bound: the largest absolute value, above 0.

  Raises:
    ValueError: if the bound is not positive; if updated without params.
  """
  if bound <= 0:
    raise ValueError(
      f'keep_params_in_box: the bound must be positive, got {bound}.'
    )

  def way(param, end):
    """What to add to `param` to come to `end`, or short of it."""
    difference = end - param
    # It is rounded, and the sum may land a hair outside of the box: then with
    # the next difference inwards it does not.
    step, landed = lax.stop_gradient((difference, param + difference))
    inward = jnp.nextafter(step, -jnp.sign(landed) * jnp.inf) - step
    outside = jnp.abs(landed) > jnp.asarray(bound, param.dtype)
    return difference + jnp.where(outside, inward, 0)

  def update(updates, state, params=None):
    if params is None:
      raise ValueError('keep_params_in_box: its update needs the params.')
    free = optax.apply_updates(params, updates)
    ends = optax.projections.projection_linf_ball(free, bound)
    return jax.tree.map(way, params, ends), state

  return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


def wgan(
  resolution: int | tuple[int, int] = 64,
  channels: int = 3,
  *,
  clip: float = 0.01,
  latent_dim: int = 100,
  width: int = 64,
  learning_rate: float = 5e-5,
  n_critic: int = 5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The Wasserstein GAN of Arjovsky et al.

  Its 'discriminator/loss', negated, estimates the distance between data and
  samples, up to a factor that depends on `clip` and the network.

  Args:
    resolution: as of `jgan.models.dcgan`: a side, or height and width;
      `batch['image']` is `[n, height, width, channels]` in [-1, 1].
    channels: of the pictures.
    clip: c, the largest absolute value of the critic's params, from the first
      step on.
    latent_dim: entries of a latent, standard normal.
    width: channels at half of the resolution.
    learning_rate: RMSProp's, of both players.
    n_critic: moves of the critic for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` without labels.

  Raises:
    ValueError: if the resolution is another; the nearest is named. If `clip` is
      not positive.
  """
  layer_widths(resolution, width)  # refuses what cannot be built

  def rmsprop():
    return optax.rmsprop(learning_rate, decay=0.99, eps_in_sqrt=False)

  shared = {'width': width, 'dtype': dtype, 'axis_name': axis_name}
  gan = standard_gan(
    Generator(resolution, channels, **shared),
    Discriminator(logit_bias=False, **shared),
    loss=losses.wasserstein,
    generator_optimizer=rmsprop(),
    discriminator_optimizer=optax.chain(rmsprop(), keep_params_in_box(clip)),
    latent=latents.normal(latent_dim),
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
  )

  def init(key, batch):
    variables = gan.init(key, batch)
    critic = variables['discriminator']
    params = optax.projections.projection_linf_ball(critic['params'], clip)
    return {**variables, 'discriminator': {**critic, 'params': params}}

  return gan._replace(init=init)
