"""CTGAN (Xu et al., 2019) on your own table: a CSV file.

  python -m experiments.train table --workdir=/tmp/run --path=mine.csv \
    --target=churned
  python -m experiments.sample --workdir=/tmp/run --count=10000
  python -m experiments.evaluate --workdir=/tmp/run

The second writes samples/seed0.csv: the columns of the file, its categories,
integers as integers, decimals as many, dates in its format, and missing values
where the file has them. What a column is, is found out (numbers, times, labels;
experiments/data/kinds.py says how); --labels names columns whose numbers are
codes, --drop those to leave out, such as names and other texts of one row each.
A fifth of the rows is held out for the scores. --dp-noise=2 --pack=1 trains
with differential privacy (experiments/ctgan.py says what that covers). The
file must stay as it is while the run is in use: what writes samples is fitted
to it anew by every command.

Score and time: not measured here; see adult-ctgan.
"""

import dataclasses

from experiments import ctgan

LOWER_IS_BETTER = ctgan.LOWER_IS_BETTER
HIGHER_IS_BETTER = ctgan.HIGHER_IS_BETTER


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ctgan.Config):
  """The numbers worth changing."""


make_gan = ctgan.make_gan
make_data = ctgan.make_data
make_modality = ctgan.make_modality
remark = ctgan.remark
score = ctgan.score
