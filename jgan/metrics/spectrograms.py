"""Spectrograms: how loud sound is in each band of frequencies, over time."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jgan.metrics.arrays import Array

FLOOR = -100.0  # dB; what is as quiet is silent


def log_power(
  sound: Float[Array, 'n t'], window: int = 256, hop: int = 128
) -> Float[Array, 'n frames bins']:
  """The level of each frequency over time, in dB of a full-scale sine.

  A sine of amplitude 1 on the middle of a bin has 0 dB there; silence has
  FLOOR.

  Args:
    sound: in [-1, 1].
    window: samples of a frame, under a Hann window; even.
    hop: samples from the middle of one frame to that of the next, the first in
      the middle of `hop` samples; around the sound is silence.

  Returns:
    `ceil(t / hop)` frames of `window / 2 + 1` bins, from 0 to half of the rate.
  """
  return _decibel(_power(sound, window, hop))


def log_mel(
  sound: Float[Array, 'n t'],
  rate: int,
  bands: int = 40,
  window: int = 256,
  hop: int = 128,
) -> Float[Array, 'n frames bands']:
  """`log_power` in bands as wide as the ear takes them, in dB.

  Args:
    sound: in [-1, 1].
    rate: its samples a second.
    bands: of equal width on the mel scale, as of `mel_bands`.
    window: as of `log_power`.
    hop: as of `log_power`.

  Returns:
    `ceil(t / hop)` frames; a band's power is the mean over its bins.
  """
  weights = mel_bands(bands, window // 2 + 1, rate)
  return _decibel(
    jnp.matmul(_power(sound, window, hop), weights, precision='highest')
  )


def band_statistics(
  sound: Float[Array, 'n t'],
  rate: int,
  bands: int = 20,
  window: int = 256,
  hop: int = 128,
) -> Float[Array, 'n features']:
  """How loud sound is in each mel band, and how much that changes: features.

  For a Frechet distance of sound of any kind, for which there is no trained
  network. They hear the timbre and how steady it is; not what follows what, so
  that speech and the same speech backwards are one.

  Args:
    sound: in [-1, 1].
    rate: its samples a second.
    bands: as of `log_mel`.
    window: as of `log_power`.
    hop: as of `log_power`.

  Returns:
    The mean of each band's level over the frames, then the deviation of each,
    in dB.
  """
  levels = log_mel(sound, rate, bands, window, hop)
  return jnp.concatenate([levels.mean(1), levels.std(1)], 1)


def mel_bands(
  bands: int, bins: int, rate: int
) -> Float[np.ndarray, '_bins _bands']:
  r"""Triangles over the bins of a spectrum, evenly spaced on the mel scale.

  On that scale, :math:`m = 2595 \log_{10}(1 + f / 700)`, each rises from the
  middle of the one before to its own and falls to that of the next; the first
  begins at 0 Hz, the last ends at half of the rate.

  Args:
    bands: how many, 1 or more.
    bins: of the spectrum, from 0 Hz to half of the rate.
    rate: samples a second.

  Returns:
    Weights, 0 or more; those of a band add up to 1.

  Raises:
    ValueError: a band lies between two bins.

  References:
    O'Shaughnessy, Speech Communication: Human and Machine, 1987, for the scale.
  """
  top = 2595 * np.log10(1 + rate / 1400)
  edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
  low, middle, high = edges[:-2], edges[1:-1], edges[2:]
  frequency = np.linspace(0, rate / 2, bins)[:, None]
  rise = (frequency - low) / (middle - low)
  fall = (high - frequency) / (high - middle)
  weights = np.minimum(rise, fall).clip(0)
  if not weights.any(0).all():
    raise ValueError(
      f'mel_bands: {bands} bands are too many for {bins} bins: a band lies '
      'between two of them. Take fewer bands or a longer window.'
    )
  return (weights / weights.sum(0)).astype(np.float32)


def _power(sound, window, hop):
  """The squared amplitude of sines, [n, frames, bins]."""
  count = -(-sound.shape[1] // hop)
  before = max((window - hop) // 2, 0)
  after = (count - 1) * hop + window - before - sound.shape[1]
  sound = jnp.pad(sound, ((0, 0), (before, max(after, 0))))
  at = np.arange(count)[:, None] * hop + np.arange(window)
  hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
  frames = sound[:, at] * hann.astype(np.float32)[None, None]
  # A sine has half of its amplitude at its own frequency, half at the negative.
  return jnp.abs(jnp.fft.rfft(frames) * (2 / hann.sum())) ** 2


def _decibel(power):
  return 10 * jnp.log10(jnp.maximum(power, 10 ** (FLOOR / 10)))
