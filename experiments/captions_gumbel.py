"""Straight-through Gumbel-softmax on captions of pictures, word by word."""

import dataclasses

from experiments import names_gumbel
from experiments.names_gumbel import (
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
class Config(names_gumbel.Config):
  """The numbers worth changing."""

  steps: int = 3000
  words: bool = True
  length: int = 16
  likelihood_steps: int = 1500
