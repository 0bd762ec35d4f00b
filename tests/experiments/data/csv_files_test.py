"""CSV files: read as they are written, and refused in a line if broken."""

import csv
import gzip
import io

import numpy as np
import pytest

from experiments.data import csv_bytes, digest, read_csv
from experiments.data.csv_files import Table, texts

PLAIN = 'id,name,amount\n1,Ada,2.50\n2,Bob,\n3,Ada,7\n'


@pytest.fixture
def written(tmp_path):
  """Writes a file and returns its path."""

  def write(content, name='table.csv'):
    path = tmp_path / name
    path.write_bytes(
      content if isinstance(content, bytes) else content.encode()
    )
    return path

  return write


def cells(table):
  return {name: [*x.array()] for name, x in table.columns.items()}


def test_a_table_is_its_texts(written):
  table = read_csv(written(PLAIN))
  assert cells(table) == {
    'id': ['1', '2', '3'],
    'name': ['Ada', 'Bob', 'Ada'],
    'amount': ['2.50', '', '7'],
  }
  assert len(table) == 3
  assert table.columns['name'].values == ('Ada', 'Bob')
  assert table.columns['name'].codes.dtype == np.int32


@pytest.mark.parametrize(
  'content',
  [
    PLAIN,
    'a;b\n1,5;x\n2,5;y\n',
    'a\tb c\nx, y\tz\n',
    'a|b\n1|2\n',
    'only\n1\n2\n""\n',
    'a,b\n" x, y ",2\n"say ""no""",3\n"two\nlines",4\n',
    'a, b\n 1, Straße\n 2, 東京\n',
    ',value\n0,5\n1,6\n',
  ],
)
def test_what_is_read_is_written_the_same(written, content):
  assert csv_bytes(read_csv(written(content))).decode() == content


def test_compressed_and_marked_files_and_other_lines_are_read(written):
  plain = cells(read_csv(written(PLAIN)))
  for content in (
    gzip.compress(PLAIN.encode(), mtime=0),
    b'\xef\xbb\xbf' + PLAIN.encode(),
    PLAIN.replace('\n', '\r\n'),
    PLAIN.replace('\n', '\n\n') + '\n\n',
    ' \n' + PLAIN.replace('\n', '\n \t\n'),
    PLAIN.rstrip('\n'),
  ):
    assert cells(read_csv(written(content))) == plain


def test_a_delimiter_within_cells_does_not_mislead(written):
  table = read_csv(written('a;b;c\n"x,y";1,5;2,5\n"z,u";3,5;4,5\n'))
  assert [*table.columns] == ['a', 'b', 'c']
  assert table.delimiter == ';'


def test_the_comma_of_decimals_is_no_delimiter(written):
  table = read_csv(written('1,5;2,5\n3,5;4,5\n'), ['a', 'b'])
  assert cells(table) == {'a': ['1,5', '3,5'], 'b': ['2,5', '4,5']}
  with pytest.raises(ValueError, match='it has numbers alone'):
    read_csv(written('1,5;2,5\n3,5;4,5\n'))


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_a_first_line_may_tell_the_delimiter_to_a_spreadsheet(written, end):
  content = 'sep=;\na;b\n1,5;x\n2,5;y\n'.replace('\n', end)
  table = read_csv(written(content))
  assert cells(table) == {'a': ['1,5', '2,5'], 'b': ['x', 'y']}
  assert table.delimiter == ';'
  # Also one that is not found out: the bar makes as many columns.
  table = read_csv(written('"sep=,"\na|b,c|d\n1|2,3|4\n'))
  assert cells(table) == {'a|b': ['1|2'], 'c|d': ['3|4']}
  with pytest.raises(ValueError, match='line 4 has 1 cell, and the first'):
    read_csv(written('sep=,\na,b\n1,2\n3\n'))
  with pytest.raises(ValueError, match='is empty'):
    read_csv(written('sep=,\n'))
  assert [*read_csv(written('sep=,x\n1,2\n')).columns] == ['sep=', 'x']


def test_long_files_are_sniffed_by_their_beginning(written):
  rows = ''.join(f'{i};{i % 7};text {i}\n' for i in range(9000))
  table = read_csv(written('a;b;c\n' + rows))
  assert (len(table), table.delimiter) == (9000, ';')
  assert table.columns['c'].array()[8999] == 'text 8999'


def test_names_are_put_where_there_are_none(written):
  names = ('x', 'y')
  with_names = read_csv(written('x, y\n1,2\n'), names)
  without = read_csv(written('1,2\n3,4\n'), names)
  assert cells(with_names) == {'x': ['1'], ' y': ['2']}
  assert cells(without) == {'x': ['1', '3'], 'y': ['2', '4']}


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('', 'is empty'),
    ('\n\n', 'is empty'),
    ('a,b\n', 'a header and no row'),
    ('a,b\n1,2\n3\n', 'line 3 has 1 cell, and the first line 2'),
    ('a,b\n1,2\n3,4,5\n6,7\n', 'line 3 has 3 cells'),
    ('a,b\n1,"2\n3,4\n', 'unexpected end of data'),
    ('a,b, a\n1,2,3\n', "several columns of the name 'a'"),
    ('1,2\n3,4\n', 'first line must name the columns'),
    (b'a,b\n1,\xe9t\xe9\n', 'line 2 is no text in UTF-8'),
    (b'a,b\n1,\xe9t\xe9\n', 'iconv -f WINDOWS-1252'),
    ('a\tb\n1\t2\n'.encode('utf-16'), 'line 1 is no .*iconv -f UTF-16 '),
    (
      '\n# made by a program\n# in 2024\na,b\n1,2\n',
      "line 4 has 2 cells, .*; line 2 begins with '#'.* comments are not read",
    ),
    ('#a,b\n1,2\n3\n', 'all rows need as many$'),
    (gzip.compress(PLAIN.encode(), mtime=0)[:-12], 'is damaged'),
    (b'\x1f\x8bno gzip', 'is damaged'),
  ],
)
def test_what_is_no_table_is_refused(written, content, message):
  path = written(content)
  with pytest.raises(ValueError, match=message) as error:
    read_csv(path)
  assert str(path) in str(error.value)


def test_missing_files_and_folders_are_refused(tmp_path):
  for read in (read_csv, digest):
    with pytest.raises(FileNotFoundError, match='there is no file'):
      read(tmp_path / 'no.csv')
    with pytest.raises(ValueError, match='is a folder'):
      read(tmp_path)


def test_a_digest_is_of_the_content(written):
  path = written(PLAIN)
  first = digest(path)
  assert len(first) == 64
  assert digest(written(PLAIN, 'other.csv')) == first
  assert digest(written(PLAIN + '4,Eve,1\n')) != first


def test_rows_and_columns_of_a_table(written):
  table = read_csv(written(PLAIN))
  some = table.rows(np.array([2, 0]))
  assert cells(some)['id'] == ['3', '1']
  assert some.columns['name'].values == ('Ada',)  # Bob is not there
  assert [*table.without(['id', ' name ']).columns] == ['amount']
  assert cells(table.without([])) == cells(table)
  with pytest.raises(ValueError, match='leaves no column'):
    table.without(['id', 'name', 'amount'])
  with pytest.raises(ValueError, match="no column 'age'; there are: id, name"):
    table.without(['age'])


def test_a_table_of_texts_is_quoted_where_it_must_be():
  table = Table({'a,b': texts(['x"y', 'x"y', '']), 'c': texts(['1', '2', '3'])})
  content = csv_bytes(table).decode()
  assert [*csv.reader(io.StringIO(content))] == [
    ['a,b', 'c'],
    ['x"y', '1'],
    ['x"y', '2'],
    ['', '3'],
  ]


def test_every_end_of_a_line_within_a_cell_stays_there(written):
  cells = ['a\rb', 'a\nb', 'a\r\nb', 'end\r\n']
  table = Table({'x\ry': texts(cells), 'z': texts('1234')})
  again = read_csv(written(csv_bytes(table)))
  assert [*again.columns] == ['x\ry', 'z']
  assert [*again.columns['x\ry'].array()] == cells
