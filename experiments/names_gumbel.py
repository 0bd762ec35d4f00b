"""Straight-through Gumbel-softmax on first names, letter by letter."""

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
  texts = language.corpus(config)
  return jgan.models.gumbelgan(
    len(texts.vocabulary),
    texts.tokens.shape[1],
    likelihood_steps=config.likelihood_steps,
    inverse_temperature=config.inverse_temperature,
    n_critic=config.n_critic,
    embedding=config.embedding,
    hidden=config.hidden,
    filters=tuple((width, config.filters) for width in language.WIDTHS),
    dropout=config.dropout,
    likelihood_learning_rate=config.likelihood_rate,
    generator_learning_rate=config.generator_rate,
    discriminator_learning_rate=config.discriminator_rate,
    ema_decay=config.ema_decay,
  )
