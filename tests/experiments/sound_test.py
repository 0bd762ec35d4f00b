"""Sound as a run shows it: wav files, spectrograms, their scale."""

import io

import numpy as np
import pytest
from scipy.io import wavfile

from experiments import sound


def read(content):
  return wavfile.read(io.BytesIO(content))


def test_a_wav_file_gives_back_what_was_written():
  samples = np.int16([1, -2, 32767, -32768])[:, None]
  rate, got = read(sound.wav(samples, 11025))
  assert rate == 11025
  np.testing.assert_array_equal(got, samples[:, 0])
  _, got = read(sound.wav(np.float32([[0.5], [-1.5]]), 8000))
  np.testing.assert_array_equal(got, [16384, -32768])


def test_clips_are_joined_by_pauses():
  clips = np.int16([[1, 2], [3, 4], [5, 6]])[..., None]
  got = sound.joined(clips, rate=24)  # an eighth of a second: 3 samples
  np.testing.assert_array_equal(got[:, 0], [1, 2, 0, 0, 0, 3, 4, 0, 0, 0, 5, 6])
  np.testing.assert_array_equal(sound.joined(clips[:1], 24), clips[0])


def colours(picture):
  return picture[2:130, 2:130].astype(int)


def test_a_spectrogram_shows_where_a_sine_is():
  angle = 2 * np.pi * 1000 * np.arange(4096) / 8000
  clips = np.float32([np.sin(angle), 0 * angle])[..., None]
  clips[0, 2048:] = 0
  picture = sound.spectrograms(clips, 8000)
  assert picture.dtype == np.uint8
  brightness = colours(picture).sum(-1)
  # 1 kHz is a quarter of the way up; in the right half is silence.
  rows, columns = np.nonzero(brightness > 0.9 * brightness.max())
  assert 127 - rows.mean() == pytest.approx(31, abs=1)
  assert columns.max() < 66
  assert columns.min() < 3
  # Clips lie side by side, and the second is all of the darkest colour.
  assert (picture[2:130, 132:260] == 0).all()


@pytest.mark.parametrize(
  ('length', 'pixels'), [(64, 64), (8192, 128), (200, 100)]
)
def test_any_length_has_its_picture(length, pixels):
  noise = np.random.default_rng(0).uniform(-1, 1, (3, length, 1))
  picture = sound.spectrograms(noise.astype(np.float32), 8000, columns=3)
  width = 3 * (pixels + 2) + 2
  assert picture.shape[0] > 132
  assert picture.shape[1] == max(width, picture.shape[1])
  # Ends where it should: then comes the background.
  assert (picture[2:130, width - 2 : width] == 235).all()
  assert (picture[2:130, width - 4] != 235).any()


def test_under_a_grid_stands_its_scale():
  quiet = np.zeros((1, 64, 1), np.int16)
  picture = sound.spectrograms(quiet, 8000)
  scale = picture[132:]
  # The bar goes through all colours, from the darkest to the lightest.
  bar = next(row for row in scale if (row == [255, 255, 220]).all(-1).any())
  lightest = np.flatnonzero((bar == [255, 255, 220]).all(-1))[0]
  assert (bar[lightest - 99] == 0).all()
  red = bar[lightest - 99 : lightest + 1, 0].astype(int)
  assert (np.diff(red) >= 0).all()
  assert (scale[:14] < 100).any()  # letters above it


def test_what_is_no_sound_is_refused():
  nan = np.full((2, 64, 1), np.nan, np.float32)
  for call in (
    lambda: sound.spectrograms(nan, 8000),
    lambda: sound.joined(nan, 8000),
    lambda: sound.wav(nan[0], 8000),
  ):
    with pytest.raises(ValueError, match='samples that are not finite'):
      call()
  with pytest.raises(ValueError, match=r'needs sound \[t, 1\], got \[3\]'):
    sound.wav(np.zeros(3), 8000)
  with pytest.raises(ValueError, match=r'clips \[n, t, 1\], got \[2, 64\]'):
    sound.spectrograms(np.zeros((2, 64)), 8000)


def test_the_modality_of_sound():
  kind = sound.modality(8000)
  made = np.linspace(-1, 1, 20 * 64, dtype=np.float32).reshape(20, 64, 1)
  asked = {'index': np.arange(20), 'label': np.arange(20) % 10}
  shown = kind.samples(made, asked)
  assert shown.picture.shape[1] == 10 * 66 + 2  # a column for each class
  one_class = {'index': np.arange(20), 'label': np.full(20, 3)}
  assert kind.samples(made, one_class).picture.shape[1] == 4 * 66 + 2
  rate, whole = read(shown.files['.wav'])
  assert (rate, len(whole)) == (8000, 20 * 64 + 19 * 1000)
  assert set(kind.reals({'sound': np.zeros((3, 64, 1), np.int16)}).files) == {
    '.wav'
  }
  arrays = kind.arrays(made)
  assert arrays['sound'].dtype == np.int16
  assert arrays['sound'].shape == made.shape
  assert arrays['rate'] == 8000
  np.testing.assert_array_equal(
    read(kind.encode(made[0]))[1], arrays['sound'][0, :, 0]
  )
  assert (kind.unit, kind.suffix) == ('clips', '.wav')
