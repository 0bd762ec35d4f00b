"""Tables as rows: kinds of columns, modes of numbers, how rows are drawn."""

import sys
from datetime import date

import numpy as np
import pytest
from scipy import stats

from experiments.data import batch, tables
from experiments.data.csv_files import Table, texts
from experiments.data.tables import (
  Constant,
  Decimals,
  Encoded,
  Labels,
  Mixture,
  Times,
)
from jgan.models.ctgan import Category, Number, row_width


def column(cells):
  return texts([str(x) for x in cells])


def kind(cells, delimiter=',', **arguments):
  table = Table({'x': column(cells), 'y': column(range(len(cells)))}, delimiter)
  encoding = tables.fit(table, np.arange(len(table)), **arguments)
  return encoding.columns[0].kind


INTEGERS = [*range(-3, 20)]


@pytest.mark.parametrize(
  ('cells', 'expected'),
  [
    (INTEGERS, Decimals(0)),
    ([f' {i}' for i in INTEGERS], Decimals(0)),
    ([*INTEGERS, '?', 'NA', '?'], Decimals(0, missing='?')),
    ([f'{i}.50' for i in range(12)], Decimals(2)),
    ([*range(12), '0.125', '.5', '7.'], Decimals(3)),
    ([f'{i}e-3' for i in range(12)], Decimals(None)),
    ([f'{i / 7!r}' for i in range(1, 13)], Decimals(None)),
    (
      [f'2024-02-{i:02}' for i in range(10, 25)],
      Times('%Y-%m-%d'),
    ),
    ([f'{i:02}:00' for i in range(24)], Times('%H:%M')),
    (
      [*(f'2024-02-{i}T10:00:{i}' for i in range(10, 25)), ''],
      Times('%Y-%m-%dT%H:%M:%S'),
    ),
    ([f'{i}.12.2024' for i in range(10, 25)], Times('%d.%m.%Y')),
    ([f'12/{i}/2024' for i in range(10, 25)], Times('%m/%d/%Y')),
    (['same'] * 3, Constant('same')),
    ([''] * 3, Constant('')),
    (['b', 'a', 'b'], Labels(('a', 'b'), (1, 2))),
    (['b', '', 'b'], Labels(('', 'b'), (1, 2))),
    ([0, 1, 1, 0, 1], Labels(('0', '1'), (2, 3))),
  ],
)
def test_kinds_of_columns(cells, expected):
  assert kind(cells) == expected


def test_decimals_after_a_comma():
  cells = [f'{i},25' for i in range(12)]
  found = kind(cells, ';')
  assert found == Decimals(2, comma=True)
  (numbers,) = found.parts(column(cells))
  np.testing.assert_array_equal(numbers, np.arange(12) + 0.25)
  assert [*found.write([np.array([-1.5])], 1, None).array()] == ['-1,50']


def test_numbers_that_begin_with_zeros_are_labels():
  cells = [f'{i:05}' for i in range(12)] * 2
  assert isinstance(kind(cells), Labels)
  assert isinstance(kind([*range(12)] * 2, labels=['x']), Labels)
  # More of them than the network sees one by one, and most without a zero.
  codes = [f'{i:05}' for i in range(9000, 19000, 100)] * 2
  with pytest.raises(ValueError, match="'x': '09000' is no number"):
    kind(codes, max_values=50)
  assert len(kind(codes, max_values=50, labels=['x']).rare) == 51


@pytest.mark.parametrize(
  ('found', 'cells'),
  [
    (Decimals(0, missing='?'), ['5', '-3', '?', '12345678901']),
    (Decimals(2), ['0.50', '1234567.89', '-0.01', '']),
    (Decimals(None), ['1e-09', '2.5', '1e+22']),
    (Times('%Y-%m-%d', 'NA'), ['1969-12-31', 'NA', '2024-02-29']),
    (Times('%H:%M'), ['00:00', '23:59', '']),
    (Times('%H:%M:%S'), ['00:00:01', '23:59:59']),
    (Times('%d.%m.%Y %H:%M'), ['01.03.2024 07:05', '', '31.12.1999 23:59']),
    (Labels(('', 'a', 'b'), (1, 1, 1)), ['b', 'a', '', 'a']),
  ],
)
def test_parts_become_the_texts_that_they_were(found, cells):
  written = found.write(found.parts(column(cells)), len(cells), None)
  assert [*written.array()] == cells


def test_times_are_numbers_whether_or_not_some_are_missing():
  for cells in (['2024-02-28', '2024-03-01'], ['2024-02-28', '']):
    (days,) = Times('%Y-%m-%d').parts(column(cells))
    assert days.dtype == np.float64
    assert days[0] == date(2024, 2, 28).toordinal()


def test_few_or_infinite_numbers_are_labels_the_rarest_of_them_one_value():
  few = kind([*range(8), *range(8)], max_values=5)
  assert few.values == ('0', '1', '2', '3')
  assert few.rare == ('4', '5', '6', '7')
  beyond = [f'{i}e400' for i in range(1, 31)]
  assert isinstance(kind(beyond * 2, max_values=5), Labels)


def test_numbers_are_rounded_to_what_the_data_write():
  numbers = [np.array([0.6, -0.4, 2.5, np.nan])]
  assert [*Decimals(0).write(numbers, 4, None).array()] == ['1', '0', '2', '']
  assert [*Decimals(1).write(numbers, 4, None).array()] == [
    '0.6',
    '-0.4',
    '2.5',
    '',
  ]
  times = Times('%Y-%m-%d %H:%M', 'none')
  day = date(2021, 7, 27).toordinal()
  parts = [np.array([day + 0.4, np.nan]), np.array([61.2, 5.0])]
  assert [*times.write(parts, 2, None).array()] == ['2021-07-27 01:01', 'none']


def test_rare_texts_share_a_value_and_come_back_by_frequency():
  cells = ['a'] * 50 + ['b'] * 40 + ['c'] * 6 + ['d'] * 2 + ['e'] * 2
  found = kind(cells, max_values=3)
  assert found == Labels(('a', 'b'), (50, 40), ('c', 'd', 'e'), (6, 2, 2))
  (codes,) = found.parts(column('abcde'))
  assert codes.tolist() == [0, 1, 2, 2, 2]
  rng = np.random.default_rng(0)
  written = found.write([np.full(4000, 2)], 4000, rng).array()
  shares = [(written == x).mean() for x in 'abcde']
  np.testing.assert_allclose(shares, [0, 0, 0.6, 0.2, 0.2], atol=0.03)


@pytest.mark.parametrize(
  ('cells', 'arguments', 'message'),
  [
    ([f'name {i}' for i in range(30)], {}, '30 of 30 rows have a text that no'),
    ([*range(29), 'x1'], {}, "'x1' is no number, though most of its 30"),
    (['a', 'b'], {'labels': ['z']}, "no column 'z'"),
    (['a', 'b'], {'max_values': 1}, 'must be 2 or more'),
  ],
)
def test_columns_that_nothing_can_be_made_of_are_named(
  cells, arguments, message
):
  with pytest.raises(ValueError, match=message):
    kind(cells, **{'max_values': 20, **arguments})


def test_constant_tables_are_refused():
  table = Table({'x': column('aaa')})
  with pytest.raises(ValueError, match='nothing to learn'):
    tables.fit(table, np.arange(3))


@pytest.fixture(scope='module')
def two_hills():
  rng = np.random.default_rng(1)
  numbers = rng.normal(np.where(rng.random(3000) < 0.7, -50, 1000), 20)
  return numbers, tables.fit_mixture(numbers)


def test_modes_of_a_mixture(two_hills):
  numbers, mixture = two_hills
  weights, means = np.array(mixture.weights), np.array(mixture.means)
  assert (np.diff(means) > 0).all()
  low = means < 500
  assert weights[low].sum() == pytest.approx(0.7, abs=0.03)
  assert np.average(means[low], weights=weights[low]) == pytest.approx(
    -50, abs=3
  )
  assert (mixture.low, mixture.high) == (numbers.min(), numbers.max())
  assert mixture.points == ()
  assert not mixture.missing


def test_numbers_come_back_from_modes_and_scalars(two_hills):
  numbers, mixture = two_hills
  scalars, codes = mixture.encode(numbers, np.random.default_rng(0))
  assert scalars.dtype == np.float32
  assert np.abs(scalars).max() <= 0.99
  np.testing.assert_allclose(mixture.decode(scalars, codes), numbers, atol=1e-3)
  # Nothing beyond what was seen.
  far = mixture.decode(np.ones(2), np.array([0, mixture.modes - 1]))
  assert far.min() >= numbers.min()
  assert far.max() <= numbers.max()


def test_a_number_has_the_modes_that_are_probable():
  mixture = Mixture((0.0, 1.0), (1.0, 2.0), (0.5, 0.5), (), False, -9.0, 9.0)
  _, codes = mixture.encode(np.full(20_000, 0.5), np.random.default_rng(0))
  chances = stats.norm.pdf(0.5, [0, 1], [1, 2])
  assert codes.mean() == pytest.approx(chances[1] / chances.sum(), abs=0.01)


def test_frequent_and_missing_numbers_are_modes_of_their_own():
  rng = np.random.default_rng(0)
  numbers = np.concatenate(
    [rng.normal(100, 1, 600), np.zeros(300), np.full(100, np.nan)]
  )
  mixture = tables.fit_mixture(numbers)
  assert mixture.points == (0.0,)
  assert mixture.missing
  assert mixture.modes == len(mixture.means) + 2
  assert min(mixture.means) > 90
  scalars, codes = mixture.encode(numbers, rng)
  assert (scalars[600:] == 0).all()
  # A scalar beside them does not count: they come out exactly.
  back = mixture.decode(scalars + np.float32(0.001), codes)
  np.testing.assert_array_equal(back[600:], numbers[600:])


@pytest.mark.parametrize(
  'numbers',
  [
    [np.nan] * 5,
    [3.0] * 5,
    [3.0, np.nan],
    [1.0] * 90 + [2.0] * 5,
    [1e-9, 2e-9, 3e-9] * 40 + [*np.linspace(4e-9, 5e-9, 40)],
    [1e15 + i for i in range(40)],
    [*range(12)],
  ],
)
def test_numbers_of_any_kind_come_back(numbers):
  numbers = np.array(numbers)
  mixture = tables.fit_mixture(numbers)
  encoded = mixture.encode(numbers, np.random.default_rng(0))
  scale = np.nanmax(np.abs(numbers)) if not np.isnan(numbers).all() else 1
  np.testing.assert_allclose(
    mixture.decode(*encoded) / scale, numbers / scale, atol=1e-6
  )


def test_without_scikit_learn_it_is_asked_for(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn.mixture', None)
  with pytest.raises(ValueError, match=r'pip install "jgan\[tables\]"'):
    tables.fit_mixture(np.arange(20.0))


@pytest.fixture(scope='module')
def mixed():
  """A table of all kinds, and what it was fitted to."""
  rng = np.random.default_rng(0)
  n = 400
  age = np.where(rng.random(n) < 0.1, '', rng.integers(18, 90, n).astype(str))
  table = Table(
    {
      'age': column(age),
      'always': column(['yes'] * n),
      'town': column(
        rng.choice(['Ulm', 'Bonn', 'Kiel'], n, p=[0.9, 0.08, 0.02])
      ),
      'price': column([f'{x:.2f}' for x in rng.gamma(2, 30, n)]),
      'when': column(
        [
          f'2024-{m:02}-{d:02} {h:02}:{i:02}'
          for m, d, h, i in zip(
            rng.integers(1, 13, n),
            rng.integers(1, 29, n),
            rng.integers(0, 24, n),
            rng.integers(0, 60, n),
            strict=True,
          )
        ]
      ),
      'member': column(rng.choice(['no', 'yes'], n)),
    },
    ';',
  )
  return table, tables.fit(table, np.arange(n))


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


def test_training_by_sampling(mixed):
  table, encoding = mixed
  encoded = encoding.encode(table)
  source = tables.TrainingBySampling(encoded)
  drawn = batch(source, 5, 7, 30_000)
  condition = drawn['condition']
  assert condition.dtype == np.int32
  # The row has the value that is asked for.
  starts = {}
  start = 0
  for i, part in enumerate(encoding.layout):
    starts[i] = start
    start += row_width([part])
  at = np.array([*range(starts[1], starts[1] + 3), *range(starts[5], start)])
  assert (drawn['row'][np.arange(30_000), at[condition]] == 1).all()
  # Values by the logarithms of their counts, columns alike.
  expected = []
  for i in (1, 5):
    logs = np.log1p(encoding.layout[i].frequencies)
    expected.extend(logs / logs.sum() / 2)
  shares = np.bincount(condition, minlength=5) / 30_000
  np.testing.assert_allclose(shares, expected, atol=0.01)
  # Within a value all of its rows alike.
  kiel = drawn['row'][condition == 1]
  assert len(np.unique(kiel, axis=0)) == encoding.layout[1].frequencies[1]


def test_batches_are_functions_of_seed_and_step(mixed):
  encoded = mixed[1].encode(mixed[0])
  for kind_of in (tables.TrainingBySampling, tables.PoissonSampling):
    one, same, later, other = (
      batch(kind_of(encoded), seed, step, 50)
      for seed, step in ((5, 7), (5, 7), (5, 8), (6, 7))
    )
    for name, x in one.items():
      np.testing.assert_array_equal(x, same[name])
    assert one['index'].tolist() == [*range(50)]
    assert not np.array_equal(one['row'], later['row'])
    assert not np.array_equal(one['row'], other['row'])
    assert len(kind_of(encoded)) == 400
    assert kind_of(encoded)[np.arange(3)]['row'].shape[0] == 3


def test_rows_without_categories_are_drawn_alike():
  encoded = Encoded(
    (Number(1),),
    np.linspace(-1, 1, 5, dtype=np.float32)[:, None],
    np.zeros((5, 1), np.int32),
  )
  drawn = batch(tables.TrainingBySampling(encoded), 0, 0, 10_000)
  assert set(drawn) == {'row', 'index'}
  _, counts = np.unique(drawn['row'][:, 0], return_counts=True)
  np.testing.assert_allclose(counts / 10_000, 0.2, atol=0.02)
  private = batch(tables.PoissonSampling(encoded), 0, 0, 20)
  assert set(private) == {'row', 'weight', 'index'}


def test_poisson_sampling(mixed):
  table, encoding = mixed
  encoded = encoding.encode(table)
  source = tables.PoissonSampling(encoded)
  size = 200
  rate = tables.poisson_rate(400, size)
  sizes, seen = [], np.zeros(400)
  every = encoded[np.arange(400)]['row']
  for step in range(60):
    drawn = source.draw(3, step, size)
    count = int(drawn['weight'].sum())
    sizes.append(count)
    assert (drawn['weight'] == (np.arange(size) < count)).all()
    rows = drawn['row'][:count]
    found = (rows[:, None] == every[None]).all(-1)
    assert (found.sum(1) == 1).all()
    at = found.argmax(1)
    assert len(set(at)) == count  # nobody twice
    seen[at] += 1
    # The condition is one of the row's own.
    conditions = drawn['condition'][:count, None] == encoded.conditions[at]
    assert (conditions.sum(1) == 1).all()
  spread = np.sqrt(400 * rate * (1 - rate))
  assert np.mean(sizes) == pytest.approx(400 * rate, abs=4 * spread / 60**0.5)
  assert np.std(sizes) == pytest.approx(spread, rel=0.4)
  # Whatever a row holds, it is drawn as often as another.
  assert stats.chisquare(seen).pvalue > 1e-3


def test_more_than_fit_are_hardly_ever_drawn():
  for rows, size in ((26_000, 500), (1_000_000, 100), (2000, 1000)):
    rate = tables.poisson_rate(rows, size)
    assert stats.poisson.sf(size, rows * rate) == pytest.approx(1e-15, rel=1e-3)
    assert stats.binom.sf(size, rows, rate) <= 1.001e-15
  assert tables.poisson_rate(100, 500) == 1.0
