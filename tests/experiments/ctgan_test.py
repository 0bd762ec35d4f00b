"""Tables by the commands: a CSV file in, one of its kind out; private runs."""

import json
import sys

import jax
import numpy as np
import pytest

from experiments import (
  adult_ctgan,
  ctgan,
  evaluate,
  kept,
  runtime,
  sample,
  table,
  train,
  transactions_ctgan,
)
from experiments.data import Table, batch, csv_bytes, read_csv, row_sampling
from experiments.data.csv_files import texts

SMALL = ('--steps=2', '--batch-size=40', '--width=8', '--latent-dim=4')
PRIVATE = ('--dp-noise=4', '--pack=1', '--delta=1e-3')
SECRET = 123_456_789
N = 120


@pytest.fixture(autouse=True)
def at_hand(monkeypatch):
  """One device, nobody's cache, and nothing read by a test before."""
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda: devices)
  monkeypatch.setattr(runtime, 'prepare', lambda: None)
  ctgan.parted.cache_clear()


@pytest.fixture
def path(tmp_path):
  """A CSV file of all kinds of columns."""
  rng = np.random.default_rng(0)
  age = rng.integers(18, 90, N)
  columns = {
    'id': np.arange(N),
    'age': np.where(rng.random(N) < 0.1, '', age.astype(str)),
    'town': rng.choice(['Bonn', 'Kiel', 'Ulm'], N),
    'pay': [f'{x:.2f}' for x in 30 * age + rng.normal(0, 50, N)],
    'since': [f'20{10 + i % 10}-03-{1 + i % 28:02}' for i in range(N)],
    'country': ['DE'] * N,
    'rich': np.where(age > 60, 'yes', 'no'),
  }
  written = {name: texts([str(x) for x in x]) for name, x in columns.items()}
  path = tmp_path / 'people.csv'
  path.write_bytes(csv_bytes(Table(written, ';')))
  return path


def test_a_table_in_and_a_table_out(path, tmp_path, capsys):
  run = tmp_path / 'run'
  words = ['table', f'--workdir={run}', f'--path={path}', '--target=rich']
  train.main([*words, *SMALL, '--drop', 'id'])
  names = {x.name for x in (run / 'samples').iterdir()}
  assert names == {'000000.png', '000000.csv', '000002.png', '000002.csv'}
  assert (run / 'reals.png').is_file()
  assert not (run / 'reals.csv').exists()

  sample.main([f'--workdir={run}', '--count=150'])
  made, real = read_csv(run / 'samples' / 'seed0.csv'), read_csv(path)
  assert made.delimiter == ';'
  assert [*made.columns] == [x for x in real.columns if x != 'id']
  assert len(made) == 150
  cells = {name: x.array() for name, x in made.columns.items()}
  for name in ('town', 'country', 'rich'):
    assert set(cells[name]) <= set(real.columns[name].values)
  assert all(x == '' or str(int(x)) == x for x in cells['age'])
  assert all(len(x.partition('.')[2]) == 2 for x in cells['pay'])
  days = cells['since'].astype('datetime64[D]')
  assert days.min() >= np.datetime64('2010-03-01')

  capsys.readouterr()
  evaluate.main([f'--workdir={run}', '--count=100'])
  printed = capsys.readouterr().out
  stored = json.loads((run / 'evaluation.json').read_text())
  assert {'f1', 'real_f1', 'association_difference'} < set(stored['scores'])
  assert 'epsilon' not in stored['scores']
  assert stored['protocol']['real_count'] == 96
  assert stored['protocol']['held_out_count'] == 24
  assert stored['protocol']['fake_count'] == 100
  assert 'closest_record_ratio' in printed

  # Samples would be written by another table than they were learned from.
  path.write_text(path.read_text() + path.read_text().splitlines()[-1] + '\n')
  ctgan.parted.cache_clear()
  with pytest.raises(SystemExit, match='2'):
    sample.main([f'--workdir={run}'])
  assert 'has changed since the run began' in capsys.readouterr().err


@pytest.mark.slow
def test_a_private_run_says_what_it_spent(path, tmp_path, capsys):
  run = tmp_path / 'run'
  words = ['table', f'--workdir={run}', f'--path={path}', f'--seed={SECRET}']
  train.main([*words, *SMALL, *PRIVATE])
  config = kept.load(run, train.EXPERIMENTS).config
  spent = table.remark(config, 2)
  assert spent.startswith('differentially private: epsilon ')
  assert spent.endswith('at delta 0.001 after 2 steps')
  assert capsys.readouterr().out.count(spent) == 2  # before and after
  evaluate.main([f'--workdir={run}', '--count=50'])
  stored = json.loads((run / 'evaluation.json').read_text())
  expected = ctgan.epsilon(config, 2)
  assert stored['scores']['epsilon']['value'] == pytest.approx(expected)
  assert 0 < expected < ctgan.epsilon(config, 20)
  protocol = stored['protocol']
  assert (protocol['delta'], protocol['noise_multiplier']) == (1e-3, 4.0)
  assert protocol['sampling'].startswith('Poisson, of rate 0.')


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    ((), 'needs a secret --seed'),
    (('--pack=10',), 'needs --pack=1, not 10'),
    (('--evaluate-every=5',), '--evaluate-every do not go together'),
    ((f'--seed={SECRET}', '--delta=0.02'), 'below 1 by the 96 rows'),
    ((f'--seed={SECRET}', '--dp-noise=0.5'), 'which is no privacy'),
    ((f'--seed={SECRET}', '--dp-clip=0'), '--dp-clip must be above 0'),
    (('--dp-noise=-1',), '--dp-noise must be 0 or more'),
  ],
)
def test_what_would_not_be_private_is_refused(
  path, tmp_path, capsys, words, message
):
  given = ['table', f'--workdir={tmp_path / "run"}', f'--path={path}']
  with pytest.raises(SystemExit, match='2'):
    train.main([*given, *SMALL, '--steps=200', *PRIVATE, *words])
  error = capsys.readouterr().err
  assert message in error
  assert not (tmp_path / 'run').exists()


def test_privacy_without_its_accountant_is_refused(
  path, tmp_path, capsys, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'dp_accounting', None)
  words = ['table', f'--workdir={tmp_path / "run"}', f'--path={path}']
  with pytest.raises(SystemExit, match='2'):
    train.main([*words, *SMALL, *PRIVATE, f'--seed={SECRET}'])
  assert 'pip install "jgan[tables]"' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('content', 'words', 'message'),
  [
    ('a,b\n1,2\n3\n', (), 'line 3 has 1 cell,'),
    ('', (), 'is empty'),
    ('a,b\n', (), 'a header and no row'),
    ('a,a\n1,2\n', (), "several columns of the name 'a'"),
    ('a,b\n1,2\n', (), 'two rows or more'),
    ('a,b\n1,2\n1,2\n', (), 'every column has one text'),
    ('a,b\n1,2\n2,2\n', ('--target=c',), '--target=c must be a column'),
    ('a,b\n1,2\n2,2\n', ('--drop', 'c'), "no column 'c'"),
    ('a,b\n1,2\n2,2\n', ('--labels', 'c'), "no column 'c'"),
    (
      'a,b\n1,2\n2,2\n',
      ('--evaluate-every=1', '--best-by=f1'),
      '--best-by=f1 is no score of this table',
    ),
    ('a,b\n1,2\n2,2\n', ('--batch-size=45',), 'a multiple of --pack=10'),
    (None, (), 'there is no file'),
  ],
)
def test_tables_that_do_not_do_are_named(
  tmp_path, capsys, content, words, message
):
  path = tmp_path / 'x.csv'
  if content is not None:
    path.write_text(content)
  given = ['table', f'--workdir={tmp_path / "run"}', f'--path={path}', *SMALL]
  with pytest.raises(SystemExit, match='2'):
    train.main([*given, *words])
  error = capsys.readouterr().err
  assert message in error
  assert error.count('\n') == 1
  assert not (tmp_path / 'run').exists()


def test_a_path_must_be_given(tmp_path, capsys):
  for name in ('table', 'adult-ctgan'):
    with pytest.raises(SystemExit, match='2'):
      train.main([name, f'--workdir={tmp_path / "run"}', *SMALL])
    assert 'give --path=FILE' in capsys.readouterr().err


def test_files_of_adult_with_and_without_names(tmp_path):
  row = (
    '39, State-gov,77516, Bachelors,13, Never-married, Adm-clerical, '
    'Not-in-family, White, Male,2174,0,40, United-States, <=50K\n'
  )
  bare, named = tmp_path / 'adult.data', tmp_path / 'adult.csv'
  bare.write_text(row * 3)
  config = adult_ctgan.Config(path=str(bare))
  names = [*config.table().columns]
  named.write_text(','.join(names) + '\n' + row * 3)
  assert len(config.table()) == 3
  assert (names[0], names[-1], len(names)) == ('age', 'income', 15)
  same = adult_ctgan.Config(path=str(named)).table()
  assert csv_bytes(same) == csv_bytes(config.table())
  assert config.target == 'income'


def test_transactions_are_simulated_or_ones_own(path):
  config = transactions_ctgan.Config(rows=300)
  assert len(config.table()) == 300
  assert config.sha256 == ''
  own = transactions_ctgan.Config(path=str(path), target='rich')
  assert csv_bytes(own.table()) == path.read_bytes()
  parts = ctgan.parted(config)
  assert (len(parts.train), len(parts.held_out)) == (240, 60)
  assert isinstance(ctgan.make_data(config), row_sampling.TrainingBySampling)


def test_held_out_rows_are_not_trained_on(path):
  parts = ctgan.parted(table.Config(path=str(path)))
  train_ids, held_out_ids = (
    set(x.columns['id'].array()) for x in (parts.train, parts.held_out)
  )
  assert not train_ids & held_out_ids
  assert len(train_ids | held_out_ids) == N
  drawn = batch(ctgan.make_data(table.Config(path=str(path))), 0, 0, 500)
  rows = parts.rows[np.arange(96)]['row']
  assert (drawn['row'][:, None] == rows[None]).all(-1).any(1).all()
