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
    read: the examples at these positions: their pictures [n, *shape], as
      'image' or in parts of the channels, and what else there is.
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
  count, arrays = len(source), {}
  _check_size(who, count, source.shape, source.dtype)
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
  _check_size(who, count, shape, dtype)
  return np.empty((count, *shape), dtype)


def _check_size(who, count, shape, dtype) -> None:
  size = _size(count, shape, dtype)
  if size > MAX_BYTES:
    raise ValueError(
      f'{who}: {count} pictures of {"x".join(map(str, shape))} take '
      f'{size / 2**30:.1f} GiB, and at most {MAX_BYTES / 2**30:.0f} GiB are '
      'held in memory: use a lower resolution or fewer pictures.'
    )


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


def prepared(image: Image.Image, channels: int, keep: bool) -> Image.Image:
  """Returns a picture for `cropped`: as `flat` does, or with its 16 bits.

  Args:
    image: a Pillow image.
    channels: 1 for grey, 3 for RGB.
    keep: keep all levels of 16-bit grey, which is returned as floats; Pillow
      resizes them as it does 8 bits.

  Raises:
    ValueError: as from `flat` and `deep`.
  """
  if keep:
    return Image.fromarray(deep(image).astype(np.float32))
  return flat(image, channels)


def cropped(image: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
  """Returns the centre of a picture as an array of this shape.

  It is the largest part of the height's ratio to the width, resized with
  antialiasing; what has the size already keeps every level.

  Args:
    image: as of `prepared`.
    shape: height, width and channels, as many as the picture has.

  Returns:
    uint8, or uint16 of a picture of floats.
  """
  height, width, _ = shape
  image = image.crop(_central(image.size, (width, height)))
  pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
  if pixels.dtype != np.uint8:
    pixels = np.clip(np.rint(pixels), 0, 65535).astype(np.uint16)
  return pixels.reshape(shape)


def _central(
  size: tuple[int, int], ratio: tuple[int, int]
) -> tuple[int, int, int, int]:
  """The largest part of a ratio: left, top, right and bottom.

  Args:
    size: width and height of the whole.
    ratio: of the part's width to its height, as two numbers.
  """
  (width, height), (across, down) = size, ratio
  if width * down > height * across:
    width = max(round(height * across / down), 1)
  else:
    height = max(round(width * down / across), 1)
  left, top = (size[0] - width) // 2, (size[1] - height) // 2
  return left, top, left + width, top + height


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
