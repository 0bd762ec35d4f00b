"""BigGAN (Brock et al., 2019) on CIFAR-10, with labels.

Measured here on one CPU core, a narrow network (--width=16 --ema-decay=.99)
stopped at step 672, hence after 168 moves of the generator and 9 minutes of CPU
time with compiling: a Frechet distance of 219 (95%: 216 to 223) in
EfficientNet-lite0's features, recall 0, by `python -m experiments.evaluate
--real=cifar10:train --fake=WORKDIR --count=5000 --resamples=3`; its precision
of .89 is of blurs alike (coverage .05): pale and brown smears, no objects. At
full length not measured here.

Published, with truncation 1, by Inception: FID 14.73 (the paper), 4.16 with 96
channels, attention, orthogonal initialisation and standing statistics
(PyTorch-StudioGAN, 50,000 samples against the train split; 8.03 against the
test split).
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data
from jgan.models.biggan import d2d_ce_term


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 500_000
  batch_size: int = 50
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  mirror: bool = False  # also every picture mirrored
  latent_dim: int = 128  # entries of a latent
  width: int = 64  # a quarter of the channels
  embedding_dim: int = 0  # of ReACGAN; 0: projection
  learning_rate: float = 2e-4  # Adam's, of both players
  n_critic: int = 4  # steps to a generator's move
  ema_decay: float = 0.9999  # of the generator sampled from
  num_classes: int = 10  # of the data


def make_gan(config: Config) -> jgan.GAN:
  options = {}
  if config.embedding_dim:
    options['embedding_dim'] = config.embedding_dim
    options['auxiliary'] = d2d_ce_term()
  return jgan.models.biggan(
    num_classes=config.num_classes,
    width=config.width,
    latent_dim=config.latent_dim,
    learning_rate=config.learning_rate,
    discriminator_learning_rate=config.learning_rate,
    n_critic=config.n_critic,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
    **options,
  )


def make_data(config: Config) -> data.Source:
  source = data.tfds_images('cifar10', config.data_dir or None)
  return data.mirrored(source) if config.mirror else source
