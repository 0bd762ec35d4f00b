"""SeqGAN (Yu et al., 2017) on first names, letter by letter."""

import dataclasses

from experiments import text
from experiments.text import (
  HIGHER_IS_BETTER,
  LOWER_IS_BETTER,
  make_data,
  make_gan,
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
class Config(text.Config):
  """The numbers worth changing."""

  steps: int = 8000
  likelihood_steps: int = 5000
  discriminator_steps: int = 1000
