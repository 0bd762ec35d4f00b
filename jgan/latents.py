"""Latent distributions: `latent(key) -> one example's latent`.

A standard game maps such a function over the keys of the batch's examples
(`jgan.example_keys`). Latents given in `batch['latent']` replace the draw.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
from jaxtyping import Array, Float, PRNGKeyArray

Latent: TypeAlias = Callable[[PRNGKeyArray], Array]


def normal(size: int) -> Latent:
  """Standard normal latents, float32 `[size]`."""

  def draw(key: PRNGKeyArray) -> Float[Array, 'size']:
    return jax.random.normal(key, (size,))

  return draw


def uniform(size: int, low: float = -1.0, high: float = 1.0) -> Latent:
  """Uniform latents in [low, high), float32 `[size]`; DCGAN's by default."""

  def draw(key: PRNGKeyArray) -> Float[Array, 'size']:
    return jax.random.uniform(key, (size,), minval=low, maxval=high)

  return draw


def truncated_normal(size: int, threshold: float) -> Latent:
  """Normal latents whose entries are redrawn beyond +-threshold.

  The truncation trick: sample with a threshold below 1 for better and less
  varied samples than those that a generator was trained on.

  Args:
    size: entries of one latent; the result is float32 `[size]`.
    threshold: the largest absolute value, in standard deviations, above 0.

  References:
    Brock et al., Large Scale GAN Training, 2018, section 3.1
    (https://arxiv.org/abs/1809.11096).
  """
  if threshold <= 0:
    raise ValueError(
      f'truncated_normal: threshold must be positive, got {threshold}.'
    )

  def draw(key: PRNGKeyArray) -> Float[Array, 'size']:
    return jax.random.truncated_normal(key, -threshold, threshold, (size,))

  return draw
