"""Clips of digits that move and bounce, made of pictures of digits."""

import dataclasses
import math

import numpy as np
from PIL import Image

from experiments.data.batches import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingDigits:
  """A source of clips, each drawn when it is asked for.

  A digit is cut out along its ink and scaled until its longer side has `size`
  pixels, in the middle of a square of that side. The square moves in a straight
  line, at a speed and in a direction of its own, and is reflected where its
  edge would leave the frame. Places are not rounded to pixels: a digit between
  two is spread over both, so that its centre of mass moves just as the square
  does. Where digits overlap the lighter pixel shows.

  Example i depends on the seed and i alone: its digits, where they start and
  how they move. Its first frames are the same whatever `frames` is.

  Attributes:
    source: digits, 'image' uint8 [N, height, width, 1], black behind, with
      'label' from 0 to 9.
    frames: of a clip.
    resolution: height and width of a frame in pixels.
    size: the longer side of a digit in pixels.
    digits: how many move in a clip.
    speed: of a digit in pixels a frame, the lowest and the highest; its speed
      is uniform between them, its direction and its start too.
    clips: how many examples there are.
    seed: decides them.

  Raises:
    ValueError: a number is out of range; when asked for a clip, if a digit's
      picture is black throughout.

  References:
    Srivastava et al., Unsupervised Learning of Video Representations using
    LSTMs, 2015, whose Moving MNIST this is but for sizes, speeds and the places
    between pixels (https://arxiv.org/abs/1502.04681).
  """

  source: Source
  frames: int = 16
  resolution: int = 32
  size: int = 16
  digits: int = 1
  speed: tuple[float, float] = (1.0, 2.0)
  clips: int = 10_000
  seed: int = 0

  def __post_init__(self):
    counts = self.frames, self.size, self.digits, self.clips
    if min(counts) < 1 or self.seed < 0 or self.digits > 9:
      raise ValueError(
        'moving_digits: needs frames, size and clips of at least 1, digits '
        f'from 1 to 9 and a seed of at least 0, not {counts=}, '
        f'seed={self.seed}.'
      )
    if self.size >= self.resolution:
      raise ValueError(
        f'moving_digits: digits of {self.size} pixels have no room to move in '
        f'frames of {self.resolution}; needs a smaller size.'
      )
    low, high = self.speed
    if not 0 <= low <= high < math.inf:
      raise ValueError(
        'moving_digits: needs a lowest and a highest speed of at least 0, in '
        f'this order, not {self.speed}.'
      )

  def __len__(self) -> int:
    return self.clips

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns 'video', uint8 [n, frames, resolution, resolution, 1], and
    'label', int32 [n]: the digit, or the digits read as one number.
    """
    chosen, places = zip(*map(self.trajectories, indices), strict=True)
    chosen = np.stack(chosen)
    examples = self.source[chosen.ravel()]
    images = np.stack(
      [_cut_out(image, self.size) for image in examples['image']]
    )
    images = images.reshape(*chosen.shape, self.size, self.size)
    label = examples['label'].reshape(chosen.shape)
    powers = 10 ** np.arange(self.digits)[::-1]
    video = _drawn(images, np.stack(places), self.resolution)
    return {
      'video': video[..., None],
      'label': (label @ powers).astype(np.int32),
    }

  def trajectories(self, i: int) -> tuple[np.ndarray, np.ndarray]:
    """What moves in example i, and where.

    Returns:
      Positions in the source, int [digits], and the row and column of each
      square's upper left corner, [digits, frames, 2], from 0 to
      `resolution - size`.
    """
    rng = np.random.default_rng([self.seed, int(i)])
    chosen = rng.integers(len(self.source), size=self.digits)
    room = self.resolution - self.size
    start = rng.uniform(0, room, (self.digits, 1, 2))
    angle = rng.uniform(0, 2 * np.pi, (self.digits, 1))
    speed = rng.uniform(*self.speed, (self.digits, 1, 1))
    velocity = speed * np.stack([np.sin(angle), np.cos(angle)], -1)
    straight = start + np.arange(self.frames)[:, None] * velocity
    return chosen, reflected(straight, room)


def reflected(places: np.ndarray, room: float) -> np.ndarray:
  """Where a walk along a line is if it turns round at 0 and at `room`.

  Args:
    places: where it would be without walls.
    room: from wall to wall, above 0.

  Returns:
    Places from 0 to `room`, of the same shape.
  """
  folded = np.mod(places, 2 * room)
  return np.minimum(folded, 2 * room - folded)


def _cut_out(image: np.ndarray, size: int) -> np.ndarray:
  """A digit's ink in the middle of a square, float32 [size, size]."""
  picture = Image.fromarray(image[..., 0])
  box = picture.getbbox()
  if box is None:
    raise ValueError('moving_digits: a digit without ink: all is black.')
  ink = picture.crop(box)
  side = max(ink.size)
  square = Image.new('L', (side, side))
  square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
  scaled = square.resize((size, size), Image.Resampling.LANCZOS)
  return np.asarray(scaled, np.float32)


def _drawn(
  images: np.ndarray, places: np.ndarray, resolution: int
) -> np.ndarray:
  """Squares at places of frames, uint8 [n, frames, resolution, resolution].

  Args:
    images: [n, digits, size, size].
    places: [n, digits, frames, 2].
    resolution: height and width of a frame.
  """
  # A pixel of a square goes to those pixels of the frame that are next to its
  # place: [n, digits, frames, 2, size, resolution].
  pixels = places[..., None] + np.arange(images.shape[-1])
  down, across = np.moveaxis(shares(pixels, resolution), 3, 0)
  drawn = np.swapaxes(down, -1, -2) @ images[:, :, None] @ across
  return np.rint(np.clip(drawn.max(1), 0, 255)).astype(np.uint8)


def shares(places: np.ndarray, length: int) -> np.ndarray:
  """How linear interpolation divides places among the pixels of a line.

  Args:
    places: in pixels; any shape.
    length: how many pixels the line has.

  Returns:
    float32 [*shape, length], which sum to 1 where a place is on the line.
  """
  away = np.abs(places[..., None] - np.arange(length))
  return np.maximum(1 - away, 0).astype(np.float32)
