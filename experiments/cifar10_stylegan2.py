"""StyleGAN2 with adaptive augmentation (Karras et al., 2020) on CIFAR-10.

The authors' `cifar` preset: no style mixing, no path length, a discriminator
without residuals.

Measured here on one CPU core, a narrow network (--width=64 --batch-size=32
--half-life=10000) stopped at step 552, after a third of an epoch and 9 minutes
of CPU time with compiling: a Frechet distance of 250 (95%: 246 to 254) in
EfficientNet-lite0's features, precision .11, recall 0, by `python -m
experiments.evaluate --real=cifar10:train --fake=WORKDIR --count=5000
--resamples=3`; blurs of many colours, often around a dark middle, no objects.
At full length not measured here.

Published, with labels, by Inception, 50,000 samples against the train split,
after 100 million images: FID 2.42 with adaptive augmentation and 6.96 without
(the paper).
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data
from jgan import ada


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 1_500_000
  batch_size: int = 64
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  num_classes: int = 10  # 0 plays without labels
  width: int = 512  # channels of all sizes
  gamma: float = 0.01  # weight of R1, halved
  learning_rate: float = 2.5e-3  # Adam's, of both players
  half_life: int = 500_000  # of the average, in images
  augment: bool = True  # adaptively
  truncation: float = 1.0  # of samples, not of training

  @property
  def latent_dim(self) -> int:
    """Entries of a latent."""
    return self.width


def make_gan(config: Config) -> jgan.GAN:
  options = {}
  if config.augment:
    augment, tracker = ada.adaptive(batch_size=config.batch_size)
    options = {'augment': augment, 'tracker': tracker}
  return jgan.models.stylegan2(
    num_classes=config.num_classes or None,
    widths=(config.width,) * 4,
    latent_dim=config.latent_dim,
    w_dim=config.width,
    depth=2,
    mix=0.0,
    truncation=config.truncation,
    residual=False,
    group=32,
    learning_rate=config.learning_rate,
    gamma=config.gamma,
    path_weight=0.0,
    batch_size=config.batch_size,
    half_life=config.half_life,
    ramp_up=0.05,
    dtype=config.dtype,
    **options,
  )


def make_data(config: Config) -> data.Source:
  return data.tfds_images('cifar10', config.data_dir or None)
