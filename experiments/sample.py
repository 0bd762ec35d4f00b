"""Samples from a trained GAN: `python -m experiments.sample --workdir=...`.

In Python, two lines:

  generate = experiments.sample.load('runs/digits')
  images = generate(64, seed=1)  # [64, height, width, channels], in [-1, 1]

With classes, `--label 3` or `label=3` makes threes alone, and `--label 3 5` or
`label=(3, 5)` threes and fives in turn.
"""

import dataclasses
import functools
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

import jgan
from experiments import config as configs
from experiments import modality
from experiments.checkpoints import Checkpoints
from experiments.errors import building, reported
from experiments.files import read_batch, write_bytes
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.train import EXPERIMENTS, sampler


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
  files: Annotated[str | None, tyro.conf.arg(metavar='DIR')] = None
  """also a file each (PNG, WAV, GIF), here"""


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
  return _loaded(Path(os.path.expanduser(workdir)), best)[0]


def _loaded(workdir: Path, best: bool) -> tuple[Sampler, Modality]:
  run = configs.load(workdir, EXPERIMENTS)
  experiment = EXPERIMENTS[run.name]
  with building():
    gan = experiment.make_gan(run.config)
    template = jax.eval_shape(
      functools.partial(jgan.init, gan), jax.random.key(0), read_batch(workdir)
    )
    folder = workdir / ('best' if best else 'checkpoints')
    with Checkpoints(folder) as checkpoints:
      _, state = checkpoints.restore(template)
    return sampler(run, gan, state), modality.of(experiment, run.config)


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.sample'
  )
  workdir = Path(os.path.expanduser(arguments.workdir))
  generate, kind = _loaded(workdir, arguments.best)
  with building():
    asked = generate.conditions(arguments.count, arguments.label or None)
    made = generate.make(asked, arguments.seed)
    count = len(asked['index'])
    path = workdir / 'samples' / f'seed{arguments.seed}.png'
    path = Path(os.path.expanduser(arguments.grid or path))
    modality.save(path, kind.samples(made, asked))
    print(f'{count} samples on a grid: {path}')
    if arguments.npz:
      labels = {k: asked[k] for k in ('label',) if k in asked}
      _save_npz(arguments.npz, kind.arrays(made) | labels)
      print(f'their arrays: {arguments.npz}')
    if arguments.files:
      folder = Path(os.path.expanduser(arguments.files))
      for i in range(count):
        one = jax.tree.map(lambda x, i=i: x[i], made)
        write_bytes(folder / f'{i:06}{kind.suffix}', kind.encode(one))
      print(f'a file each: {arguments.files}')


def _save_npz(path: str, arrays: dict[str, np.ndarray]) -> None:
  file = io.BytesIO()
  np.savez_compressed(file, **arrays)
  write_bytes(Path(os.path.expanduser(path)), file.getvalue())


if __name__ == '__main__':
  main()
