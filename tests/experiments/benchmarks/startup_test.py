"""Starts of the training in processes of their own."""

import pytest

from experiments.benchmarks import startup
from experiments.errors import UserError

SMALL = (
  'digits',
  '--steps=1',
  '--log-every=1',
  '--width=4',
  '--latent-dim=4',
  '--batch-size=8',
)


@pytest.mark.slow
def test_cold_and_warm(tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path / 'another'))
  cache = tmp_path / 'cache'
  cold = startup.started(tmp_path / 'cold', cache, SMALL)
  programs = {path.name for path in (cache / 'jgan').iterdir()}
  assert programs
  warm = startup.started(tmp_path / 'warm', cache, SMALL)
  # The second start found all that the first had compiled.
  kept = {path.name for path in (cache / 'jgan').iterdir()}
  assert {x for x in kept if x.endswith('-cache')} == {
    x for x in programs if x.endswith('-cache')
  }
  assert not (tmp_path / 'another').exists()
  for start in (cold, warm):
    assert 0 < start.compiling < start.seconds
    assert start.memory > 50e6
    assert start.device == 'cpu'
    assert start.device_memory is None


def test_what_is_compiled_after_the_first_step_does_not_count():
  report = {
    'compiled': [(12, 2.0), (15, 1.0), (18, 4.0)],
    'memory': 5,
    'device_memory': None,
    'device': 'cpu',
  }
  assert startup.told(report, 10, 17) == startup.Start(7, 3.0, 5, None, 'cpu')


def test_a_row_by_hand():
  cold = startup.Start(20.04, 15.0, 900_000_000, 2_000_000_000, 'chip')
  warm = startup.Start(6.0, 0.26, 800_000_000, 2_000_000_000, 'chip')
  row = startup.row('digits', cold, warm)
  cells = ['digits', '20.0', '15.0', '6.0', '0.3', '900', '2,000']
  assert row.split() == cells
  cold = cold._replace(device_memory=None)
  assert startup.row('digits', cold, warm).split() == [*cells[:-1], '-']


@pytest.mark.slow
def test_what_a_failed_start_said_is_told(tmp_path):
  flags = 'mnist-mlp', f'--data-dir={tmp_path}'
  with pytest.raises(UserError, match='mnist is not prepared in') as error:
    startup.started(tmp_path / 'run', tmp_path / 'cache', flags)
  assert str(error.value).startswith('startup: mnist-mlp did not start: ')
  assert '--data-dir=DIR' in str(error.value)


@pytest.mark.parametrize(
  ('name', 'expected'),
  [('mnist-mlp', ['--data-dir=/sets']), ('digits', [])],
)
def test_the_data_folder_goes_where_there_is_such_a_flag(
  name, expected, monkeypatch
):
  asked = []

  def started(folder, cache, flags):
    asked.append((folder.name, cache, flags))

  monkeypatch.setattr(startup, 'started', started)
  startup.cold_and_warm(name, '/sets')
  (cold, one, flags), (warm, same, _) = asked
  assert (cold, warm) == ('cold', 'warm')
  assert one == same
  assert flags == [name, '--steps=1', '--log-every=1', *expected]


def test_unknown_experiments_are_told():
  with pytest.raises(
    UserError, match='--only: there are no experiments digit;'
  ):
    startup.startup(['digit'])
