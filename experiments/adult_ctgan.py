"""CTGAN (Xu et al., 2019) on the Adult census: who earns more than 50,000?"""

import dataclasses

from experiments import ctgan

LOWER_IS_BETTER = ctgan.LOWER_IS_BETTER
HIGHER_IS_BETTER = ctgan.HIGHER_IS_BETTER
_NAMES = (
  'age',
  'workclass',
  'fnlwgt',
  'education',
  'education-num',
  'marital-status',
  'occupation',
  'relationship',
  'race',
  'sex',
  'capital-gain',
  'capital-loss',
  'hours-per-week',
  'native-country',
  'income',
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ctgan.Config):
  """The numbers worth changing."""

  path: str = ''
  """adult.data or adult.csv, from UCI"""
  target: str = 'income'

  @property
  def names(self) -> tuple[str, ...]:
    """Of the columns, which adult.data does not have."""
    return _NAMES


make_gan = ctgan.make_gan
make_data = ctgan.make_data
make_modality = ctgan.make_modality
remark = ctgan.remark
score = ctgan.score
