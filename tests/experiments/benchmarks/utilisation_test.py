"""Utilisation, against sums by hand."""

import jax
import jax.numpy as jnp
import pytest
from perceptrons import DISCRIMINATOR, FORM, GENERATE, GENERATOR, game

from experiments.benchmarks import cost, fewest, utilisation
from experiments.errors import UserError


def test_a_mean_step_is_of_a_cycle_of_moves(monkeypatch):
  gan = game(n_critic=2)
  played = []

  def best(play, arguments, turns, of):
    played.append((int(play(*arguments).step), turns))
    return 8.0

  monkeypatch.setattr(cost, 'best', best)
  flop, seconds = utilisation.mean_step(gan, FORM, least=3, turns=7)
  assert played == [(4, 7)]  # two cycles
  assert seconds == 8 / 4
  both = 2 * (GENERATE + DISCRIMINATOR) + GENERATOR
  assert flop == both / 2


def test_a_row_by_hand():
  row = utilisation.row('game', 'float32', flop=6e9, seconds=0.02, peak=1.2e12)
  assert row.split() == ['game', 'float32', '6.00', '20.00', '0.300', '25.0%']


def test_published_peaks_are_of_the_dtype():
  assert utilisation.peak_of('NVIDIA H200', 'bfloat16') == (
    989.5e12,
    'as published',
  )
  assert utilisation.peak_of('NVIDIA A100-SXM4-40GB', 'float32')[0] == 156e12
  assert utilisation.peak_of('TPU v5 lite', 'float32')[0] == 197e12
  assert all(x.float32 <= x.bfloat16 for x in utilisation.PEAKS.values())


def test_an_unknown_device_is_measured_and_told(monkeypatch):
  monkeypatch.setattr(cost, 'best', lambda *_: 2.0)
  peak, source = utilisation.peak_of('cpu', 'float32')
  assert peak == 2048**3
  assert source == 'measured: the best of ten products of 2048 x 2048'
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  monkeypatch.setattr(jnp, 'ones', lambda shape, dtype: (shape, dtype))
  peak, source = utilisation.peak_of('NVIDIA L40S', 'bfloat16')
  assert peak == 8192**3
  assert source.endswith('as NVIDIA L40S is not among those known')


def test_the_table_has_bfloat16_on_an_accelerator_alone(monkeypatch):
  asked = []

  def small(name, numbers):
    asked.append((name, numbers))
    return None, None

  monkeypatch.setattr(fewest, 'game', small)
  monkeypatch.setattr(utilisation, 'mean_step', lambda *_: (1e9, 0.01))
  monkeypatch.setattr(utilisation, 'peak_of', lambda *_: (1e12, 'a guess'))
  _, row, peak, _ = utilisation.utilisation(['cifar10-r3gan']).splitlines()
  assert row.split()[-1] == '10.0%'
  assert peak == 'peak in float32: 1 TFLOP/s, a guess'
  numbers = utilisation.ON_A_CPU['cifar10-r3gan']
  assert asked == [('cifar10-r3gan', {**numbers, 'bfloat16': False})]
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  utilisation.utilisation(['cifar10-dcgan'])
  assert asked[1:] == [
    ('cifar10-dcgan', {'bfloat16': False}),
    ('cifar10-dcgan', {'bfloat16': True}),
  ]


def test_numbers_for_a_cpu_are_of_experiments_that_are_played():
  assert set(utilisation.ON_A_CPU) <= set(fewest.SHAPES)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'names': ['mlp']}, '--only: there are no steps mlp; the steps are digi'),
    ({'turns': 0}, '--turns=0: at least 1'),
    ({'steps': 0}, '--steps=0: at least 1'),
  ],
)
def test_mistakes_are_told(arguments, message):
  with pytest.raises(UserError, match=message):
    utilisation.utilisation(**arguments)
