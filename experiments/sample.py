"""Samples from a trained GAN: `python -m experiments.sample --workdir=...`.

In Python, two lines:

  generate = experiments.sample.load('runs/digits')
  images = generate(64, seed=1)  # [64, height, width, channels], in [-1, 1]

With classes, `--label 3` or `label=3` makes threes alone, and `--label 3 5` or
`label=(3, 5)` threes and fives in turn.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

import jgan
from experiments import config as configs
from experiments import data, pictures
from experiments.checkpoints import Checkpoints
from experiments.errors import building, reported
from experiments.files import read_batch
from experiments.sampler import Sampler
from experiments.train import EXPERIMENTS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Samples from a trained GAN, from its averaged generator."""

  workdir: Annotated[str, tyro.conf.arg(metavar='DIR')]
  """where the run is kept"""
  count: int = 64
  """how many samples"""
  seed: int = 0
  """decides the samples"""
  label: Annotated[
    tuple[int, ...], tyro.conf.arg(metavar='INT ...', help_behavior_hint='')
  ] = ()
  """classes, in turn; by default all"""
  best: bool = False
  """the best by --evaluate-every, not the last"""
  grid: Annotated[str | None, tyro.conf.arg(metavar='FILE')] = None
  """a PNG of all; by default in DIR/samples"""
  npz: Annotated[str | None, tyro.conf.arg(metavar='FILE')] = None
  """also arrays: image, uint8, and label"""
  png: Annotated[str | None, tyro.conf.arg(metavar='DIR')] = None
  """also one PNG each, in this folder"""


def load(workdir: str | os.PathLike, best: bool = False) -> Sampler:
  """The sampler of a run, from its newest good checkpoint.

  Args:
    workdir: of a run of `experiments.train`. Nothing in it is changed, and the
      run's data set is not needed.
    best: take the checkpoint of the lowest Frechet distance that
      `--evaluate-every` found, in place of the newest.

  Returns:
    `generate(count, seed=0, label=None)`, where label is a class or several.

  Raises:
    UserError: there is no run, or no good checkpoint.
  """
  workdir = Path(os.path.expanduser(workdir))
  run = configs.load(workdir, EXPERIMENTS)
  with building():
    gan = EXPERIMENTS[run.name].make_gan(run.config)
    template = jax.eval_shape(
      functools.partial(jgan.init, gan), jax.random.key(0), read_batch(workdir)
    )
    folder = workdir / ('best' if best else 'checkpoints')
    with Checkpoints(folder) as checkpoints:
      _, state = checkpoints.restore(template)
  return Sampler(gan, state, getattr(run.config, 'num_classes', 0))


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.sample'
  )
  generate = load(arguments.workdir, arguments.best)
  count, label = arguments.count, arguments.label or None
  images = data.to_uint8(generate(count, arguments.seed, label))
  labels = generate.conditions(count, label).get('label')
  workdir = Path(os.path.expanduser(arguments.workdir))
  grid = arguments.grid or workdir / 'samples' / f'seed{arguments.seed}.png'
  with building():
    columns = _columns(count, len(label or range(generate.num_classes)))
    pictures.save_png(grid, pictures.grid(images, columns))
    print(f'{count} samples on a grid: {grid}')
    if arguments.npz:
      _save_npz(arguments.npz, images, labels)
      print(f'their arrays: {arguments.npz}')
    if arguments.png:
      for i, image in enumerate(images):
        pictures.save_png(Path(arguments.png, f'{i:06}.png'), image)
      print(f'a PNG each: {arguments.png}')


def _columns(count: int, classes: int) -> int | None:
  """Pictures in a row, such that with classes in turn a column is a class."""
  return (
    classes * max(round(math.sqrt(count) / classes), 1) if classes else None
  )


def _save_npz(path: str, images: np.ndarray, labels: np.ndarray | None) -> None:
  arrays = {'image': images} | ({} if labels is None else {'label': labels})
  target = Path(os.path.expanduser(path))
  target.parent.mkdir(parents=True, exist_ok=True)
  part = target.with_name(f'{target.name}.part')
  with part.open('wb') as file:
    np.savez_compressed(file, **arrays)
  os.replace(part, target)


if __name__ == '__main__':
  main()
