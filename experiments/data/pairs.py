"""Pairs of pictures: inputs, 'x', and what each is to become, 'y'."""

import functools
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from experiments.data import decode
from experiments.data.batches import Arrays, Rows, Source
from experiments.data.folder import all_deep, files_in, opened

Form = tuple[int, bool]
"""Channels of a picture, and whether its 16 bits are kept."""

_TONES = {'1F3FB', '1F3FC', '1F3FD', '1F3FE', '1F3FF'}
_AS_PICTURE = 'FE0F'  # asks for colour, and is another way to write the same
# Two people of different skin tones are written one by one, joined by what
# they do, and two of one tone, or none, as a single sign.
_TOGETHER = {
  '1F469-200D-1F91D-200D-1F468': '1F46B',
  '1F468-200D-1F91D-200D-1F468': '1F46C',
  '1F469-200D-1F91D-200D-1F469': '1F46D',
  '1F9D1-200D-2764-200D-1F48B-200D-1F9D1': '1F48F',
  '1F9D1-200D-2764-200D-1F9D1': '1F491',
  '1F9D1-200D-1F430-200D-1F9D1': '1F46F',
  '1F468-200D-1F430-200D-1F468': '1F46F-200D-2642',
  '1F469-200D-1F430-200D-1F469': '1F46F-200D-2640',
  '1F9D1-200D-1FAEF-200D-1F9D1': '1F93C',
  '1F468-200D-1FAEF-200D-1F468': '1F93C-200D-2642',
  '1F469-200D-1FAEF-200D-1F469': '1F93C-200D-2640',
  '1FAF1-200D-1FAF2': '1F91D',
}
_OPENMOJI = (
  "an npz file of OpenMoji's drawings (https://openmoji.org, CC BY-SA 4.0) as "
  "pictures: 'line', uint8 [N, 64, 64], black on white; 'color', uint8 "
  "[N, 64, 64, 3], the same in colour; 'hexcode' and 'group', the words [N] of "
  "its openmoji.json; 'base', bool [N], true without skin tones"
)


def parted(source: Source, share: float) -> tuple[Rows, Rows]:
  """Two parts of a source: to train on, and held out.

  Args:
    source: two examples or more.
    share: of the examples that are held out, drawn once and for all; at least
      one example is, and one is not.

  Raises:
    ValueError: there are less than two examples.
  """
  size = len(source)
  if size < 2:
    raise ValueError(
      f'parted: needs two examples or more, to train on one and hold out '
      f'another, got {size}.'
    )
  order = np.random.default_rng(0).permutation(size)
  held_out = min(max(round(share * size), 1), size - 1)
  return (
    Rows(source, np.sort(order[held_out:])),
    Rows(source, np.sort(order[:held_out])),
  )


def paired_folder(
  path: str | os.PathLike,
  resolution: int,
  x_channels: int = 3,
  y_channels: int = 3,
  reverse: bool = False,
) -> Arrays:
  """Returns the pairs of pictures under a folder.

  In one of two layouts. Side by side: every file holds both pictures, two
  squares, the input on the left. Two subfolders: where the folder has two, more
  without pictures apart, and no picture beside them, files of one name,
  whatever its ending, are a pair, of one shape if not of one size; the input is
  in the subfolder whose name is first in the alphabet. Of what is no square the
  centre is taken. Formats, transparency, rotation and 16 bits, of inputs and of
  translations apart, are as of `experiments.data.folder`.

  Args:
    path: the folder.
    resolution: side of the result in pixels.
    x_channels: of inputs: 1 for grey, 3 for colour.
    y_channels: of their translations.
    reverse: the inputs are those on the right, or in the second subfolder.

  Returns:
    'x' and 'y', uint8 or uint16 [N, resolution, resolution, channels].

  Raises:
    FileNotFoundError: there is no such folder, or no picture in it.
    NotADirectoryError: the path is a file.
    ValueError: a picture has no partner, or one of another shape, or is no two
      squares side by side, or cannot be read; or an argument is out of range.
  """
  _check('paired_folder', resolution, x_channels, y_channels)
  path, files = files_in('paired_folder', path)
  folder = Path(path)
  subfolders = [
    child
    for child in sorted(folder.iterdir())
    if child.is_dir() and not child.name.startswith('.')
  ]
  held = {file.relative_to(folder).parts[0] for file in files}
  if len(subfolders) > 2:
    subfolders = [child for child in subfolders if child.name in held]
  beside = any(file.parent == folder for file in files)
  in_two = len(subfolders) == 2 and not beside
  pairs = _partners(*subfolders) if in_two else [(file,) for file in files]
  cut = _two_files if in_two else _side_by_side
  # As the files have them: which of the two is grey depends on which is the
  # input.
  order = slice(None, None, -1 if reverse else 1)
  channels = (x_channels, y_channels)[order]
  keep = _kept(list(zip(*pairs, strict=True)), channels)
  forms = list(zip(channels, keep, strict=True))

  def one(files):
    sides = cut(files, forms)
    return [
      decode.cropped(image, (resolution, resolution, n))
      for image, n in zip(sides, channels, strict=True)
    ][order]

  def read(rows):
    x, y = zip(*(one(pairs[i]) for i in rows), strict=True)
    return {'x': np.stack(x), 'y': np.stack(y)}

  shape = (resolution, resolution, sum(channels))
  dtype = np.uint16 if any(keep) else np.uint8
  source = decode.Decoded(len(pairs), shape, read, dtype)
  return Arrays(decode.in_memory('paired_folder', source))


def _kept(sides: Sequence[Sequence[Path]], channels: Sequence[int]):
  """Whether 16 bits are kept of the first and of the second of the pairs."""
  # Each file is looked at once, also where it holds both.
  told = functools.cache(functools.partial(all_deep, 'paired_folder'))
  return [told(sides[i % len(sides)], n) for i, n in enumerate(channels)]


def pictures(
  path: str | os.PathLike, resolution: int, channels: int
) -> np.ndarray:
  """Returns one picture, or all under a folder, to translate.

  Args:
    path: a file or a folder.
    resolution: side of the central square in pixels.
    channels: 1 for grey, 3 for colour.

  Returns:
    uint8, or uint16 where all are 16-bit grey and channels is 1, [N,
    resolution, resolution, channels], sorted by path.

  Raises:
    FileNotFoundError: there is no such path, or no picture in it.
    ValueError: a picture cannot be read.
  """
  file = Path(os.path.expanduser(path))  # of '' the current folder
  files = [file] if file.is_file() else files_in('pictures', path)[1]
  form = (channels, all_deep('pictures', files, channels))
  shape = (resolution, resolution, channels)
  images = (_open('pictures', file, [form])[0] for file in files)
  return np.stack([decode.cropped(image, shape) for image in images])


def openmoji(
  path: str | os.PathLike, *, skin_tones: bool = False, flags: bool = False
) -> tuple[Arrays, Arrays]:
  """Returns line drawings of emoji with their colours, in two parts.

  A fifth of the emoji is held out; which, depends on an emoji's code alone. All
  skin tones of one emoji are in one part.

  Args:
    path: an npz file with the arrays 'line', uint8 [N, side, side], 'color',
      uint8 [N, side, side, 3], 'hexcode' and 'group', words [N], and 'base',
      bool [N], true without skin tones.
    skin_tones: also the variants with them, whose lines tell no tone.
    flags: also flags, the lines of which are one and the same frame.

  Returns:
    To train on, and held out: 'x', the line, uint8 [n, side, side, 1], and 'y',
    the colours, uint8 [n, side, side, 3].

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is another.
  """
  arrays = _openmoji_arrays(path)
  line, color, hexcode = (arrays[k] for k in ('line', 'color', 'hexcode'))
  emoji = np.array([_emoji(code) for code in hexcode.tolist()])
  chosen = emoji != ''  # the five tones themselves, as patches
  if not skin_tones:
    chosen &= arrays['base']
  if not flags:
    chosen &= arrays['group'] != 'flags'
  number = np.array([zlib.crc32(x.encode()) for x in emoji])
  # Not in the order of codes, in which the first held out are all alike.
  order = np.argsort(number, kind='stable')
  rows = order[chosen[order]]
  held_out = number[rows] % 5 == 0
  return tuple(
    Arrays({'x': line[rows[part], ..., None], 'y': color[rows[part]]})
    for part in (~held_out, held_out)
  )


def _openmoji_arrays(path) -> dict[str, np.ndarray]:
  """The arrays of the file, of the right form."""
  path = Path(os.path.expanduser(path or ''))
  if not path.is_file():
    raise FileNotFoundError(
      f'openmoji: --path={path if path.name else ""} is no file; it needs '
      f'{_OPENMOJI}.'
    )
  damaged = f'openmoji: {path} is no npz file, or a damaged one; needs'
  if not zipfile.is_zipfile(path):
    raise ValueError(f'{damaged} {_OPENMOJI}.')
  try:
    with np.load(path) as file:
      arrays = {name: file[name] for name in file.files}
  except (ValueError, zlib.error, zipfile.BadZipFile, EOFError) as error:
    raise ValueError(f'{damaged} {_OPENMOJI}.') from error
  form = {name: (x.dtype.kind, x.ndim) for name, x in arrays.items()}
  needed = {
    'line': ('u', 3),
    'color': ('u', 4),
    'hexcode': ('U', 1),
    'group': ('U', 1),
    'base': ('b', 1),
  }
  found = {name: form.get(name) for name in needed}
  alike = len({len(arrays[name]) for name in needed if name in arrays}) == 1
  if found != needed or not alike:
    told = {name: f'{x.dtype} {list(x.shape)}' for name, x in arrays.items()}
    raise ValueError(f'openmoji: {path} has {told}; needs {_OPENMOJI}.')
  return arrays


def _emoji(hexcode: str) -> str:
  """What variants in skin tone have in common; '' of a tone itself."""
  parts = [
    part
    for part in hexcode.split('-')
    if part not in _TONES and part != _AS_PICTURE
  ]
  code = '-'.join(parts)
  return _TOGETHER.get(code, code)


def _check(who, resolution, *channels):
  if resolution < 1 or not set(channels) <= {1, 3}:
    raise ValueError(
      f'{who}: needs a resolution of at least 1 and channels of 1 or 3, got '
      f'{resolution=}, channels of {" and ".join(map(str, channels))}.'
    )


def _partners(first: Path, second: Path) -> list[tuple[Path, Path]]:
  """Files of one name, in both folders."""
  one, other = _by_name(first), _by_name(second)
  for have, lack, folder in ((one, other, second), (other, one, first)):
    if alone := sorted(set(have) - set(lack)):
      raise ValueError(
        f'paired_folder: {have[alone[0]]} has no partner {alone[0]} in '
        f'{folder}, and {len(alone) - 1} more have none. Pictures are paired '
        'by name; where each file holds both, side by side, give one of the '
        'two folders; for unpaired ones there is the experiment unpaired.'
      )
  return [(one[name], other[name]) for name in sorted(one)]


def _by_name(folder: Path) -> dict[str, Path]:
  """The pictures under a folder by their path in it, without the ending."""
  found = {}
  for file in files_in('paired_folder', folder)[1]:
    name = file.relative_to(folder).with_suffix('').as_posix()
    if name in found:
      raise ValueError(
        f'paired_folder: {found[name]} and {file} have one name, and a pair is '
        'found by it. Rename one of them.'
      )
    found[name] = file
  return found


def _two_files(
  files: Sequence[Path], forms: Sequence[Form]
) -> tuple[Image.Image, Image.Image]:
  one, other = (
    _open('paired_folder', file, [form])[0]
    for file, form in zip(files, forms, strict=True)
  )
  # Of one shape but for the rounding of sizes to whole pixels.
  (a, b), (c, d) = one.size, other.size
  if abs(a * d - b * c) > max(a, b, c, d):
    raise ValueError(
      f'paired_folder: {files[0]} of {a}x{b} and {files[1]} of {c}x{d} differ '
      'in shape, so that their pixels do not belong together. Crop one.'
    )
  return one, other


def _side_by_side(
  files: Sequence[Path], forms: Sequence[Form]
) -> tuple[Image.Image, Image.Image]:
  (file,) = files
  left, right = _open('paired_folder', file, forms)
  width, height = left.size
  if width != 2 * height:
    raise ValueError(
      f'paired_folder: {file} of {width}x{height} cannot be split into two '
      'squares side by side: it must be twice as wide as high. Pairs in two '
      'files each go into two subfolders, under equal names; for unpaired '
      'pictures there is the experiment unpaired.'
    )
  return (
    left.crop((0, 0, height, height)),
    right.crop((height, 0, width, height)),
  )


def _open(who: str, file: Path, forms: Sequence[Form]) -> list[Image.Image]:
  """A picture in each of these forms."""
  with opened(who, file) as image:
    upright = ImageOps.exif_transpose(image)
    return [decode.prepared(upright, *form) for form in forms]
