"""DCGAN on CIFAR-10, from tensorflow-datasets, with or without labels.

Measured here on one CPU core (jax 0.10.2), a narrower and shorter run without
labels (--width=32 --steps=10000 --ema-decay=.999, 13 minutes of CPU time): a
Frechet distance of 90 (95%: 87 to 94) in EfficientNet-lite0's features,
precision .70, recall .006, by `python -m experiments.evaluate
--real=cifar10:train --fake=WORKDIR --count=5000 --resamples=3`; animals, cars
and ships by their outlines, without detail. At full width and length not
measured here.

Published for such a network: FID 48.29 (PyTorch-StudioGAN, 200,000 steps,
Inception, 50,000 samples against the train split).
"""

import dataclasses

import jgan
from experiments import data, dcgan


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(dcgan.Config):
  """The numbers worth changing."""

  steps: int = 100_000
  sample_every: int = 1000
  ema_decay: float = 0.9995
  data_dir: str = ''  # of tfds; empty: its default
  mirror: bool = False  # also every picture mirrored


def make_gan(config: Config) -> jgan.GAN:
  return dcgan.make_gan(config, resolution=32, channels=3)


def make_data(config: Config) -> data.Source:
  source = data.tfds_images('cifar10', config.data_dir or None)
  return data.mirrored(source) if config.mirror else source
