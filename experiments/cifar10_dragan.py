"""DRAGAN (Kodali et al., 2017) on CIFAR-10, from tensorflow-datasets.

Measured here on one CPU core, a shortened run (--width=32 --steps=1500
--ema-decay=.99, two epochs, 10 minutes of CPU time): a Frechet distance of 231
(95%: 228 to 235) in EfficientNet-lite0's features, precision .31, recall 0, by
`python -m experiments.evaluate --real=cifar10:train --fake=WORKDIR
--count=5000`; blurs of sky and ground under a fine grid, no objects. At full
length not measured here.

Published for such networks, with batch normalisation in the discriminator too:
FID 34.69 (PyTorch-StudioGAN, Inception, 50,000 samples against the train
split).
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 100_000
  batch_size: int = 64
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  mirror: bool = False  # also every picture mirrored
  penalty_weight: float = 10.0  # lambda
  std: float = 0.25  # of the noise around the data
  latent_dim: int = 100  # entries of a latent
  width: int = 64  # channels at half the resolution
  learning_rate: float = 2e-4  # Adam's, of both players
  ema_decay: float = 0.9995  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.dragan(
    resolution=32,
    channels=3,
    penalty_weight=config.penalty_weight,
    std=config.std,
    latent_dim=config.latent_dim,
    width=config.width,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  source = data.tfds_images('cifar10', config.data_dir or None)
  return data.mirrored(source) if config.mirror else source
