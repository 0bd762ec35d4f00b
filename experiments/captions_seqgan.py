"""SeqGAN (Yu et al., 2017) on captions of pictures, word by word.

--path names a file of captions, a line each, or its gzip: here the 10,000 of
COCO that Texygen learns from (its image_coco.txt).

Measured here (jax 0.10.2), on one CPU core in 8 minutes with both evaluations:

  python -m experiments.train captions-seqgan --workdir=/tmp/run --steps=1500
  python -m experiments.evaluate --workdir=/tmp/run
  python -m experiments.train captions-seqgan --workdir=/tmp/run
  python -m experiments.evaluate --workdir=/tmp/run

with --path. The scores of experiments/language.py, of 8,767 samples, after
likelihood alone (step 1,500), after the game, and of the data themselves:

                          likelihood   game   data
  held-out NLL                  3.33   3.37
  forward cross-entropy         4.10   3.91   3.86
  reverse cross-entropy         4.25   4.26   3.86
  BLEU-4                        .309   .335   .333
  self-BLEU-4                   .320   .357   .341
  unique                        .999   .999   .996
  copied                        .003   .004

The game makes samples better and more alike, and the model no better for what
it has not seen. By Caccia et al. (2020) a lower temperature of the likelihood
model does as much; that was not measured here. Both models write most captions
whole, and mix up what is seen in them: "a bathroom with a clock that is sitting
on the side of a sink." Published scores of SeqGAN on these captions take other
texts to compare with, and are not comparable.
"""

import dataclasses

from experiments import text
from experiments.text import (
  HIGHER_IS_BETTER,
  LOWER_IS_BETTER,
  make_data,
  make_gan,
  make_modality,
  remark,
  score,
)

__all__ = [
  'HIGHER_IS_BETTER',
  'LOWER_IS_BETTER',
  'Config',
  'make_data',
  'make_gan',
  'make_modality',
  'remark',
  'score',
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(text.Config):
  """The numbers worth changing."""

  steps: int = 2800
  words: bool = True
  length: int = 16
  likelihood_steps: int = 1500
  discriminator_steps: int = 300
  rollouts: int = 2
