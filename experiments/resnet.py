"""What the experiments with residual networks on CIFAR-10 share."""

import dataclasses

import optax

from experiments import config as base
from experiments import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing; a docstring is help also where overridden."""

  steps: int = 500_000
  batch_size: int = 64
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''
  """of tfds; empty: its default"""
  mirror: bool = False
  """also every picture mirrored"""
  latent_dim: int = 128
  """entries of a latent"""
  width: int = 256
  """channels in the generator"""
  learning_rate: float = 2e-4
  """Adam's, of both players"""
  decay_steps: int = 500_000
  """until it is 0; 0: constant"""
  n_critic: int = 5
  """steps to a generator's move"""
  ema_decay: float = 0.999
  """of the generator sampled from"""


def decayed(config: Config, rate: float) -> optax.ScalarOrSchedule:
  """The rate on its way to 0, as a function of the generator's moves.

  Raises:
    ValueError: if it were 0 before the last step.
  """
  if not config.decay_steps:
    return rate
  if config.decay_steps < config.steps:
    raise ValueError(
      f'--decay-steps={config.decay_steps} leaves a learning rate of 0 for the '
      f'last of --steps={config.steps}: give as many, or 0 for a constant rate'
    )
  moves = -(-config.decay_steps // config.n_critic)
  return optax.linear_schedule(rate, 0, moves)


def make_data(config: Config) -> data.Source:
  source = data.tfds_images('cifar10', config.data_dir or None)
  return data.mirrored(source) if config.mirror else source
