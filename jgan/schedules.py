"""Schedules: functions of the step, such as the decay of an average.

Schedules of learning rates are optax's, which count an optimizer's own updates.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def ema_half_life(
  images: int,
  batch_size: int,
  *,
  n_critic: int = 1,
  ramp_up: float | None = None,
) -> Callable[[Int[Array, '']], Float[Array, '']]:
  r"""The decay of averaged params, by its half-life in images.

  .. math:: \beta = 2^{-b / h}

  with b the images of the steps from one of the generator's moves to the next,
  and h the half-life. So a recipe keeps its meaning at another batch size. What
  `Player.ema_decay` and `standard_gan(ema_decay=...)` take.

  Args:
    images: h, after so many images a state's share in the average has halved.
    batch_size: images in a step.
    n_critic: steps to a move of the generator.
    ramp_up: the half-life is at most this share of the images seen so far, .05
      in StyleGAN2-ADA, so that an early average is young; None for none.

  Returns:
    A function of the step.

  Raises:
    ValueError: if an argument is not positive.

  References:
    Karras et al., Progressive Growing of GANs, 2018, and their later codes.
  """
  ramp = 1 if ramp_up is None else ramp_up
  if not all(x > 0 for x in (images, batch_size, n_critic, ramp)):
    raise ValueError(
      'ema_half_life: needs positive arguments, got '
      f'{images=}, {batch_size=}, {n_critic=}, {ramp_up=}.'
    )

  def decay(step):
    seen = (jnp.asarray(step, float) + 1) * batch_size
    half_life = images
    if ramp_up is not None:
      half_life = jnp.minimum(images, ramp_up * seen)
    return jnp.exp2(-batch_size * n_critic / half_life)

  return decay


def cosine(
  start: float, end: float, steps: int
) -> Callable[[Int[Array, '']], Float[Array, '']]:
  r"""From one value to another over half a cosine; then it stays.

  .. math:: e + (s - e) (1 + \cos(\pi \min(t / T, 1))) / 2

  Args:
    start: s, at step 0.
    end: e, from step T on.
    steps: T.

  Returns:
    A function of the step, also as optax takes it for hyperparameters.

  Raises:
    ValueError: if there are no steps.
  """
  if not steps > 0:
    raise ValueError(f'cosine: needs at least one step, got {steps=}.')

  def value(step):
    share = jnp.minimum(step / steps, 1)
    return end + (start - end) * (1 + jnp.cos(jnp.pi * share)) / 2

  return value
