"""Tables as a run shows them: a histogram of each column, and a CSV file."""

import numpy as np
import pytest

from experiments import tabular
from experiments.data import read_csv, tables
from experiments.data.csv_files import Table, texts

N = 40


@pytest.fixture(scope='module')
def shown():
  """A modality, and the table that it is of."""
  table = Table(
    {
      'size': texts([*(str(i) for i in range(30)), *[''] * 10]),
      'kind': texts(['b'] * 30 + ['a'] * 10),
      'at': texts(
        [f'2024-03-{1 + i % 28:02} {i % 24:02}:00' for i in range(N)]
      ),
      'fixed': texts(['x'] * N),
    }
  )
  encoding = tables.fit(table, np.arange(N))
  encoded = encoding.encode(table)
  return tabular.modality(encoding, encoded), encoded, table


def test_samples_are_a_file_and_a_picture(shown, tmp_path):
  kind, encoded, table = shown
  rows = encoded[np.arange(N)]['row']
  got = kind.samples(rows, {'index': np.arange(N)})
  assert got.picture.dtype == np.uint8
  # Panels of size, kind, day and time of day, two by two.
  assert got.picture.shape == (2 * 98 + 2, 2 * 170 + 2, 3)
  path = tmp_path / 'x.csv'
  path.write_bytes(got.files['.csv'])
  back = read_csv(path)
  assert [*back.columns] == ['size', 'kind', 'at', 'fixed']
  for name in ('kind', 'fixed', 'size'):
    np.testing.assert_array_equal(
      back.columns[name].array(), table.columns[name].array()
    )
  assert (kind.unit, kind.suffix) == ('rows', '.csv')


def test_reals_are_shown_without_their_rows(shown):
  kind, encoded, _ = shown
  got = kind.reals({'row': encoded[np.arange(3)]['row']})
  assert got.files == {}
  rows = encoded[np.arange(N)]['row']
  np.testing.assert_array_equal(got.picture, kind.samples(rows, {}).picture)


def test_bars_are_as_high_as_values_are_frequent(shown):
  kind, encoded, _ = shown
  picture = kind.samples(encoded[np.arange(N)]['row'], {}).picture[..., 0]
  panel = picture[2:98, 172:340]  # of the labels: b, then a
  bars = (panel[15:] == 90).sum(0)
  assert bars[20] == pytest.approx(3 * bars[140], abs=4)
  assert bars[20] > 70


def test_one_row_is_a_file_of_its_own(shown):
  kind, encoded, _ = shown
  one = encoded[np.array([3])]['row'][0]
  lines = kind.encode(one).decode().splitlines()
  assert lines[0] == 'size,kind,at,fixed'
  assert lines[1].startswith('3,b,2024-03-04 03:00,x')
  assert len(lines) == 2


def test_arrays_are_the_cells(shown):
  kind, encoded, table = shown
  arrays = kind.arrays(encoded[np.arange(N)]['row'])
  assert arrays['names'].tolist() == ['size', 'kind', 'at', 'fixed']
  assert arrays['cells'].shape == (N, 4)
  assert arrays['cells'].dtype.kind == 'U'
  np.testing.assert_array_equal(
    arrays['cells'][:, 1], table.columns['kind'].array().astype(str)
  )


def test_names_of_any_script_and_many_labels_have_their_panel():
  cells = [f'label {i}' for i in range(100)] * 2
  table = Table({'Straße 東京': texts(cells)})
  encoding = tables.fit(table, np.arange(200))
  rows = encoding.encode(table)[np.arange(200)]['row']
  assert tabular.histograms(encoding, rows).shape == (100, 172, 3)
