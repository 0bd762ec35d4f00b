"""MoCoGAN on moving digits: clips made from 5,000 digits inside a package.

Tulyakov et al. (2018) have no such set; here digits bounce inside a frame.
`python -m experiments.evaluate --workdir=WORKDIR` scores frames, motion and
whether a clip keeps its digit, beside the same of real clips.

Measured here on one CPU core, a shortened run of small frames, 96,000 clips in
5 minutes of CPU time (jax 0.10.2), by the command above with --count=1000:

  python -m experiments.train moving-digits --workdir=WORKDIR --steps=3000 \
    --batch-size=32 --resolution=16 --digit-size=10 --frames=6 \
    --sample-frames=12 --slowest=.7 --fastest=1.5

                             samples   data itself
  frame_frechet_distance         4.5
  constancy                      .75           .92
  agreement                      .46           .83
  place_distance                 .25
  speed_distance                 .21
  turn_distance                  .32

In the grid most digits are legible, and move and keep their shape; some change
into another or smear. The default numbers are not measured here. Published
distances of video are in features that are not at hand, and compare with none
of these.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import scipy

import jgan
from experiments import config as base
from experiments import (
  data,
  digit_classifier,
  extractors,
  modality,
  scoring,
  video,
)
from experiments.data.moving_digits import MovingDigits, shares
from experiments.sampler import Sampler
from jgan import metrics
from jgan.metrics.digit_classifier import DigitClassifier
from jgan.metrics.resize import resize_clean

LOWER_IS_BETTER = (
  'frame_frechet_distance',
  'place_distance',
  'speed_distance',
  'turn_distance',
)
HIGHER_IS_BETTER = ('constancy', 'agreement')
FEWEST = DigitClassifier.dimensions  # clips, for a Frechet distance
# Of a digit of MNIST, which the classifier knows: its longer side in pixels.
_KNOWN_SIZE = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 4000
  batch_size: int = 12
  best_by: str = 'frame_frechet_distance'
  digits: int = 1  # in a clip; 1: by class
  frames: int = 8  # of a clip to learn from
  sample_frames: int = 16  # of a clip that is made
  resolution: int = 24  # of a frame
  digit_size: int = 12  # pixels
  slowest: float = 1.0  # pixels a frame
  fastest: float = 2.5  # pixels a frame
  clips: int = 10_000  # in an epoch
  mnist: bool = False  # tfds' 60,000 digits
  data_dir: str = ''  # of tfds; empty: its default
  content_dim: int = 16  # entries of what stays
  motion_dim: int = 10  # entries of what moves
  frame_noise: float = 0.1  # new to it in a frame
  generator_width: int = 32  # channels at half resolution
  image_width: int = 24  # the same, on frames
  video_width: int = 16  # the same, on clips
  stills: int = 4  # frames of a clip judged singly
  instance_noise: float = 0.2  # on what is judged
  learning_rate: float = 4e-4  # Adam's
  discriminator_learning_rate: float = 4e-4  # of both
  ema_decay: float = 0.99  # of the generator sampled from

  def __post_init__(self):
    super().__post_init__()
    if self.digits > 1 and self.best_by in HIGHER_IS_BETTER:
      raise ValueError(
        f'--best-by={self.best_by} needs --digits=1: clips of several digits '
        'are of no one class'
      )

  @property
  def num_classes(self) -> int:
    """Of the labels; clips of several digits are played without."""
    return 10 if self.digits == 1 else 0


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.mocogan(
    # As height and width it may be 24 too, which is no power of two.
    (config.resolution, config.resolution),
    channels=1,
    frames=config.sample_frames,
    num_classes=config.num_classes or None,
    content_dim=config.content_dim,
    motion_dim=config.motion_dim,
    generator_width=config.generator_width,
    image_width=config.image_width,
    video_width=config.video_width,
    stills=config.stills,
    frame_noise=config.frame_noise,
    instance_noise=config.instance_noise,
    learning_rate=config.learning_rate,
    discriminator_learning_rate=config.discriminator_learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  return clips(config, config.frames)


def make_modality(config: Config) -> modality.Modality:
  return video.modality(columns=config.num_classes or 5)


def clips(config: Config, frames: int) -> MovingDigits:
  """Clips of the data, of `frames` frames."""
  if config.mnist:
    source = data.tfds_images('mnist', config.data_dir or None)
  else:
    source = data.digits(resolution=28)
  return MovingDigits(
    source=source,
    frames=frames,
    resolution=config.resolution,
    size=config.digit_size,
    digits=config.digits,
    speed=(config.slowest, config.fastest),
    clips=config.clips,
    seed=config.seed,
  )


def score(
  config: Config, generate: Sampler, count: int, seed: int
) -> scoring.Report:
  """Scores of looks and of motion, against as many clips of the data.

  'frame_frechet_distance' is that of one frame of each clip, in the features of
  the package's digit classifier. Where one digit moves it is cut out around its
  centre of mass, and enlarged to the size of MNIST's.

  'place_distance', 'speed_distance' and 'turn_distance' are Wasserstein
  distances, in pixels: of where the centre of mass is (rows and columns apart,
  and averaged), of how far it moves from frame to frame, and of how far one
  such move differs from the next, which the data's do at walls alone.

  'constancy' is the share of pairs of successive frames in which the classifier
  sees one class, 'agreement' that of frames in which it sees the class asked
  for; beside them the same of the data, as 'real_...'. Clips of several digits
  have neither.
  """
  made, asked = video.sampled(generate, count, seed)
  source = clips(config, config.sample_frames)
  real = source[np.arange(min(count, len(source)))]
  extractor = extractors.digits_classifier()
  one = config.digits == 1
  prepare = functools.partial(cut_out, size=config.digit_size) if one else small
  looks = [
    scoring.extract(extractor, scoring.Pictures(name, Frames(each, prepare)))
    for name, each in (('clips', real['video']), ('samples', made))
  ]
  stills = [
    video.stills(x.features.reshape(*each.shape[:2], -1), seed)
    for x, each in zip(looks, (real['video'], made), strict=True)
  ]
  found = {'frame_frechet_distance': metrics.frechet_distance(*stills)}
  found |= motion_distances(real['video'], made)
  if one:
    labels = real['label'], asked['label']
    for prefix, x, label in zip(('real_', ''), looks, labels, strict=True):
      classes = x.probabilities.argmax(-1).reshape(len(label), -1)
      found[f'{prefix}constancy'] = constancy(classes)
      found[f'{prefix}agreement'] = (classes == label[:, None]).mean()
  return scoring.Report(
    {name: scoring.Score(float(value)) for name, value in found.items()},
    {
      'extractor': extractor.name,
      'weights_sha256': extractor.sha256,
      'frames': 'cut out, enlarged' if one else 'whole',
      'real': f'data of moving-digits, {config.sample_frames} frames each',
      'real_count': len(real['video']),
      'fake_count': len(made),
    },
  )


class Frames:
  """A source of the frames of clips, one after the other.

  Args:
    clips: uint8 [n, frames, height, width, channels].
    prepare: of frames, to be looked at.
  """

  def __init__(
    self, clips: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray]
  ):
    self.frames = clips.reshape(-1, *clips.shape[2:])
    self.prepare = prepare

  def __len__(self) -> int:
    return len(self.frames)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return {'image': self.prepare(self.frames[indices])}


def cut_out(frames: np.ndarray, size: int) -> np.ndarray:
  """Digits alone, as the classifier of MNIST's knows them.

  Args:
    frames: uint8 [n, height, width, 1], of one digit each, black behind.
    size: the longer side of a digit in pixels.

  Returns:
    uint8 [n, 32, 32, 1], the digits' centres of mass in the middle, their
    longer sides of 20 pixels.
  """
  side = digit_classifier.RESOLUTION
  steps = (np.arange(side) - (side - 1) / 2) * (size / _KNOWN_SIZE)
  places = centres(frames)[..., None] + steps  # [n, 2, side]
  down = shares(places[:, 0], frames.shape[1])
  across = shares(places[:, 1], frames.shape[2])
  cut = down @ frames[..., 0] @ np.swapaxes(across, -1, -2)
  return np.rint(cut).astype(np.uint8)[..., None]


def small(frames: np.ndarray) -> np.ndarray:
  """Frames of at most 32x32, as the classifier takes them: larger shrink."""
  if frames.shape[1] <= digit_classifier.RESOLUTION:
    return frames
  pixels = jnp.asarray(frames, jnp.float32)
  shrunk = resize_clean(pixels, digit_classifier.RESOLUTION)
  return np.rint(shrunk).astype(np.uint8)


def centres(frames: np.ndarray) -> np.ndarray:
  """Centres of mass of frames [..., height, width, 1], float64 [..., 2].

  Row and column; of a frame that is black throughout, its middle.
  """
  pixels = frames[..., 0]
  rows, columns = (pixels.sum(axis, dtype=np.float64) for axis in (-1, -2))
  mass = rows.sum(-1)
  moments = np.stack([x @ np.arange(x.shape[-1]) for x in (rows, columns)], -1)
  middle = (np.array(pixels.shape[-2:]) - 1) / 2
  black = mass[..., None] == 0
  return np.where(black, middle, moments / np.where(black, 1, mass[..., None]))


def motion_distances(real: np.ndarray, made: np.ndarray) -> dict[str, float]:
  """The distances of motion that `score` tells of, by name."""
  of_real, of_made = centres(real), centres(made)
  moves = [np.diff(x, axis=1) for x in (of_real, of_made)]
  turns = [np.diff(x, axis=1) for x in moves]

  def distance(pair):
    return scipy.stats.wasserstein_distance(*(x.ravel() for x in pair))

  def lengths(pair):
    return [np.linalg.norm(x, axis=-1) for x in pair]

  places = [distance((of_real[..., i], of_made[..., i])) for i in range(2)]
  return {
    'place_distance': np.mean(places),
    'speed_distance': distance(lengths(moves)),
    'turn_distance': distance(lengths(turns)),
  }


def constancy(classes: np.ndarray) -> float:
  """The share of pairs of successive frames of one class, of [n, frames]."""
  return (classes[:, 1:] == classes[:, :-1]).mean()
