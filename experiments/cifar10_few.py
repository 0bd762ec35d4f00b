"""DCGAN on the first 1,000 pictures of CIFAR-10: what DiffAugment is worth.

With few pictures a discriminator learns them by heart. Scored against the whole
train split by `python -m experiments.evaluate --real=cifar10:train
--fake=WORKDIR`; --no-augment, --lecam=0.3 and --consistency=10 compare.

Measured here on 2 CPU cores, shortened runs of --width=32 --steps=5000, by the
command above with --count=5000 --resamples=3 (EfficientNet-lite0's features),
and, beside it, what the discriminators know by heart, by `python -m
experiments.overfitting RUN ... --held-out=cifar10:test`:

  augmentation         Frechet distance   precision  recall   r_v  pairs won on
                                                              train / held out
  --no-augment         151 (147 to 156)   .74        .0004    .88  1.00 / .63
  DiffAugment          162 (153 to 171)   .83        .0002    .20   .79 / .73
  --adaptive (ADA)     121 (117 to 125)   .79        .0002    .06   .93 / .91

After 320 epochs the discriminator without augmentation takes pictures that it
never saw for fakes. With DiffAugment it hardly does more than with those that
it learned, but the samples are not better for it yet; with ADA they are. LeCam,
consistency and full length: not measured here.

Published for BigGAN on a tenth of CIFAR-10: FID 39.78 without and 22.40 with
DiffAugment (Zhao et al., 2020; 10,000 samples against the test split).
"""

import dataclasses

import jgan
from experiments import data, dcgan
from jgan import ada, regularizers
from jgan import augment as augments


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(dcgan.Config):
  """The numbers worth changing."""

  steps: int = 10_000
  data_dir: str = ''  # of tfds; empty: its default
  images: int = 1000  # how many there are
  augment: bool = True  # play with DiffAugment
  adaptive: bool = False  # with ADA in its place
  lecam: float = 0.0  # weight of LeCam
  consistency: float = 0.0  # weight of consistency


def make_gan(config: Config) -> jgan.GAN:
  policy = augments.chain(
    *augments.color, augments.translation, augments.cutout
  )
  options = {}
  if config.adaptive:
    augment, tracker = ada.adaptive(batch_size=config.batch_size)
    options |= {'augment': augment, 'tracker': tracker}
  elif config.augment:
    options['augment'] = policy
  if config.lecam and config.adaptive:
    raise ValueError(
      '--lecam and --adaptive both keep a memory of the logits: give one'
    )
  if config.lecam:
    options['tracker'] = regularizers.logit_means()
    options['auxiliary'] = regularizers.lecam_term(config.lecam)
  if config.consistency:
    shift = augments.chain(augments.translation)

    def penalty(critic, real, fake, keys):
      moved = regularizers.consistency(critic, real, shift, keys)
      return config.consistency * moved

    options['penalty'] = penalty
  return dcgan.make_gan(config, resolution=32, channels=3, **options)


def make_data(config: Config) -> data.Source:
  split = f'train[:{config.images}]'
  return data.tfds_images('cifar10', config.data_dir or None, split)
