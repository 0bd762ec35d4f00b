"""DCGAN on your own pictures: any sizes and modes, subfolders as labels.

Where all are 16-bit grey and --channels=1, no level is lost on the way to the
network and from it to files of samples. --levels says which of the 65,536 are
black and white, here and in grids: scans of 12 bits lie in the lowest 4,096.
docs/medical.md has a run on slices of a head, with its picture.
"""

import dataclasses
import sys
from typing import Annotated

import numpy as np
import tyro

import jgan
from experiments import data, dcgan, own_data
from jgan import augment as augments


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(dcgan.Config, own_data.OfFolders):
  """The numbers worth changing."""

  path: str = ''
  """folder of pictures"""
  resolution: Annotated[
    int | tuple[int, int], tyro.conf.arg(metavar='INT [INT]')
  ] = 64
  """height and width, or a side"""
  channels: int = 3
  """3: colour; 1: grey"""
  levels: Annotated[
    tuple[int, int] | None,
    tyro.conf.arg(metavar='INT INT', help_behavior_hint=''),
  ] = None
  """black and white, of 16 bits"""
  mirror: bool = False
  """also every picture mirrored"""
  augment: bool = False
  """DiffAugment, for few pictures"""


def make_gan(config: Config) -> jgan.GAN:
  options = {}
  if config.augment:
    options['augment'] = augments.chain(
      *augments.color, augments.translation, augments.cutout
    )
  return dcgan.make_gan(config, config.resolution, config.channels, **options)


def make_data(config: Config) -> data.Source:
  own_data.check_contents(config.folders, config.contents)
  source, names = data.folder(config.path, config.resolution, config.channels)
  if config.num_classes not in (0, len(names)):
    raise ValueError(
      f'--num-classes={config.num_classes}, but {config.path} has '
      f'{len(names)} subfolders of pictures{": " * bool(names)}'
      f'{", ".join(names)}'
    )
  source = _in_levels(source, config)
  return data.mirrored(source) if config.mirror else source


def _in_levels(source: data.Source, config: Config) -> data.Source:
  """The pictures with --levels as black and white, if they have 16 bits."""
  levels = config.levels
  if source[np.arange(1)]['image'].dtype != np.uint16:
    if levels:
      raise ValueError(
        '--levels is for 16-bit grey, which all pictures must be, and for '
        f'--channels=1; those of {config.path} are taken as 8 bits'
      )
    return source
  images = source.arrays['image']
  low, high = int(images.min()), int(images.max())
  if levels is None and high - low < 2**14:
    # A network that ends in tanh would have to keep to a corner of it.
    raise ValueError(
      f'the 16-bit pictures of {config.path} have levels from {low} to {high} '
      'alone, a quarter of the range or less; say which are black and white, '
      f'for instance --levels {low} {high}'
    )
  levels = levels or data.ALL_LEVELS
  result = data.stretched(source, levels)
  clipped = sum(((x < levels[0]) | (x > levels[1])).sum() for x in images)
  if clipped:
    print(
      f'folder: {clipped / images.size:.2%} of the pixels are outside of '
      f'--levels {levels[0]} {levels[1]} and are clipped; theirs are from '
      f'{low} to {high}.',
      file=sys.stderr,
    )
  return result
