"""Tables as rows of entries, and back."""

import numpy as np
import pytest

from experiments.data import tables
from experiments.data.csv_files import Table, texts
from jgan.models.ctgan import Category, Number, row_width


def test_constant_tables_are_refused():
  table = Table({'x': texts(['a'] * 3)})
  with pytest.raises(ValueError, match='nothing to learn'):
    tables.fit(table, np.arange(3))


def test_a_table_comes_back_from_its_rows(mixed):
  table, encoding = mixed
  encoded = encoding.encode(table)
  rows = encoded[np.arange(len(table))]['row']
  width = row_width(encoding.layout)
  assert rows.shape == (len(table), width)
  assert rows.dtype == np.float32
  kinds = [type(x) for x in encoding.layout]
  assert kinds == [Number, Category, Number, Number, Number, Category]
  assert encoding.layout[1].frequencies == tuple(
    (table.columns['town'].array() == x).sum() for x in ('Bonn', 'Kiel', 'Ulm')
  )
  # Softly chosen is as good as chosen.
  softened = rows * np.float32(0.999)
  back = encoding.decode(softened)
  assert back.delimiter == ';'
  assert [*back.columns] == [*table.columns]
  for name in ('always', 'town', 'member', 'age'):
    np.testing.assert_array_equal(
      back.columns[name].array(), table.columns[name].array()
    )
  exact = encoding.decode(rows)
  for name, one in table.columns.items():
    same = exact.columns[name].array() == one.array()
    assert same.mean() > 0.97, name  # beyond four deviations some are cut


def test_conditions_are_counted_through_the_categories(mixed):
  table, encoding = mixed
  conditions = encoding.encode(table).conditions
  town, member = conditions.T
  names = np.array(['Bonn', 'Kiel', 'Ulm', 'no', 'yes'])
  np.testing.assert_array_equal(names[town], table.columns['town'].array())
  np.testing.assert_array_equal(names[member], table.columns['member'].array())
