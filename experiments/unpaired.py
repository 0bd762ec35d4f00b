"""CycleGAN (Zhu et al., 2017) between two folders of your own pictures.

Of any sizes and formats, as many as there are; the centre of each is taken.
The published sets (horse2zebra, monet2photo) have the folders trainA, trainB:
--x=horse2zebra/trainA --y=horse2zebra/trainB, and --held-out-x, --held-out-y
for testA, testB. Both directions are learned; pictures of your own are
translated to the second domain, or with 'y:' to the first:

  python -m experiments.sample --workdir=... --input=my_horses/
  python -m experiments.sample --workdir=... --input=y:my_zebras/

The defaults are the paper's for 256 pixels and a thousand pictures: batches of
one, 100,000 steps and as many of a falling rate. Pictures are mirrored, but not
enlarged and cropped at random as in the authors' code. Paintings keep their
colours by --identity-weight=.5. 16-bit grey keeps its levels by --x-levels and
--y-levels, see docs/medical.md. Published, by the Frechet distance in
Inception's features (MMGeneration's CycleGAN): horse2zebra 64.5, zebra2horse
141.2. Not measured here.
"""

import dataclasses
import functools

import numpy as np

import jgan
from experiments import (
  cyclegan,
  data,
  extractors,
  own_data,
  scoring,
  translation,
  windows,
)
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.scoring import Score

LOWER_IS_BETTER = (
  'kernel_distance',
  'kernel_distance_to_y',
  'kernel_distance_to_x',
  'cycle_error',
)
HIGHER_IS_BETTER = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cyclegan.Config, own_data.OfFolders):
  """The numbers worth changing."""

  FOLDERS = ('x', 'held_out_x', 'y', 'held_out_y')
  steps: int = 200_000
  batch_size: int = 1
  sample_every: int = 1000
  save_every: int = 2000
  best_by: str = 'kernel_distance'
  x: str = ''  # folder of the first domain
  y: str = ''  # folder of the second domain
  held_out_x: str = ''  # others; empty: a tenth of x
  held_out_y: str = ''  # others; empty: a tenth of y
  resolution: int = 256  # height and width, a multiple of 4
  x_channels: int = 3  # 3: colour; 1: grey
  y_channels: int = 3  # 3: colour; 1: grey
  x_levels: windows.Flag = None  # black and white, of 16 bits
  y_levels: windows.Flag = None  # black and white, of 16 bits
  mirror: bool = True  # also every picture mirrored
  constant_steps: int = 100_000
  decay_steps: int = 100_000


def make_gan(config: Config) -> jgan.GAN:
  return cyclegan.make_gan(config, config.x_channels, config.y_channels)


def make_data(config: Config) -> data.Source:
  domains, held_out = zip(*_domains(config), strict=True)
  translation.check_held_out(config, min(map(len, held_out)))
  if config.mirror:
    domains = map(data.mirrored, domains)
  return data.Unpaired(*domains, config.seed)


def make_conditions(config: Config, count: int) -> jgan.Batch:
  x, y = (domain[1] for domain in _domains(config))
  rows = np.arange(min(count, len(x), len(y)))
  return translation.inputs({'x': x[rows]['image'], 'y': y[rows]['image']})


def make_modality(config: Config) -> Modality:
  return translation.modality_of_cycles(config.x_levels, config.y_levels)


def load_inputs(config: Config, path: str) -> jgan.Batch:
  return cyclegan.load_inputs(path, config.resolution, *_forms(config))


def score(
  config: Config, generate: Sampler, count: int, seed: int
) -> scoring.Report:
  """How near translations of held-out pictures come to the other domain.

  'kernel_distance_to_y' is from translations to held-out pictures of y, in
  EfficientNet's features, 'kernel_distance' the mean of both directions; and so
  are Frechet distances where there are as many pictures as features have
  dimensions. Doing nothing has those that end in '_of_inputs'. 'cycle_error' is
  the mean absolute error of there and back again, of levels from 0 to 1, the
  mean of both domains.
  """
  asked = generate.conditions(count)
  made = generate.make(asked, seed)
  images = {name: translation.levels(asked[name]) for name in ('x', 'y')}
  images |= {name: translation.levels(image) for name, image in made.items()}
  extractor = extractors.efficientnet()
  features = {
    name: translation.features(extractor, images[name])
    for name in ('x', 'y', 'fake_x', 'fake_y')
  }
  to_y, to_x, nothing = (
    translation.distances(features[a], features[b])
    for a, b in (('y', 'fake_y'), ('x', 'fake_x'), ('x', 'y'))
  )
  cycles = [
    np.abs(images[name] - images[f'cycle_{name}'].astype(np.float32)).mean()
    for name in ('x', 'y')
  ]
  found = {'cycle_error': float(np.mean(cycles)) / 255}
  for name in to_y:
    found |= {
      name: (to_y[name] + to_x[name]) / 2,
      f'{name}_to_y': to_y[name],
      f'{name}_to_x': to_x[name],
      f'{name}_of_inputs': nothing[name],
    }
  protocol = {
    'pictures': 'held out',
    'count': len(asked['index']),
    'extractor': extractor.name,
    'weights_sha256': extractor.sha256,
    'resize': extractor.resize,
  }
  return scoring.Report({k: Score(v) for k, v in found.items()}, protocol)


def _domains(config):
  """Of each domain the pictures to train on, and those held out."""
  if not config.x or not config.y:
    raise ValueError(
      'unpaired: give --x=DIR and --y=DIR, a folder of pictures of each domain'
    )
  forms = _forms(config)
  return _read(config.folders, config.contents, config.resolution, forms)


def _forms(config):
  """Of each domain the channels, and the levels of 16 bits."""
  return (
    (config.x_channels, config.x_levels),
    (config.y_channels, config.y_levels),
  )


@functools.lru_cache(maxsize=1)  # each grid of samples asks for them
def _read(folders, contents, resolution, forms):
  own_data.check_contents(folders, contents)

  def pictures(path, name, form):
    channels, levels = form
    source = data.folder(path, resolution, channels)[0]
    if isinstance(source, data.Arrays):  # not too many for the memory
      source = data.Arrays({'image': source.arrays['image']})
    return windows.applied(
      source, levels, flag=f'--{name}-levels', path=path, least=2**16
    )

  return tuple(
    (pictures(path, name, form), pictures(other, name, form))
    if other
    else data.parted(pictures(path, name, form), 0.1)
    for path, other, name, form in zip(
      folders[::2], folders[1::2], 'xy', forms, strict=True
    )
  )
