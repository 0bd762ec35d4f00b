"""WGAN (Arjovsky et al., 2017) on MNIST: a critic of clipped weights.

Each generator's move takes five steps.

Measured here on one CPU core, a shortened run of a narrower network at four
times the paper's rate (--width=16 --learning-rate=2e-4 --steps=10000, 5 minutes
of CPU time): a Frechet distance of 13.1 (95%: 12.7 to 13.5) in the digit
classifier's features, precision .43, recall .55, by `python -m
experiments.evaluate --workdir=WORKDIR --count=5000 --resamples=3`; strokes of
white, a part of them legible digits. With --width=32 --steps=4000 at the
paper's rate: 54, no digits. At full length not measured here; the paper has no
such score.
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data

EXTRACTOR = 'digits'  # in whose features samples are scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 50_000
  batch_size: int = 64
  sample_every: int = 1000
  save_every: int = 1000
  data_dir: str = ''  # of tfds; empty: its default
  clip: float = 0.01  # largest weight of the critic
  n_critic: int = 5  # its moves for the generator's
  latent_dim: int = 100  # entries of a latent
  width: int = 64  # channels at half the resolution
  learning_rate: float = 5e-5  # RMSProp's, of both players
  ema_decay: float = 0.999  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.wgan(
    resolution=32,
    channels=1,
    clip=config.clip,
    n_critic=config.n_critic,
    latent_dim=config.latent_dim,
    width=config.width,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  return data.tfds_images('mnist', config.data_dir or None, resolution=32)
