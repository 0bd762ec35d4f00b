"""Spoken digits: files named as those of the Free Spoken Digit Dataset are."""

import os
import re
from collections.abc import Callable
from pathlib import PurePosixPath

from experiments.data.batches import Arrays
from experiments.data.wav import wavs

RATE = 8000  # samples a second
_HELD_OUT = 5  # takes of each digit by each speaker, as its authors split them


def spoken_digits(
  path: str | os.PathLike, length: int, held_out: bool = False
) -> Arrays:
  """Returns recordings of digits at 8 kHz, each scaled to full peak.

  Files are named `{digit}_{speaker}_{take}.wav`; those of the takes 0 to 4 are
  held out, a tenth of the data set.

  Args:
    path: the folder, or the archive, as `wavs` reads it.
    length: samples of a clip; of a longer recording the loudest window.
    held_out: return the recordings held out in place of all others.

  Returns:
    'sound', int16 [N, length, 1], and 'label', int32 [N], the digit.

  Raises:
    FileNotFoundError: there is no such path, or no recording of these in it.
    ValueError: as from `wavs`; or a digit is missing, or there are others.
  """
  arrays, names = wavs(path, length, RATE, normalise=True, wanted=_of(held_out))
  if names != tuple(map(str, range(10))):
    which = f'takes below {_HELD_OUT}' if held_out else 'other takes'
    raise ValueError(
      'spoken_digits: needs files {digit}_{speaker}_{take}.wav of each digit '
      f'from 0 to 9, among them takes below {_HELD_OUT}, which are held out, '
      f'and others; of the {which}, {path} has: {", ".join(names) or "none"}.'
    )
  return arrays


def _of(held_out: bool) -> Callable[[PurePosixPath], bool]:
  """Whether a file is of the takes that are held out, or of the others."""

  def wanted(name):
    take = re.fullmatch(r'\d+_.+_(\d+)', name.stem)
    return take is not None and (int(take[1]) < _HELD_OUT) == held_out

  return wanted
