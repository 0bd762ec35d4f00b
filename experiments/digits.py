"""DCGAN on 5,000 MNIST digits that come inside a package: the first run."""

import dataclasses

import jgan
from experiments import data, dcgan

EXTRACTOR = 'digits'  # in whose features samples are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(dcgan.Config):
  """The numbers worth changing."""

  steps: int = 3000
  sample_every: int = 250
  num_classes: int = 10
  latent_dim: int = 64
  width: int = 32
  ema_decay: float = 0.995


def make_gan(config: Config) -> jgan.GAN:
  return dcgan.make_gan(config, resolution=32, channels=1)


def make_data(config: Config) -> data.Source:
  del config  # one set, whatever the numbers
  return data.digits(resolution=32)
