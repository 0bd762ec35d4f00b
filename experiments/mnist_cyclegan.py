"""CycleGAN (Zhu et al., 2017) between MNIST and a changed MNIST, unpaired.

The halves of the train split are the two domains, so that no digit is in both;
the second is inverted, or turned, or coloured. As what was done is known, so is
the error against the true counterpart, which unpaired pictures else have not.

Reached here for the inversion, of 5,000 test digits in each direction: mean
absolute errors of .016 and .016 of levels from 0 to 1 (of doing nothing: .946
and .946), and 99.3% and 99.1% of the digits keep their class (19.4% and 19.0%)
for the package's classifier, which knows 99.4% of the digits themselves. 2,000
steps, about 7 minutes of CPU time on one core (jax 0.10.2):

  python -m experiments.train mnist-cyclegan --workdir=/tmp/run
  python -m experiments.evaluate --workdir=/tmp/run

No score is published for these domains; of photographs the Frechet distance in
Inception's features is 64.5 for horse2zebra (MMGeneration's CycleGAN). Turned
and coloured domains (--no-invert --quarter-turns=1, --coloured) and the paper's
widths (--width=64 --discriminator-width=64 --blocks=6): not measured here.

Digits of your own are translated by `python -m experiments.sample --workdir=...
--input=PATH`, from the second domain back by `--input=y:PATH`.
"""

import dataclasses
import functools

import numpy as np

import jgan
from experiments import cyclegan, data, extractors, scoring, translation
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.scoring import Score

LOWER_IS_BETTER = ('error', 'error_back')
HIGHER_IS_BETTER = ('class_kept', 'class_kept_back')

_PAPER = np.array([20, 40, 120], np.float32)  # of the coloured domain
_INK = np.array([250, 220, 60], np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(cyclegan.Config):
  """The numbers worth changing."""

  steps: int = 2000
  batch_size: int = 8
  save_every: int = 1000
  best_by: str = 'error'
  data_dir: str = ''  # of tfds; empty: its default
  invert: bool = True  # y: black on white
  quarter_turns: int = 0  # y: turned by so many
  coloured: bool = False  # y: yellow on blue
  width: int = 16
  discriminator_width: int = 16
  blocks: int = 3
  layers: int = 2
  ema_decay: float = 0.99


def make_gan(config: Config) -> jgan.GAN:
  return cyclegan.make_gan(config, 1, 3 if config.coloured else 1)


def make_data(config: Config) -> data.Source:
  image = data.tfds_images('mnist', config.data_dir or None).arrays['image']
  half = len(image) // 2  # no digit is in both domains
  x, y = image[:half], changed(config, image[half:])
  return data.Unpaired(data.Arrays({'image': x}), data.Arrays({'image': y}))


def make_conditions(config: Config, count: int) -> jgan.Batch:
  arrays = _held_out(config)
  source = data.Arrays({name: arrays[name] for name in ('x', 'y')})
  return translation.conditions(source, count)


def make_modality(config: Config) -> Modality:
  del config
  return translation.modality_of_cycles()


def load_inputs(config: Config, path: str) -> jgan.Batch:
  y_channels = 3 if config.coloured else 1
  return cyclegan.load_inputs(path, 28, (1, None), (y_channels, None))


def score(
  config: Config, generate: Sampler, count: int, seed: int
) -> scoring.Report:
  """How far translations are from the true counterparts, which are known.

  'error' is the mean absolute error of G(x), of levels from 0 to 1, and
  'class_kept' the share of test digits whose label the package's classifier
  reads off G(x), changed back. The same of F(y) ends in '_back', and of doing
  nothing in '_of_inputs'. 'class_of_digits' is the classifier's rate on the
  digits themselves.
  """
  asked = generate.conditions(count)
  size = len(asked['index'])
  labels = {name: x[:size] for name, x in _held_out(config).items()}
  x, y = (translation.levels(asked[name]) for name in ('x', 'y'))
  made = generate.make(asked, seed)
  fake_y, fake_x = (translation.levels(made[f'fake_{k}']) for k in 'yx')
  # What an untranslated picture is in the other domain.
  x_as_y = translation.as_colour(x) if config.coloured else x
  y_as_x = np.rint(y.mean(-1, keepdims=True)).astype(np.uint8)
  extractor = extractors.digits_classifier()

  def kept(images, label):
    source = data.Arrays({'image': images})
    features = scoring.extract(extractor, scoring.Pictures('digits', source))
    return Score(float((features.probabilities.argmax(-1) == label).mean()))

  found = {'class_of_digits': kept(x, labels['label_x'])}
  for end, there, back in (
    ('', fake_y, fake_x),
    ('_of_inputs', x_as_y, y_as_x),
  ):
    found |= {
      f'error{end}': _error(there, changed(config, x)),
      f'error_back{end}': _error(back, restored(config, y)),
      f'class_kept{end}': kept(restored(config, there), labels['label_x']),
      f'class_kept_back{end}': kept(back, labels['label_y']),
    }
  protocol = {
    'digits': 'MNIST test, half of them in each domain',
    'count': size,
    'extractor': extractor.name,
    'weights_sha256': extractor.sha256,
  }
  return scoring.Report(found, protocol)


def changed(config: Config, image: np.ndarray) -> np.ndarray:
  """Digits, uint8 `[n, side, side, 1]`, as the second domain has them."""
  if config.invert:
    image = 255 - image
  image = np.rot90(image, config.quarter_turns, (1, 2))
  if config.coloured:
    image = np.rint(_PAPER + image / np.float32(255) * (_INK - _PAPER))
  return image.astype(np.uint8)


def restored(config: Config, image: np.ndarray) -> np.ndarray:
  """Pictures of the second domain as digits: undoes `changed`."""
  if config.coloured:
    # Where a colour is no mixture of the two, the nearest that is.
    axis = _INK - _PAPER
    share = (image.astype(np.float32) - _PAPER) @ (axis / (axis @ axis))
    image = np.rint(255 * np.clip(share, 0, 1))[..., None]
  image = np.rot90(image, -config.quarter_turns, (1, 2)).astype(np.uint8)
  return 255 - image if config.invert else image


def _error(images, truth):
  difference = images.astype(np.float32) - truth.astype(np.float32)
  return Score(float(np.abs(difference).mean()) / 255)


@functools.lru_cache(maxsize=1)  # each grid of samples asks for them
def _held_out(config):
  """Test digits, every other one in the first domain, the rest in y."""
  digits = data.tfds_images('mnist', config.data_dir or None, 'test').arrays
  (x, y), (label_x, label_y) = (
    [digits[name][i::2] for i in (0, 1)] for name in ('image', 'label')
  )
  return {
    'x': x,
    'y': changed(config, y),
    'label_x': label_x,
    'label_y': label_y,
  }
