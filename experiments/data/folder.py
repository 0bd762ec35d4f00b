"""Anyone's own pictures: a folder of files of any size and mode."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from experiments.data import decode
from experiments.data.batches import Arrays
from experiments.data.visible import visible

SUFFIXES = (
  '.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.tif', '.tiff',
)  # fmt: skip

Resolution = int | tuple[int, int]
"""Height and width in pixels, or the side of a square."""


class Header(NamedTuple):
  """What a file says of its picture before it is decoded.

  Attributes:
    deep: whether it is grey of 16 bits.
    size: height and width, before an EXIF rotation.
  """

  deep: bool
  size: tuple[int, int]


def folder(
  path: str | os.PathLike, resolution: Resolution, channels: int | None = None
) -> tuple[Arrays | decode.Decoded, tuple[str, ...]]:
  """Returns every picture under a folder, cropped to one size.

  Reads files of the SUFFIXES in any case, sorted by path; an animation gives
  its first frame, and what is hidden (a name with a leading dot) is passed
  over. The EXIF rotation is applied, and transparency laid over white. Then the
  largest central part of the height's ratio to the width is resized with
  antialiasing; what has the size already keeps every level.

  What would take more than `decode.MAX_BYTES` of memory is left in its files,
  and decoded whenever it is asked for.

  Where all are 16-bit grey, and colour is not asked for, so are the arrays.
  Among others 16-bit grey is scaled to 8 bits, and a line on stderr says so.

  Args:
    path: the folder. Where all pictures lie in subfolders of it, two or more,
      each subfolder is a class.
    resolution: height and width of the result in pixels, or a square's side.
    channels: 1 for grey, 3 for colour; None for 1 where every picture is grey,
      whatever its file's mode, and 3 otherwise.

  Returns:
    'image', uint8 or uint16 [N, height, width, channels], with 'label', int32
    [N], where there are classes; and the classes' names in the labels' order,
    empty where there are none.

  Raises:
    FileNotFoundError: there is no such folder, or no picture in it.
    NotADirectoryError: the path is a file.
    ValueError: an argument is out of range, a picture cannot be read, or
      together those of 16 bits would not fit into memory.
  """
  if min(_sides(resolution)) < 1 or channels not in (None, 1, 3):
    raise ValueError(
      'folder: needs a resolution of at least 1 and channels of 1, 3 or None, '
      f'not {resolution=}, {channels=}.'
    )
  path, files = files_in('folder', path)
  deep = all_deep('folder', files, channels)
  channels_read = 1 if deep else channels or 3
  source, names = _source(path, files, resolution, channels_read, deep)
  if not deep and not decode.fits(source):
    return (_grey_if_all(source) if channels is None else source), names
  arrays = decode.in_memory('folder', source)
  unasked = channels is None and not deep
  if unasked and all(map(_is_grey, arrays['image'])):
    arrays['image'] = arrays['image'][..., :1].copy()
  return Arrays(arrays), names


def folder_source(
  path: str | os.PathLike,
  resolution: Resolution | None = None,
  mixed: Resolution | None = None,
) -> decode.Decoded:
  """The pictures of `folder` in 8 bits, decoded each time they are asked for.

  They are read once before, up to the first that is not grey.

  Args:
    path: as of `folder`.
    resolution: as of `folder`; None for the size that all files have.
    mixed: the resolution where they differ; None for the square of the first
      one's shorter side.

  Raises:
    FileNotFoundError, NotADirectoryError, ValueError: as from `folder`, but
      for what can be known only when a picture is asked for.
  """
  path, files = files_in('folder', path)
  if resolution is None:
    sizes = [header.size for header in _headers('folder', files)]
    same = len(set(sizes)) == 1
    resolution = sizes[0] if same else mixed or min(sizes[0])
  source, _ = _source(path, files, resolution, 3)
  return _grey_if_all(source)


def _grey_if_all(source: decode.Decoded) -> decode.Decoded:
  """The source with one channel, if all of its pictures are grey."""
  grey = all(
    all(map(_is_grey, source[rows]['image']))
    for rows in decode.chunks(len(source))
  )
  if not grey:
    return source

  def read(rows):
    found = source.read(rows)
    return {**found, 'image': found['image'][..., :1]}

  return decode.Decoded(len(source), (*source.shape[:2], 1), read)


def _source(path, files, resolution, channels, deep=False):
  """The pictures of a folder, and the names of their classes."""
  names, labels = _classes(path, files)
  shape = (*_sides(resolution), channels)

  def read(rows):
    images = [_pixels(files[i], shape, deep) for i in rows]
    label = {'label': labels[rows]} if names else {}
    return {'image': np.stack(images)} | label

  dtype = np.uint16 if deep else np.uint8
  return decode.Decoded(len(files), shape, read, dtype), names


def _sides(resolution: Resolution) -> tuple[int, int]:
  height, width = (
    resolution if isinstance(resolution, tuple) else (resolution, resolution)
  )
  return height, width


def _headers(who: str, files: Sequence[Path]) -> list[Header]:
  def header(file):
    with opened(who, file) as image:
      return Header(decode.is_deep(image), (image.height, image.width))

  with ThreadPoolExecutor() as pool:
    return list(pool.map(header, files))


def all_deep(who: str, files: Sequence[Path], channels: int | None) -> bool:
  """Whether 16 bits are kept; says so where some are not."""
  deep = [header.deep for header in _headers(who, files)]
  if not any(deep):
    return False
  if all(deep) and channels != 3:
    return True
  why = (
    'since colour is asked for; 1 channel keeps all levels'
    if all(deep)
    else f'since others are not like it, such as {files[deep.index(False)]}'
  )
  print(
    f'{who}: 16-bit grey such as {files[deep.index(True)]} becomes 8 bits, '
    f'{why}.',
    file=sys.stderr,
  )
  return False


def _is_grey(image: np.ndarray) -> bool:
  return bool((image == image[..., :1]).all())


def files_in(who: str, path: str | os.PathLike) -> tuple[str, list[Path]]:
  """Returns a folder's path, and the pictures under it, sorted.

  FileNotFoundError, NotADirectoryError: as of `folder`, in the name of `who`.
  """
  # A shell leaves the ~ of --path=~/pictures as it is.
  path = os.path.expanduser(path)
  if not path:
    raise FileNotFoundError(f'{who}: needs the path of a folder of pictures.')
  if not os.path.exists(path):
    raise FileNotFoundError(f'{who}: there is no folder {path}.')
  if not os.path.isdir(path):
    raise NotADirectoryError(f'{who}: needs a folder, and {path} is a file.')
  files = []
  for parent, names in visible(path):
    files += [
      Path(parent, name) for name in names if name.lower().endswith(SUFFIXES)
    ]
  if not files:
    raise FileNotFoundError(
      f'{who}: no picture under {path}; looked for {" ".join(SUFFIXES)}.'
    )
  return path, sorted(files)


def _classes(
  path: str, files: list[Path]
) -> tuple[tuple[str, ...], np.ndarray]:
  """Returns the names of the classes, and the class of each file."""
  parts = [file.relative_to(path).parts for file in files]
  names = tuple(sorted({first for first, *_ in parts}))
  if len(names) < 2 or any(len(part) == 1 for part in parts):
    return (), np.empty(0, np.int32)
  number = {name: i for i, name in enumerate(names)}
  return names, np.array([number[first] for first, *_ in parts], np.int32)


def _pixels(file: Path, shape: tuple[int, int, int], deep: bool) -> np.ndarray:
  """Returns one picture [height, width, channels], uint16 if deep, or uint8."""
  with opened('folder', file) as image:
    image = decode.prepared(ImageOps.exif_transpose(image), shape[-1], deep)
  return decode.cropped(image, shape)


@contextlib.contextmanager
def opened(who: str, file: Path) -> Iterator[Image.Image]:
  """A picture. ValueError: it cannot be read."""
  try:
    with Image.open(file) as image:
      yield image
  except Exception as error:
    # Pillow's decoders raise errors of a dozen types for damaged files.
    raise ValueError(
      f'{who}: cannot read {file} ({error}). Remove it, or save it anew with '
      'a picture editor.'
    ) from error
