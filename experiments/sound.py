"""Sound as a run shows and keeps it: wav files, and spectrograms on a grid."""

import io
import math
import wave

import numpy as np
from PIL import Image, ImageDraw

from experiments import data, pictures
from experiments.modality import Modality, Shown
from jgan.metrics.spectrograms import log_power

_COUNT = 40  # clips that a run shows: of ten classes four each
_PAUSE = 0.125  # seconds of silence between two of them
_QUIETEST = -80.0  # dB, the darkest colour
_FRAMES = 128  # of a spectrogram; its pixels across
_COLOURS = np.array(  # from the quietest to the loudest
  [[0, 0, 0], [40, 15, 110], [185, 45, 95], [250, 155, 35], [255, 255, 220]]
)
_BACKGROUND, _INK = 235, 20  # levels of grey
_MARGIN, _LINE = 4, 14  # pixels


def modality(rate: int) -> Modality:
  """Clips of mono sound, `[n, length, 1]`, of `rate` samples a second.

  Shown as spectrograms, each class of labels in a column of its own, and as a
  .wav of the clips one after another.
  """

  def shown(sound, label=None):
    columns = None if label is None else _columns(len(sound), label)
    return Shown(
      spectrograms(sound, rate, columns),
      {'.wav': wav(joined(sound, rate), rate)},
    )

  return Modality(
    unit='clips',
    count=_COUNT,
    reals=lambda batch: shown(batch['sound']),
    samples=lambda made, asked: shown(made, asked.get('label')),
    suffix='.wav',
    encode=lambda sound: wav(sound, rate),
    arrays=lambda made: {'sound': data.to_int16(made), 'rate': np.int32(rate)},
  )


def _columns(count: int, label: np.ndarray) -> int:
  """Clips in a row, such that with classes in turn a column is a class."""
  classes = len(np.unique(label))
  return classes * max(round(math.sqrt(count) / classes), 1)


def wav(sound: np.ndarray, rate: int) -> bytes:
  """Returns mono sound as the content of a 16-bit wav file.

  Args:
    sound: `[t, 1]`, int16 or floats in [-1, 1].
    rate: samples a second.

  Raises:
    ValueError: its shape is another, or a sample is not finite.
  """
  if sound.ndim != 2 or sound.shape[1] != 1:
    raise ValueError(f'wav: needs sound [t, 1], got {list(sound.shape)}.')
  file = io.BytesIO()
  with wave.open(file, 'wb') as writer:
    writer.setnchannels(1)
    writer.setsampwidth(2)
    writer.setframerate(rate)
    writer.writeframes(_int16('wav', sound).astype('<i2').tobytes())
  return file.getvalue()


def joined(sound: np.ndarray, rate: int) -> np.ndarray:
  """Clips `[n, t, 1]` one after another, int16, with a pause between two."""
  pause = round(_PAUSE * rate)
  clips = np.pad(_int16('joined', sound), ((0, 0), (0, pause), (0, 0)))
  return clips.reshape(-1, 1)[: -pause or None]


def spectrograms(
  sound: np.ndarray, rate: int, columns: int | None = None
) -> np.ndarray:
  """Returns a picture of clips, their spectrograms side by side over a scale.

  In each time runs to the right and frequency, from 0 to half of the rate,
  upwards; colours are dB of a full-scale sine, as the scale below tells.

  Args:
    sound: `[n, t, 1]`, int16 or floats in [-1, 1].
    rate: samples a second.
    columns: clips in a row; None for a grid that is nearly square.

  Returns:
    One RGB picture, uint8 [H, W, 3].

  Raises:
    ValueError: its shape is another, or a sample is not finite.
  """
  if sound.ndim != 3 or sound.shape[2] != 1:
    raise ValueError(
      f'spectrograms: needs clips [n, t, 1], got {list(sound.shape)}.'
    )
  clips = _int16('spectrograms', sound)[..., 0].astype(np.float32) / 32768
  hop = -(-clips.shape[1] // _FRAMES)
  levels = np.asarray(log_power(clips, hop=hop))
  # Without 0 Hz, and with the lowest frequency at the bottom.
  images = _coloured(levels[..., :0:-1].transpose(0, 2, 1))
  picture = pictures.grid(images, columns)
  scale = _scale(rate, clips.shape[1], picture.shape[1])
  missing = scale.shape[1] - picture.shape[1]
  picture = np.pad(
    picture, ((0, 0), (0, missing), (0, 0)), constant_values=_BACKGROUND
  )
  return np.concatenate([picture, scale])


def _int16(who: str, sound: np.ndarray) -> np.ndarray:
  if sound.dtype == np.int16:
    return sound
  if not np.isfinite(sound).all():
    raise ValueError(f'{who}: the sound has samples that are not finite.')
  return data.to_int16(sound)


def _coloured(levels: np.ndarray) -> np.ndarray:
  """dB as colours, uint8 [..., 3]."""
  place = np.clip(1 - levels / _QUIETEST, 0, 1) * (len(_COLOURS) - 1)
  at = np.arange(len(_COLOURS))
  channels = [np.interp(place, at, of_one) for of_one in _COLOURS.T]
  return np.rint(np.stack(channels, -1)).astype(np.uint8)


def _scale(rate: int, length: int, width: int) -> np.ndarray:
  """What the axes and the colours mean, at least as wide as `width`."""
  axes = f'0 to {rate / 2000:g} kHz upwards, {length / rate:.3g} s to the right'
  low, high = f'{_QUIETEST:g} dB', '0 dB'
  font_of = ImageDraw.Draw(Image.new('RGB', (1, 1))).textlength
  bar = 100
  needed = int(max(font_of(axes), font_of(low) + font_of(high) + bar))
  size = max(width, needed + 6 * _MARGIN), 2 * _LINE + 2 * _MARGIN
  image = Image.new('RGB', size, (_BACKGROUND,) * 3)
  draw = ImageDraw.Draw(image)
  ink = (_INK,) * 3
  draw.text((_MARGIN, 0), axes, ink)
  top, left = _LINE + _MARGIN, int(font_of(low)) + 2 * _MARGIN
  draw.text((_MARGIN, top), low, ink)
  draw.text((left + bar + _MARGIN, top), high, ink)
  colours = _coloured(np.linspace(_QUIETEST, 0, bar))
  picture = np.array(image)
  picture[top + 1 : top + _LINE - 2, left : left + bar] = colours
  return picture
