"""The experiments on time series, as a user runs them, on files made here."""

import functools
import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jgan
from experiments import data, evaluate, sample, series, stocks_rcgan, train

pytestmark = pytest.mark.slow

SMALL = (
  '--window=4',
  '--hidden=3',
  '--batch-size=8',
  '--log-every=2',
  '--sample-every=4',
)
PHASES = (
  '--layers=1',
  '--embedding-steps=2',
  '--supervised-steps=2',
  '--generator-moves=1',  # one program less to compile
)


@pytest.fixture(scope='module', autouse=True)
def one_device(tmp_path_factory):
  """The loop takes all devices, and keeps programs in the user's cache."""
  devices, cache = jax.devices, jax.config.jax_compilation_cache_dir
  jax.devices = lambda *args: devices(*args)[:1]
  folder = str(tmp_path_factory.mktemp('cache'))
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  yield
  jax.devices = devices
  jax.config.update('jax_compilation_cache_dir', cache)


@pytest.fixture(scope='module', autouse=True)
def short_trainings():
  """The scores' networks are trained for a few steps."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(series, '_DISCRIMINATIVE_STEPS', 30)
    patch.setattr(series, '_PREDICTIVE_STEPS', 30)
    patch.setattr(series, '_SEEDS', 2)
    yield


@pytest.fixture(scope='module')
def walks(tmp_path_factory):
  """Two random walks and a constant, from 100 on, 60 rows."""
  path = tmp_path_factory.mktemp('data') / 'walks.csv'
  steps = np.random.default_rng(0).normal(size=(60, 2)).cumsum(0) + 100
  rows = [f'{a:.4f},{b:.4f},7' for a, b in steps]
  path.write_text('\n'.join(['first,second,constant', *rows]))
  return path


@pytest.fixture(scope='module')
def timegan(walks, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'timegan'
  flags = [f'--path={walks}', '--steps=8', '--evaluate-every=8']
  train.main(['series', f'--workdir={workdir}', *flags, *SMALL, *PHASES])
  return workdir


def read(path):
  names, *rows = path.read_text().splitlines()
  return names.split(','), np.array([row.split(',') for row in rows], float)


def test_a_run_draws_lines_and_writes_numbers_in_their_units(timegan, walks):
  table = data.read_numbers(walks)
  for stem in ('reals', 'samples/000000', 'samples/000008'):
    names, numbers = read(timegan / f'{stem}.csv')
    assert names == ['series', 'first', 'second', 'constant']
    np.testing.assert_array_equal(numbers[:, 0], np.arange(16).repeat(4))
    low, high = table.range()
    assert (numbers[:, 1:] >= low - 1e-3).all()
    assert (numbers[:, 1:] <= high + 1e-3).all()
    assert (numbers[:, 3] == 7).all()
  # The reals are rows of the file.
  _, numbers = read(timegan / 'reals.csv')
  assert {*map(tuple, numbers[:, 1:])} <= {*map(tuple, table.values)}
  with Image.open(timegan / 'reals.png') as image:
    reals = image.size
  with Image.open(timegan / 'samples' / '000008.png') as image:
    assert image.size[0] == reals[0]
    assert image.size[1] > 1.8 * reals[1]  # reals lie above the samples


def test_every_phase_moves_who_it_should(timegan):
  text = (timegan / 'metrics.jsonl').read_text()
  told = [json.loads(line) for line in text.splitlines()]
  moved = {
    line['step']: {
      name.partition('/')[0]
      for name, value in line.items()
      if name.endswith('/moved') and value
    }
    for line in told
    if 'generator/moved' in line
  }
  third = {'generator', 'autoencoder', 'discriminator'}
  assert moved == {2: {'embedding'}, 4: {'supervised'}, 6: third, 8: third}
  best = json.loads((timegan / 'best.json').read_text())
  assert 0 <= best['discriminative_score'] <= 0.5


def test_samples_are_files_of_numbers_and_arrays(timegan, tmp_path):
  sample.main(
    [
      f'--workdir={timegan}',
      '--count=3',
      f'--grid={tmp_path / "grid.png"}',
      f'--npz={tmp_path / "x.npz"}',
      f'--files={tmp_path / "each"}',
    ]
  )
  with np.load(tmp_path / 'x.npz') as stored:
    arrays = dict(stored)
  assert arrays['series'].shape == (3, 4, 3)
  assert list(arrays['columns']) == ['first', 'second', 'constant']
  names, numbers = read(tmp_path / 'each' / '000002.csv')
  assert names == ['first', 'second', 'constant']
  np.testing.assert_allclose(numbers, arrays['series'][2], rtol=1e-6)
  _, numbers = read(tmp_path / 'grid.csv')
  np.testing.assert_allclose(
    numbers[:, 1:], arrays['series'].reshape(12, 3), rtol=1e-6
  )


def test_the_report_has_the_scores_and_what_to_measure_them_by(
  timegan, walks, tmp_path
):
  report = evaluate.evaluate(
    evaluate.Arguments(workdir=str(timegan), output=str(tmp_path))
  )
  kinds = ('', 'real_', 'normal_')
  assert set(report['scores']) == {
    f'{kind}{name}' for kind in kinds for name in series.LOWER_IS_BETTER
  }
  value = {name: x['value'] for name, x in report['scores'].items()}
  assert value['real_autocorrelation_distance'] < 0.3
  told = report['protocol']
  assert (told['real_count'], told['fake_count']) == (57, 57)
  assert told['real'] == str(walks)
  json.loads((tmp_path / 'evaluation.json').read_text())
  for name in ('pca', 'tsne'):
    with Image.open(tmp_path / f'{name}.png') as image:
      assert image.mode == 'RGB'


def test_without_scikit_learn_the_scores_are_kept(
  timegan, tmp_path, monkeypatch, capsys
):
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    'find_spec',
    lambda name, *rest: None if name == 'sklearn' else find(name, *rest),
  )
  pictures = series._pictures(np.ones((9, 4, 2)), np.zeros((9, 4, 2)), seed=0)
  assert [*pictures] == ['pca']
  assert not capsys.readouterr().err  # while training none is drawn
  evaluate.evaluate(
    evaluate.Arguments(workdir=str(timegan), output=str(tmp_path))
  )
  assert 'pip install "jgan[series]"' in capsys.readouterr().err
  assert (tmp_path / 'evaluation.json').exists()
  assert (tmp_path / 'pca.png').exists()
  assert not (tmp_path / 'tsne.png').exists()


def test_a_run_is_of_its_file_as_it_was(timegan, walks, tmp_path):
  first = json.loads((timegan / 'config.json').read_text())['config']['sha256']
  changed = tmp_path / 'walks.csv'
  changed.write_text(walks.read_text() + '\n200,200,7\n')
  with pytest.raises(ValueError, match='has changed since the run began'):
    series.make_data(series.Config(path=str(changed), sha256=first))


def test_rcgan_makes_what_falls_and_what_rises(walks, tmp_path):
  flags = [f'--path={walks}', '--steps=2', *SMALL]
  train.main(['stocks-rcgan', f'--workdir={tmp_path}', *flags])
  generate = sample.load(tmp_path)
  assert generate(6, label=1).shape == (6, 4, 3)
  config = stocks_rcgan.Config(path=str(walks), window=4)

  class Sloped:
    """Makes what was asked for, but in each fourth the contrary."""

    def conditions(self, count):
      return data.conditions(count, 2)

    def make(self, asked, seed):
      label = asked['label'] ^ (asked['index'] % 4 == 3)
      slope = np.where(label, 1, -1)[:, None, None] * np.ones((1, 1, 3))
      return 0.5 + 0.1 * slope * np.arange(4)[:, None]

  report = stocks_rcgan.score(config, Sloped(), 100, 0)
  assert report.scores['agreement'].value == pytest.approx(0.75)
  assert report.protocol['fake_count'] == 57


def test_rises_is_of_the_first_column():
  windows = np.zeros((3, 4, 2))
  windows[0, -1, 0], windows[1, -1, 1], windows[2, 0, 0] = 1, 1, 1
  np.testing.assert_array_equal(stocks_rcgan.rises(windows), [1, 0, 0])


def test_draws_of_the_normal_distribution_have_the_datas_moments():
  rng = np.random.default_rng(0)
  # Apart from 0 and 1, where draws are clipped.
  series_ = 0.5 + 0.05 * rng.normal(size=(4000, 3, 2)).cumsum(1)
  drawn = series.normal_like(series_.astype(np.float32), rng)
  assert drawn.shape == series_.shape
  assert drawn.dtype == np.float32
  flat, made = (x.reshape(4000, 6) for x in (series_, drawn))
  np.testing.assert_allclose(made.mean(0), flat.mean(0), atol=0.01)
  np.testing.assert_allclose(np.cov(made.T), np.cov(flat.T), atol=6e-4)


def test_the_default_numbers_fit_the_stocks(tmp_path):
  path = tmp_path / 'stocks.csv'
  rows = np.random.default_rng(0).uniform(size=(30, 6))
  path.write_text('\n'.join(','.join(map(str, row)) for row in rows))
  for name in ('stocks-timegan', 'stocks-rcgan', 'series'):
    experiment = train.EXPERIMENTS[name]
    config = experiment.Config(path=str(path))
    gan = experiment.make_gan(config)
    batch = data.batch(experiment.make_data(config), 0, 0, 2)
    key = jax.random.key(0)
    state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
    asked = {'index': jnp.arange(3), 'label': jnp.zeros(3, jnp.int32)}
    made = jax.eval_shape(
      functools.partial(jgan.sample, gan), state, asked, key
    )
    assert made.shape == (3, 24, 6)


@pytest.mark.parametrize(
  ('content', 'flags', 'message'),
  [
    ('a,b\n1,2\n', [], 'has 1 row of numbers, too few for --window=4'),
    ('a,b\n1,2\n3\n', [], 'line 3 has 1 cell,'),
    ('a,b\n1,2\n3,x\n', [], "'x' is no finite number"),
    ('a\n' + '1\n' * 9, ['--columns', 'b'], "has no column 'b'"),
    ('a\n' + '1\n' * 9, ['--steps=4'], 'leaves no step to the game'),
    (
      'a\n' + '1\n' * 6,
      ['--evaluate-every=2'],
      'need 4 series or more, and its data have 3',
    ),
    ('', [], 'is empty'),
  ],
)
def test_mistakes_are_told_in_a_line(tmp_path, capsys, content, flags, message):
  path, workdir = tmp_path / 'x.csv', tmp_path / 'run'
  path.write_text(content)
  flags = ['--steps=8', *SMALL, *PHASES, *flags]
  with pytest.raises(SystemExit) as status:
    train.main(['series', f'--workdir={workdir}', f'--path={path}', *flags])
  assert status.value.code == 2
  told = capsys.readouterr().err
  assert message in told
  assert told.startswith('error: ')
  assert told.count('\n') == 1
  assert not workdir.exists()


def test_labels_that_cannot_be_are_told():
  with pytest.raises(ValueError, match=r'must be 2.*got 3'):
    stocks_rcgan.Config(num_classes=3)
  with pytest.raises(ValueError, match='best-by=agreement needs labels'):
    stocks_rcgan.Config(num_classes=0, best_by='agreement')
