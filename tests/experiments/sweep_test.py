"""Sweeps of a tiny game: this file is its experiment."""

import contextlib
import dataclasses
import json
import shutil
import signal
import sys

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from runs import lines, newest

import jgan
from experiments import (
  config,
  data,
  ensemble,
  files,
  sample,
  scoring,
  spread,
  sweep,
  train,
)
from experiments.errors import UserError

pytestmark = pytest.mark.slow

LOWER_IS_BETTER, HIGHER_IS_BETTER = ('mean_error',), ()
SMALL = (
  '--batch-size=4',
  '--log-every=1',
  '--sample-every=4',
  '--save-every=2',
)
RATES = '--seeds=2', '--sweep=learning_rate=0.5,0.25'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.Config):
  steps: int = 4
  best_by: str = 'mean_error'
  learning_rate: float = 0.5
  every: int = 1
  width: int = 3
  quiet: float = 0.0
  name: str = ''


class Generator(nn.Module):
  width: int

  @nn.compact
  def __call__(self, latent, label, *, train):
    x = nn.tanh(nn.Dense(self.width)(latent))
    return nn.tanh(nn.Dense(4)(x)).reshape(-1, 2, 2, 1)


class Discriminator(nn.Module):
  @nn.compact
  def __call__(self, image, label, *, train):
    return nn.Dense(1)(image.reshape(image.shape[0], -1))[:, 0]


def make_gan(config):
  return jgan.standard_gan(
    Generator(config.width),
    Discriminator(),
    loss=jgan.losses.non_saturating,
    generator_optimizer=optax.sgd(config.learning_rate),
    discriminator_optimizer=optax.adam(config.learning_rate / 10),
    latent=jgan.latents.normal(2),
    n_critic=config.every,
    ema_decay=0.5 if config.quiet else 0.9,
  )


def make_data(config):
  image = np.random.default_rng(0).integers(0, 256, (16, 2, 2, 1), np.uint8)
  return data.Arrays({'image': image})


def score(config, generate, count, seed):
  error = abs(float(np.mean(generate(8, seed))))
  return scoring.Report({'mean_error': scoring.Score(error)}, {})


@pytest.fixture(scope='module', autouse=True)
def tiny(tmp_path_factory):
  """The experiment 'tiny', on one of these devices; its programs are kept."""
  devices, cache = jax.devices(), jax.config.jax_compilation_cache_dir
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(train.EXPERIMENTS, 'tiny', sys.modules[__name__])
    patch.setattr(jax, 'devices', lambda *args: devices[:1])
    folder = str(tmp_path_factory.mktemp('cache'))
    jax.config.update('jax_compilation_cache_dir', folder)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
    yield devices
    jax.config.update('jax_compilation_cache_dir', cache)


def play(workdir, *flags, mapped=None):
  asked = sweep.parse(['tiny', f'--workdir={workdir}', *SMALL, *flags])
  sweep.sweep(asked, mapped)


def assert_same(one, other, **tolerance):
  assert one[0] == other[0]
  for a, b in zip(*map(jax.tree.leaves, (one[1], other[1])), strict=True):
    np.testing.assert_allclose(a, b, **tolerance)


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """The run that the training command makes of a seed and a rate."""
  workdir = tmp_path_factory.mktemp('alone')
  flags = '--seed=1', '--learning-rate=0.25'
  train.main(['tiny', f'--workdir={workdir}', *SMALL, *flags])
  return workdir


@pytest.fixture(scope='module', params=[False, True])
def swept(request, tmp_path_factory):
  """Two seeds of two rates, and whether they were mapped."""
  workdir = tmp_path_factory.mktemp('swept')
  play(workdir, *RATES, mapped=request.param)
  return workdir, request.param


def test_a_member_is_the_run_that_training_makes(swept, alone):
  member = swept[0] / 'learning_rate0.25-seed1'
  names = {path.name for path in alone.iterdir() if 'tfevents' not in path.name}
  assert {path.name for path in member.iterdir()} >= names
  own, its = ((x / 'config.json').read_text() for x in (alone, member))
  assert own == its
  assert_same(newest(member), newest(alone), rtol=1e-5, atol=1e-6)
  other = newest(swept[0] / 'learning_rate0.5-seed1')
  with pytest.raises(AssertionError):
    assert_same(other, newest(alone), rtol=1e-3)
  own, its = lines(alone), lines(member)
  assert [line['step'] for line in its] == [1, 2, 3, 4]
  for line, other in zip(own, its, strict=True):
    assert other == pytest.approx(line, rel=1e-4)
  assert sample.load(member)(3).shape == (3, 2, 2, 1)


@pytest.mark.parametrize('mapped', [False, True])
def test_several_steps_in_a_dispatch_play_the_same_runs(
  mapped, alone, tmp_path
):
  often = '--steps-per-dispatch=2', '--log-every=4', '--save-every=4'
  play(tmp_path, *RATES, *often, mapped=mapped)
  member = tmp_path / 'learning_rate0.25-seed1'
  assert_same(newest(member), newest(alone), rtol=1e-5, atol=1e-6)
  (told,) = lines(member)
  of_steps = lines(alone)
  for name, value in told.items():
    mean = np.mean([line[name] for line in of_steps])
    expected = 4 if name == 'step' else mean
    assert value == pytest.approx(expected, rel=1e-4), name


def test_members_with_one_data_set_share_it(tmp_path):
  asked = sweep.parse(['tiny', f'--workdir={tmp_path}', *SMALL, *RATES])
  with contextlib.ExitStack() as stack:
    members = sweep.opened(asked, stack)
  assert len(members) == 4
  assert len({id(member.task.source) for member in members.values()}) == 1


@pytest.mark.parametrize('mapped', [False, True])
def test_members_with_data_of_their_own_have_them(
  mapped, alone, tmp_path, monkeypatch
):
  (image,) = make_data(None).arrays.values()

  def own(config):
    shift = np.uint8(config.learning_rate != 0.25)
    return data.Arrays({'image': image + shift})

  monkeypatch.setattr(sys.modules[__name__], 'make_data', own)
  play(tmp_path, *RATES, mapped=mapped)
  member = tmp_path / 'learning_rate0.25-seed1'
  assert_same(newest(member), newest(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('mapped', [False, True])
def test_microbatches_are_of_each_member(mapped, tmp_path, monkeypatch):
  """By a discriminator that sees which examples come together."""

  class Centred(nn.Module):
    @nn.compact
    def __call__(self, image, label, *, train):
      x = image.reshape(image.shape[0], -1)
      return nn.Dense(1, use_bias=False)(x - x.mean(0, keepdims=True))[:, 0]

  monkeypatch.setattr(sys.modules[__name__], 'Discriminator', Centred)
  whole, parts, members = (tmp_path / x for x in ('whole', 'parts', 'members'))
  flags = ['tiny', *SMALL, '--steps=2']
  train.main([*flags, f'--workdir={whole}'])
  train.main([*flags, f'--workdir={parts}', '--microbatches=2'])
  play(members, '--seeds=2', '--steps=2', '--microbatches=2', mapped=mapped)
  member = newest(members / 'seed0')
  assert_same(member, newest(parts), rtol=1e-5, atol=1e-6)
  with pytest.raises(AssertionError):
    assert_same(member, newest(whole), rtol=1e-3)


def test_the_same_command_goes_on(swept, tmp_path):
  whole, mapped = swept
  play(tmp_path, *RATES, '--steps=2', mapped=mapped)
  play(tmp_path, *RATES, mapped=mapped)
  for name in ('learning_rate0.5-seed0', 'learning_rate0.25-seed1'):
    assert_same(newest(whole / name), newest(tmp_path / name), rtol=0)
    assert lines(whole / name) == lines(tmp_path / name)
    grids = (x / name / 'samples/000004.png' for x in (whole, tmp_path))
    assert len({grid.read_bytes() for grid in grids}) == 1


def test_scores_and_their_table(swept):
  workdir, _ = swept
  scores = json.loads((workdir / 'scores.json').read_text())
  errors = [
    scores['members'][f'learning_rate0.25-seed{i}']['mean_error']
    for i in range(2)
  ]
  for i, error in enumerate(errors):
    generate = sample.load(workdir / f'learning_rate0.25-seed{i}')
    assert error == pytest.approx(abs(np.mean(generate(8, i))), rel=1e-4)
  told = scores['spread']['0.25']['mean_error']
  assert told['mean'] == pytest.approx(np.mean(errors))
  assert told['deviation'] == pytest.approx(np.std(errors, ddof=1))
  page = (workdir / 'scores.md').read_text().splitlines()
  assert page[0] == '| learning_rate | seeds | mean error |'
  assert page[2].startswith('| 0.5 | 2 | ')
  assert f'{told["mean"]:.4g} ± {told["deviation"]:.2g}' in page[3]


def test_training_goes_on_with_a_member(tmp_path, capsys):
  play(tmp_path, '--steps=2', '--seeds=2')
  seed1 = ['--seed=1', f'--workdir={tmp_path / "seed1"}']
  train.main(['tiny', *seed1, *SMALL])
  assert newest(tmp_path / 'seed1')[0] == 4
  play(tmp_path, '--seeds=2')
  assert '1 member to step 4' in capsys.readouterr().out
  assert newest(tmp_path / 'seed0')[0] == 4


def test_a_kill_between_two_saves(tmp_path, capsys):
  play(tmp_path, '--seeds=2')
  before = lines(tmp_path / 'seed0')
  shutil.rmtree(tmp_path / 'seed1' / 'checkpoints' / '4')
  play(tmp_path, '--seeds=2', '--steps=6')
  assert 'Going back to step 2, the newest' in capsys.readouterr().out
  for name in ('seed0', 'seed1'):
    assert newest(tmp_path / name)[0] == 6
    assert [line['step'] for line in lines(tmp_path / name)] == [*range(1, 7)]
  assert lines(tmp_path / 'seed0')[:4] == before


def test_nothing_in_common_is_named_and_kept(tmp_path):
  play(tmp_path, '--seeds=1', '--steps=2')
  with pytest.raises(UserError, match="'seed0': 2, 'seed1': 0"):
    play(tmp_path, '--seeds=2', '--steps=4')
  assert newest(tmp_path / 'seed0')[0] == 2
  assert not (tmp_path / 'seed1').exists()


def test_more_seeds_join_those_that_are_finished(tmp_path):
  play(tmp_path, '--seeds=1')
  before = newest(tmp_path / 'seed0')
  play(tmp_path, '--seeds=3')
  assert_same(newest(tmp_path / 'seed0'), before, rtol=0)
  scores = json.loads((tmp_path / 'scores.json').read_text())
  assert set(scores['members']) == {'seed0', 'seed1', 'seed2'}


def test_what_cannot_be_scored_is_told_and_kept(tmp_path, monkeypatch):
  def score(config, generate, count, seed):
    raise ValueError('needs at least 40 samples, there are 16')

  monkeypatch.setattr(sys.modules[__name__], 'score', score)
  with pytest.raises(UserError, match='needs at least 40 samples'):
    play(tmp_path, '--seeds=1', '--steps=1')
  assert newest(tmp_path / 'seed0')[0] == 1


@pytest.mark.parametrize('taken', ['', 'seed0'])
def test_a_second_run_in_a_workdir_is_refused(taken, tmp_path):
  play(tmp_path, '--seeds=1', '--steps=1')
  before = (tmp_path / 'scores.json').read_bytes()
  with (
    files.alone(tmp_path / taken),
    pytest.raises(UserError, match=f'another run is training in .*{taken}'),
  ):
    play(tmp_path, '--seeds=1', '--steps=2')
  assert newest(tmp_path / 'seed0')[0] == 1
  assert (tmp_path / 'scores.json').read_bytes() == before


def test_a_signal_saves_all(tmp_path, monkeypatch, capsys):
  asked = iter([0, 0, signal.SIGTERM])
  monkeypatch.setattr(
    sweep,
    'stop_signals',
    lambda: contextlib.nullcontext(lambda: next(asked)),
  )
  with pytest.raises(SystemExit) as status:
    play(tmp_path, '--seeds=2', '--steps=9', '--save-every=9')
  assert status.value.code == 128 + signal.SIGTERM
  assert 'Stopped after step 3; saved.' in capsys.readouterr().out
  for name in ('seed0', 'seed1'):
    assert newest(tmp_path / name)[0] == 3


@pytest.mark.parametrize('mapped', [False, True])
def test_one_that_diverges_leaves_the_others_alone(mapped, tmp_path, capsys):
  sweep_flag = '--sweep=learning_rate=0.5,1e38'
  play(tmp_path, sweep_flag, '--steps=6', mapped=mapped)
  out = capsys.readouterr().out
  assert 'learning_rate1e+38-seed0: the training diverged before step' in out
  assert newest(tmp_path / 'learning_rate0.5-seed0')[0] == 6
  play(tmp_path, sweep_flag, '--steps=8', mapped=mapped)
  assert 'Diverged, and left out: learning_rate1e+38-seed0' in (
    capsys.readouterr().out
  )
  scores = json.loads((tmp_path / 'scores.json').read_text())
  assert list(scores['members']) == ['learning_rate0.5-seed0']


def test_all_diverged(tmp_path):
  with pytest.raises(UserError, match='all members diverged'):
    play(tmp_path, '--learning-rate=1e38', '--seeds=2', '--steps=6')


@pytest.mark.parametrize('number', ['width=2,4', 'every=1,2', 'quiet=0,1'])
def test_numbers_that_decide_shapes_or_code_are_not_mapped(number, tmp_path):
  message = 'decides shapes or code .* sweep it by separate runs'
  with pytest.raises(UserError, match=message):
    play(tmp_path, f'--sweep={number}', mapped=True)
  assert not list(tmp_path.iterdir())


def test_such_numbers_are_written_out_on_any_device(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  play(tmp_path, '--sweep=every=1,2')
  assert '2 members to step 4, one after the other' in capsys.readouterr().out
  once, twice = (lines(tmp_path / f'every{i}-seed0') for i in (1, 2))
  assert [line['generator/moved'] for line in once] == [1, 1, 1, 1]
  assert [line['generator/moved'] for line in twice] == [0, 1, 0, 1]


def test_members_are_divided_over_devices(tiny):
  """And where they do not divide, all are on the first."""

  def played(count, devices):
    gan, key = make_gan(Config(batch_size=4)), jax.random.key(0)
    batch = data.batch(make_data(None), 0, 0, 4)
    keys = list(jax.random.split(key, count))
    program = ensemble.side_by_side(
      lambda _: gan, [0] * count, keys, tiny[:devices], {}
    )
    states = [jgan.init(gan, key, data.to_float(batch)) for key in keys]
    moves = ((jgan.moves(gan, 0),),) * count
    inputs = jax.tree.map(lambda x: x[None], program.gather([batch] * count))
    carried, _ = program.play(
      program.join(states), {}, inputs, lambda _, batch: batch, moves
    )
    kernel = carried.variables['generator']['params']['Dense_0']['kernel']
    parts = [program.part(carried, i) for i in range(count)]
    return parts, len(kernel.sharding.device_set), program.about

  one, on_one, _ = played(4, 1)
  two, on_two, about = played(4, 2)
  assert (on_one, on_two) == (1, 2)
  assert about == 'side by side on 2 of 2 cpu'
  for a, b in zip(one, two, strict=True):
    assert_same((0, a), (0, b), rtol=1e-5, atol=1e-6)
  _, on_first, about = played(3, 2)
  assert on_first == 1
  assert about == 'side by side on 1 of 2 cpu'


def test_spread_by_hand():
  assert spread.spread([1.0, 3.0, np.nan]) == (2, pytest.approx(2**0.5), 2)
  assert spread.spread([3.0]) == (3, None, 1)
  assert spread.spread([np.inf]) == (None, None, 0)
  rows = {
    'a': [{'x_y': 1.0}, {'x_y': 3.0}],
    'b': [{'x_y': 0.25}],
    'c': [{'x_y': np.nan}, {'x_y': 1.0}],
    'd': [{'x_y': np.nan}],
  }
  assert spread.table('of', rows).splitlines() == [
    '| of | seeds | x y |',
    '| --- | --: | --: |',
    '| a | 2 | 2 ± 1.4 |',
    '| b | 1 | 0.25 |',
    '| c | 2 | 1 (1) |',
    '| d | 1 | none |',
  ]


def test_scores_while_training(tmp_path, capsys):
  play(tmp_path, '--seeds=2', '--evaluate-every=2')
  assert 'seed1: step 4: mean_error' in capsys.readouterr().out
  for name in ('seed0', 'seed1'):
    assert (tmp_path / name / 'best.json').exists()
    assert (
      'evaluation/mean_error' in (tmp_path / name / 'metrics.jsonl').read_text()
    )


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--seeds=0'], '--seeds must be 1 or more, got 0'),
    (
      [f'--seed={2**31 - 1}', '--seeds=2'],
      f'--seed must be from 0 to {2**31 - 1}',
    ),
    (
      ['--sweep=gamma=1,2'],
      'has for itself: learning_rate, every, width, quiet',
    ),
    (['--sweep=steps=1,2'], 'has for itself'),
    (['--sweep=learning-rate=0.1,.10'], 'names a value twice'),
    (['--batch-size=0'], '--batch-size must be 1 or more'),
    (['--distributed'], 'a sweep is alone'),
  ],
)
def test_mistakes_are_named_and_leave_nothing(flags, message, tmp_path, capsys):
  with pytest.raises(SystemExit) as status:
    sweep.main(['tiny', f'--workdir={tmp_path / "run"}', *SMALL, *flags])
  assert status.value.code == 2
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_other_numbers_are_refused(tmp_path):
  play(tmp_path, '--seeds=1', '--steps=1')
  with pytest.raises(UserError, match=r'rate: 0\.5 there, 0\.1'):
    play(tmp_path, '--seeds=1', '--steps=1', '--learning-rate=0.1')


def test_help(capsys):
  with pytest.raises(SystemExit) as status:
    sweep.main(['tiny', '--help'])
  assert status.value.code == 0
  out = capsys.readouterr().out
  assert '--seeds=8' in out
  assert 'usage: python -m experiments.sweep tiny' in out
