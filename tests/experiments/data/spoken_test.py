"""Spoken digits: which takes are held out, and what is no such data set."""

import numpy as np
import pytest
from scipy.io import wavfile

from experiments import data


def put(folder, digits, takes, speakers=('ann', 'bob')):
  for digit in digits:
    for speaker in speakers:
      for take in takes:
        sound = np.int16([digit + 1, -take - 1, 0])
        wavfile.write(folder / f'{digit}_{speaker}_{take}.wav', 8000, sound)


def test_the_first_five_takes_are_held_out(tmp_path):
  put(tmp_path, range(10), (0, 4, 5, 12))
  learn = data.spoken_digits(tmp_path, 4).arrays
  held_out = data.spoken_digits(tmp_path, 4, held_out=True).arrays
  for arrays, takes in ((learn, [5, 12]), (held_out, [0, 4])):
    np.testing.assert_array_equal(arrays['label'], np.repeat(range(10), 4))
    sound = arrays['sound'][..., 0]
    assert sound.shape == (40, 4)
    assert (np.abs(sound.astype(int)).max(1) == 32767).all()
    # The second sample over the first tells the take.
    took = -sound[:, 1] / sound[:, 0] * (arrays['label'] + 1) - 1
    assert {round(take) for take in took} == set(takes)


@pytest.mark.parametrize('held_out', [False, True])
def test_missing_digits_and_takes_are_told(tmp_path, held_out):
  put(tmp_path, range(9), (0, 5))
  with pytest.raises(ValueError, match=r'has: 0, 1, .*, 8\.'):
    data.spoken_digits(tmp_path, 4, held_out)


def test_other_files_are_passed_over_and_none_at_all_is_told(tmp_path):
  wavfile.write(tmp_path / 'song.wav', 8000, np.int16([1, 2]))
  with pytest.raises(FileNotFoundError, match='none of those wanted'):
    data.spoken_digits(tmp_path, 4)
  put(tmp_path, range(10), (7,))
  assert len(data.spoken_digits(tmp_path, 4)) == 20
  with pytest.raises(FileNotFoundError, match='none of those wanted'):
    data.spoken_digits(tmp_path, 4, held_out=True)
