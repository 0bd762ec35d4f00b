"""How far discriminators know their pictures by heart, of several runs.

  python -m experiments.overfitting RUN [RUN ...] --held-out=cifar10:test

prints a table in Markdown with a row for each run. With the means of the logits
of training pictures, held-out ones and fakes, all as the discriminator sees
them in training (augmented, say),

  r_v = (train - held-out) / (train - fakes)

is 0 where it judges pictures that it never saw as those that it learned, and 1
where it takes them for fakes (Karras et al., 2020, equation 1). Pairs won is
the share of the reals whose logit is above that of their fake. What
`experiments.evaluate --fake=RUN --output=RUN` left in the run stands beside.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
import tyro

from experiments import config as configs
from experiments import data, evaluate, kept, pages, runtime, sample, train
from experiments.errors import UserError, building, reported
from experiments.sampler import Sampler


class Judged(NamedTuple):
  """What a discriminator's loss tells of its batches, on average.

  Attributes:
    real_logits: mean over the reals.
    fake_logits: mean over the fakes.
    accuracy: share of pairs whose real has the larger logit.
  """

  real_logits: float
  fake_logits: float
  accuracy: float


class Row(NamedTuple):
  """A run in the table; scores are None where there is no evaluation.json."""

  frechet_distance: float | None
  precision: float | None
  recall: float | None
  train_logit: float
  held_out_logit: float
  fake_logit: float
  r_v: float
  pairs_won_train: float
  pairs_won_held_out: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """A table of runs: their scores, and what their discriminators know."""

  runs: Annotated[
    tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar='RUN ...')
  ]
  """workdirs, a row each"""
  held_out: Annotated[str, tyro.conf.arg(metavar='FROM')]
  """folder, file.npz, or set:split of tfds"""
  data_dir: str = ''
  """of tfds; empty: its default"""
  count: int = 1000
  """pictures of each kind"""
  seed: int = 0
  """decides which, and what is drawn"""


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  prog = 'python -m experiments.overfitting'
  asked = tyro.cli(Arguments, args=argv, prog=prog)
  if not asked.runs or asked.count < 1:
    raise UserError('give a RUN or more, and a --count of 1 or more')
  runtime.prepare()
  with building():
    configs.check_seed(asked.seed)
    print(table({name: row(Path(name), asked) for name in asked.runs}))


def row(workdir: Path, asked: Arguments) -> Row:
  """A run's scores, as far as there are any, and what its logits say."""
  workdir = workdir.expanduser()
  run = kept.load(workdir, train.EXPERIMENTS)
  known = train.EXPERIMENTS[run.name].make_data(run.config)
  side = known[np.arange(1)]['image'].shape[1]
  place = evaluate.Arguments(data_dir=asked.data_dir)
  held_out = evaluate.load(asked.held_out, place, side).source
  generate = sample.load(workdir)
  size, seed = run.config.batch_size, asked.seed
  of_known, of_held_out = (
    judged(generate, source, size, -(-asked.count // size), seed)
    for source in (known, held_out)
  )
  learned = of_known.real_logits - of_known.fake_logits
  return Row(
    **_scores(workdir),
    train_logit=of_known.real_logits,
    held_out_logit=of_held_out.real_logits,
    fake_logit=of_known.fake_logits,
    r_v=(of_known.real_logits - of_held_out.real_logits) / learned,
    pairs_won_train=of_known.accuracy,
    pairs_won_held_out=of_held_out.accuracy,
  )


def judged(
  generate: Sampler, source: data.Source, size: int, batches: int, seed: int
) -> Judged:
  """Means over batches of what the discriminator's loss tells as metrics.

  Args:
    generate: a trained GAN.
    source: what it takes for reals.
    size: examples in a batch.
    batches: how many.
    seed: decides the batches, the fakes, and the rest that is drawn.

  Raises:
    UserError: the discriminator's loss does not tell them.
  """
  gan, state = generate.gan, generate.state
  judges = [p for p in gan.players if p.label == 'discriminator']
  if not judges:
    raise UserError('the game has no player called discriminator')

  @jax.jit
  def judge(batch, key):
    batch = data.to_float(batch)
    return judges[0].loss(state.variables, batch, key, state.step).metrics

  told = []
  for i in range(batches):
    key = jax.random.fold_in(jax.random.key(seed), i)
    metrics = judge(data.batch(source, seed, i, size), key)
    if missing := set(Judged._fields) - set(metrics):
      raise UserError(
        'a discriminator of jgan.standard_gan is needed; the metrics of this '
        f'one lack {", ".join(sorted(missing))}'
      )
    told.append([metrics[name] for name in Judged._fields])
  return Judged(*np.mean(jax.device_get(told), 0).tolist())


def _scores(workdir: Path) -> dict[str, float | None]:
  path = workdir / 'evaluation.json'
  found = json.loads(path.read_text())['scores'] if path.is_file() else {}
  return {name: found.get(name, {}).get('value') for name in Row._fields[:3]}


def table(rows: Mapping[str, Row]) -> str:
  """The rows in Markdown, each named by the last part of its path."""
  heads = [name.replace('_', ' ') for name in Row._fields]
  lines = [
    [Path(name).name, *('' if x is None else f'{x:.3g}' for x in row)]
    for name, row in rows.items()
  ]
  return pages.table(['run', *heads], lines)


if __name__ == '__main__':
  main()
