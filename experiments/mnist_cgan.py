"""CGAN (Mirza and Osindero, 2014) on MNIST: perceptrons told the digit.

Score and time: not measured here. The paper scored by Parzen windows, which are
no longer used.
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data

EXTRACTOR = 'digits'  # in whose features samples are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  num_classes = 10  # of the data: no number to change

  steps: int = 30_000
  batch_size: int = 100
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  latent_dim: int = 100  # entries of a latent
  width: int = 1200  # the generator's joint units
  maxout: int = 240  # the discriminator's joint units
  dropout: float = 0.5  # of hidden units
  learning_rate: float = 2e-4  # Adam's, of both players
  ema_decay: float = 0.999  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.cgan(
    shape=(28, 28, 1),
    num_classes=config.num_classes,
    latent_dim=config.latent_dim,
    width=config.width,
    maxout_units=config.maxout,
    dropout=config.dropout,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
  )


def make_data(config: Config) -> data.Source:
  return data.tfds_images('mnist', config.data_dir or None)
