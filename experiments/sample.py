"""Samples from a trained GAN: `python -m experiments.sample --workdir=...`.

In Python, two lines:

  generate = experiments.sample.load('runs/digits')
  images = generate(64, seed=1)  # [64, height, width, channels], in [-1, 1]

With classes, `--label 3` or `label=3` makes threes alone, and `--label 3 5` or
`label=(3, 5)` threes and fives in turn. A run that translates pictures takes
held-out ones of its data, or `--input=PATH`: your own, a file or a folder.
"""

import dataclasses
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
from experiments import data, kept, modality, sampler
from experiments.checkpoints import Checkpoints
from experiments.errors import UserError, building, counted, reported
from experiments.files import read_batch, write_bytes
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.train import EXPERIMENTS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Samples from a trained GAN, from its averaged generator."""

  workdir: Annotated[str, tyro.conf.arg(metavar='DIR')]
  """where the run is kept"""
  count: Annotated[
    int | None, tyro.conf.arg(metavar='INT', help_behavior_hint='(64)')
  ] = None
  """how many samples; of --input all"""
  seed: int = 0
  """decides the samples"""
  label: Annotated[
    tuple[int, ...], tyro.conf.arg(metavar='INT ...', help_behavior_hint='')
  ] = ()
  """classes, in turn; by default all"""
  input: Annotated[str | None, tyro.conf.arg(metavar='PATH')] = None
  """your own pictures to translate"""
  best: bool = False
  """the best by --evaluate-every, not the last"""
  grid: Annotated[str | None, tyro.conf.arg(metavar='FILE')] = None
  """a PNG of all; by default in DIR/samples"""
  npz: Annotated[str | None, tyro.conf.arg(metavar='FILE')] = None
  """also arrays: image, and label if any"""
  files: Annotated[str | None, tyro.conf.arg(metavar='DIR')] = None
  """also a file each (PNG, WAV, GIF), here"""


def load(workdir: str | os.PathLike, best: bool = False) -> Sampler:
  """The sampler of a run, from its newest good checkpoint.

  Args:
    workdir: of a run of `experiments.train`. Nothing in it is changed, and the
      run's data set is not needed, but of series, tables and texts, whose file
      says what a sample means.
    best: take the checkpoint that `--evaluate-every` found the best by
      `--best-by`, in place of the newest.

  Returns:
    `generate(count, seed=0, label=None)`, where label is a class or several.

  Raises:
    UserError: there is no run, or no good checkpoint.
  """
  workdir = Path(os.path.expanduser(workdir))
  return _loaded(kept.load(workdir, EXPERIMENTS), best)[0]


def _loaded(run: configs.Run, best: bool) -> tuple[Sampler, Modality]:
  experiment, workdir = EXPERIMENTS[run.name], run.workdir
  with building():
    gan = experiment.make_gan(run.config)
    form = read_batch(workdir)
    template = jax.eval_shape(
      lambda key, batch: jgan.init(gan, key, data.to_float(batch)),
      jax.random.key(0),
      form,
    )
    folder = workdir / ('best' if best else 'checkpoints')
    with Checkpoints(folder) as checkpoints:
      _, state = checkpoints.restore(template)
    kind = modality.of(experiment, run.config, form)
    return sampler.of(experiment, run.config, gan, state), kind


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.sample'
  )
  workdir = Path(os.path.expanduser(arguments.workdir))
  run = kept.load(workdir, EXPERIMENTS)
  generate, kind = _loaded(run, arguments.best)
  with building():
    configs.check_seed(arguments.seed)
    if arguments.input is None:
      count = 64 if arguments.count is None else arguments.count
      asked = generate.conditions(count, arguments.label or None)
    else:
      asked = own_inputs(run, arguments)
    made = generate.make(asked, arguments.seed)
    count = len(asked['index'])
    path = workdir / 'samples' / f'seed{arguments.seed}.png'
    path = Path(os.path.expanduser(arguments.grid or path))
    modality.save(path, kind.samples(made, asked))
    print(f'{counted(count, "sample")} on a grid: {path}')
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


def own_inputs(run: configs.Run, arguments: Arguments) -> jgan.Batch:
  """The batch that asks for translations of the user's own pictures.

  Raises:
    UserError: the run translates nothing, or other flags contradict.
    ValueError, OSError: there are no such pictures, or they cannot be read.
  """
  load_inputs = getattr(EXPERIMENTS[run.name], 'load_inputs', None)
  if load_inputs is None:
    raise UserError(
      f'--input is for runs that translate; {run.name} makes its samples of '
      'noise alone'
    )
  if arguments.label:
    raise UserError('--input and --label do not go together')
  asked = data.to_float(load_inputs(run.config, arguments.input))
  if arguments.count is None:
    return asked
  if arguments.count < 1:
    raise UserError(f'--count must be 1 or more, got {arguments.count}')
  return {name: x[: arguments.count] for name, x in asked.items()}


def _save_npz(path: str, arrays: dict[str, np.ndarray]) -> None:
  file = io.BytesIO()
  np.savez_compressed(file, **arrays)
  write_bytes(Path(os.path.expanduser(path)), file.getvalue())


if __name__ == '__main__':
  main()
