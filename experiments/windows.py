"""Windows of 16-bit grey: the levels that a flag makes black and white."""

import sys
from typing import Annotated

import numpy as np
import tyro

from experiments import data

Flag = Annotated[
  data.Levels | None, tyro.conf.arg(metavar='INT INT', help_behavior_hint='')
]
"""Of a `Config`: black and white."""


def applied(
  source: data.Source,
  levels: data.Levels | None,
  *,
  flag: str,
  path: str,
  name: str = 'image',
  least: int = 2**14,
) -> data.Source:
  """Returns a source in the levels of a flag, if its pictures have 16 bits.

  A line on stderr tells how much is outside of them.

  Args:
    source: where the pictures are, in memory if they have 16 bits.
    levels: black and white, by the flag; None if it is not given.
    flag: its name. The flag of the channels is called alike.
    path: where the pictures were read.
    name: of the pictures in an example.
    least: how far the darkest and the brightest level must be apart where the
      flag is not given, which then means all levels; beyond 65,535 it must be.

  Raises:
    ValueError: the pictures have 8 bits and the flag is given, or they have 16
      and it is missing, or its levels are in no order.
  """
  if source[np.arange(1)][name].dtype != np.uint16:
    if levels:
      raise ValueError(
        f'{flag} is for 16-bit grey, which all pictures must be, and for '
        f'{flag.replace("levels", "channels")}=1; those of {path} are taken as '
        '8 bits'
      )
    return source
  images = source.arrays[name]
  low, high = int(images.min()), int(images.max())
  if levels is None and high - low < least:
    # A network that ends in tanh would have to keep to a corner of it.
    raise ValueError(
      f'the 16-bit pictures of {path} have levels from {low} to {high} of '
      '65,536; say which are black and white, for instance '
      f'{flag} {low} {high}'
    )
  black, white = levels or data.ALL_LEVELS
  result = data.stretched(source, (black, white), name, flag)
  clipped = sum(((x < black) | (x > white)).sum() for x in images)
  if clipped:
    print(
      f'{clipped / images.size:.2%} of the pixels of {path} are outside of '
      f'{flag} {black} {white} and are clipped; theirs are from {low} to '
      f'{high}.',
      file=sys.stderr,
    )
  return result
