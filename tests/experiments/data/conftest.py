"""What the tests of several modules of data read."""

import numpy as np
import pytest

from experiments.data import tables
from experiments.data.csv_files import Table, texts


@pytest.fixture(scope='module')
def mixed():
  """A table of all kinds, and what it was fitted to."""
  rng = np.random.default_rng(0)
  n = 400
  age = np.where(rng.random(n) < 0.1, '', rng.integers(18, 90, n).astype(str))
  times = zip(
    rng.integers(1, 13, n),
    rng.integers(1, 29, n),
    rng.integers(0, 24, n),
    rng.integers(0, 60, n),
    strict=True,
  )
  cells = {
    'age': age,
    'always': ['yes'] * n,
    'town': rng.choice(['Ulm', 'Bonn', 'Kiel'], n, p=[0.9, 0.08, 0.02]),
    'price': [f'{x:.2f}' for x in rng.gamma(2, 30, n)],
    'when': [f'2024-{m:02}-{d:02} {h:02}:{i:02}' for m, d, h, i in times],
    'member': rng.choice(['no', 'yes'], n),
  }
  table = Table({k: texts([str(x) for x in x]) for k, x in cells.items()}, ';')
  return table, tables.fit(table, np.arange(n))
