"""Anyone's own clips: a folder of GIFs, or of folders of frames."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from experiments.data import decode
from experiments.data.folder import SUFFIXES
from experiments.data.visible import visible

ANIMATIONS = ('.gif', '.webp', '.apng')


class Clips:
  """A source of every run of successive frames, `frames` of them each.

  Example i starts at the i-th frame of which so many are left, counted through
  all sequences in order.

  Args:
    sequences: uint8 [length, height, width, channels], of one shape but for
      their length.
    frames: of an example; at most as many as the shortest sequence has.
  """

  def __init__(self, sequences: Sequence[np.ndarray], frames: int):
    self.sequences, self.frames = sequences, frames
    self.ends = np.cumsum([len(x) - frames + 1 for x in sequences])

  def __len__(self) -> int:
    return int(self.ends[-1])

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    indices = np.asarray(indices)
    sequence = np.searchsorted(self.ends, indices, side='right')
    first = indices - np.concatenate([[0], self.ends])[sequence]
    video = [
      self.sequences[number][start : start + self.frames]
      for number, start in zip(sequence, first, strict=True)
    ]
    return {'video': np.stack(video)}


def clips(
  path: str | os.PathLike, frames: int, resolution: int, channels: int = 3
) -> Clips:
  """Returns the clips under a folder, in memory, cropped to one square size.

  A clip is an animation (.gif, .webp, .apng), or a folder of pictures, its
  frames in the order of their names, where numbers count as such: 2.png comes
  before 10.png. The EXIF rotation is applied, and transparency laid over white;
  then the central square is resized with antialiasing. How long a frame of an
  animation stays is not looked at. What is hidden (a leading dot) is passed
  over.

  Args:
    path: the folder; clips may lie in subfolders of it, at any depth.
    frames: of an example.
    resolution: height and width of the result in pixels.
    channels: 1 for grey, 3 for colour.

  Returns:
    A source of 'video', uint8 [n, frames, resolution, resolution, channels].

  Raises:
    FileNotFoundError: there is no such folder, or no clip in it.
    NotADirectoryError: the path is a file.
    ValueError: a number is out of range, a file cannot be read, a clip has too
      few frames or frames of several sizes, or together they would not fit into
      memory.
  """
  if min(frames, resolution) < 1 or channels not in (1, 3):
    raise ValueError(
      'clips: needs frames and a resolution of at least 1 and channels of 1 or '
      f'3, not {frames=}, {resolution=}, {channels=}.'
    )
  # A shell leaves the ~ of --path=~/clips as it is.
  found = _found(os.path.expanduser(path))
  shape = (resolution, resolution, channels)
  sequences, total = [], 0
  for place, files in found:
    sequence = _sequence(place, files, shape)
    if len(sequence) < frames:
      raise ValueError(
        f'clips: {place} has {_frames(len(sequence))}, and clips of {frames} '
        'are asked for. Take it away, or ask for shorter clips.'
      )
    total += len(sequence)
    decode.empty('clips', total, shape)  # refuses what does not fit
    sequences.append(sequence)
  return Clips(sequences, frames)


def _found(path: str) -> list[tuple[Path, list[Path]]]:
  """Clips as where they are and their files: one animation, or frames."""
  if not path:
    raise FileNotFoundError('clips: needs the path of a folder of clips.')
  if not os.path.exists(path):
    raise FileNotFoundError(f'clips: there is no folder {path}.')
  if not os.path.isdir(path):
    raise NotADirectoryError(f'clips: needs a folder, and {path} is a file.')
  found = []
  for parent, names in visible(path):
    files = [Path(parent, name) for name in sorted(names, key=_counted)]
    kinds = [file.suffix.lower() for file in files]
    found += [
      (file, [file])
      for file, kind in zip(files, kinds, strict=True)
      if kind in ANIMATIONS
    ]
    frames = [
      file
      for file, kind in zip(files, kinds, strict=True)
      if kind in SUFFIXES and kind not in ANIMATIONS
    ]
    if frames:
      found.append((Path(parent), frames))
  if not found:
    raise FileNotFoundError(
      f'clips: no clip under {path}; looked for {" ".join(ANIMATIONS)} and for '
      f'folders of {" ".join(x for x in SUFFIXES if x not in ANIMATIONS)}.'
    )
  return sorted(found)


def _frames(count: int) -> str:
  return '1 frame' if count == 1 else f'{count} frames'


def _counted(name: str) -> tuple[list[str | int], str]:
  """A key by which 2.png comes before 10.png."""
  parts = re.split('([0-9]+)', name)  # numbers at odd places
  return [int(x) if i % 2 else x for i, x in enumerate(parts)], name


def _sequence(
  place: Path, files: list[Path], shape: tuple[int, int, int]
) -> np.ndarray:
  """The frames of a clip, uint8 [length, *shape]."""
  sizes, frames = set(), []
  for file in files:
    try:
      with Image.open(file) as image:
        for frame in ImageSequence.Iterator(image):
          sizes.add(frame.size)
          frames.append(_pixels(frame, shape))
    except Exception as error:
      # Pillow's decoders raise errors of a dozen types for damaged files.
      raise ValueError(
        f'clips: cannot read {file} ({error}). Take it away, or save it anew.'
      ) from error
  if len(sizes) > 1:
    told = ' and '.join(f'{w}x{h}' for w, h in sorted(sizes)[:2])
    raise ValueError(
      f'clips: {place} has frames of {told} pixels, and those of a clip must '
      'be of one size.'
    )
  return np.stack(frames)


def _pixels(image: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
  resolution, _, channels = shape
  # Of a copy: flat would change what the animation's next frame is drawn on.
  image = decode.flat(ImageOps.exif_transpose(image), channels)
  square = ImageOps.fit(
    image, (resolution, resolution), Image.Resampling.LANCZOS
  )
  return np.asarray(square).reshape(shape)
