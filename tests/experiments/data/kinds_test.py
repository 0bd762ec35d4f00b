"""What columns are, and their texts as numbers and back."""

from datetime import date

import numpy as np
import pytest

from experiments.data import tables
from experiments.data.csv_files import Table, texts
from experiments.data.kinds import Constant, Decimals, Labels, Times


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
    (
      [f'{i}/3/2024' for i in range(5, 25)],
      Times('%d/%m/%Y', padded=False),
    ),
    ([f'2024-1-{i}' for i in range(9, 25)], Times('%Y-%m-%d', padded=False)),
    (
      [f'3/{i}/2024 {i - 9}:05' for i in range(9, 25)],
      Times('%m/%d/%Y %H:%M', padded=False),
    ),
    (
      [f'2024-02-{i}T10:00:{i}Z' for i in range(10, 25)],
      Times('%Y-%m-%dT%H:%M:%SZ'),
    ),
    (
      [f'2024-02-{i} 10:00:{i}.000-05:00' for i in range(10, 25)],
      Times('%Y-%m-%d %H:%M:%S.000-05:00'),
    ),
    (
      [*(f'{i}%' for i in INTEGERS), 'NA'],
      Decimals(0, missing='NA', suffix='%'),
    ),
    (
      [f'{"-" * (i < 0)}$ {abs(i)}.20' for i in INTEGERS],
      Decimals(2, prefix='$ '),
    ),
    ([f'{i} kg ' for i in INTEGERS], Decimals(0, suffix=' kg')),
    ([f'US${i}' for i in range(12)], Decimals(0, prefix='US$')),
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


def test_codes_and_columns_of_several_affixes_are_labels():
  for cells in (
    [f'user{i}' for i in range(12)],
    [f'#{i}' for i in range(12)],
    [*(f'{i}%' for i in range(12)), '12'],
    [*(f'${i}' for i in range(12)), '€1'],
    [f'${i:03}' for i in range(12)],
    [f'$-{i}' for i in range(12)],
    ['%'] * 2 + [f'{i}%' for i in range(12)],
    [*(f'2024-02-{i}T10:00Z' for i in range(10, 25)), '2024-02-25T10:00+01:00'],
    [*(f'2024-1-{i}' for i in range(10, 25)), '2024-02-01'],
  ):
    assert isinstance(kind(cells * 2), Labels), cells


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
    (
      Times('%d.%m.%Y %H:%M:%SZ', 'NA', padded=False),
      ['1.3.2024 7:05:00Z', 'NA', '31.12.1999 23:59:09Z', '1.1.2000 0:00:00Z'],
    ),
    (Decimals(2, prefix='$'), ['$0.50', '-$1234567.89', '']),
    (
      Decimals(1, comma=True, missing='?', suffix='\xa0€'),
      ['0,5\xa0€', '-3,0\xa0€', '?'],
    ),
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


def test_few_names_are_labels_where_asked_for_and_so_are_two_rows():
  assert len(kind([f'name {i}' for i in range(30)], labels=['x']).values) == 30
  assert len(kind(['a', 'b']).values) == 2


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
    (
      [f'2 Feb {i}' for i in range(2012, 2024)],
      {'max_values': 500},
      '12 of 12 .*--drop, or keep its texts as they are by --labels',
    ),
    ([*range(29), 'x1'], {'max_values': 500}, "'x1' is no number, though"),
    ([*range(29), 'x1'], {}, "'x1' is no number, though most of its 30"),
    ([*range(29), '-2e300'], {}, "'x': its largest number is -2e300"),
    ([f'{i},000' for i in range(100, 130)] * 2, {}, "thousands.*'100,000'"),
    ([*range(980, 1000), "1'000"], {}, "thousands apart, such as .1'000"),
    ([f'-1.{i}.000,5' for i in range(100, 130)], {}, "such as '-1.100.000,5'"),
    ([*(f'{i},50 €' for i in range(30)), '1.000,00 €'], {}, "'1.000,00 €'"),
    ([f'{i} 000 kr' for i in range(10, 30)], {}, "thousands.*'10 000 kr'"),
    ([*(f'{i}.125' for i in range(29)), '1,5'], {}, "'1,5' is no number, tho"),
    ([1, *(f'(1.{i})' for i in range(10, 30))], {}, r"such as '\(1.10\)'"),
    ([f'{i}e-300' for i in range(30)], {}, 'largest number is 29e-300'),
    (['a', 'b'], {'labels': ['z']}, "no column 'z'"),
    (['a', 'b'], {'max_values': 1}, 'must be 2 or more'),
  ],
)
def test_columns_that_nothing_can_be_made_of_are_named(
  cells, arguments, message
):
  with pytest.raises(ValueError, match=message):
    kind(cells, **{'max_values': 20, **arguments})
