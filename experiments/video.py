"""Clips: frames in a row and GIFs that play, and what scores of them share."""

import functools
import io
import itertools

import numpy as np
from PIL import Image

import jgan
from experiments import data, pictures
from experiments.modality import Modality, Shown
from experiments.sampler import Sampler

_CHUNK = 100  # clips that are made at a time


def modality(count: int = 20, columns: int = 5, pace: int = 100) -> Modality:
  """Clips [n, frames, height, width, 1 or 3], uint8 or floats in [-1, 1].

  The PNG has a clip to a row and a frame to a column; the GIF beside it plays
  all at once.

  Args:
    count: how many clips a run shows.
    columns: of clips in the GIF.
    pace: milliseconds that each frame of a GIF stays.
  """
  shown = functools.partial(_shown, columns=columns, pace=pace)
  return Modality(
    unit='clips',
    count=count,
    reals=lambda batch: shown(batch['video']),
    samples=lambda made, conditions: shown(made),
    suffix='.gif',
    encode=functools.partial(gif, pace=pace),
    arrays=lambda made: {'video': data.to_uint8(made)},
  )


def _shown(clips: np.ndarray, columns: int, pace: int) -> Shown:
  frames = clips.shape[1]
  picture = pictures.grid(clips.reshape(-1, *clips.shape[2:]), frames)
  columns = min(columns, len(clips))
  at_once = [pictures.grid(clips[:, t], columns) for t in range(frames)]
  return Shown(picture, {'.gif': gif(np.stack(at_once), pace)})


def gif(clip: np.ndarray, pace: int = 100) -> bytes:
  """Returns a clip as the content of a GIF that plays for ever.

  Grey frames, also those with three equal channels, keep every level; colours
  are brought to 256 of each frame's own. A frame that equals the one before
  becomes a longer stay of that one, as Pillow writes it.

  Args:
    clip: [frames, height, width, 1 or 3], uint8 or floats in [-1, 1].
    pace: milliseconds that each frame stays, rounded to tens by the format.

  Raises:
    ValueError: the clip is of another shape, or a pixel is not finite.
  """
  clip = np.asarray(clip)
  if clip.ndim != 4 or not clip.size or clip.shape[-1] not in (1, 3):
    raise ValueError(
      'gif: needs a clip [frames, height, width, channels] of 1 or 3 channels, '
      f'not {clip.shape}.'
    )
  if clip.dtype != np.uint8:
    if not np.isfinite(clip).all():
      raise ValueError('gif: the clip has pixels that are not finite.')
    clip = data.to_uint8(clip)
  if (clip == clip[..., :1]).all():
    clip = clip[..., 0]
  first, *rest = map(Image.fromarray, clip)
  file = io.BytesIO()
  first.save(
    file,
    format='GIF',
    save_all=True,
    append_images=rest,
    duration=pace,
    loop=0,
  )
  return file.getvalue()


def sampled(
  generate: Sampler, count: int, seed: int
) -> tuple[np.ndarray, jgan.Batch]:
  """Clips that a sampler makes, and the conditions that asked for them.

  Returns:
    uint8 `[count, frames, height, width, channels]`, of which the floats they
    were are never in memory at once.
  """
  asked = generate.conditions(count)
  parts = []
  for start in range(0, count, _CHUNK):
    part = {k: x[start : start + _CHUNK] for k, x in asked.items()}
    parts.append(data.to_uint8(generate.make(part, seed)))
  return np.concatenate(parts), asked


def stills(clips: np.ndarray, seed: int) -> np.ndarray:
  """One frame of each clip, drawn by the seed, [n, height, width, channels]."""
  drawn = np.random.default_rng(seed).integers(clips.shape[1], size=len(clips))
  return clips[np.arange(len(clips)), drawn]


def changes(clips: np.ndarray) -> np.ndarray:
  """How far each frame is from the one before, float64 [n, frames - 1].

  The mean absolute difference of pixels, in levels from 0 to 255.
  """
  pairs = itertools.pairwise(np.moveaxis(clips, 1, 0))
  axes = tuple(range(1, clips.ndim - 1))
  means = [np.abs(b.astype(np.int16) - a).mean(axes) for a, b in pairs]
  return np.stack(means, axis=1)
