"""What the experiments with CycleGAN share: its numbers, and it."""

import dataclasses

import jgan
from experiments import config as base
from experiments import data, translation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing; a docstring is help also where overridden."""

  width: int = 64
  """translators' channels at full size"""
  discriminator_width: int = 64
  """discriminators' at half of it"""
  blocks: int = 9
  """residual blocks of a translator"""
  layers: int = 3
  """patches: 16, 34, 70 pixels of 1-3"""
  cycle_weight: float = 10.0
  """of there and back again"""
  identity_weight: float = 0.0
  """share of it for |G(y) - y|; or .5"""
  pool_size: int = 50
  """earlier fakes kept"""
  learning_rate: float = 2e-4
  """Adam's, of both players"""
  constant_steps: int = 0
  """steps before the rate falls"""
  decay_steps: int = 0
  """steps of its fall to 0; 0: none"""
  ema_decay: float = 0.0
  """of the translators sampled from"""


def make_gan(config: Config, x_channels: int, y_channels: int) -> jgan.GAN:
  """The CycleGAN of these numbers, between domains of these channels."""
  rate = translation.decayed(
    config.learning_rate,
    config.constant_steps,
    config.decay_steps,
    config.steps,
  )
  return jgan.models.cyclegan(
    x_channels,
    y_channels,
    blocks=config.blocks,
    width=config.width,
    discriminator_width=config.discriminator_width,
    layers=config.layers,
    cycle_weight=config.cycle_weight,
    identity_weight=config.identity_weight,
    pool_size=config.pool_size,
    learning_rate=rate,
    ema_decay=config.ema_decay or None,
    dtype=config.dtype,
  )


def load_inputs(
  path: str,
  resolution: int,
  x: tuple[int, data.Levels | None],
  y: tuple[int, data.Levels | None],
) -> jgan.Batch:
  """Pictures to translate: of the first domain, or with 'y:' of the second.

  Args:
    path: a file or a folder, perhaps with 'x:' or 'y:' before it.
    resolution: as of `translation.own_inputs`.
    x: of the first domain the channels and levels, likewise.
    y: of the second.
  """
  domain, colon, rest = path.partition(':')
  if not colon or domain not in ('x', 'y'):
    domain, rest = 'x', path
  channels, levels = {'x': x, 'y': y}[domain]
  return translation.own_inputs(rest, resolution, channels, levels, domain)
