"""CSV files as users have them, their windows, and the way back to units."""

import gzip

import numpy as np
import pytest

from experiments import data

ROWS = 'Date,Open,Volume\n2020-01-01,1.5,300\n2020-01-02,2.5,100\n'


def written(tmp_path, content, name='x.csv'):
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return path


@pytest.mark.parametrize(
  'content',
  [
    'a,b\n1,2\n3,4\n',
    'a;b\r\n1;2\r\n3;4\r\n',
    'a\tb\n1\t2\n3\t4',
    '\ufeffa,b\n\n1, 2\n3,4\n\n',
    '"a","b"\n"1","2"\n3,4e0\n',
    gzip.compress(b'a,b\n1,2\n3,4\n', mtime=0),
  ],
  ids=['commas', 'semicolons', 'tabs', 'excel', 'quoted', 'gzip'],
)
def test_tables_of_many_writers(tmp_path, content):
  table = data.read_numbers(written(tmp_path, content))
  assert table.names == ('a', 'b')
  assert table.header
  np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])


def test_a_file_without_names_and_its_samples(tmp_path):
  table = data.read_numbers(written(tmp_path, '1,20\n3,40\n'))
  assert (table.names, table.header) == (('1', '2'), False)
  np.testing.assert_array_equal(table.values, [[1, 20], [3, 40]])
  assert table.to_csv(np.array([[0.0, 1.0], [0.5, 0.5]])) == b'1,40\n2,30\n'


def test_columns_by_name_in_the_order_asked_for(tmp_path):
  path = written(tmp_path, ROWS)
  table = data.read_numbers(path, ('Volume', 'Open'))
  assert table.names == ('Volume', 'Open')
  np.testing.assert_array_equal(table.values, [[300, 1.5], [100, 2.5]])


def test_numbers_come_back_to_their_units(tmp_path):
  rng = np.random.default_rng(0)
  values = rng.normal(size=(50, 3)) * [1, 1e6, 1e-3] + [0, 1e6, 5]
  content = '\n'.join(','.join(map(repr, row)) for row in values.tolist())
  table = data.read_numbers(written(tmp_path, content))
  unit = table.to_unit(table.values)
  assert unit.dtype == np.float32
  assert (unit.min(0) == 0).all()
  assert (unit.max(0) == 1).all()
  spans = np.ptp(values, axis=0)
  back = table.to_data(unit)
  assert (np.abs(back - values) / spans).max() < 1e-6
  # What a network makes beyond the range does not leave that of the data.
  beyond = table.to_data(np.array([[-1.0, 2.0, 0.0]]))
  np.testing.assert_allclose(
    beyond[0], [values[:, 0].min(), values[:, 1].max(), values[:, 2].min()]
  )


def test_a_constant_column_stays_constant(tmp_path):
  table = data.read_numbers(written(tmp_path, 'a,b\n1,7\n2,7\n'))
  with np.errstate(all='raise'):
    unit = table.to_unit(table.values)
    np.testing.assert_array_equal(unit, [[0, 0], [1, 0]])
    back = table.to_data(np.array([[0.5, 0.3]]))
  np.testing.assert_array_equal(back, [[1.5, 7]])


def test_samples_as_csv(tmp_path):
  table = data.read_numbers(
    written(tmp_path, 'price,shares\n49.676899,44994500\n1271,7900\n')
  )
  one = table.to_unit(table.values)
  assert table.to_csv(one) == b'price,shares\n49.676899,44994500\n1271,7900\n'
  assert table.to_csv(np.stack([one[:1], one[1:]])) == (
    b'series,price,shares\n0,49.676899,44994500\n1,1271,7900\n'
  )


def test_samples_have_the_decimals_of_the_data(tmp_path):
  content = 'shares,price,tiny\n7,1.25,1e-20\n1000,2.5,2e-20\n'
  table = data.read_numbers(written(tmp_path, content))
  (made,) = table.to_csv(np.full((1, 3), 0.3, np.float32)).splitlines()[1:]
  shares, price, tiny = made.decode().split(',')
  assert (shares, price) == ('305', '1.62')  # of 304.9 and 1.625
  assert float(tiny) == pytest.approx(1.3e-20)


def test_samples_have_the_delimiter_of_the_data(tmp_path):
  for between in (';', '\t', '|'):
    content = 'a,b\n1,2\n3,4\n'.replace(',', between)
    table = data.read_numbers(written(tmp_path, content))
    assert table.to_csv(table.to_unit(table.values)) == content.encode()


@pytest.mark.parametrize('between', [';', '\t', '|'])
@pytest.mark.parametrize('header', ['a;b', '', 'at;a;b'])
def test_decimals_after_a_comma_are_read_and_written(tmp_path, header, between):
  rows = ['1,5;-2', '0,25;1e3']
  if header.startswith('at'):  # whose points are of no number wanted
    lines = [header, *(f'01.02.2024;{row}' for row in rows)]
  else:
    lines = [header, *rows]
  content = '\n'.join(lines).strip().replace(';', between)
  columns = ('a', 'b') if header.startswith('at') else ()
  table = data.read_numbers(written(tmp_path, content), columns)
  np.testing.assert_array_equal(table.values, [[1.5, -2], [0.25, 1000]])
  assert table.header == bool(header)
  made = table.to_csv(table.to_unit(table.values)).decode().splitlines()
  expected = [f'a{between}b'] * table.header
  assert made == [*expected, f'1,5{between}-2', f'0,25{between}1000']


def test_numbers_close_together_far_from_zero_stay_apart_in_a_csv(tmp_path):
  content = 'at,level,zone\n1700000000001,1e5,1234567890123\n'
  content += '1700000000002,100000.125,1234567890123\n'
  table = data.read_numbers(written(tmp_path, content))
  made = table.to_csv(table.to_unit(table.values)).decode()
  assert made == content.replace('1e5', '100000')


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('', 'is empty'),
    ('\n\n', 'is empty'),
    ('a,b\n', 'a line of names and no numbers'),
    ('a,b\n1,2\n3\n', 'line 3 has 1 cell, and the first line 2'),
    ('a,b\n1,2\n3,x\n', "line 3, column 'b': 'x' is no finite number"),
    ('a,b\n1,2\n3,nan\n', "line 3, column 'b': 'nan' is no finite number"),
    ('1,2\n3,-inf\n', "line 2, column '2': '-inf' is no finite number"),
    ('a,b\n1,\n', "line 2, column 'b': the cell is empty"),
    ('a,b\n1,2\n,\n', "line 3, column 'a': the cell is empty"),
    ('a,b\n"1,5",2\n', "'1,5' is no finite number .decimals need a point"),
    ('a;b\n1,5;2.5\n', "'1,5' is no finite number .decimals need a point"),
    ('a;b\n1.234,5;2\n', "'1.234,5' is no finite number .decimals need a"),
    ('a,b\n2,"1,234,567"\n', "'1,234,567' is no .*thousands no sign"),
    ('a;b\n1,2;x,y\n', "column 'b': 'x,y' is no finite number"),
    (ROWS, "column 'Date': '2020-01-01' is no .*--columns"),
    (b'\xff\xfea\x00', 'no text in UTF-8'),
    (gzip.compress(b'a,b\n1,2\n', mtime=0)[:-9], 'is damaged'),
    (b'a,b\n1,"' + b'2' * 200_000 + b'"\n', 'line 2.*field limit'),
  ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path, content, message):
  path = written(tmp_path, content)
  with pytest.raises(ValueError, match=message) as error:
    data.read_numbers(path)
  assert str(path) in str(error.value)
  assert '\n' not in str(error.value)


def test_what_is_not_there_is_told(tmp_path):
  with pytest.raises(FileNotFoundError, match='needs the path of a CSV'):
    data.read_numbers('')
  with pytest.raises(FileNotFoundError, match=r'there is no file .*none\.csv'):
    data.read_numbers(tmp_path / 'none.csv')
  with pytest.raises(ValueError, match='is a folder'):
    data.read_numbers(tmp_path)
  path = written(tmp_path, ROWS)
  with pytest.raises(ValueError, match=r"'Close'.*are Date, Open, Volume"):
    data.read_numbers(path, ('Open', 'Close'))


def test_a_name_of_several_columns_chooses_none(tmp_path):
  path = written(tmp_path, 'a,a,b\n1,2,3\n4,5,6\n')
  assert data.read_numbers(path).values.shape == (2, 3)
  assert data.read_numbers(path, ('b',)).names == ('b',)
  with pytest.raises(ValueError, match="several columns of the name 'a'"):
    data.read_numbers(path, ('b', 'a'))


def test_windows_are_all_there_are():
  values = np.arange(10, dtype=np.float32).reshape(5, 2)
  windows = data.Windows(values, 3)
  assert len(windows) == 3
  batch = windows[np.array([2, 0])]
  assert list(batch) == ['series']
  assert batch['series'].dtype == np.float32
  np.testing.assert_array_equal(batch['series'], [values[2:5], values[:3]])


def test_windows_have_labels_of_their_own_numbers():
  values = np.array([[0], [2], [1], [3]], np.float32)
  windows = data.Windows(
    values, 2, lambda series: (series[:, 1, 0] > series[:, 0, 0]).astype('i')
  )
  np.testing.assert_array_equal(windows[np.arange(3)]['label'], [1, 0, 1])


@pytest.mark.parametrize('length', [1, 6])
def test_a_window_longer_than_the_data_is_refused(length):
  with pytest.raises(ValueError, match=f'from 2 rows up to .* got {length}'):
    data.Windows(np.zeros((5, 1), np.float32), length)
