"""DCGAN on MNIST, from tensorflow-datasets, with or without labels.

Score and time: not measured here.
"""

import dataclasses

import jgan
from experiments import data, dcgan

EXTRACTOR = 'digits'  # in whose features samples are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(dcgan.Config):
  """The numbers worth changing."""

  data_dir: str = ''  # of tfds; empty: its default


def make_gan(config: Config) -> jgan.GAN:
  return dcgan.make_gan(config, resolution=32, channels=1)


def make_data(config: Config) -> data.Source:
  return data.tfds_images('mnist', config.data_dir or None, resolution=32)
