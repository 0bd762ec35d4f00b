"""Straight-through Gumbel-softmax on first names, letter by letter."""

import dataclasses

import jgan
from experiments import data, language
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.scoring import Report

LOWER_IS_BETTER = language.LOWER_IS_BETTER
HIGHER_IS_BETTER = language.HIGHER_IS_BETTER


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


def make_data(config: Config) -> data.Source:
  return language.source(config)


def make_modality(config: Config) -> Modality:
  return language.modality(config)


def remark(config: Config, steps: int) -> str:
  return language.remark(config, steps)


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  return language.score(config, generate, count, seed)
