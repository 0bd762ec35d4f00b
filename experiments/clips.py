"""MoCoGAN on your own clips: a folder of GIFs, or of folders of frames.

Scores: the kernel distance of single frames in EfficientNet's features, and the
Wasserstein distance of how much changes from a frame to the next. Neither is
the Frechet video distance (FVD) of papers, which is taken in the features of a
network of video: their figures do not compare with these.

Score and time: not measured here, since the clips are yours.
"""

import dataclasses
import functools

import numpy as np
import scipy

import jgan
from experiments import data, extractors, modality, own_data, scoring, video
from experiments.sampler import Sampler
from jgan import metrics

LOWER_IS_BETTER = ('frame_kernel_distance', 'change_distance')
HIGHER_IS_BETTER = ()
FEWEST = 2  # for a kernel distance


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(own_data.OfFolders):
  """The numbers worth changing."""

  steps: int = 20_000
  batch_size: int = 16
  save_every: int = 1000
  best_by: str = 'frame_kernel_distance'
  path: str = ''  # folder of clips
  frames: int = 16  # of a clip to learn from
  sample_frames: int = 32  # of a clip that is made
  resolution: int = 64  # height and width
  channels: int = 3  # 3: colour; 1: grey
  content_dim: int = 50  # entries of what stays
  motion_dim: int = 10  # entries of what moves
  width: int = 64  # channels at half resolution
  stills: int = 1  # frames of a clip judged singly
  learning_rate: float = 2e-4  # Adam's, of all players
  ema_decay: float = 0.999  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.mocogan(
    config.resolution,
    config.channels,
    frames=config.sample_frames,
    content_dim=config.content_dim,
    motion_dim=config.motion_dim,
    generator_width=config.width,
    image_width=config.width,
    video_width=config.width,
    stills=config.stills,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  if config.evaluate_every:
    _check_frames(config)
  return _read(
    config.path,
    config.contents,
    config.frames,
    config.resolution,
    config.channels,
  )


@functools.lru_cache(maxsize=1)  # each score in a training asks for them
def _read(path, contents, *form):
  own_data.check_contents([path], contents)
  return data.clips(path, *form)


def make_modality(config: Config) -> modality.Modality:
  del config
  return video.modality()


def score(
  config: Config, generate: Sampler, count: int, seed: int
) -> scoring.Report:
  """Scores of single frames and of change, against as many clips of the data.

  'frame_kernel_distance' is that of one frame of each clip, in EfficientNet's
  features; few clips are enough for it. 'change_distance' is the Wasserstein
  distance, in levels of 255, of how far frames are from the ones before: the
  mean absolute difference of their pixels. It tells clips that hardly move, or
  flicker, from the data's.
  """
  _check_frames(config)
  made, _ = video.sampled(generate, count, seed)
  source = make_data(config)
  rows = np.sort(np.random.default_rng(seed).permutation(len(source))[:count])
  real = source[rows]['video']
  extractor = extractors.efficientnet()
  features = [
    scoring.extract(
      extractor,
      scoring.Pictures(name, data.Arrays({'image': video.stills(clips, seed)})),
    ).features
    for name, clips in (('frames of the data', real), ('samples', made))
  ]
  found = {
    'frame_kernel_distance': metrics.kernel_distance(
      *features, subset_size=min(1000, *map(len, features))
    ).mean,
    'change_distance': scipy.stats.wasserstein_distance(
      video.changes(real).ravel(), video.changes(made).ravel()
    ),
  }
  return scoring.Report(
    {name: scoring.Score(float(value)) for name, value in found.items()},
    {
      'extractor': extractor.name,
      'weights_sha256': extractor.sha256,
      'resize': extractor.resize,
      'real': config.path,
      'real_count': len(real),
      'fake_count': len(made),
      'frames': f'{real.shape[1]} of a clip of the data, {made.shape[1]} of a '
      'sample',
    },
  )


def _check_frames(config):
  """ValueError: in clips of one frame there is no change to score."""
  if min(config.frames, config.sample_frames) < 2:
    raise ValueError(
      'clips: the scores need clips of two frames or more, got '
      f'--frames={config.frames} and --sample-frames={config.sample_frames}; '
      '--evaluate-every=0 trains without scores'
    )
