"""Augmentations of what a discriminator sees: functions of picture and key.

A transformation is `transform(image, key) -> image` of one picture
`[height, width, channels]` in [-1, 1], differentiable in the picture. `chain`
makes of several what `standard_gan(augment=...)` takes: reals and fakes alike
are augmented, in the moves of both players, so that the generator learns
through it and does not learn to make augmented pictures:

>>> import jax, jax.numpy as jnp
>>> augment = chain(*color, translation, cutout)  # all of DiffAugment
>>> images = jnp.zeros((2, 32, 32, 3))
>>> augment(images, jax.random.split(jax.random.key(0), 2)).shape
(2, 32, 32, 3)

`instance_noise` is of any data, and fades as the game goes on.

References:
  Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020
  (https://arxiv.org/abs/2006.10738).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from jgan.sharding import Keys
from jgan.standard import Augment, Tracker

Image = Float[Array, 'h w c']
Transform = Callable[[Image, PRNGKeyArray], Image]


def chain(
  *transforms: Transform,
) -> Callable[..., Float[Array, 'n h w c']]:
  """`augment(images, keys)`: the transformations, one after the other.

  Transformation number i of an example draws from its key with i folded in. No
  transformations are the identity. What a game tracks for others, such as
  LeCam's means, is taken as a third argument and not read.
  """

  def one(image, key):
    for i, transform in enumerate(transforms):
      image = transform(image, jax.random.fold_in(key, i))
    return image

  def augment(images: Array, keys: Keys, tracked: PyTree = None) -> Array:
    return jax.vmap(one)(images, keys)

  return augment


def by_moves(
  augment: Callable[[Array, Keys, Int[Array, '']], Array],
) -> tuple[Augment, Tracker]:
  """An augmentation that changes with the discriminator's moves.

  Args:
    augment: `(samples [n, ...], keys [n], moves) -> samples`, where `moves`
      counts the discriminator's main moves so far, int32.

  Returns:
    `augment` and `tracker`, as `standard_gan` takes them; what is tracked is
    the number of 'moves'.
  """

  def with_count(samples, keys, tracked):
    return augment(samples, keys, tracked['moves'])

  def update(tracked, real_logits, fake_logits):
    return {'moves': tracked['moves'] + 1}

  return with_count, Tracker({'moves': jnp.int32(0)}, update)


def instance_noise(
  deviation: Callable[[Int[Array, '']], ArrayLike],
) -> tuple[Augment, Tracker]:
  r"""Noise on all that the discriminator sees, which fades as the game goes on.

  .. math:: x + \sigma(t) n, \quad n \sim N(0, I)

  with t the discriminator's moves so far. While it is there, reals and fakes
  have densities that overlap, and no discriminator is perfect.

  Args:
    deviation: sigma as a function of t, in units of the samples, such as
      `optax.linear_schedule(0.1, 0.0, 10_000)`.

  Returns:
    `augment` and `tracker`, as `standard_gan` takes them, for samples of any
    shape.

  References:
    Sonderby et al., Amortised MAP Inference for Image Super-resolution, 2017,
    section 3.2.1 (https://arxiv.org/abs/1610.04490); Arjovsky and Bottou,
    Towards Principled Methods for Training GANs, 2017, section 3
    (https://arxiv.org/abs/1701.04862).
  """

  def augment(samples, keys, moves):
    sigma = jnp.asarray(deviation(moves), samples.dtype)

    def one(sample, key):
      return sample + sigma * jax.random.normal(key, sample.shape, sample.dtype)

    return jax.vmap(one)(samples, keys)

  return by_moves(augment)


def brightness(image: Image, key: PRNGKeyArray) -> Image:
  """Adds one number to all entries, uniform in [-1/2, 1/2)."""
  return image + jax.random.uniform(key, (), image.dtype, -0.5, 0.5)


def saturation(image: Image, key: PRNGKeyArray) -> Image:
  """Scales each pixel's distance from its grey by a factor in [0, 2)."""
  factor = jax.random.uniform(key, (), image.dtype, 0, 2)
  return _from(image.mean(-1, keepdims=True), image, factor)


def contrast(image: Image, key: PRNGKeyArray) -> Image:
  """Scales the distance from the picture's mean by a factor in [1/2, 3/2)."""
  factor = jax.random.uniform(key, (), image.dtype, 0.5, 1.5)
  return _from(image.mean(keepdims=True), image, factor)


color: tuple[Transform, ...] = (brightness, saturation, contrast)
"""DiffAugment's 'color'."""


def translation(image: Image, key: PRNGKeyArray, ratio: float = 0.125) -> Image:
  """Shifts by whole pixels, each axis by up to `ratio` of it; zeros come in.

  All shifts are equally likely. DiffAugment's 'translation'.
  """
  most = [_rounded(ratio * size) for size in image.shape[:2]]
  keys = (jax.random.fold_in(key, axis) for axis in range(2))
  starts = [
    jax.random.randint(k, (), 0, 2 * m + 1)
    for k, m in zip(keys, most, strict=True)
  ]
  padded = jnp.pad(image, [(m, m) for m in most] + [(0, 0)])
  return lax.dynamic_slice(padded, (*starts, 0), image.shape)


def cutout(image: Image, key: PRNGKeyArray, ratio: float = 0.5) -> Image:
  """Sets a rectangle to zero, whose sides are `ratio` of the picture's.

  Its middle lies anywhere in the picture, so that a part of it may be cut off.
  DiffAugment's 'cutout'.
  """
  inside = jnp.ones((1, 1), bool)
  for axis, size in enumerate(image.shape[:2]):
    cut = _rounded(ratio * size)
    middle = jax.random.randint(
      jax.random.fold_in(key, axis), (), 0, size + 1 - cut % 2
    )
    first = middle - cut // 2
    place = jnp.arange(size)
    within = (place >= first) & (place < first + cut)
    inside &= jnp.expand_dims(within, 1 - axis)
  return jnp.where(inside[..., None], 0, image)


def _from(origin, image, factor):
  return origin + (image - origin) * factor


def _rounded(x: float) -> int:
  return int(x + 0.5)
