"""Straight-through Gumbel-softmax on first names, letter by letter.

Kusner and Hernandez-Lobato (2016) with the loss of RelGAN (2019); the data, the
scores and the pre-training are those of names-seqgan.

Measured here (jax 0.10.2), on one CPU core shared with others, the training in
less than 3 minutes:

  python -m experiments.train names-gumbel --workdir=/tmp/run --steps=5000
  python -m experiments.evaluate --workdir=/tmp/run
  python -m experiments.train names-gumbel --workdir=/tmp/run
  python -m experiments.evaluate --workdir=/tmp/run

                          likelihood    game    data
  held-out NLL                 1.968   1.989
  forward cross-entropy        2.298   2.302   2.220
  reverse cross-entropy        2.354   2.350   2.288
  BLEU-4                        .794    .792    .799
  self-BLEU-4                   .803    .811    .808
  unique                        .925    .921    .972
  copied                        .354    .353

As in names-seqgan the game adds nothing: the losses of both players stay at
log 2, where the discriminator guesses.
"""

import dataclasses

import jgan
from experiments import language
from experiments.language import (
  HIGHER_IS_BETTER,
  LOWER_IS_BETTER,
  make_data,
  make_modality,
  remark,
  score,
)

__all__ = [
  'HIGHER_IS_BETTER',
  'LOWER_IS_BETTER',
  'Config',
  'make_data',
  'make_gan',
  'make_modality',
  'remark',
  'score',
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(language.Config):
  """The numbers worth changing."""

  steps: int = 8000
  likelihood_steps: int = 5000
  n_critic: int = 1
  """discriminator's moves to one"""
  inverse_temperature: float = 1.0
  """of the slope of draws"""


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.gumbelgan(
    **language.arguments(config),
    inverse_temperature=config.inverse_temperature,
    n_critic=config.n_critic,
  )
