"""StyleGAN2 (Karras et al., 2020) on 5,000 MNIST digits.

Reached here: a Frechet distance of 1.06 (95%: .89 to 1.24) of 5,000 samples
against the 5,000 digits, in the features of the package's digit classifier,
precision .91, recall .17, coverage .69; no score is published for these data.
49 minutes on one core of an AMD EPYC (jax 0.10.2) beside other work:

  python -m experiments.train digits-stylegan2 --workdir=/tmp/run
  python -m experiments.evaluate --workdir=/tmp/run --count=5000 --resamples=3

Digits are legible from step 2,000 on; the recall is low, as they differ less
than the data do. Its styles mixed and truncated: docs/styles.md.
"""

import dataclasses

import jgan
from experiments import config as base
from experiments import data

EXTRACTOR = 'digits'  # in whose features samples are scored
RESOLUTION = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 5000
  batch_size: int = 32
  num_classes: int = 10  # 0 plays without labels
  width: int = 32  # channels of all sizes
  latent_dim: int = 64  # entries of a latent, and of w
  depth: int = 4  # layers of the mapping
  mix: float = 0.9  # probability of mixed styles
  truncation: float = 1.0  # of samples, not of training
  gamma: float = 1.0  # weight of R1, halved
  path_weight: float = 0.0  # of the path length
  learning_rate: float = 6e-3  # Adam's, of both players
  half_life: int = 10_000  # of the average, in images


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.stylegan2(
    RESOLUTION,
    1,
    num_classes=config.num_classes or None,
    widths=(config.width,) * 4,
    latent_dim=config.latent_dim,
    w_dim=config.latent_dim,
    depth=config.depth,
    mix=config.mix,
    truncation=config.truncation,
    learning_rate=config.learning_rate,
    gamma=config.gamma,
    path_weight=config.path_weight,
    batch_size=config.batch_size,
    half_life=config.half_life,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  del config  # one set, whatever the numbers
  return data.digits(resolution=RESOLUTION)
