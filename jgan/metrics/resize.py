"""The two ways in which pictures are resized before features are taken.

Scores depend on it, so each is named. Parmar et al., On Aliased Resizing and
Surprising Subtleties in GAN Evaluation, 2022
(https://arxiv.org/abs/2104.11222) compare them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def resize_tf1_bilinear(
  images: Float[Array, 'n h w c'], size: int
) -> Float[Array, 'n {size} {size} c']:
  """Resizes as the reference code of FID does: TensorFlow 1's bilinear.

  Output position i lies at `i * in / out` of the input, between its two
  neighbours: without half-pixel centres, and without antialiasing.

  Args:
    images: pictures in any range.
    size: height and width of the result.

  Returns:
    Pictures in the same range.
  """
  for axis in (2, 1):
    low, high, weight = _neighbours(images.shape[axis], size)
    weight = weight.reshape([-1 if i == axis else 1 for i in range(4)])
    first, second = (
      jnp.take(images, i, axis, mode='clip') for i in (low, high)
    )
    images = first + (second - first) * weight
  return images


def resize_clean(
  images: Float[Array, 'n h w c'], size: int
) -> Float[Array, 'n {size} {size} c']:
  """Resizes as clean-fid does: Pillow's antialiased bicubic on floats.

  Args:
    images: pictures in 0 to 255; the result is cut off there, where bicubic
      interpolation oversteps.
    size: height and width of the result.

  Returns:
    Pictures in 0 to 255.
  """
  n, _, _, channels = images.shape
  resized = jax.image.resize(
    images,
    (n, size, size, channels),
    'cubic',
    antialias=True,
    precision=jax.lax.Precision.HIGHEST,
  )
  return jnp.clip(resized, 0, 255)


def _neighbours(
  length: int, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The two input positions of each output position, and the second's share."""
  # In float32, as TensorFlow does, which decides where a position is whole.
  position = np.arange(size, dtype=np.float32) * (
    np.float32(length) / np.float32(size)
  )
  low = position.astype(np.int32)
  high = np.minimum(low + 1, length - 1)
  return low, high, position - low.astype(np.float32)
