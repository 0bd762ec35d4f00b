"""Clips of one's own: what is built of them, and their scores."""

import shutil

import jax
import numpy as np
import pytest
import runs

from experiments import clips as experiment
from experiments import extractors, sampler, train, video
from experiments.data import MovingDigits, digits
from experiments.errors import UserError
from experiments.sampler import Sampler

SMALL = ('--channels=1', '--resolution=16', '--width=4', '--batch-size=4')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """GIFs of moving digits."""
  path = tmp_path_factory.mktemp('clips')
  moving = MovingDigits(
    source=digits(28), frames=6, resolution=16, size=10, clips=30
  )
  for i, clip in enumerate(moving[np.arange(30)]['video']):
    (path / f'{i:02}.gif').write_bytes(video.gif(clip))
  return path


class Known(Sampler):
  """Gives out clips that are there already, whatever the state."""

  def make(self, conditions, seed=0):
    return self.state[conditions['index']].astype(np.float32) / 127.5 - 1


def scores(monkeypatch, folder, change):
  """Of the data's clips after a change."""
  monkeypatch.setattr(extractors, 'efficientnet', extractors.digits_classifier)
  config = experiment.Config(
    path=str(folder), frames=4, resolution=16, channels=1
  )
  source = experiment.make_data(config)
  assert len(source) == 30 * 3
  made = change(source[np.arange(90)]['video'])
  report = experiment.score(config, Known(None, made), 90, seed=0)
  assert report.protocol['real_count'] == report.protocol['fake_count'] == 90
  return {name: x.value for name, x in report.scores.items()}


def test_the_data_themselves_score_best(monkeypatch, folder):
  found = scores(monkeypatch, folder, lambda x: x)
  assert set(found) == set(experiment.LOWER_IS_BETTER)
  assert found['change_distance'] == 0
  assert abs(found['frame_kernel_distance']) < 0.1


def test_clips_that_stand_still_lack_the_change(monkeypatch, folder):
  source = experiment.make_data(
    experiment.Config(path=str(folder), frames=4, resolution=16, channels=1)
  )
  lost = video.changes(source[np.arange(90)]['video']).mean()
  found = scores(monkeypatch, folder, lambda x: np.repeat(x[:, :1], 4, 1))
  assert found['change_distance'] == pytest.approx(lost)


def test_other_pictures_are_far(monkeypatch, folder):
  far = scores(monkeypatch, folder, lambda x: 255 - x)
  assert far['frame_kernel_distance'] > 1


def test_a_run_is_built_of_a_folder(monkeypatch, folder):
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda: devices)

  def task(*flags):
    words = ['clips', '--workdir=none', f'--path={folder}', *SMALL, *flags]
    return runs.built(
      train.command_line.parse(words, train.EXPERIMENTS, 'clips')
    )

  built = task('--frames=5')
  assert len(built.source) == 30 * 2
  assert built.modality.suffix == '.gif'
  generate = sampler.of(experiment, experiment.Config(), built.gan, built.state)
  shape = jax.eval_shape(
    built.gan.sample,
    generate.state.variables,
    generate.conditions(3),
    jax.random.key(0),
  ).shape
  assert shape == (3, 32, 16, 16, 1)
  with pytest.raises(UserError, match=r'00\.gif has 6 frames.*clips of 7'):
    task('--frames=7')
  with pytest.raises(UserError, match='stills=9 need clips of as many'):
    task('--frames=5', '--stills=9')


def test_one_clip_is_too_few_for_the_scores(monkeypatch, folder, tmp_path):
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda: devices)
  shutil.copy(folder / '00.gif', tmp_path)
  words = ['clips', '--workdir=none', f'--path={tmp_path}', *SMALL]
  words += ['--frames=6', '--evaluate-every=1']
  run = train.command_line.parse(words, train.EXPERIMENTS, 'clips')
  with pytest.raises(UserError, match=r'need 2 clips .* its data have 1'):
    runs.built(run)


def test_clips_of_one_frame_have_no_score(folder):
  one = {'path': str(folder), 'frames': 1, 'resolution': 16}
  experiment.make_data(experiment.Config(**one))
  told = r'two frames or more, got --frames=1 and --sample-frames=32'
  with pytest.raises(ValueError, match=told):
    experiment.make_data(experiment.Config(**one, evaluate_every=5))
  with pytest.raises(ValueError, match=told):
    experiment.score(experiment.Config(**one), None, 50, seed=0)
