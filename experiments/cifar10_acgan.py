"""ACGAN (Odena et al., 2017) on CIFAR-10, with the paper's networks.

Measured here on one CPU core, a run (--generator-width=128 --ema-decay=.99)
stopped at step 1,168, after 15 minutes of CPU time: a Frechet distance of 292
(95%: 288 to 295) in EfficientNet-lite0's features, precision .003, recall 0, by
`python -m experiments.evaluate --real=cifar10:train --fake=WORKDIR --count=5000
--resamples=3`; brown and blue blurs under a grid of dots, no objects. At full
length not measured here.

Published: Inception score 8.25 (the paper, which trained on CIFAR-10 for 50,000
steps); FID 33.39 with DCGAN-like networks (PyTorch-StudioGAN's ACGAN-Mod,
Inception, 50,000 samples against the train split).
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  num_classes = 10  # of the data: no number to change

  steps: int = 50_000
  batch_size: int = 100
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  mirror: bool = False  # also every picture mirrored
  class_weight: float = 1.0  # of the classification term
  latent_dim: int = 100  # entries of a latent
  generator_width: int = 384  # channels at 4x4
  discriminator_width: int = 16  # of the first convolution
  dropout: float = 0.5  # of the discriminator
  learning_rate: float = 2e-4  # Adam's, of both players
  ema_decay: float = 0.9995  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.acgan(
    resolution=32,
    channels=3,
    num_classes=config.num_classes,
    class_weight=config.class_weight,
    latent_dim=config.latent_dim,
    generator_width=config.generator_width,
    discriminator_width=config.discriminator_width,
    dropout=config.dropout,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  source = data.tfds_images('cifar10', config.data_dir or None)
  return data.mirrored(source) if config.mirror else source
