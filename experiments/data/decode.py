"""From pictures as files hold them to arrays, a few at a time or all."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image
from tqdm import tqdm

from experiments.data.batches import to_uint8

# Sets up to this size are kept in memory; others are read as they are needed.
MAX_BYTES = 8 * 2**30

_TASK = 8  # pictures that a thread decodes before it asks for more
_CHUNK = 16 * _TASK  # pictures between two moves of the bar

Reader = Callable[[list[int]], dict[str, np.ndarray]]


class Decoded:
  """A source whose pictures are decoded as they are asked for.

  Args:
    count: number of examples.
    shape: of a picture, (height, width, channels).
    read: the examples at these positions, 'image' [n, *shape] among their
      arrays.
    dtype: of the pictures.
    threads: several call `read` at a time. Pillow decodes outside the
      interpreter's lock, so they are enough; but what is read from memory and
      quickly decoded takes longer so, as each waits for the lock again.
  """

  def __init__(
    self,
    count: int,
    shape: tuple[int, int, int],
    read: Reader,
    dtype: DTypeLike = np.uint8,
    threads: bool = True,
  ):
    self.count, self.shape, self.read = count, shape, read
    self.dtype, self.threads = np.dtype(dtype), threads

  def __len__(self) -> int:
    return self.count

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.asarray(indices).tolist()
    if not self.threads:
      return self.read(rows)
    tasks = [rows[i : i + _TASK] for i in range(0, len(rows), _TASK)]
    with ThreadPoolExecutor() as pool:
      parts = list(pool.map(self.read, tasks))
    return {
      name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }


def chunks(count: int) -> Iterator[np.ndarray]:
  """The positions from 0 to `count`, a few threads' work at a time."""
  for start in range(0, count, _CHUNK):
    yield np.arange(start, min(start + _CHUNK, count))


def fits(source: Decoded) -> bool:
  """Whether all pictures together take at most MAX_BYTES."""
  return _size(source.count, source.shape, source.dtype) <= MAX_BYTES


def in_memory(who: str, source: Decoded) -> dict[str, np.ndarray]:
  """Returns all arrays of a source, with a progress bar on a terminal.

  Raises:
    ValueError: they would take more than MAX_BYTES of memory.
  """
  count = len(source)
  arrays = {'image': empty(who, count, source.shape, source.dtype)}
  bar = tqdm(total=count, desc='pictures', unit='', disable=None, leave=False)
  with bar:
    for rows in chunks(count):
      for name, values in source[rows].items():
        if name not in arrays:
          arrays[name] = np.empty((count, *values.shape[1:]), values.dtype)
        arrays[name][rows] = values
      bar.update(len(rows))
  return arrays


def empty(
  who: str,
  count: int,
  shape: tuple[int, int, int],
  dtype: DTypeLike = np.uint8,
) -> np.ndarray:
  """Returns room for pictures, [count, *shape].

  Raises:
    ValueError: they would take more than MAX_BYTES of memory.
  """
  size = _size(count, shape, dtype)
  if size > MAX_BYTES:
    raise ValueError(
      f'{who}: {count} pictures of {"x".join(map(str, shape))} take '
      f'{size / 2**30:.1f} GiB, and at most {MAX_BYTES / 2**30:.0f} GiB are '
      'held in memory: use a lower resolution or fewer pictures.'
    )
  return np.empty((count, *shape), dtype)


def _size(count, shape, dtype) -> int:
  return count * math.prod(shape) * np.dtype(dtype).itemsize


def flat(image: Image.Image, channels: int) -> Image.Image:
  """Returns a picture of any mode as 8-bit grey or RGB, without transparency.

  Args:
    image: a Pillow image. Transparency is laid over white; 16-bit grey is
      scaled by its whole range.
    channels: 1 for grey, 3 for RGB.

  Raises:
    ValueError: its pixels are floating-point numbers, which have no range, or
      outside of 16 bits.
  """
  if image.mode == 'F':
    raise ValueError('floating-point pixels; 8 or 16 bits are needed')
  if is_deep(image):
    image = Image.fromarray(to_uint8(deep(image)))
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image)
  return image.convert('L' if channels == 1 else 'RGB')


def is_deep(image: Image.Image) -> bool:
  """Whether it is grey of 16 bits, or of 32, as Pillow may hold 16."""
  return image.mode.startswith('I')


def deep(image: Image.Image) -> np.ndarray:
  """Returns the levels of 16-bit grey, uint16 [height, width].

  Raises:
    ValueError: levels of a picture of 32 bits, or of signed ones, are outside
      of 0 to 65535.
  """
  levels = np.asarray(image)
  low, high = int(levels.min()), int(levels.max())
  if low < 0 or high > 65535:
    raise ValueError(
      f'levels from {low} to {high}; 0 to 65535 are needed, so add an offset '
      'to them or divide them'
    )
  return levels.astype(np.uint16)


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
