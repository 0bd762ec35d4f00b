"""WaveGAN (Donahue et al., 2019) on your own sounds: a folder of wav files.

Any sample rate, width and number of channels; subfolders, or numbers before an
underscore in the files' names, as labels (--num-classes). By default at the
paper's numbers: 16384 samples at 16 kHz, which is a second. One clip of each
file, its loudest; with --whole a long recording is cut into as many as it
holds.

The score is a Frechet distance in simple features, the mean and the deviation
of the level in each of 20 mel bands: it hears timbre, and not what follows
what. It compares runs on one folder, and no published score is of this kind.
Score and time: not measured here.
"""

import dataclasses
import functools

import jax
import numpy as np

import jgan
from experiments import data, own_data, sound, wavegan
from experiments.errors import counted
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.scoring import Report
from jgan import metrics
from jgan.metrics.spectrograms import band_statistics

LOWER_IS_BETTER = ('frechet_distance',)
HIGHER_IS_BETTER = ()
_BANDS = 20
FEWEST = 2 * _BANDS  # clips: as many as there are features
_CHUNK = 100  # clips whose features are taken at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(wavegan.Config, own_data.OfFolders):
  """The numbers worth changing."""

  rate: int = 16_000  # samples a second
  whole: bool = False  # long files whole, as many clips
  peak: bool = False  # scale each clip to full peak


def make_gan(config: Config) -> jgan.GAN:
  return wavegan.make_gan(config)


def make_data(config: Config) -> data.Source:
  source, names = _read(
    config.path,
    config.contents,
    config.length,
    config.rate,
    data.consecutive if config.whole else data.loudest,
    config.peak,
  )
  count = len(names)
  if config.num_classes not in (0, count):
    raise ValueError(
      f'--num-classes={config.num_classes}, but {config.path} has '
      f'{counted(count, "class")} of sounds{": " * bool(names)}'
      f'{", ".join(names)}'
    )
  return source


@functools.lru_cache(maxsize=1)  # each score in a training asks for them
def _read(path, contents, *form):
  own_data.check_contents([path], contents)
  return data.wavs(path, *form)


def make_modality(config: Config) -> Modality:
  return sound.modality(config.rate)


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  """The Frechet distance of samples from all clips, in `band_statistics`."""
  real = make_data(config).arrays['sound']
  made = data.to_int16(generate(count, seed))
  found = wavegan.scored(
    metrics.frechet_distance,
    *(_features(x, config.rate) for x in (real, made)),
    least=FEWEST,
  )
  return Report(
    {'frechet_distance': found},
    {
      'features': f'mean and deviation of {_BANDS} mel bands, in dB',
      'real': config.path,
      'real_count': len(real),
      'fake_count': len(made),
      'interval': wavegan.INTERVAL,
    },
  )


def _features(clips: np.ndarray, rate: int) -> np.ndarray:
  window = 1 << round(np.log2(0.032 * rate))  # about 32 ms
  of = functools.partial(_statistics, rate, max(window, 64))
  return np.concatenate(
    [of(clips[i : i + _CHUNK, :, 0]) for i in range(0, len(clips), _CHUNK)]
  )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _statistics(rate, window, clips):
  clips = data.to_float({'sound': clips})['sound']
  return band_statistics(clips, rate, _BANDS, window, window // 2)
