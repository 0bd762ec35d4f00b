"""Moving digits: a short run, and scores of clips whose scores are known."""

import io

import jax
import numpy as np
import pytest
from PIL import Image
from runs import built

from experiments import moving_digits as experiment
from experiments import runtime, sample, train
from experiments.errors import UserError
from experiments.sampler import Sampler

SMALL = (
  '--generator-width=4',
  '--image-width=4',
  '--video-width=4',
  '--batch-size=4',
  '--frames=3',
  '--sample-frames=5',
  '--resolution=8',
  '--digit-size=4',
  '--stills=2',
)
CONFIG = experiment.Config(clips=100, sample_frames=8)


@pytest.fixture(autouse=True)
def at_hand(monkeypatch):
  """One device, nobody's cache."""
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda: devices)
  monkeypatch.setattr(runtime, 'prepare', lambda: None)


class Known(Sampler):
  """Gives out clips that are there already, whatever the state."""

  def conditions(self, count, label=None):
    return {
      'index': np.arange(count, dtype=np.int32),
      'label': self.state['label'][:count],
    }

  def make(self, conditions, seed=0):
    video = self.state['video'][conditions['index']]
    return video.astype(np.float32) / 127.5 - 1


def scores(clips, config=CONFIG):
  known = Known(None, clips)
  report = experiment.score(config, known, len(clips['video']), seed=0)
  return {name: x.value for name, x in report.scores.items()}


@pytest.fixture(scope='module')
def real():
  return experiment.clips(CONFIG, 8)[np.arange(100)]


@pytest.mark.slow
def test_a_run_makes_clips_longer_than_it_learned_from(tmp_path):
  run = tmp_path / 'run'
  train.main(['moving-digits', f'--workdir={run}', *SMALL, '--steps=1'])
  assert {x.name for x in (run / 'samples').iterdir()} == {
    '000000.png',
    '000000.gif',
    '000001.png',
    '000001.gif',
  }
  assert (run / 'reals.gif').is_file()
  generate = sample.load(run)
  clips = generate(3, label=7)
  assert clips.shape == (3, 5, 8, 8, 1)
  files, arrays = tmp_path / 'files', tmp_path / 'x.npz'
  sample.main(
    [f'--workdir={run}', '--count=3', f'--files={files}', f'--npz={arrays}']
  )
  with np.load(arrays) as stored:
    assert stored['video'].shape == (3, 5, 8, 8, 1)
    assert stored['video'].dtype == np.uint8
    assert stored['label'].tolist() == [0, 1, 2]
  with Image.open(io.BytesIO((files / '000002.gif').read_bytes())) as image:
    assert image.size == (8, 8)


def test_the_data_themselves_score_best(real):
  found = scores(real)
  for name in experiment.LOWER_IS_BETTER:
    assert found[name] == pytest.approx(0, abs=0.02), name
  for name in experiment.HIGHER_IS_BETTER:
    assert found[name] == pytest.approx(found[f'real_{name}'], abs=0.01)
  assert found['real_constancy'] > 0.9
  assert found['real_agreement'] > 0.85


def test_clips_that_stand_still_lack_their_speed(real):
  still = {**real, 'video': np.repeat(real['video'][:, :1], 8, 1)}
  found = scores(still)
  moves = np.diff(experiment.centres(real['video']), axis=1)
  lost = np.linalg.norm(moves, axis=-1).mean()
  assert 1.5 < lost < 3
  assert found['speed_distance'] == pytest.approx(lost, abs=0.02)
  assert found['constancy'] == 1


def test_clips_of_mixed_frames_jump_and_change(real):
  frames = real['video'].reshape(-1, *real['video'].shape[2:])
  order = np.random.default_rng(1).permutation(len(frames))
  mixed = {**real, 'video': frames[order].reshape(real['video'].shape)}
  found = scores(mixed)
  assert found['place_distance'] < 0.01  # the same places, in another order
  assert found['speed_distance'] > 2
  assert found['turn_distance'] > 5
  assert found['constancy'] < 0.3
  assert found['agreement'] < 0.3


def test_other_labels_are_no_agreement(real):
  found = scores({**real, 'label': (real['label'] + 1) % 10})
  assert found['agreement'] < 0.1
  assert found['constancy'] > 0.9


def test_noise_looks_unlike_the_data(real):
  rng = np.random.default_rng(0)
  noise = rng.integers(256, size=real['video'].shape).astype(np.uint8)
  found = scores({**real, 'video': noise})
  assert found['frame_frechet_distance'] > 20


def test_clips_of_two_digits_have_no_class():
  config = experiment.Config(digits=2, resolution=48, clips=80, sample_frames=4)
  assert config.num_classes == 0
  found = scores(experiment.clips(config, 4)[np.arange(80)], config)
  assert set(found) == set(experiment.LOWER_IS_BETTER)
  assert max(found.values()) < 0.02
  with pytest.raises(ValueError, match='--best-by=constancy needs --digits=1'):
    experiment.Config(digits=2, best_by='constancy')


def test_too_few_clips_for_a_score_are_told_before_training(tmp_path):
  words = [f'--workdir={tmp_path}', *SMALL, '--clips=50', '--evaluate-every=2']
  run = train.command_line.parse(
    ['moving-digits', *words], train.EXPERIMENTS, ''
  )
  with pytest.raises(UserError, match=r'need 64 clips .* have 50'):
    built(run)


def test_centres_of_mass_by_hand():
  frames = np.zeros((3, 4, 6, 1), np.uint8)
  frames[0, 3, 1] = 200
  frames[1, 0, 0], frames[1, 2, 4] = 50, 150
  expected = [[3, 1], [1.5, 3], [1.5, 2.5]]  # the last is black throughout
  np.testing.assert_allclose(experiment.centres(frames), expected)


def test_a_digit_is_cut_out_in_the_middle_at_its_known_size():
  frames = np.zeros((1, 32, 32, 1), np.uint8)
  frames[0, 2:18, 20:24] = 255  # 16 high, 4 wide
  (cut,) = experiment.cut_out(frames, size=16)[..., 0]
  assert cut.shape == (32, 32)
  rows, columns = (np.flatnonzero((cut > 127).any(axis)) for axis in (1, 0))
  assert [rows[0], rows[-1]] == [6, 25]  # 20 high, and 5 wide, in the middle
  assert len(columns) in (4, 5, 6)
  assert columns.mean() == pytest.approx(15.5, abs=0.5)


def test_two_at_once_are_looked_at_whole():
  large = np.full((2, 64, 64, 1), 100, np.uint8)
  np.testing.assert_array_equal(
    experiment.small(large), np.full((2, 32, 32, 1), 100)
  )
  assert experiment.small(large[:, :20, :20]).shape == (2, 20, 20, 1)
