"""Spectrograms against scipy's, levels and mel bands by hand."""

import numpy as np
import pytest
import scipy.signal

from jgan.metrics.spectrograms import (
  FLOOR,
  band_statistics,
  log_mel,
  log_power,
  mel_bands,
)


def test_frames_are_those_of_scipy():
  sound = np.random.default_rng(0).uniform(-1, 1, (2, 1000)).astype(np.float32)
  got = log_power(sound, window=64, hop=16)
  assert got.shape == (2, 63, 33)
  # The first frame begins 24 samples before the sound, the last ends after it.
  padded = np.pad(sound.astype(np.float64), ((0, 0), (24, 32)))
  _, _, expected = scipy.signal.stft(
    padded,
    window='hann',
    nperseg=64,
    noverlap=48,
    boundary=None,
    padded=False,
    scaling='spectrum',
  )
  # Its scaling gives half of a sine's amplitude.
  expected = 20 * np.log10(2 * np.abs(expected)).transpose(0, 2, 1)
  loud = expected > -60  # float32 rounds what is quieter
  assert loud.mean() > 0.9
  np.testing.assert_allclose(np.asarray(got)[loud], expected[loud], atol=0.02)


def test_a_sine_has_its_level_at_its_frequency():
  angle = 2 * np.pi * 1000 * np.arange(4000) / 8000
  sound = np.float32([np.sin(angle), 0.1 * np.sin(angle), 0 * angle])
  full, tenth, silent = np.asarray(log_power(sound))[:, 15]  # in its middle
  assert full.argmax() == tenth.argmax() == 32  # of 1000 / 4000 * 128
  np.testing.assert_allclose([full.max(), tenth.max()], [0, -20], atol=1e-3)
  np.testing.assert_array_equal(silent, np.full(129, FLOOR))


def test_mel_bands_are_triangles_that_meet():
  weights = mel_bands(10, 513, 16000)
  assert weights.shape == (513, 10)
  np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-6)
  np.testing.assert_allclose(weights[[0, -1]], 0, atol=1e-6)
  peaks = weights.argmax(0) * 8000 / 512
  mel = 2595 * np.log10(1 + peaks / 700)
  # 2840 mel at 8 kHz, of which a twelfth lies between a peak and the next.
  np.testing.assert_allclose(mel, 2840.02 / 11 * np.arange(1, 11), atol=15)
  # A bin is in one band or in two that are neighbours.
  used = weights > 1e-6
  assert set(used[1:-1].sum(1)) <= {1, 2}
  assert all((np.diff(np.flatnonzero(row)) == 1).all() for row in used)


def test_too_many_bands_are_told():
  with pytest.raises(ValueError, match='100 bands are too many for 65 bins'):
    mel_bands(100, 65, 8000)


def test_a_mel_band_is_the_weighted_mean_of_its_bins():
  sound = np.random.default_rng(0).uniform(-1, 1, (1, 512)).astype(np.float32)
  power = 10 ** (np.asarray(log_power(sound), np.float64) / 10)
  expected = 10 * np.log10(power @ mel_bands(6, 129, 8000))
  got = log_mel(sound, 8000, bands=6)
  np.testing.assert_allclose(got, expected, atol=1e-3)


def test_statistics_are_of_frames():
  rng = np.random.default_rng(0)
  sound = rng.uniform(-1, 1, (2, 1024)).astype(np.float32)
  sound[1, :512] = 0
  got = np.asarray(band_statistics(sound, 8000, bands=4))
  levels = np.asarray(log_mel(sound, 8000, bands=4))
  expected = np.concatenate([levels.mean(1), levels.std(1)], 1)
  np.testing.assert_allclose(got, expected, rtol=1e-4)
  assert (got[1, 4:] > got[0, 4:] + 10).all()  # half of it is silent


def test_statistics_do_not_hear_what_follows_what():
  sound = np.random.default_rng(0).uniform(-1, 1, (1, 1024)).astype(np.float32)
  sound[:, 600:] *= 0.1
  backwards = band_statistics(sound[:, ::-1], 8000)
  np.testing.assert_allclose(backwards, band_statistics(sound, 8000), atol=0.6)
