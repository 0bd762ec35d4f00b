"""DCGAN on your own pictures: any sizes and modes, subfolders as labels.

Where all are 16-bit grey and --channels=1, no level is lost on the way to the
network and from it to files of samples. --levels says which of the 65,536 are
black and white, here and in grids: scans of 12 bits lie in the lowest 4,096.
docs/medical.md has a run on slices of a head, with its picture.
"""

import dataclasses
from typing import Annotated

import tyro

import jgan
from experiments import data, dcgan, own_data, windows
from experiments.errors import counted
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
  levels: windows.Flag = None
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
  count = len(names)
  if config.num_classes not in (0, count):
    raise ValueError(
      f'--num-classes={config.num_classes}, but {config.path} has '
      f'{counted(count, "subfolder")} of pictures{": " * bool(names)}'
      f'{", ".join(names)}'
    )
  source = windows.applied(
    source, config.levels, flag='--levels', path=config.path
  )
  return data.mirrored(source) if config.mirror else source
