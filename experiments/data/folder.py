"""Anyone's own pictures: a folder of files of any size and mode."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from experiments.data import decode
from experiments.data.batches import Arrays

SUFFIXES = (
  '.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.tif', '.tiff',
)  # fmt: skip


def folder(
  path: str | os.PathLike, resolution: int, channels: int | None = None
) -> tuple[Arrays, tuple[str, ...]]:
  """Returns every picture under a folder, cropped to one square size.

  Reads files of the SUFFIXES in any case, sorted by path; an animation gives
  its first frame, and what is hidden (a name with a leading dot) is passed
  over. The EXIF rotation is applied, transparency laid over white, 16-bit grey
  scaled to 8; then the central square is resized with antialiasing.

  Args:
    path: the folder. Where all pictures lie in subfolders of it, two or more,
      each subfolder is a class.
    resolution: side of the result in pixels.
    channels: 1 for grey, 3 for colour; None for 1 where every picture is grey,
      whatever its file's mode, and 3 otherwise.

  Returns:
    'image', uint8 [N, resolution, resolution, channels], with 'label', int32
    [N], where there are classes; and the classes' names in the labels' order,
    empty where there are none.

  Raises:
    FileNotFoundError: there is no such folder, or no picture in it.
    NotADirectoryError: the path is a file.
    ValueError: an argument is out of range, a picture cannot be read, or
      together they would not fit into memory.
  """
  if resolution < 1 or channels not in (None, 1, 3):
    raise ValueError(
      'folder: needs a resolution of at least 1 and channels of 1, 3 or None, '
      f'not {resolution=}, {channels=}.'
    )
  source, names = _source(path, resolution, channels or 3)
  arrays = decode.in_memory('folder', source)
  if channels is None and all(map(_is_grey, arrays['image'])):
    arrays['image'] = arrays['image'][..., :1].copy()
  return Arrays(arrays), names


def folder_source(path: str | os.PathLike, resolution: int) -> decode.Decoded:
  """The pictures of `folder`, decoded each time they are asked for.

  They are read once before, up to the first that is not grey.

  Raises:
    FileNotFoundError, NotADirectoryError, ValueError: as from `folder`, but
      for what can be known only when a picture is asked for.
  """
  source, _ = _source(path, resolution, 3)
  grey = all(
    all(map(_is_grey, source[rows]['image']))
    for rows in decode.chunks(len(source))
  )
  if not grey:
    return source

  def read(rows):
    found = source.read(rows)
    return {**found, 'image': found['image'][..., :1]}

  return decode.Decoded(len(source), (resolution, resolution, 1), read)


def _source(path, resolution, channels):
  """The pictures of a folder, and the names of their classes."""
  # A shell leaves the ~ of --path=~/pictures as it is.
  path = os.path.expanduser(path)
  files = _files(path)
  names, labels = _classes(path, files)
  shape = (resolution, resolution, channels)

  def read(rows):
    images = [_pixels(files[i], resolution, channels) for i in rows]
    label = {'label': labels[rows]} if names else {}
    return {'image': np.stack(images)} | label

  return decode.Decoded(len(files), shape, read), names


def _is_grey(image: np.ndarray) -> bool:
  return bool((image == image[..., :1]).all())


def _files(path: str) -> list[Path]:
  """Returns the pictures under `path`, sorted."""
  if not path:
    raise FileNotFoundError('folder: needs the path of a folder of pictures.')
  if not os.path.exists(path):
    raise FileNotFoundError(f'folder: there is no folder {path}.')
  if not os.path.isdir(path):
    raise NotADirectoryError(f'folder: needs a folder, and {path} is a file.')
  files = []
  for parent, folders, names in os.walk(path, onerror=_raise, followlinks=True):
    folders[:] = [name for name in folders if not name.startswith('.')]
    files += [
      Path(parent, name)
      for name in names
      if name.lower().endswith(SUFFIXES) and not name.startswith('.')
    ]
  if not files:
    raise FileNotFoundError(
      f'folder: no picture under {path}; looked for {" ".join(SUFFIXES)}.'
    )
  return sorted(files)


def _raise(error: OSError):
  # os.walk would pass over a folder that it may not read.
  raise error


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


def _pixels(file: Path, resolution: int, channels: int) -> np.ndarray:
  """Returns one picture, uint8 [resolution, resolution, channels]."""
  try:
    with Image.open(file) as image:
      image = decode.flat(ImageOps.exif_transpose(image), channels)
  except Exception as error:
    # Pillow's decoders raise errors of a dozen types for damaged files.
    raise ValueError(
      f'folder: cannot read {file} ({error}). Remove it, or save it anew with '
      'a picture editor.'
    ) from error
  side = min(image.size)
  left, top = (image.width - side) // 2, (image.height - side) // 2
  square = image.crop((left, top, left + side, top + side))
  square = square.resize((resolution, resolution), Image.Resampling.LANCZOS)
  return np.asarray(square).reshape(resolution, resolution, channels)
