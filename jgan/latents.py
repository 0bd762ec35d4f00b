"""Latent distributions: `latent(key) -> one example's latent`.

A standard game maps such a function over the keys of the batch's examples
(`jgan.example_keys`). Latents given in `batch['latent']` replace the draw.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

Latent: TypeAlias = Callable[[PRNGKeyArray], Array]


def normal(size: int) -> Latent:
  """Standard normal latents, float32 `[size]`."""

  def draw(key: PRNGKeyArray) -> Float[Array, 'size']:
    return jax.random.normal(key, (size,), jnp.float32)

  return draw


def uniform(size: int, low: float = -1.0, high: float = 1.0) -> Latent:
  """Uniform latents in [low, high), float32 `[size]`; DCGAN's by default."""

  def draw(key: PRNGKeyArray) -> Float[Array, 'size']:
    return jax.random.uniform(key, (size,), jnp.float32, low, high)

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
    bounds = -threshold, threshold
    return jax.random.truncated_normal(key, *bounds, (size,), jnp.float32)

  return draw


def codes(
  noise: int, categories: Sequence[int] = (), continuous: int = 0
) -> Latent:
  """Noise, then codes that a network is to read off the sample (InfoGAN).

  Float32 `[noise + sum(categories) + continuous]`: noise, uniform in [-1, 1);
  a one-hot vector for each category, its values equally likely; continuous
  codes, uniform in [-1, 1). `join_codes` makes such latents of chosen codes.

  Args:
    noise: entries of noise.
    categories: how many values each categorical code has.
    continuous: how many continuous codes there are.

  Raises:
    ValueError: if a category has less than two values.

  References:
    Chen et al., InfoGAN, 2016, section 4 (https://arxiv.org/abs/1606.03657).
  """
  if any(size < 2 for size in categories):
    raise ValueError(
      f'codes: each category needs two values or more, got {categories}.'
    )

  def draw(key: PRNGKeyArray) -> Float[Array, 'size']:
    keys = [jax.random.fold_in(key, i) for i in range(3)]
    sizes = jnp.asarray(categories, jnp.int32)
    return join_codes(
      jax.random.uniform(keys[0], (noise,), jnp.float32, minval=-1),
      jax.random.randint(keys[1], sizes.shape, 0, sizes),
      jax.random.uniform(keys[2], (continuous,), jnp.float32, minval=-1),
      categories,
    )

  return draw


def join_codes(
  noise: Float[Array, '*n d'],
  category: Int[Array, '*n k'],
  continuous: Float[Array, '*n c'],
  categories: Sequence[int],
) -> Float[Array, '*n e']:
  """Latents of `codes` with codes of one's choice, for `batch['latent']`.

  Args:
    noise: the entries of noise.
    category: the value of each categorical code, from 0 on.
    continuous: the continuous codes; outside of [-1, 1] the generator
      extrapolates.
    categories: as of `codes`; `category` has as many entries.

  Raises:
    ValueError: if `category` has another number of entries.
  """
  if category.shape[-1] != len(categories):
    raise ValueError(
      f'join_codes: categories={categories} need as many values for each '
      f'latent, got {category.shape[-1]}.'
    )
  one_hot = [
    jax.nn.one_hot(category[..., i], size, dtype=noise.dtype)
    for i, size in enumerate(categories)
  ]
  return jnp.concatenate([noise, *one_hot, continuous], -1)


def split_codes(
  latent: Float[Array, '*n e'], categories: Sequence[int], continuous: int
) -> tuple[Array, tuple[Array, ...], Array]:
  """The noise, the one-hot categories and the continuous codes of latents.

  Args:
    latent: as `codes` draws it.
    categories: as of `codes`.
    continuous: as of `codes`.
  """
  noise = latent.shape[-1] - sum(categories) - continuous
  ends = np.cumsum([noise, *categories])
  noise, *one_hot, codes = jnp.split(latent, ends, axis=-1)
  return noise, tuple(one_hot), codes
