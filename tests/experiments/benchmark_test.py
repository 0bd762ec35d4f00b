"""Speeds in turns: who runs when, and what is told of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark
from experiments.extractors import Extractor


def test_the_two_take_turns_at_being_first():
  told, time = [], iter(range(100))
  first, second = (
    lambda turn, name=name: told.append(f'{name}{turn}') for name in 'ab'
  )
  seconds = benchmark.in_turns(first, second, 3, lambda: next(time) ** 2)
  assert told == ['a0', 'b0', 'b1', 'a1', 'a2', 'b2']
  # From 0 to 1, from 4 to 9, and so on: 4 n + 1 for the n-th.
  np.testing.assert_array_equal(seconds, [[1, 5], [13, 9], [17, 21]])


def test_the_ratio_is_the_median_of_the_turns():
  speeds = np.array([[90, 100], [190, 200], [10, 100.0]])
  lines = benchmark.table(('ours', 'bare'), speeds).splitlines()
  assert [line.split()[:2] for line in lines] == [
    ['ours', '90'],
    ['bare', '100'],
    ['ratio', '0.900'],
  ]
  assert lines[2].endswith('95%')


def test_as_many_pictures_pass_as_through_the_network(capsys):
  passed = []

  def features(images):
    assert images.shape == (100, 32, 32, 3)
    passed.append('extracted')
    return jnp.zeros((100, 3)), None

  def network():
    passed.append('bare')
    return jnp.zeros((100, 3))

  extractor = Extractor('none', '', '', features, 3, False)
  told = benchmark.extraction(extractor, network, 450)
  assert passed.count('extracted') == passed.count('bare') == 4 + 1
  assert told.startswith('none, 4 turns of 100 PNGs of 32x32, 100 at a time\n')


def test_the_command_tells_the_device(monkeypatch, capsys):
  before = jax.config.jax_compilation_cache_dir
  monkeypatch.setattr(
    benchmark, 'BENCHMARKS', {'inception': lambda count: f'{count} done'}
  )
  benchmark.main(['inception', '--count=300'])
  jax.config.update('jax_compilation_cache_dir', before)
  kind = jax.devices()[0].device_kind
  assert capsys.readouterr().out == f'300 done\n{kind}, jax {jax.__version__}\n'


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['incepton'], 'there is no benchmark incepton, but inception'),
    (['inception', '--count=199'], '--count=199: at least 200 are needed'),
  ],
)
def test_mistakes_are_told(words, message, monkeypatch, capsys):
  few = lambda count: benchmark.extraction(None, None, count)  # noqa: E731
  monkeypatch.setattr(benchmark, 'BENCHMARKS', {'inception': few})
  before = jax.config.jax_compilation_cache_dir
  with pytest.raises(SystemExit, match='2'):
    benchmark.main(words)
  jax.config.update('jax_compilation_cache_dir', before)
  assert message in capsys.readouterr().err
