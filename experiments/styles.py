"""What a StyleGAN2 has learned: `python -m experiments.styles --workdir=RUN`.

Writes two pictures, from the averaged generator of the newest checkpoint:

  mixing.png      below a row of pictures B and beside a column of pictures A,
                  three times: A with the coarse, the middle and the fine styles
                  of B (Karras et al., 2018, figure 3)
  truncation.png  a row for each truncation: the same latents nearer and nearer
                  to the mean of w

Fine are the layers of the full size, middle those of half of it, and coarse all
smaller ones. With classes, A's are kept.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from experiments import config as configs
from experiments import kept, pictures, runtime, sample, train
from experiments.errors import UserError, building, reported
from experiments.files import read_batch
from experiments.sampler import Sampler

_TRUNCATIONS = (1.0, 0.7, 0.5, 0.3, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Grids of mixed styles and of truncations, of a run of StyleGAN2."""

  workdir: Annotated[str, tyro.conf.arg(metavar='DIR')]
  """where the run is kept"""
  output: Annotated[
    str | None, tyro.conf.arg(metavar='DIR', help_behavior_hint='')
  ] = None
  """for the pictures; by default the workdir"""
  rows: int = 6
  """pictures A"""
  columns: int = 8
  """pictures B"""
  seed: int = 0
  """decides the latents"""


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  prog = 'python -m experiments.styles'
  asked = tyro.cli(Arguments, args=argv, prog=prog)
  if min(asked.rows, asked.columns) < 1:
    raise UserError('--rows and --columns must be 1 or more')
  workdir = Path(os.path.expanduser(asked.workdir))
  run = kept.load(workdir, train.EXPERIMENTS)
  if not hasattr(run.config, 'truncation'):
    raise UserError(f'{workdir} is a run of {run.name}, which has no styles')
  output = Path(os.path.expanduser(asked.output or workdir))
  runtime.prepare()
  generate = sample.load(workdir)
  with building():
    configs.check_seed(asked.seed)
    for name, picture in (
      ('mixing', mixing(generate, run, asked)),
      ('truncation', truncation(generate, run, asked)),
    ):
      path = output / f'{name}.png'
      pictures.save_png(path, picture)
      print(f'{name}: {path}')


def mixing(generate: Sampler, run: configs.Run, asked: Arguments) -> np.ndarray:
  """Pictures A with some styles of pictures B, uint8 `[h, w, 3]`."""
  rows, columns = asked.rows, asked.columns
  chosen = generate.conditions(rows + columns)
  latent = _latents(run, rows + columns, asked.seed)
  whole = generate.make({**chosen, 'latent': latent}, asked.seed)
  a, b = latent[:rows, None], latent[None, rows:]
  number = np.arange(latent.shape[1])[:, None]
  mixed = np.stack(
    [
      np.where((number >= low) & (number < high), b, a)
      for low, high in _sections(latent.shape[1])
    ]
  )
  flat = mixed.reshape(-1, *latent.shape[1:])
  conditions = generate.conditions(len(flat)) | {'latent': flat}
  if 'label' in chosen:
    label = np.broadcast_to(chosen['label'][:rows, None], (3, rows, columns))
    conditions['label'] = label.reshape(-1)
  made = generate.make(conditions, asked.seed)
  made = made.reshape(3 * rows, columns, *made.shape[1:])
  left = np.tile(whole[:rows], (3, 1, 1, 1))[:, None]
  top = np.concatenate([np.ones_like(whole[:1]), whole[rows:]])
  table = np.concatenate([left, made], 1).reshape(-1, *top.shape[1:])
  return pictures.grid(np.concatenate([top, table]), 1 + columns)


def _sections(layers: int) -> list[tuple[int, int]]:
  """The layers of the coarse, the middle and the fine styles."""
  # One of 4x4, then two of each size, and last a picture's.
  middle, fine = layers - 5, layers - 3
  if middle < 1:
    raise UserError('mixing styles needs pictures of 16 pixels or more')
  return [(0, middle), (middle, fine), (fine, layers)]


def truncation(
  generate: Sampler, run: configs.Run, asked: Arguments
) -> np.ndarray:
  """Pictures of the same latents by truncation, uint8 `[h, w, 3]`."""
  conditions = generate.conditions(asked.columns) | {
    'latent': _latents(run, asked.columns, asked.seed)
  }
  made = []
  for share in _TRUNCATIONS:
    config = dataclasses.replace(run.config, truncation=share)
    gan = train.EXPERIMENTS[run.name].make_gan(config)
    made.append(generate._replace(gan=gan).make(conditions, asked.seed))
  return pictures.grid(np.concatenate(made), asked.columns)


def _latents(run: configs.Run, count: int, seed: int) -> np.ndarray:
  """Latents `[count, layers, size]`, in each the same for all layers."""
  side = read_batch(run.workdir)['image'].shape[1]
  layers = 2 * (side.bit_length() - 2)
  rng = np.random.default_rng(seed)
  latent = rng.standard_normal((count, 1, run.config.latent_dim))
  return latent.astype(np.float32).repeat(layers, 1)


if __name__ == '__main__':
  main()
