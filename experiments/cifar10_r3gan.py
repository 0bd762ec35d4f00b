"""R3GAN (Huang et al., 2024) on CIFAR-10, also at a narrower width.

Measured here on one CPU core (jax 0.10.2), a narrow network without
augmentation, resampled by the filter 1, 2, 1 in place of today's 1, 3, 3, 1
(--width=32 --batch-size=64 --steps=1000 --images=64000 --augmentation=0)
stopped at step 495, after a third of an epoch and 34 minutes of CPU time: a
Frechet distance of 219 (95%: 218 to 221) in EfficientNet-lite0's features,
precision .82, recall 0, by `python -m experiments.evaluate
--real=cifar10:train --fake=WORKDIR --count=5000 --resamples=3`; blurs of the
data's colours around a few patterns, no objects. At full width and length not
measured here.

Published, with labels: FID 1.96 by Inception, 50,000 samples against the train
split, after 250 million images (the paper).
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 40_000
  batch_size: int = 512
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  mirror: bool = True  # also every picture mirrored
  num_classes: int = 10  # 0 plays without labels
  latent_dim: int = 64  # entries of a latent
  width: int = 768  # channels of all stages
  blocks: int = 2  # in each stage
  images: int = 20_000_000  # over which schedules run
  augmentation: float = 0.55  # p of ADA's pipeline at the end


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.r3gan(
    num_classes=config.num_classes or None,
    widths=(config.width,) * 4,
    blocks=config.blocks,
    latent_dim=config.latent_dim,
    batch_size=config.batch_size,
    images=config.images,
    half_life=config.images // 4,
    augmentation=config.augmentation,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  source = data.tfds_images('cifar10', config.data_dir or None)
  return data.mirrored(source) if config.mirror else source
