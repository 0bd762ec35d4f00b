"""Simulated card payments: what its description promises."""

import numpy as np
import pytest

from experiments.data import tables, transactions
from experiments.data.kinds import Decimals, Labels, Times


@pytest.fixture(scope='module')
def payments():
  table = transactions(4000)
  return table, {name: x.array() for name, x in table.columns.items()}


def test_kinds_of_its_columns(payments):
  table, _ = payments
  # The kinds alone: modes take their time, and a few rows tell no other.
  encoding = tables.fit(table, np.arange(100))
  kinds = {column.name: column.kind for column in encoding.columns}
  assert kinds['time'] == Times('%Y-%m-%d %H:%M')
  assert kinds['amount'] == kinds['balance'] == Decimals(2)
  assert kinds['hours_since_last'] == Decimals(1)
  assert kinds['age'] == Decimals(0)
  for name in ('category', 'merchant', 'channel', 'country', 'fraud'):
    assert isinstance(kinds[name], Labels), name


def test_columns_follow_from_each_other(payments):
  _, cells = payments
  amount = cells['amount'].astype(float)
  merchants = np.array([x.rpartition('-')[0] for x in cells['merchant']])
  np.testing.assert_array_equal(merchants, cells['category'])
  cash = cells['category'] == 'cash'
  np.testing.assert_array_equal(cash, cells['channel'] == 'cash machine')
  assert (amount[cash] % 10 == 0).all()
  assert amount.min() >= 0.5
  games = cells['category'] == 'games'
  assert (
    cells['channel'][games & (cells['fraud'] == 'no')] == 'online'
  ).mean() > 0.5
  hours = np.array([int(x[11:13]) for x in cells['time']])
  fuel = cells['category'] == 'fuel'
  assert hours[cells['category'] == 'subscription'].mean() < hours[fuel].mean()
  fraud = cells['fraud'] == 'yes'
  assert 0.01 < fraud.mean() < 0.03
  assert np.median(amount[fraud]) > 2 * np.median(amount[~fraud])
  age = cells['age'].astype(int)
  assert (age.min(), age.max()) >= (18, 60)
  assert age[games].mean() < age[cells['category'] == 'health'].mean() - 5


def test_time_and_what_was_before(payments):
  _, cells = payments
  times = cells['time'].astype('datetime64[m]')
  assert (np.diff(times) >= np.timedelta64(0, 'm')).all()
  since = cells['hours_since_last']
  first = since == ''
  assert 0.02 < first.mean() < 0.2
  # A customer's first row is the one that has nothing before it.
  assert first[0]
  assert (since[~first].astype(float) >= 0).all()


def test_the_seed_decides():
  one, same, other = (transactions(50, seed) for seed in (1, 1, 2))

  def cells(table):
    return [[*column.array()] for column in table.columns.values()]

  assert cells(one) == cells(same) != cells(other)
  assert len(transactions(1)) == 1
  with pytest.raises(ValueError, match='count of 1 or more, got 0'):
    transactions(0)
