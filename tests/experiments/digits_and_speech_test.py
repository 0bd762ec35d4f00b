"""Digits and speech: pairs as one sees them, and scores that are known."""

import io
import wave
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import data, runtime, sample, train
from experiments import digits_and_speech as experiment
from experiments.sampler import Sampler

SMALL = (
  '--length=256',
  '--image-width=4',
  '--sound-width=8',
  '--trunk-width=8',
  '--batch-size=4',
  '--gamma=0',  # a penalty's gradient takes as long to compile as all else
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Recordings by name: of each digit a hum of its own, in two takes."""
  path = tmp_path_factory.mktemp('recordings')
  for digit in range(10):
    for take in (0, 7):
      time = np.arange(4096 + 100 * take)
      hum = 20_000 * np.sin(time * (0.1 + 0.05 * digit))
      with wave.open(str(path / f'{digit}_me_{take}.wav'), 'wb') as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(hum.astype('<i2').tobytes())
  return path


@pytest.fixture(autouse=True)
def at_hand(monkeypatch):
  """One device, nobody's cache."""
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda: devices)
  monkeypatch.setattr(runtime, 'prepare', lambda: None)


def test_pairs_are_of_one_digit(folder):
  config = experiment.Config(path=str(folder), length=4096, pairs=30)
  source = experiment.make_data(config)
  pairs = source[np.arange(30)]
  assert pairs['image'].shape == (30, 32, 32, 1)
  assert pairs['sound'].shape == (30, 4096, 1)
  # The hum's frequency tells the digit.
  spectrum = np.abs(np.fft.rfft(pairs['sound'][..., 0]))
  heard = (spectrum.argmax(-1) * 2 * np.pi / 4096 - 0.1) / 0.05
  np.testing.assert_array_equal(np.rint(heard), pairs['label'])
  rows = data.digits(32).arrays
  for image, label in zip(pairs['image'], pairs['label'], strict=True):
    same = (rows['image'] == image).all((1, 2, 3))
    assert label in rows['label'][same]


@pytest.mark.slow
def test_a_run_shows_and_keeps_pairs(folder, tmp_path):
  run = tmp_path / 'run'
  words = ['digits-and-speech', f'--workdir={run}', f'--path={folder}']
  train.main([*words, *SMALL, '--steps=1'])
  assert {x.name for x in (run / 'samples').iterdir()} == {
    '000000.png',
    '000000.wav',
    '000001.png',
    '000001.wav',
  }
  made = sample.load(run)(3, label=7)
  assert made['image'].shape == (3, 32, 32, 1)
  assert made['sound'].shape == (3, 256, 1)
  files, arrays = tmp_path / 'files', tmp_path / 'x.npz'
  sample.main(
    [f'--workdir={run}', '--count=2', f'--files={files}', f'--npz={arrays}']
  )
  with np.load(arrays) as stored:
    assert stored['image'].dtype == np.uint8
    assert stored['sound'].dtype == np.int16
    assert (stored['rate'], stored['label'].tolist()) == (8000, [0, 1])
    kept = stored['image'][1], stored['sound'][1]
  with zipfile.ZipFile(files / '000001.zip') as archive:
    with Image.open(io.BytesIO(archive.read('picture.png'))) as image:
      np.testing.assert_array_equal(np.asarray(image), kept[0][..., 0])
    with wave.open(io.BytesIO(archive.read('sound.wav'))) as sound:
      read = np.frombuffer(sound.readframes(256), '<i2')
      np.testing.assert_array_equal(read, kept[1][:, 0])


def test_recordings_that_are_missing_are_named(tmp_path, capsys):
  words = ['digits-and-speech', f'--workdir={tmp_path / "run"}', *SMALL]
  for path in ('', tmp_path / 'no'):
    with pytest.raises(SystemExit, match='2'):
      train.main([*words, f'--path={path}'])
    assert 'wavs: ' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_a_spectrogram_stands_beside_its_picture():
  images = np.full((2, 32, 32, 1), 77, np.uint8)
  time = np.arange(4096)
  low, high = (
    (30_000 * np.sin(2 * np.pi * time * share)).astype(np.int16)
    for share in (1 / 8, 3 / 8)
  )
  got = experiment.beside(images, np.stack([low, high])[..., None])
  assert got.shape == (2, 32, 32 + 64, 1)
  assert got.dtype == np.uint8
  np.testing.assert_array_equal(got[:, :, :32], images)
  # A quarter of half of the rate is in the eighth row from below, and three
  # quarters in the eighth from above.
  middle = got[:, :, 64, 0].astype(int)
  assert middle[0].argmax() == 31 - 7
  assert middle[1].argmax() == 31 - 23
  assert middle.max() > 240
  assert middle[0, :8].max() < 60
  as_floats = experiment.beside(
    images / 127.5 - 1, np.stack([low, high])[..., None] / np.float32(32768)
  )
  np.testing.assert_array_equal(as_floats, got)


class Known(Sampler):
  """Gives out pairs that are there already, whatever the state."""

  def conditions(self, count, label=None):
    return {
      'index': np.arange(count, dtype=np.int32),
      'label': self.state['label'][:count],
    }

  def make(self, conditions, seed=0):
    rows = conditions['index']
    made = {name: self.state[name][rows] for name in ('image', 'sound')}
    return jax.tree.map(np.asarray, data.to_float(made))


def test_scores_of_pairs_that_are_known(folder, monkeypatch):
  # A classifier of hums in place of the one of words.
  def heard(variables, sound):
    spectrum = np.abs(np.fft.rfft(sound[..., 0]))
    digit = np.rint((spectrum.argmax(-1) * 2 * np.pi / 4096 - 0.1) / 0.05)
    features = np.random.default_rng(0).normal(size=(len(sound), 2))
    return features + digit[:, None], np.eye(10)[digit.astype(int) % 10]

  monkeypatch.setattr(experiment.spoken_digit_classifier, 'features', heard)
  config = experiment.Config(path=str(folder), pairs=120)
  pairs = experiment.make_data(config)[np.arange(120)]

  def scores(**changed):
    known = Known(None, {**pairs, **changed})
    report = experiment.score(config, known, 120, seed=0)
    assert report.protocol['fake_count'] == 120
    return {name: x.value for name, x in report.scores.items()}

  same = scores()
  assert same['sound_agreement'] == same['real_sound_agreement'] == 1
  assert same['image_agreement'] == same['real_image_agreement'] > 0.95
  assert same['agreement'] == same['image_agreement']
  for name in experiment.LOWER_IS_BETTER:
    assert same[name] == pytest.approx(0, abs=1e-3), name
  # Sounds of the next digit: each may be right, the pairs are not.
  order = np.argsort(pairs['label'], kind='stable')
  shifted = {name: x[order] for name, x in pairs.items()}
  other = np.roll(shifted['sound'], 40, 0)
  found = scores(**{**shifted, 'sound': other})
  assert found['image_agreement'] > 0.95
  assert found['sound_agreement'] == found['agreement'] == 0
  white = scores(image=np.full((120, 32, 32, 1), 255, np.uint8))
  assert white['image_frechet_distance'] > 20
  assert white['image_agreement'] < 0.3
