"""Mixtures, games and the command that counts modes, with very few steps."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jgan
from experiments import mode_coverage, runtime
from jgan.metrics import ModeCoverage

RING, GRID = (mode_coverage.MIXTURES[name] for name in ('ring', 'grid'))


def closest(centres):
  """The distance of each centre from its nearest other one."""
  apart = np.linalg.norm(centres[:, None] - centres, axis=-1)
  return np.sort(apart, axis=1)[:, 1]


def test_the_mixtures_are_those_of_the_papers():
  assert RING.centres.shape == (8, 2)
  np.testing.assert_allclose(np.linalg.norm(RING.centres, axis=1), 1)
  np.testing.assert_allclose(closest(RING.centres), 2 * math.sin(math.pi / 8))
  assert GRID.centres.shape == (25, 2)
  np.testing.assert_allclose(closest(GRID.centres), 2)
  np.testing.assert_allclose(np.abs(GRID.centres).max(0), 4)
  assert (RING.std, GRID.std) == (0.01, 0.05)


@pytest.mark.parametrize('mixture', [RING, GRID])
def test_points_lie_around_their_centres(mixture):
  points = mode_coverage.draw(mixture, jax.random.key(0), 5000)
  away = np.asarray(points)[:, None] - mixture.centres
  mode = np.linalg.norm(away, axis=-1).argmin(1)
  noise = away[np.arange(5000), mode]
  assert noise.std(0) == pytest.approx([mixture.std] * 2, rel=0.05)
  assert noise.mean(0) == pytest.approx([0, 0], abs=0.05 * mixture.std)
  counts = np.bincount(mode, minlength=len(mixture.centres))
  np.testing.assert_allclose(counts / counts.mean(), 1, atol=0.3)


def test_a_mode_counts_within_three_deviations():
  around = np.float64([[2.9, 0], [-2.9, 0], [0, 3.1]]) * RING.std
  samples = RING.centres[[0, 0, 1, 2]] + around[[0, 1, 2, 0]]
  got = jgan.metrics.mode_coverage(samples, RING.centres, RING.std)
  assert (got.modes, got.high_quality) == (2, 3 / 4)


@pytest.mark.parametrize('name', mode_coverage.GAMES)
def test_every_game_moves_as_told(name):
  game = mode_coverage.GAMES[name]
  gan = game.gan(10)
  key = jax.random.key(0)
  batch = {'x': mode_coverage.draw(GRID, key, 4 * game.pack)}
  state = jax.eval_shape(lambda: jgan.init(gan, key, batch))
  first = state.variables['discriminator']['params']['Dense_0']['kernel']
  assert first.shape == (2 * game.pack, mode_coverage.WIDTH)
  assert [p.every for p in gan.players] == [1, game.n_critic]
  after = jax.eval_shape(lambda s: jgan.train_step(gan, s, batch, key), state)
  assert ('discriminator/penalty' in after[1]) == (game.penalty is not None)


@pytest.fixture
def narrow(monkeypatch):
  monkeypatch.setattr(mode_coverage, 'WIDTH', 8)
  monkeypatch.setattr(mode_coverage, 'DEPTH', 1)
  monkeypatch.setattr(mode_coverage, 'PACKS', 16)
  monkeypatch.setattr(mode_coverage, 'SAMPLES', 200)


@pytest.mark.slow
def test_seeds_side_by_side_train_as_alone(narrow):
  game, told = mode_coverage.GAMES['mlp'], []
  both = mode_coverage.samples(game, GRID, jnp.array([3, 5]), 4, told.append)
  alone = mode_coverage.samples(game, GRID, jnp.array([5]), 4)
  assert told == [4]
  assert both.shape == (2, 200, 2)
  np.testing.assert_allclose(both[1], alone[0], atol=1e-4)
  assert not np.allclose(both[0], both[1])


def test_generators_learn_where_the_points_are(narrow):
  point = GRID._replace(centres=np.array([[3.0, -2.0]]))
  made = mode_coverage.samples(
    mode_coverage.GAMES['relativistic'], point, jnp.arange(2), 1500
  )
  np.testing.assert_allclose(made.mean(1), [[3, -2]] * 2, atol=0.3)


def test_the_table_has_means_and_deviations():
  coverage = [ModeCoverage(8, 0.5, 0.25), ModeCoverage(5, 0.75, 0.25)]
  none = [ModeCoverage(0, 0.0, math.inf)]
  rows = {
    'ring': {'mlp': mode_coverage.fields(coverage)},
    'grid': {'mlp': mode_coverage.fields(none)},
  }
  head, _, row = mode_coverage.table(rows).splitlines()
  assert head.startswith('| game | ring: modes of 8 | ring: high quality |')
  assert row == (
    '| mlp | 6.5 ± 2.1 | 0.625 ± 0.177 | 0.250 ± 0.000 '
    '| 0.0 | 0.000 | infinite |'
  )


def test_a_plot_has_its_points_upright():
  points = np.array([[0.9, 0.8], [99, 99]])  # the second is out of sight
  image = mode_coverage.plot('', points, RING)
  (dot,) = np.argwhere((image == 0).all(-1))
  row, column = dot / len(image)
  assert row < 0.3
  assert column > 0.7


@pytest.mark.slow
def test_the_command_writes_page_numbers_and_picture(
  narrow, monkeypatch, tmp_path, capsys
):
  games = {'mlp': mode_coverage.GAMES['mlp']}
  monkeypatch.setattr(mode_coverage, 'GAMES', games)
  monkeypatch.setattr(runtime, 'prepare', lambda: None)
  output = tmp_path / 'new' / 'folder'
  mode_coverage.main(['--seeds=3', '--steps=2', f'--output={output}'])
  told = capsys.readouterr().out
  content = json.loads((output / 'mode_coverage.json').read_text())
  page = (output / 'mode_coverage.md').read_text('utf-8')
  for mixture, total in (('ring', 8), ('grid', 25)):
    for game in games:
      values = content['rows'][mixture][game]
      assert [len(values[x]) for x in ModeCoverage._fields] == [3, 3, 3]
      assert f'{mixture}, {game}: {values["modes"]} of {total} modes' in told
  table = mode_coverage.table(content['rows'])
  assert table in told
  assert table in page
  assert 'Seeds 0 to 2; moves of the generator: 2 for the ring' in page
  with Image.open(output / 'mode_coverage.png') as image:
    assert image.size == (2 * 258 + 2, 2 * 258 + 2)
  assert sorted(path.name for path in output.iterdir()) == [
    f'mode_coverage.{suffix}' for suffix in ('json', 'md', 'png')
  ]


@pytest.mark.parametrize(
  ('argument', 'message'),
  [
    ('--seeds=0', '--seeds must be 1 or more, got 0'),
    ('--steps=-1', '--steps must be 0 or more, got -1'),
    ('--output={tmp}/file/folder', 'file'),
  ],
)
def test_mistakes_are_told(argument, message, tmp_path, capsys):
  (tmp_path / 'file').touch()
  with pytest.raises(SystemExit, match='2'):
    mode_coverage.main([argument.format(tmp=tmp_path)])
  assert message in capsys.readouterr().err
