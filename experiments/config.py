"""The numbers of a run, and the run that a command was asked for."""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import tyro
from jax.typing import DTypeLike

_FROM_0 = {'evaluate_every', 'steps_per_dispatch'}
_SHARES = {'dropout', 'ema_decay', 'mix'}
_MOMENTUMS = {'b1', 'b2'}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """The numbers that every experiment has; each experiment adds its own.

  The line under a number is its help, also where a subclass changes the
  default. Help of 30 characters, and `--flag TYPE` of 24, keep a line each.
  ValueError: a number that is out of range: a whole one below 1 where it is one
  of these, a width or the size of a latent; a share or a decay above 1, Adam's
  b1 or b2 of 1 too; any other below 0, but for what a discriminator's output is
  to be, or not finite; of the seed see `check_seed`.
  """

  steps: int
  """steps of training in all"""
  batch_size: int
  """examples in a step, on all devices"""
  seed: int = 0
  """decides every random draw"""
  log_every: int = 100
  """steps between lines of metrics"""
  sample_every: int = 500
  """steps between grids of samples"""
  save_every: int = 500
  """steps between checkpoints"""
  evaluate_every: int = 0
  """steps between scores; 0 for none"""
  best_by: str = 'frechet_distance'
  """the score for best/"""
  keep: int = 2
  """newest checkpoints kept"""
  steps_per_dispatch: int = 0
  """0: 10, and 1 on CPUs"""
  microbatches: int = 1
  """parts of a batch, in turn"""
  rematerialize: tyro.conf.FlagCreatePairsOff[bool] = False
  """less memory, more arithmetic"""
  bfloat16: tyro.conf.FlagCreatePairsOff[bool] = False
  """compute in it; params float32"""

  def __post_init__(self):
    own = {field.name for field in dataclasses.fields(Config)} - _FROM_0
    for field in dataclasses.fields(self):
      name, value = field.name, getattr(self, field.name)
      least = int(name in own or name.endswith(('width', 'latent_dim')))
      flag = '--' + name.replace('_', '-')
      if name == 'seed':
        check_seed(value)
      elif name in _SHARES and not 0 <= value <= 1:
        raise ValueError(f'{flag} must be from 0 to 1, got {value}')
      elif name in _MOMENTUMS and not 0 <= value < 1:
        raise ValueError(f'{flag} must be from 0 to below 1, got {value}')
      elif type(value) is int and value < least:
        raise ValueError(f'{flag} must be {least} or more, got {value}')
      elif type(value) is not float or name.endswith('_label'):
        continue
      elif not 0 <= value < math.inf:
        raise ValueError(f'{flag} must be 0 or more, got {value}')

  @property
  def dtype(self) -> DTypeLike:
    """Of the computation."""
    return jnp.bfloat16 if self.bfloat16 else jnp.float32


def check_seed(seed: int) -> None:
  """ValueError: below 0, or of more bits than jax keeps."""
  if not 0 <= seed < 2**31:
    raise ValueError(f'--seed must be from 0 to {2**31 - 1}, got {seed}')


class Run(NamedTuple):
  """What a command was asked to do: which experiment, where, how.

  Attributes:
    name: of the experiment.
    workdir: where all is kept.
    config: its numbers.
    distributed: whether there are other processes to join.
  """

  name: str
  workdir: Path
  config: Config
  distributed: bool = False
