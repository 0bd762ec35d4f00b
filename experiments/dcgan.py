"""What the experiments with a DCGAN share: its numbers, and it."""

import dataclasses
from typing import Any

import jgan
from experiments import config as base


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing; a docstring is help also where overridden."""

  steps: int = 20_000
  batch_size: int = 64
  save_every: int = 1000
  num_classes: int = 0
  """classes to order by; 0: no labels"""
  latent_dim: int = 100
  """entries of a latent"""
  width: int = 64
  """channels at half the resolution"""
  learning_rate: float = 2e-4
  """Adam's, of both players"""
  ema_decay: float = 0.999
  """of the generator sampled from"""


def make_gan(
  config: Config,
  resolution: int | tuple[int, int],
  channels: int,
  **options: Any,
) -> jgan.GAN:
  """The DCGAN of these numbers for pictures of this form.

  Args:
    config: the numbers.
    resolution: height and width of the pictures, or the side of square ones.
    channels: of the pictures.
    **options: other arguments of `jgan.standard_gan`.
  """
  return jgan.models.dcgan(
    resolution=resolution,
    channels=channels,
    num_classes=config.num_classes or None,
    latent_dim=config.latent_dim,
    width=config.width,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
    **options,
  )
