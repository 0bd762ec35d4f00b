"""What the experiments with a WaveGAN share: its numbers, it, and a score."""

import dataclasses
from collections.abc import Callable

import numpy as np

import jgan
from experiments import config as base
from experiments.scoring import Score
from jgan import metrics

_RESAMPLES = 10
INTERVAL = f'95%, of {_RESAMPLES} halves of the clips'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing; a docstring is help also where overridden."""

  steps: int = 1_000_000
  batch_size: int = 64
  sample_every: int = 5000
  save_every: int = 5000
  path: str = ''
  """folder of wav files, or archive"""
  length: int = 16_384
  """samples of a clip, a power of 2"""
  num_classes: int = 0
  """classes to order by; 0: no labels"""
  latent_dim: int = 100
  """entries of a latent"""
  width: int = 64
  """channels of the longest layers"""
  shuffle: int = 2
  """most steps of phase shuffle"""
  penalty_weight: float = 10.0
  """lambda"""
  n_critic: int = 5
  """steps to a generator's move"""
  learning_rate: float = 1e-4
  """Adam's, of both players"""
  ema_decay: float = 0.999
  """of the generator sampled from"""


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.wavegan(
    config.length,
    num_classes=config.num_classes or None,
    penalty_weight=config.penalty_weight,
    latent_dim=config.latent_dim,
    generator_width=config.width,
    critic_width=config.width,
    shuffle=config.shuffle,
    learning_rate=config.learning_rate,
    n_critic=config.n_critic,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def scored(
  score: Callable[..., float], *sets: np.ndarray, least: int = 2
) -> Score:
  """A score of sets of rows, with its interval of 95%, by half samples.

  Args:
    score: `score(*sets)`.
    *sets: of samples, each a row.
    least: rows that the score needs; where halves have fewer, there is no
      interval.
  """
  value = float(score(*sets))
  if min(map(len, sets)) // 2 < least:
    return Score(value)
  return Score(value, *metrics.half_samples(score, *sets, resamples=_RESAMPLES))
