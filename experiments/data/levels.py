"""Levels of 16-bit grey: which are black and white, and back to them.

Scanners keep 10 to 14 bits in files of 16. A network's [-1, 1] is best spent on
the levels that occur, so these are stretched over it; samples return to them.
"""

import numpy as np

from experiments.data.batches import Resident, to_uint8

Levels = tuple[int, int]
"""Black and white, of 0 to 65535."""

ALL_LEVELS: Levels = (0, 65535)


class _Stretched(Resident):
  """A source of 16-bit pictures, whose levels are replaced by a table."""

  def __init__(self, source: Resident, table: np.ndarray, name: str):
    self.source, self.table, self.name = source, table, name
    self.arrays = source.arrays

  def __len__(self) -> int:
    return len(self.source)

  def take(self, arrays, indices):
    examples = self.source.take(arrays, indices)
    image = examples[self.name]
    table = image.__array_namespace__().asarray(self.table)
    return {**examples, self.name: table[image]}


def stretched(
  source: Resident, levels: Levels, name: str = 'image', who: str = 'levels'
) -> Resident:
  """Returns a source where the given levels are 0 and 65535.

  No two levels between them become one, and `to_uint16` takes each back to
  where it was; those outside are clipped.

  Args:
    source: where the examples are.
    levels: black and white.
    name: of their pictures, uint16.
    who: what asks for them, for the error.

  Raises:
    ValueError: black is not below white, or they are outside of 0 to 65535.
  """
  low, high = checked(levels, who)
  clipped = np.clip(np.arange(65536), low, high)
  table = np.rint((clipped - low) * (65535 / (high - low)))
  return _Stretched(source, table.astype(np.uint16), name)


def to_uint16(images: np.ndarray, levels: Levels = ALL_LEVELS) -> np.ndarray:
  """Returns pictures in [-1, 1] as uint16, rounded; clips what is outside.

  Args:
    images: floats.
    levels: what -1 and 1 become.

  Raises:
    ValueError: as from `stretched`.
  """
  low, high = checked(levels)
  scaled = (np.asarray(images, np.float64) + 1) * ((high - low) / 2)
  return (np.clip(np.rint(scaled), 0, high - low) + low).astype(np.uint16)


def to_pixels(images: np.ndarray, levels: Levels | None) -> np.ndarray:
  """Returns pictures in [-1, 1] in these levels, uint16, or of None in uint8.

  ValueError: as from `stretched`.
  """
  return to_uint8(images) if levels is None else to_uint16(images, levels)


def checked(levels: Levels, who: str = 'levels') -> Levels:
  """Returns levels that are in order. ValueError: they are not."""
  low, high = levels
  if not 0 <= low < high <= 65535:
    raise ValueError(
      f'{who}: needs a black below a white, both of 0 to 65535, got '
      f'{low} and {high}.'
    )
  return low, high
