"""From pictures as files hold them to one uint8 array in memory."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from tqdm import tqdm

# Whole sets are kept in memory; more than this does not fit a common machine.
MAX_BYTES = 8 * 2**30

_CHUNK = 32  # Pictures to a task: the bar moves, and tasks are not too small.


def empty(who: str, count: int, shape: tuple[int, int, int]) -> np.ndarray:
  """Returns room for pictures, uint8 [count, *shape].

  Raises:
    ValueError: they would take more than MAX_BYTES of memory.
  """
  size = count * math.prod(shape)
  if size > MAX_BYTES:
    raise ValueError(
      f'{who}: {count} pictures of {"x".join(map(str, shape))} take '
      f'{size / 2**30:.1f} GiB, and at most {MAX_BYTES / 2**30:.0f} GiB are '
      'held in memory: use a lower resolution or fewer pictures.'
    )
  return np.empty((count, *shape), np.uint8)


def in_threads(load: Callable[[range], None], count: int) -> None:
  """Calls `load` on ranges that cover `range(count)`, several at a time.

  Pillow decodes outside the interpreter's lock, so threads are enough. Shows a
  progress bar where stderr is a terminal. The first error ends it.
  """
  chunks = [
    range(start, min(start + _CHUNK, count))
    for start in range(0, count, _CHUNK)
  ]
  bar = tqdm(total=count, desc='pictures', unit='', disable=None, leave=False)
  with bar, ThreadPoolExecutor() as pool:
    for chunk, _ in zip(chunks, pool.map(load, chunks), strict=True):
      bar.update(len(chunk))


def flat(image: Image.Image, channels: int) -> Image.Image:
  """Returns a picture of any mode as 8-bit grey or RGB, without transparency.

  Args:
    image: a Pillow image. Transparency is laid over white; 16-bit grey is
      scaled by its whole range.
    channels: 1 for grey, 3 for RGB.

  Raises:
    ValueError: its pixels are floating-point numbers, which have no range.
  """
  if image.mode == 'F':
    raise ValueError('floating-point pixels; 8 or 16 bits are needed')
  if image.mode.startswith('I'):
    # 'I' is how Pillow holds 16-bit grey in 32 bits.
    pixels = np.clip(np.asarray(image), 0, 65535) / 257
    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image)
  return image.convert('L' if channels == 1 else 'RGB')


def padded(who: str, images: np.ndarray, resolution: int) -> np.ndarray:
  """Returns pictures [..., height, width, channels] in a square of zeros.

  Args:
    who: whose pictures they are, for the error.
    images: the pictures; they come to lie in the middle.
    resolution: side of the square in pixels.

  Raises:
    ValueError: the pictures are larger than `resolution`.
  """
  height, width = images.shape[-3:-1]
  if max(height, width) > resolution:
    raise ValueError(
      f'{who}: pictures of {height}x{width} do not fit into resolution '
      f'{resolution}: needs at least {max(height, width)}.'
    )
  margins = [
    ((resolution - side) // 2, (resolution - side + 1) // 2)
    for side in (height, width)
  ]
  return np.pad(images, [(0, 0)] * (images.ndim - 3) + [*margins, (0, 0)])
