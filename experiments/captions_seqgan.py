"""SeqGAN (Yu et al., 2017) on captions of pictures, word by word."""

import dataclasses

import jgan
from experiments import data, language, text
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.scoring import Report

LOWER_IS_BETTER = language.LOWER_IS_BETTER
HIGHER_IS_BETTER = language.HIGHER_IS_BETTER


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(text.Config):
  """The numbers worth changing."""

  steps: int = 3000
  words: bool = True
  length: int = 16
  likelihood_steps: int = 1500
  discriminator_steps: int = 300
  rollouts: int = 2


def make_gan(config: Config) -> jgan.GAN:
  return text.make_gan(config)


def make_data(config: Config) -> data.Source:
  return language.source(config)


def make_modality(config: Config) -> Modality:
  return language.modality(config)


def remark(config: Config, steps: int) -> str:
  return language.remark(config, steps)


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  return language.score(config, generate, count, seed)
