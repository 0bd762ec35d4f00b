"""SAGAN (Zhang et al., 2019) on CIFAR-10, with or without labels.

Measured here on 2 CPU cores, a shortened run with labels (--width=64
--steps=1500, two epochs): a Frechet distance of 138 (95%: 135 to 142) in
EfficientNet-lite0's features, precision .83, recall below .001, by `python -m
experiments.evaluate --real=cifar10:train --fake=WORKDIR --count=5000`; in the
grid grounds and skies, no objects, and a pattern of dots. At full length not
measured here.

Published for such networks with labels: IS 8.64 and FID 10.35
(PyTorch-StudioGAN, Inception, 50,000 samples against the train split). The
paper has ImageNet alone; the number of steps is not its.
"""

import dataclasses

import jgan
from experiments import resnet
from experiments.resnet import make_data as make_data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(resnet.Config):
  """The numbers worth changing."""

  steps: int = 100_000
  num_classes: int = 10  # 0 plays without labels
  learning_rate: float = 1e-4
  """Adam's, of the generator"""
  discriminator_lr: float = 4e-4
  """of the discriminator"""
  decay_steps: int = 0
  n_critic: int = 1


def make_gan(config: Config) -> jgan.GAN:
  other = resnet.decayed(config, config.discriminator_lr)
  return jgan.models.sagan(
    resolution=32,
    channels=3,
    num_classes=config.num_classes or None,
    latent_dim=config.latent_dim,
    generator_width=config.width,
    discriminator_width=config.width // 2,
    learning_rate=resnet.decayed(config, config.learning_rate),
    discriminator_learning_rate=other,
    n_critic=config.n_critic,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )
