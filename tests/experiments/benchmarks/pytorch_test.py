"""Each game is the same in both frameworks, and is told so or refused."""

import contextlib

import jax
import numpy as np
import optax
import pytest

torch = pytest.importorskip('torch')

import jgan  # noqa: E402
from experiments.benchmarks.pytorch import (  # noqa: E402
  comparison,
  dcgan,
  gru,
  linen,
  mlp,
  parity,
  sngan,
  stylegan2,
  timing,
  wgan_gp,
)
from experiments.benchmarks.pytorch import device as devices  # noqa: E402
from experiments.benchmarks.pytorch import game as games  # noqa: E402
from experiments.errors import UserError  # noqa: E402

GAMES = [mlp, gru, dcgan, sngan, wgan_gp, stylegan2]


@pytest.mark.parametrize(
  'module', GAMES, ids=lambda module: module.__name__.split('.')[-1]
)
def test_both_frameworks_compute_the_same(module):
  apart = parity.difference(module.small())
  assert apart.small, apart


def wrong(discriminator, fake):
  return 1.01 * mlp.non_saturating(discriminator, fake)


def test_another_loss_is_noticed():
  game = mlp.small()._replace(generator_loss=wrong)
  assert not parity.difference(game).small


def test_nan_is_a_difference():
  assert not parity.Difference(0.0, float('nan'), 0.0).small


def test_kernels_are_of_the_same_function():
  """A transposed convolution: turned round, and channels swapped."""
  layer = jgan.layers.ConvTranspose(2, (4, 4), (2, 2))
  x = jax.random.normal(jax.random.key(1), (1, 3, 3, 5))
  variables = layer.init(jax.random.key(0), x)
  module = torch.nn.ConvTranspose2d(5, 2, 4, 2, 1)
  module.load_state_dict(linen.state_dict(module, variables))
  y = module(games.channels_first(torch.from_numpy(np.array(x)))).detach()
  np.testing.assert_allclose(
    games.channels_last(y).numpy(), layer.apply(variables, x), atol=1e-6
  )


def test_who_sits_out_does_not_move():
  game = mlp.small()
  gan = parity.with_optimizer(game.gan, optax.sgd(0.1))
  state = jgan.init(gan, jax.random.key(0), {'image': np.zeros(game.real)})
  modules = parity.copied(game, state)
  optimizers = {
    name: torch.optim.SGD(module.parameters(), 0.1)
    for name, module in modules.items()
  }
  real = torch.zeros(game.real)
  moves = ('discriminator',)
  games.step(game, modules, optimizers, real, game.draw(devices.CPU), moves)
  start = parity.copied(game, state)

  def same(name):
    pairs = zip(
      modules[name].parameters(), start[name].parameters(), strict=True
    )
    return all(bool((a == b).all()) for a, b in pairs)

  assert same('generator')
  assert not same('discriminator')


def test_a_game_that_differs_is_refused(monkeypatch):
  game = mlp.small()._replace(generator_loss=wrong)
  monkeypatch.setattr(comparison, 'GAMES', {'mlp': (mlp.small, lambda: game)})
  monkeypatch.setattr(comparison, 'row', None)  # would raise if it were called
  told = comparison.compare([], turns=2)
  assert told.startswith('mlp: not compared, since its small version')


@pytest.mark.parametrize(('most', 'expected'), [(1, 5), (12, 10)])
def test_jgans_steps_are_dispatched_as_in_the_loop(most, expected, monkeypatch):
  monkeypatch.setattr(timing.dispatch, 'by_default', lambda: most)
  start = timing.start(wgan_gp.small())
  program = timing.programs(*start[:4])
  cycle = comparison.cycle_of(start.gan)
  kept = []
  average = jgan.train.average_metrics
  monkeypatch.setattr(
    jgan.train, 'average_metrics', lambda x: kept.append(x) or average(x)
  )
  turn, count = timing.dispatched_turn(start, program, cycle)
  turn(2 * count)
  assert count == expected
  # One program of ten steps, or none but those of one.
  moved = [x['generator/moved'].shape for x in kept]
  assert moved == [(10,)] * (most > 1)


def test_captured_steps_are_played_again_in_the_order_of_the_cycle(monkeypatch):
  """With what CUDA does played by the CPU: which graph is launched when."""
  adam, launched, played = torch.optim.Adam, [], []

  class Graph:
    def replay(self):
      launched.append(self)

  class Stream:
    def __init__(self, device=None):
      pass

    def wait_stream(self, other):
      pass

  def for_graphs(*arguments, capturable, **options):
    assert capturable
    return adam(*arguments, **options)

  @contextlib.contextmanager
  def capturing(graph):
    before = len(played)
    yield
    (graph.moves,) = played[before:]

  monkeypatch.setattr(torch.optim, 'Adam', for_graphs)
  monkeypatch.setattr(torch.cuda, 'CUDAGraph', Graph)
  monkeypatch.setattr(torch.cuda, 'Stream', Stream)
  monkeypatch.setattr(torch.cuda, 'current_stream', Stream)
  monkeypatch.setattr(torch.cuda, 'stream', contextlib.nullcontext)
  monkeypatch.setattr(torch.cuda, 'graph', capturing)
  step = timing.step
  monkeypatch.setattr(
    timing, 'step', lambda *x: played.append(tuple(x[-1])) or step(*x)
  )
  start = timing.start(wgan_gp.small())
  cycle = comparison.cycle_of(start.gan)
  modules = parity.copied(wgan_gp.small(), start.state)
  turn = timing.captured_turn(
    wgan_gp.small(), modules, {'foreach': True}, start.real, cycle
  )
  assert played == [*(3 * cycle), *dict.fromkeys(cycle)]
  turn(7)
  assert [graph.moves for graph in launched] == [*cycle, *cycle[:2]]


def test_a_gpu_that_pytorch_lacks_is_told(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
  with pytest.raises(UserError, match=r'cannot compute.*JAX_PLATFORMS=cpu'):
    devices.chosen()


def test_turns_are_of_whole_cycles():
  played = []
  seconds = timing.timed({'jgan': played.append}, 2, 6, cycle=5, seconds=1.0)
  assert played == [5, 10, 10]  # the first is not timed
  assert seconds['jgan'].shape == (2,)


def test_the_faster_way_is_marked_and_what_is_lacking_is_told():
  row = comparison.Row(
    name='mlp',
    about='small',
    batch=4,
    params=1234,
    seconds={'jgan': 0.01, 'eager': 0.025},
    faster='eager',
    ratio=(2.5, (2.0, 3.0)),
    gflop=0.5,
    compilation=2.0,
    adam='fused',
    parts={'samples': (0.001, 0.002, (2.0, (1.5, 2.5)))},
    remark='not compiled: there is no compiler',
  )
  lines = comparison.table([row]).splitlines()
  assert lines[2] == (
    '| mlp | small | 4 | 1,234 | 10 | 25 * | none | 2.50 [2.00, 3.00] | 0.5 | '
    '2.0 | fused |'
  )
  assert lines[3] == 'mlp: not compiled: there is no compiler'
  parts = comparison.table_of_parts([row]).splitlines()
  assert parts[2] == '| mlp | samples | 1 | 2 | 2.00 [1.50, 2.50] |'


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ((['mpl'],), '--only: there are no games mpl; the games are mlp'),
    (([], 1), '--turns=1: an interval needs at least 2'),
    (([], 2, 0), '--steps=0: at least 1 is needed'),
  ],
)
def test_mistakes_are_told(arguments, message):
  with pytest.raises(UserError, match=message):
    comparison.compare(*arguments)
