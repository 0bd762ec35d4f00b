"""The classifier of spoken digits: the command that trains it, and its file."""

import hashlib
import io
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import wavfile

from experiments import data, spoken_digit_classifier
from jgan.metrics.spoken_digit_classifier import heard

BESIDE = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'audio'


@pytest.fixture(scope='module')
def tones(tmp_path_factory):
  """Ten tones as ten digits, each of 12 takes of which 5 are held out."""
  folder = tmp_path_factory.mktemp('tones')
  rng = np.random.default_rng(0)
  for digit in range(10):
    for take in range(12):
      angle = 0.15 * (digit + 1) * np.arange(2000) + rng.uniform(0, 6)
      sound = 8000 * np.sin(angle) + rng.normal(0, 100, 2000)
      path = folder / f'{digit}_ann_{take}.wav'
      wavfile.write(path, 8000, sound.astype(np.int16))
  return folder


@pytest.mark.slow
def test_the_command_learns_and_writes_weights(tones, tmp_path, capsys):
  out = tmp_path / 'new' / 'digits.npz'
  spoken_digit_classifier.main(
    [f'--path={tones}', f'--out={out}', '--steps=25', '--batch-size=20']
  )
  told = capsys.readouterr().out
  content = out.read_bytes()
  assert '70 recordings to learn, 50 to test' in told
  assert f'{out}: sha256 {hashlib.sha256(content).hexdigest()}' in told
  share = spoken_digit_classifier.accuracy(
    spoken_digit_classifier.load(content),
    data.spoken_digits(tones, 8192, held_out=True),
  )
  assert share > 0.8
  # What is told is of the file, in half precision as it is.
  assert f'{share:.2%} of the 50 recordings to test are right' in told
  assert os.listdir(tmp_path / 'new') == ['digits.npz']


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--steps=0'], '--steps and --batch-size must be'),
    (['--path='], 'needs the path of a folder'),
    (['--path={tones}', '--out={tones}'], '--out={tones} is a folder'),
  ],
)
def test_mistakes_are_told_at_once(tones, capsys, flags, message):
  with pytest.raises(SystemExit, match='2'):
    spoken_digit_classifier.main([x.format(tones=tones) for x in flags])
  told = capsys.readouterr()
  assert f'error: {message.format(tones=tones)}' in told.err.replace(
    'error: wavs: ', 'error: '
  )
  assert 'to learn' not in told.out


def test_the_packaged_weights_are_whole_and_small(monkeypatch, tmp_path):
  variables = spoken_digit_classifier.packaged()
  assert spoken_digit_classifier.FILE.stat().st_size < 400_000
  content = spoken_digit_classifier.save(tmp_path / 'x.npz', variables)
  jax.tree.map(
    np.testing.assert_array_equal,
    spoken_digit_classifier.load(content),
    variables,
  )
  monkeypatch.setattr(spoken_digit_classifier, 'FILE', tmp_path / 'y.npz')
  (tmp_path / 'y.npz').write_bytes(content[:-1])
  with pytest.raises(ValueError, match=r'y\.npz is damaged'):
    spoken_digit_classifier.packaged()


def test_another_file_is_refused():
  content = spoken_digit_classifier.FILE.read_bytes()
  for damaged in (b'', content[:-100], content[100:], b'text'):
    with pytest.raises(ValueError, match='weights are not an npz that'):
      spoken_digit_classifier.load(damaged)
  file = io.BytesIO()
  np.savez(file, image=np.zeros(3))
  with pytest.raises(ValueError, match=r'holds other arrays .*: image'):
    spoken_digit_classifier.load(file.getvalue())


def test_any_loudness_is_heard_alike():
  sound = np.random.default_rng(0).uniform(-1, 1, (1, 1024)).astype(np.float32)
  sound[:, 512:] *= 1e-4  # 80 dB below, and 60 are heard
  sound = jnp.asarray(sound)
  levels = np.asarray(heard(sound))
  assert levels.shape == (1, 8, 40)
  assert levels.max() == 1
  np.testing.assert_array_equal(levels[0, 6:], np.full((2, 40), -1))
  np.testing.assert_allclose(heard(0.1 * sound), levels, atol=1e-4)
  assert np.isfinite(heard(0 * sound)).all()


def test_clips_of_any_length_and_number_are_heard():
  variables = spoken_digit_classifier.packaged()
  rng = np.random.default_rng(0)
  short = rng.integers(-9000, 9000, (101, 500, 1), dtype=np.int16)
  features, probabilities = spoken_digit_classifier.features(variables, short)
  assert (features.shape, probabilities.shape) == ((101, 64), (101, 10))
  np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
  alone = spoken_digit_classifier.features(variables, short[-1:])
  np.testing.assert_allclose(alone[0], features[-1:], atol=1e-4)
  # Silence after it does not count, and of a longer clip the loudest is heard.
  longer = np.pad(short[-1:], ((0, 0), (0, 9000), (0, 0)))
  same = spoken_digit_classifier.features(variables, longer)
  np.testing.assert_allclose(same[0], features[-1:], atol=1e-4)


def test_the_packaged_weights_know_the_recordings_held_out():
  path = os.environ.get('JGAN_SPOKEN_DIGITS') or (
    BESIDE / 'free-spoken-digits.tar.gz'
  )
  if not os.path.exists(path):
    pytest.skip(f'no {path}; JGAN_SPOKEN_DIGITS can name another place')
  share = spoken_digit_classifier.accuracy(
    spoken_digit_classifier.packaged(),
    data.spoken_digits(path, 8192, held_out=True),
  )
  assert share > 0.9
