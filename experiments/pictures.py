"""Pictures as files: many on one grid, and PNGs that are never half written."""

import io
import math
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.data.batches import to_uint8
from experiments.files import write_bytes

_GAP = 2  # pixels
_BACKGROUND = 235  # neither the black nor the white that pictures end in


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
  """Returns pictures side by side, row by row, with a gap around each.

  Args:
    images: [N, height, width, channels], uint8, uint16 or floats in [-1, 1],
      grey or RGB.
    columns: pictures in a row; None for a grid that is nearly square.

  Returns:
    One RGB picture, uint8 [H, W, 3].

  Raises:
    ValueError: there is no picture, its shape or type is another, a pixel is
      not finite, or `columns` is less than 1.
  """
  images = to_uint8(_checked('grid', images, axes=4))
  count, height, width, _ = images.shape
  columns = math.ceil(math.sqrt(count)) if columns is None else columns
  if columns < 1:
    raise ValueError(f'grid: needs at least one column, not {columns}.')
  # What is left of the last row stays background.
  rows = math.ceil(count / columns)
  cell_height, cell_width = height + _GAP, width + _GAP
  shape = (rows * cell_height + _GAP, columns * cell_width + _GAP, 3)
  result = np.full(shape, _BACKGROUND, np.uint8)
  for i, image in enumerate(images):
    top = i // columns * cell_height + _GAP
    left = i % columns * cell_width + _GAP
    result[top : top + height, left : left + width] = image
  return result


def png(image: np.ndarray) -> bytes:
  """Returns a picture as the content of a PNG file.

  Args:
    image: [height, width, channels], uint8 or floats in [-1, 1], grey or RGB;
      or uint16, grey, for a file of 16 bits.

  Raises:
    ValueError: the picture's shape or type is another, or a pixel is not
      finite.
  """
  pixels = _checked('png', image, axes=3)
  if pixels.dtype != np.uint16:
    pixels = to_uint8(pixels)
  elif pixels.shape[-1] != 1:
    raise ValueError(f'png: needs grey for 16 bits, not {pixels.shape}.')
  if pixels.shape[-1] == 1:
    pixels = pixels[..., 0]
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format='PNG')
  return file.getvalue()


def save_png(path: str | os.PathLike, image: np.ndarray) -> None:
  """Writes a picture, whole or not at all, and creates the folders above it.

  Args:
    path: the file; one that is there is replaced.
    image: as of `png`, with its errors.
  """
  write_bytes(Path(path), png(image))


def _checked(who: str, images: np.ndarray, axes: int) -> np.ndarray:
  """Returns pictures after a check of their shape and pixels."""
  images = np.asarray(images)
  if images.ndim != axes or not images.size or images.shape[-1] not in (1, 3):
    layout = ('N, ' if axes == 4 else '') + 'height, width, channels'
    raise ValueError(
      f'{who}: needs pictures [{layout}] of 1 or 3 channels, not '
      f'{images.shape}.'
    )
  if images.dtype in (np.uint8, np.uint16):
    return images
  # numpy alone does not count bfloat16 as floating.
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise ValueError(
      f'{who}: needs uint8, uint16 or floats, not {images.dtype}.'
    )
  if not np.isfinite(images.astype(np.float32)).all():
    raise ValueError(f'{who}: the pictures have pixels that are not finite.')
  return images
