"""The commands as a user runs them: training, resuming, sampling, mistakes."""

import functools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import runs
from PIL import Image
from runs import lines
from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)

from experiments import files, sample, train

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures('one_device')
SMALL = (*runs.SMALL, '--sample-every=4', '--save-every=4')


@pytest.fixture(scope='module', autouse=True)
def cache(one_device, tmp_path_factory):
  """Compiled programs are shared by the tests, not with the user."""
  folder = str(tmp_path_factory.mktemp('cache'))
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  return folder


def run(workdir, *flags):
  train.main([f'--workdir={workdir}', *SMALL, *flags])


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'whole'
  run(workdir, '--steps=8')
  return workdir


def arrays(workdir):
  """The newest checkpoint's bytes, by path, as they lie on disk."""
  step, state = runs.newest(workdir)
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return step, {
    jax.tree_util.keystr(path): np.asarray(leaf).tobytes()
    for path, leaf in leaves
  }


def test_a_run_leaves_all_that_it_promises(whole, capsys):
  names = {path.name for path in whole.iterdir()}
  assert names >= {'config.json', 'metrics.jsonl', 'reals.png', 'checkpoints'}
  grids = sorted(path.name for path in (whole / 'samples').iterdir())
  assert grids == ['000000.png', '000004.png', '000008.png']
  with Image.open(whole / 'samples' / '000008.png') as image:
    assert image.size == (10 * 34 + 2, 8 * 34 + 2)  # ten classes, eight each
    assert image.mode == 'RGB'
  told = lines(whole)
  assert [line['step'] for line in told] == [2, 4, 6, 8]
  assert told[0]['discriminator/loss'] > 0
  events = EventAccumulator(str(whole), size_guidance={'images': 0}).Reload()
  points = events.Scalars('generator/loss')
  assert [point.step for point in points] == [2, 4, 6, 8]
  assert points[0].value == pytest.approx(told[0]['generator/loss'])
  assert set(events.Tags()['images']) == {'reals', 'samples'}
  assert not list(whole.glob('**/*.part'))


def test_it_tells_what_will_run(tmp_path, capsys):
  run(tmp_path / 'run', '--steps=2')
  out = capsys.readouterr().out
  assert 'digits: 2 steps of 8 examples, 0.0032 epochs of 5,000' in out
  assert re.search(r'generator: [\d,]+ parameters', out)
  assert re.search(r'[\d.]+ GFLOP a step on each of 1 cpu', out)
  assert f'workdir: {tmp_path / "run"}' in out
  assert re.search(r'step 2/2 .*discriminator [\d.]+ generator [\d.]+', out)


def test_one_is_told_in_the_singular(tmp_path, capsys):
  run(tmp_path, '--steps=1', '--batch-size=1')
  assert 'digits: 1 step of 1 example, 0.0002 epochs' in capsys.readouterr().out
  sample.main([f'--workdir={tmp_path}', '--count=1'])
  assert '1 sample on a grid' in capsys.readouterr().out


def test_the_last_speed_is_that_of_steps_alone(tmp_path, capsys, monkeypatch):
  now = [0]

  def lasting(name, seconds):
    original = getattr(train, name)

    def longer(*arguments):
      now[0] += seconds
      return original(*arguments)

    monkeypatch.setattr(train, name, longer)

  lasting('next_moves', 1)  # once a step
  lasting('write_samples', 1000)

  def evaluate(done, state):
    now[0] += 1000
    return 'scored'

  monkeypatch.setattr(train, 'evaluator', lambda *arguments: evaluate)
  progress = functools.partial(train.Progress, clock=lambda: now[0])
  monkeypatch.setattr(train, 'Progress', progress)
  run(tmp_path, '--steps=4', '--evaluate-every=2')
  assert 'step 4/4 | 8 images/s | 0s left' in capsys.readouterr().out


def test_resume_is_exact_to_the_last_bit(whole, tmp_path):
  run(tmp_path, '--steps=4')
  run(tmp_path, '--steps=8')
  assert arrays(tmp_path) == arrays(whole)
  assert lines(tmp_path) == lines(whole)
  for name in ('000004.png', '000008.png'):
    grid = (tmp_path / 'samples' / name).read_bytes()
    assert grid == (whole / 'samples' / name).read_bytes()


def test_another_seed_is_another_run(whole, tmp_path):
  run(tmp_path, '--steps=8', '--seed=1')
  assert arrays(tmp_path)[1] != arrays(whole)[1]


def test_a_finished_run_says_so(whole, capsys):
  before = arrays(whole)
  run(whole, '--steps=8')
  assert 'is finished, with 8 steps' in capsys.readouterr().out
  assert arrays(whole) == before


def test_a_config_repeats_a_run_elsewhere(whole, tmp_path):
  train.main([f'--config={whole / "config.json"}', f'--workdir={tmp_path}'])
  assert arrays(tmp_path) == arrays(whole)


def damage(step):
  for path in step.rglob('*'):
    if path.is_file() and path.stat().st_size > 100:
      path.write_bytes(bytes(reversed(path.read_bytes())))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
  whole, tmp_path, capsys
):
  run(tmp_path, '--steps=8')
  damage(tmp_path / 'checkpoints' / '8')
  run(tmp_path, '--steps=8')
  captured = capsys.readouterr()
  assert f'{tmp_path / "checkpoints" / "8"} is damaged' in captured.err
  assert 'from step 4' in captured.out
  assert arrays(tmp_path) == arrays(whole)


def test_a_second_run_in_a_workdir_is_refused(tmp_path, capsys):
  with files.alone(tmp_path):
    with pytest.raises(SystemExit) as exit:
      run(tmp_path, '--steps=1')
    assert exit.value.code == 2
    assert f'another run is training in {tmp_path}' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
  run(tmp_path, '--steps=1')
  with files.alone(tmp_path):
    pass


def test_a_run_of_other_numbers_is_refused(whole, capsys):
  before = (whole / 'config.json').read_bytes()
  with pytest.raises(SystemExit) as status:
    run(whole, '--steps=8', '--ema-decay=0.5')
  assert status.value.code == 2
  assert 'ema_decay: 0.995 there, 0.5 given' in capsys.readouterr().err
  assert (whole / 'config.json').read_bytes() == before


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['digitz'], "no experiment 'digitz'; did you mean digits?"),
    (['folder', '--path=/nowhere'], 'there is no folder /nowhere'),
    (['folder', '--path={pictures}', '--resolution=48'], 'power of two'),
    (
      ['folder', '--path={pictures}', '--num-classes=3', '--resolution=8'],
      '--num-classes=3, but {pictures} has 2 subfolders',
    ),
    (['--num-classes=5'], '--num-classes=5 needs labels from 0 to 4, but the'),
    (['mnist-dcgan', '--data-dir={pictures}'], 'download_and_prepare'),
    (['--batch-size=0'], '--batch-size must be 1 or more, got 0'),
  ],
)
def test_mistakes_are_named_and_leave_nothing(
  words, message, pictures, tmp_path, capsys
):
  words = [word.format(pictures=pictures) for word in words]
  with pytest.raises(SystemExit) as status:
    train.main([f'--workdir={tmp_path / "run"}', *words])
  assert status.value.code == 2
  err = capsys.readouterr().err
  assert message.format(pictures=pictures) in err
  assert 'Traceback' not in err
  assert not (tmp_path / 'run').exists()


def test_an_indivisible_batch_is_named(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(jax, 'devices', lambda: jax.local_devices()[:3])
  with pytest.raises(SystemExit):
    run(tmp_path / 'run', '--steps=1')
  assert '--batch-size=8 does not divide over the 3' in capsys.readouterr().err


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Two subfolders of coloured pictures of several sizes."""
  folder = tmp_path_factory.mktemp('pictures')
  draw = np.random.default_rng(0)
  for i in range(12):
    path = folder / ('cats' if i % 2 else 'dogs') / f'{i}.png'
    path.parent.mkdir(exist_ok=True)
    pixels = draw.integers(0, 256, (8 + i, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
  return folder


def test_trains_on_a_folder_with_subfolders_as_labels(pictures, tmp_path):
  train.main(
    [
      'folder',
      f'--workdir={tmp_path}',
      f'--path={pictures}',
      '--resolution=8',
      '--num-classes=2',
      '--mirror',
      *SMALL,
      '--steps=2',
    ]
  )
  generate = sample.load(tmp_path)
  assert generate(5, label=1).shape == (5, 8, 8, 3)


def test_losses_that_diverge_end_the_run_and_keep_what_was(tmp_path, capsys):
  with pytest.raises(SystemExit) as status:
    run(tmp_path, '--steps=40', '--learning-rate=1e30')
  assert status.value.code == 2
  assert 'the training diverged before step' in capsys.readouterr().err


def test_samples_in_two_lines(whole):
  generate = sample.load(whole)
  images = generate(12, seed=1)
  assert images.shape == (12, 32, 32, 1)
  assert images.dtype == np.float32
  assert np.abs(images).max() <= 1
  np.testing.assert_array_equal(generate(103, seed=1)[:12], images)
  assert not np.array_equal(generate(12, seed=2), images)
  # With labels in turn, sample 7 is a seven.
  np.testing.assert_array_equal(generate(8, seed=1, label=7)[7], images[7])


def test_sample_command_writes_what_is_asked(whole, tmp_path, capsys):
  sample.main(
    [
      f'--workdir={whole}',
      '--count=12',
      '--seed=1',
      f'--grid={tmp_path / "grid.png"}',
      f'--npz={tmp_path / "out" / "samples.npz"}',
      f'--files={tmp_path / "each"}',
    ]
  )
  stored = np.load(tmp_path / 'out' / 'samples.npz')
  np.testing.assert_array_equal(stored['label'], np.arange(12) % 10)
  each = sorted((tmp_path / 'each').iterdir())
  assert [path.name for path in each][-1] == '000011.png'
  with Image.open(each[3]) as image:
    np.testing.assert_array_equal(np.asarray(image), stored['image'][3, ..., 0])
  assert (tmp_path / 'grid.png').exists()
  assert str(tmp_path / 'grid.png') in capsys.readouterr().out


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--workdir={tmp}/none'], 'holds no run'),
    (['--workdir={whole}', '--count=0'], '--count must be 1 or more'),
    (['--workdir={whole}', '--label=10'], 'whose labels are from 0 to 9'),
  ],
)
def test_sample_command_names_mistakes(flags, message, whole, tmp_path, capsys):
  with pytest.raises(SystemExit) as status:
    sample.main([flag.format(tmp=tmp_path, whole=whole) for flag in flags])
  assert status.value.code == 2
  assert message in capsys.readouterr().err


def command(workdir, cache, *flags):
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'experiments.train', f'--workdir={workdir}'),
      *SMALL,
      *flags,
    ],
    cwd=ROOT,
    env=os.environ | {'JAX_COMPILATION_CACHE_DIR': cache},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@pytest.mark.parametrize(
  'number',
  [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
)
def test_signals_save_and_tell_how_to_go_on(number, tmp_path, cache):
  process = command(tmp_path, cache, '--steps=100000', '--save-every=100000')
  for line in process.stdout:
    if line.startswith('step 6/'):
      break
  process.send_signal(number)
  out, err = process.communicate(timeout=60)
  assert process.returncode == 128 + number, err
  stopped = int(re.search(r'Stopped after step (\d+); saved', out)[1])
  assert 'To go on: the same command' in out
  assert arrays(tmp_path)[0] == stopped


@pytest.mark.slow
def test_eight_devices_play_the_same_run(whole, tmp_path, cache):
  process = subprocess.run(
    [
      *(sys.executable, '-m', 'experiments.train', f'--workdir={tmp_path}'),
      *SMALL,
      '--steps=2',
    ],
    cwd=ROOT,
    env=os.environ
    | {
      'JAX_COMPILATION_CACHE_DIR': cache,
      'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
    },
    capture_output=True,
    text=True,
    check=True,
  )
  assert 'on each of 8 cpu' in process.stdout
  for name, value in lines(tmp_path)[0].items():
    assert value == pytest.approx(lines(whole)[0][name], rel=1e-3), name


@pytest.mark.slow
def test_several_steps_in_a_dispatch_play_the_same_run(whole, tmp_path):
  run(tmp_path, '--steps=7', '--steps-per-dispatch=2', '--log-every=4')
  told = lines(tmp_path)
  assert [line['step'] for line in told] == [4, 7]
  of_two = lines(whole)[:2]
  for name, value in told[0].items():
    mean = sum(line[name] for line in of_two) / 2
    expected = 4 if name == 'step' else mean
    assert value == pytest.approx(expected, rel=1e-3), name
  run(tmp_path, '--steps=8', '--log-every=4')  # goes on otherwise
  step, _ = arrays(tmp_path)
  assert step == 8
  assert lines(tmp_path)[-1]['generator/loss'] == pytest.approx(
    lines(whole)[-1]['generator/loss'], rel=0.1
  )


@pytest.mark.slow
def test_activations_are_computed_again_by_a_flag(whole, tmp_path):
  run(tmp_path, '--steps=2', '--rematerialize')
  (told,) = lines(tmp_path)
  first = lines(whole)[0]
  for name in ('discriminator/loss', 'generator/loss'):
    assert told[name] == pytest.approx(first[name], rel=1e-4)
  # It goes on without as the same run.
  run(tmp_path, '--steps=3')


@pytest.mark.slow
def test_activations_of_half_the_size_are_computed_again(tmp_path):
  flags = '--steps=2', '--bfloat16'
  run(tmp_path / 'kept', *flags)
  run(tmp_path / 'again', *flags, '--rematerialize')
  (kept,), (again,) = (lines(tmp_path / name) for name in ('kept', 'again'))
  for name in ('discriminator/loss', 'generator/loss'):
    assert again[name] == pytest.approx(kept[name], rel=0.02)


@pytest.mark.slow
def test_microbatches_and_bfloat16_are_a_flag_each(whole, tmp_path, capsys):
  run(tmp_path, '--steps=2', '--microbatches=2', '--bfloat16')
  task = runs.built(train.kept.load(tmp_path, train.EXPERIMENTS))
  assert (
    'bf16'
    in jax.make_jaxpr(task.gan.sample)(
      task.state.variables,
      {'index': np.arange(2), 'label': np.arange(2)},
      task.key,
    ).pretty_print()
  )
  (told,) = lines(tmp_path)
  first = lines(whole)[0]
  # BatchNorm sees half a batch at a time, and bfloat16 rounds.
  assert told['generator/loss'] == pytest.approx(
    first['generator/loss'], rel=0.3
  )
  with pytest.raises(SystemExit):
    run(tmp_path / 'odd', '--steps=2', '--microbatches=3')
  assert 'it must be a multiple of 3' in capsys.readouterr().err
