"""DCGAN on your own pictures: any sizes and modes, subfolders as labels."""

import dataclasses

import jgan
from experiments import config as base
from experiments import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 20_000
  batch_size: int = 64
  save_every: int = 1000
  path: str = ''  # folder of pictures
  resolution: int = 64  # height and width, a power of two
  channels: int = 3  # 3: colour; 1: grey
  mirror: bool = False  # also every picture mirrored
  num_classes: int = 0  # of subfolders to order; 0: no labels
  latent_dim: int = 100  # entries of a latent
  width: int = 64  # channels at half the resolution
  learning_rate: float = 2e-4  # Adam's, of both players
  ema_decay: float = 0.999  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.dcgan(
    resolution=config.resolution,
    channels=config.channels,
    num_classes=config.num_classes or None,
    latent_dim=config.latent_dim,
    width=config.width,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
  )


def make_data(config: Config) -> data.Source:
  source, names = data.folder(config.path, config.resolution, config.channels)
  if config.num_classes not in (0, len(names)):
    raise ValueError(
      f'--num-classes={config.num_classes}, but {config.path} has '
      f'{len(names)} subfolders of pictures{": " * bool(names)}'
      f'{", ".join(names)}'
    )
  return data.mirrored(source) if config.mirror else source
