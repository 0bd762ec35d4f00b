"""pix2pix (Isola et al., 2017) on your own pairs of pictures.

Of files that hold both pictures side by side, the input on the left, or of two
subfolders with files of equal names, the input in the one that is first in the
alphabet; --reverse changes the direction. The published sets (facades, maps,
edges2shoes, cityscapes) have the first form: --path=facades/train
--held-out=facades/val. To translate pictures of your own:

  python -m experiments.sample --workdir=... --input=my_pictures/

The defaults are the paper's for facades: batches of one, 80,000 steps; that the
rate falls in the second half is from the authors' PyTorch code. Pairs are
mirrored, but not enlarged and cropped at random as theirs. 16-bit grey keeps
its levels by --x-levels and --y-levels, see docs/medical.md. Published, by the
Frechet distance in Inception's features (MMGeneration's pix2pix): facades
125.0, edges2shoes 84.4, maps to aerial photographs 88.5. Not measured here.
"""

import dataclasses
import functools

import jgan
from experiments import data, own_data, pix2pix, translation, windows
from experiments.modality import Modality

LOWER_IS_BETTER = pix2pix.LOWER_IS_BETTER
HIGHER_IS_BETTER = pix2pix.HIGHER_IS_BETTER
score = pix2pix.score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(pix2pix.Config, own_data.OfFolders):
  """The numbers worth changing."""

  FOLDERS = ('path', 'held_out')
  steps: int = 80_000
  batch_size: int = 1
  sample_every: int = 1000
  save_every: int = 2000
  held_out: str = ''  # other pairs; empty: a tenth
  reverse: bool = False  # the right one is the input
  resolution: int = 256  # height and width, a power of two
  x_channels: int = 3  # of inputs; 3: colour; 1: grey
  y_channels: int = 3  # of their translations
  x_levels: windows.Flag = None  # black and white, of 16 bits
  y_levels: windows.Flag = None  # black and white, of 16 bits
  mirror: bool = True  # also every pair mirrored
  constant_steps: int = 40_000
  decay_steps: int = 40_000


def make_gan(config: Config) -> jgan.GAN:
  return pix2pix.make_gan(config, config.resolution, config.y_channels)


def make_data(config: Config) -> data.Source:
  source, held_out = _parts(config)
  translation.check_held_out(config, len(held_out))
  return data.mirrored(source, ['x', 'y']) if config.mirror else source


def make_conditions(config: Config, count: int) -> jgan.Batch:
  return translation.conditions(_parts(config)[1], count)


def make_modality(config: Config) -> Modality:
  return translation.modality(config.y_levels)


def load_inputs(config: Config, path: str) -> jgan.Batch:
  return translation.own_inputs(
    path, config.resolution, config.x_channels, config.x_levels
  )


def _parts(config):
  """The pairs to train on, and those held out."""
  if not config.path:
    raise ValueError(
      'paired: give --path=DIR, a folder of pairs: pictures side by side in '
      'one file, or two subfolders with files of equal names'
    )
  return _read(
    config.folders,
    config.contents,
    (config.x_levels, config.y_levels),
    config.resolution,
    config.x_channels,
    config.y_channels,
    config.reverse,
  )


@functools.lru_cache(maxsize=1)  # each grid of samples asks for them
def _read(folders, contents, levels, *form):
  own_data.check_contents(folders, contents)
  pairs, *held_out = (
    _in_levels(data.paired_folder(path, *form), levels, path)
    for path in folders
    if path
  )
  return (pairs, *held_out) if held_out else data.parted(pairs, 0.1)


def _in_levels(pairs, levels, path):
  read = pairs
  for name, own in zip('xy', levels, strict=True):
    flag = f'--{name}-levels'
    read = windows.applied(
      read, own, flag=flag, path=path, name=name, least=2**16
    )
  return read
