"""CTGAN (Xu et al., 2019) on card payments: amounts, times and labels.

The payments are simulated, by experiments/data/transactions.py, since no real
ones may be handed on; a real table takes the same way by --path=FILE, with
--target=COLUMN. The target is fraud, which 2 of 100 rows are.

After 3,000 of the 10,000 steps, 5 minutes on a core of a CPU, by

  python -m experiments.train transactions-ctgan --workdir=/tmp/run --steps=3000
  python -m experiments.evaluate --workdir=/tmp/run

f1 is .195, and .445 by real rows; total variation .071 (of held-out rows .019),
the Kolmogorov-Smirnov distance .063 (.014), the difference of associations .073
(.018). The full length: not measured here.

What follows strictly is learned slowly. By the rows of `python -m
experiments.sample --workdir=/tmp/run --count=10000`,

  import csv
  rows = list(csv.DictReader(open('/tmp/run/samples/seed0.csv')))
  cash = [(x['channel'] == 'atm') == (x['category'] == 'cash') for x in rows]
  named = [x['merchant'].startswith(x['category']) for x in rows]
  print(sum(cash) / len(rows), sum(named) / len(rows))

94% pay at the cash machine for cash and for nothing else, as 94% of the reals
do, but only 33% name a merchant of their category, where all reals do.
"""

import dataclasses

from experiments import ctgan, data
from experiments.data.csv_files import Table

LOWER_IS_BETTER = ctgan.LOWER_IS_BETTER
HIGHER_IS_BETTER = ctgan.HIGHER_IS_BETTER


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ctgan.Config):
  """The numbers worth changing."""

  steps: int = 10_000
  path: str = ''
  """a CSV file; empty: simulated rows"""
  target: str = 'fraud'
  rows: int = 20_000
  """of the simulation"""

  def table(self) -> Table:
    """The rows of `path`, or simulated ones."""
    return super().table() if self.path else data.transactions(self.rows)


make_gan = ctgan.make_gan
make_data = ctgan.make_data
make_modality = ctgan.make_modality
remark = ctgan.remark
score = ctgan.score
