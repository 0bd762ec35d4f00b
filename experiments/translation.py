"""What the experiments that translate pictures share."""

import sys
from collections.abc import Mapping

import numpy as np
import optax

import jgan
from experiments import data, pictures, scoring, windows
from experiments.config import Config
from experiments.extractors import Extractor
from experiments.modality import Modality, Shown
from jgan import metrics

_SHOWN = 24  # held-out inputs of a run's grids
_SUBSET = 1000  # of the kernel distance
_LINE = 12  # pictures in a line of a grid, or as many as belong together


def modality(y_levels: data.Levels | None = None) -> Modality:
  """One translation of each input: input, translation, and truth if any.

  Args:
    y_levels: of 16-bit files, black and white; None for files of 8 bits.
  """

  def shown(columns):
    return Shown(side_by_side(columns))

  return Modality(
    unit='images',
    count=_SHOWN,
    reals=lambda batch: shown([batch['x'], batch['y']]),
    samples=lambda made, asked: shown(
      [asked['x'], made, *([asked['y']] if 'y' in asked else [])]
    ),
    suffix='.png',
    encode=lambda one: pictures.png(data.to_pixels(one, y_levels)),
    arrays=lambda made: {'y': data.to_pixels(made, y_levels)},
  )


def modality_of_cycles(
  x_levels: data.Levels | None = None, y_levels: data.Levels | None = None
) -> Modality:
  """Both directions: input, translation and that translated back, of each.

  A file of one sample is its translation, or both side by side.

  Args:
    x_levels: of arrays and of files of the first domain, black and white in 16
      bits; None for 8 bits.
    y_levels: of the second. A file of both has 16 bits if both domains do.
  """
  levels_of = {'x': x_levels, 'y': y_levels}

  def pixels(made):
    return {k: data.to_pixels(x, levels_of[k[-1]]) for k, x in made.items()}

  def samples(made, asked):
    return Shown(
      side_by_side(
        [
          image
          for x, y in ('xy', 'yx')
          if x in asked
          for image in (asked[x], made[f'fake_{y}'], made[f'cycle_{x}'])
        ]
      )
    )

  def encode(one):
    names = [name for name in ('fake_y', 'fake_x') if name in one]
    fakes = [pixels(one)[name] for name in names]
    if any(fake.dtype != fakes[0].dtype for fake in fakes):
      fakes = [data.to_uint8(one[name]) for name in names]
    if any(fake.shape != fakes[0].shape for fake in fakes):
      fakes = map(as_colour, fakes)
    return pictures.png(np.concatenate(list(fakes), 1))

  return Modality(
    unit='images',
    count=_SHOWN,
    reals=lambda batch: Shown(side_by_side([batch['x'], batch['y']])),
    samples=samples,
    suffix='.png',
    encode=encode,
    arrays=pixels,
  )


def side_by_side(columns: list[np.ndarray]) -> np.ndarray:
  """One picture, in which those of one number stand side by side.

  Args:
    columns: arrays `[n, height, width, 1 or 3]`, uint8, uint16 or floats in
      [-1, 1], which may differ in channels.
  """
  alike = [as_colour(levels(column)) for column in columns]
  rows = np.stack(alike, 1).reshape(-1, *alike[0].shape[1:])
  in_a_line = min(max(_LINE // len(columns), 1), len(alike[0]))
  return pictures.grid(rows, in_a_line * len(columns))


def levels(images: np.ndarray) -> np.ndarray:
  """Pictures as a batch or a sampler has them, in uint8."""
  return data.to_uint8(np.asarray(data.to_float({'image': images})['image']))


def as_colour(images: np.ndarray) -> np.ndarray:
  """Grey pictures with three equal channels; others as they are."""
  return np.broadcast_to(images, (*images.shape[:-1], 3))


def conditions(source: data.Source, count: int) -> jgan.Batch:
  """The batch that asks for translations of the first `count` examples."""
  rows = np.arange(min(count, len(source)))
  return {**source[rows], 'index': rows.astype(np.int32)}


def check_held_out(config: Config, count: int) -> None:
  """ValueError: of so many there is not the score that finds the best state."""
  best_by = config.evaluate_every and config.best_by
  if best_by and best_by.startswith('kernel_distance') and count < 2:
    raise ValueError(
      f'--best-by={best_by} needs two held-out pictures or more; there is '
      f'{count}. Give more data, another --best-by, or --evaluate-every=0'
    )


def inputs(arrays: Mapping[str, np.ndarray]) -> jgan.Batch:
  """The batch that asks for translations of these pictures, all of them."""
  count = len(next(iter(arrays.values())))
  return {**arrays, 'index': np.arange(count, dtype=np.int32)}


def own_inputs(
  path: str,
  resolution: int,
  channels: int,
  levels: data.Levels | None,
  domain: str = 'x',
) -> jgan.Batch:
  """The batch that asks for translations of one's own pictures.

  Args:
    path: a file or a folder.
    resolution: as of `data.pictures`.
    channels: likewise.
    levels: of the run's flag, black and white of 16-bit grey. Without it such
      grey is of the whole range, and a line on stderr says so.
    domain: 'x', or 'y' for those that are translated to 'x'.

  Raises:
    ValueError: there are levels, and the pictures have 8 bits.
  """
  images = data.pictures(path, resolution, channels)
  flag = f'--{domain}-levels'
  if levels is None and images.dtype == np.uint16:
    print(
      f'{path}: of 16-bit grey 0 is taken for black and 65535 for white, since '
      f'the run has no {flag}.',
      file=sys.stderr,
    )
    return inputs({domain: images})
  source = data.Arrays({'image': images})
  source = windows.applied(source, levels, flag=flag, path=path)
  return inputs({domain: source[np.arange(len(source))]['image']})


def features(extractor: Extractor, images: np.ndarray) -> np.ndarray:
  """Of pictures in uint8, float32 `[n, d]`."""
  source = data.Arrays({'image': images})
  return scoring.extract(
    extractor, scoring.Pictures('translations', source)
  ).features


def distances(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
  """How far apart two sets of features are.

  Args:
    real: features `[n, d]`.
    fake: features `[k, d]`.

  Returns:
    Of two pictures or more 'kernel_distance', which is not biased by the size
    of small sets, and, if each set has as many pictures as there are
    dimensions, 'frechet_distance'.
  """
  size = min(len(real), len(fake))
  if size < 2:
    return {}
  whole = len(real) == len(fake) <= _SUBSET
  kernel = metrics.kernel_distance(
    real, fake, subsets=1 if whole else 100, subset_size=min(size, _SUBSET)
  )
  found = {'kernel_distance': kernel.mean}
  if size >= real.shape[1]:
    found['frechet_distance'] = metrics.frechet_distance(real, fake)
  return found


def decayed(
  rate: float, constant_steps: int, decay_steps: int, steps: int
) -> optax.ScalarOrSchedule:
  """A rate that is constant at first and then falls to 0 on a line.

  Args:
    rate: at first.
    constant_steps: how many steps it stays.
    decay_steps: how many it falls; 0: it stays.
    steps: of the run.

  Raises:
    ValueError: the run is longer than both together.
  """
  if not decay_steps:
    return rate
  if constant_steps + decay_steps < steps:
    raise ValueError(
      f'--constant-steps={constant_steps} and --decay-steps={decay_steps} '
      f'leave a learning rate of 0 for the last of --steps={steps}; give as '
      'many in all, or --decay-steps=0'
    )
  return optax.linear_schedule(rate, 0, decay_steps, constant_steps)
