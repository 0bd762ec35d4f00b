"""DCGAN on MNIST, from tensorflow-datasets, with or without labels."""

import dataclasses

import jgan
from experiments import config as base
from experiments import data

EXTRACTOR = 'digits'  # in whose features samples are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 20_000
  batch_size: int = 64
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  num_classes: int = 0  # 10: digits to order; 0: without labels
  latent_dim: int = 100  # entries of a latent
  width: int = 64  # channels at half the resolution
  learning_rate: float = 2e-4  # Adam's, of both players
  ema_decay: float = 0.999  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.dcgan(
    resolution=32,
    channels=1,
    num_classes=config.num_classes or None,
    latent_dim=config.latent_dim,
    width=config.width,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
  )


def make_data(config: Config) -> data.Source:
  return data.tfds_images('mnist', config.data_dir or None, resolution=32)
