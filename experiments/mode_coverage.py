"""The mode coverage table: `python -m experiments.mode_coverage`.

Small perceptrons learn two mixtures of Gaussians in the plane by several games,
and the modes that their samples reach are counted. The seeds of a game train
side by side: one program, `jax.vmap` over `jgan.train_steps`. The page that it
writes, docs/mode_coverage.md in the clone, has the table and the protocol.
"""

import dataclasses
import functools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from PIL import Image, ImageDraw
from tqdm import tqdm

import jgan
from experiments import pages, pictures, runtime
from experiments.errors import UserError, building, reported
from experiments.files import write_json, write_text
from jgan.metrics import ModeCoverage, mode_coverage

WIDTH, DEPTH = 128, 3  # of the hidden layers of both players
PACKS = 100  # in a batch; a pack is one point where the game has no others
SAMPLES = 2500  # of which modes are counted
_CHUNK = 100  # most moves of the generator in one dispatch
_SIDE = 256  # pixels of a plot

# One state of all seeds; they share the step, so that it stays a number.
_SEEDS = jgan.TrainState(step=None, variables=0, opt_state=0, ema_params=0)


class Mixture(NamedTuple):
  """Gaussians in the plane, equally probable.

  Attributes:
    about: in words.
    centres: `[modes, 2]`.
    std: of each along each axis.
    steps: moves of the generator that learns it.
  """

  about: str
  centres: np.ndarray
  std: float
  steps: int


_ANGLES = 2 * np.pi * np.arange(8) / 8
_LINE = np.arange(-4.0, 5, 2)
MIXTURES: Mapping[str, Mixture] = {
  'ring': Mixture(
    '8 Gaussians of deviation .01 on a circle of radius 1',
    np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1),
    0.01,
    5000,
  ),
  'grid': Mixture(
    '5 by 5 Gaussians of deviation .05, 2 apart',
    np.stack(np.meshgrid(_LINE, _LINE), -1).reshape(-1, 2),
    0.05,
    15_000,
  ),
}


class Generator(nn.Module):
  """Latents to points, through rectifiers."""

  @nn.compact
  def __call__(self, latent, label, *, train):
    x = latent
    for _ in range(DEPTH):
      x = nn.relu(nn.Dense(WIDTH)(x))
    return nn.Dense(2)(x)


class Discriminator(nn.Module):
  """Points, or packs of points, to logits, through leaky rectifiers."""

  @nn.compact
  def __call__(self, points, label, *, train):
    x = points
    for _ in range(DEPTH):
      x = nn.leaky_relu(nn.Dense(WIDTH)(x), 0.2)
    return nn.Dense(1)(x)[:, 0]


class Game(NamedTuple):
  """What a row of the table plays; the rest is alike for all.

  Attributes:
    about: in words.
    loss: of both players.
    penalty: as of `jgan.standard_gan`.
    n_critic: moves of the discriminator for one of the generator.
    pack: points that are judged together.
  """

  about: str
  loss: jgan.losses.AdversarialLoss
  penalty: Callable[..., jax.Array] | None = None
  n_critic: int = 1
  pack: int = 1

  def gan(self, steps: int) -> jgan.GAN:
    """The game, for so many moves of the generator."""

    def adam(moves):
      rate = optax.linear_schedule(1e-3, 0, moves)
      return optax.adam(rate, b1=0, b2=0.99)

    return jgan.standard_gan(
      Generator(),
      Discriminator(),
      loss=self.loss,
      generator_optimizer=adam(steps),
      discriminator_optimizer=adam(steps * self.n_critic),
      latent=jgan.latents.normal(2),
      penalty=self.penalty,
      n_critic=self.n_critic,
      ema_decay=0.999,
      pack=self.pack,
      data='x',
    )


def _lipschitz(critic, real, fake, keys):
  return 0.1 * jgan.penalties.gradient_penalty(critic, real, fake, keys)


def _r1_and_r2(critic, real, fake, keys):
  del keys
  r1, r2 = jgan.penalties.r1(critic, real), jgan.penalties.r2(critic, fake)
  return 0.1 / 2 * (r1 + r2)


GAMES: Mapping[str, Game] = {
  'mlp': Game(
    'the GAN of Goodfellow et al. (2014), its generator not saturating',
    jgan.losses.non_saturating,
  ),
  'wgan_gp': Game(
    'Gulrajani et al. (2017): 5 moves of the critic for one of the generator, '
    'and a penalty of weight .1, which their published code takes for such '
    'points in place of 10',
    jgan.losses.wasserstein,
    _lipschitz,
    n_critic=5,
  ),
  'relativistic': Game(
    'the loss of R3GAN (Huang et al., 2024): each real against one fake, and '
    'R1 + R2 with gamma = .1',
    jgan.losses.relativistic,
    _r1_and_r2,
  ),
  'packing': Game(
    'PacGAN (Lin et al., 2018): the game of mlp, its discriminator judging '
    'pairs of points',
    jgan.losses.non_saturating,
    pack=2,
  ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Counts the modes of mixtures of Gaussians that games learn."""

  seeds: int = 10
  """trainings of each game, side by side"""
  steps: int = 0
  """moves of a generator; 0: each mixture's own"""
  output: Annotated[str, tyro.conf.arg(metavar='DIR')] = 'runs/mode-coverage'
  """for mode_coverage.md, .json and .png"""


class Outcome(NamedTuple):
  """What came of a game: the coverage by seed, and samples of the first."""

  coverage: Sequence[ModeCoverage]
  samples: np.ndarray


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  prog = 'python -m experiments.mode_coverage'
  asked = tyro.cli(Arguments, args=argv, prog=prog)
  for name, least in (('seeds', 1), ('steps', 0)):
    if (value := getattr(asked, name)) < least:
      raise UserError(f'--{name} must be {least} or more, got {value}')
  output = Path(asked.output).expanduser()
  with building():  # before the training: later it would come too late
    output.mkdir(parents=True, exist_ok=True)
  runtime.prepare()
  began = pages.clocks()
  outcomes = played(asked.seeds, asked.steps)
  told = protocol(asked, began)
  rows = {
    mixture: {game: fields(of.coverage) for game, of in games.items()}
    for mixture, games in outcomes.items()
  }
  print(f'{table(rows)}\n\n{told}')
  pictures.save_png(output / 'mode_coverage.png', plots(outcomes))
  write_json(output / 'mode_coverage.json', {'protocol': told, 'rows': rows})
  write_text(output / 'mode_coverage.md', page(table(rows), told))
  print(f'Written: {output / "mode_coverage.md"}, .json and .png')


def played(seeds: int, steps: int = 0) -> dict[str, dict[str, Outcome]]:
  """Trains every game on every mixture, and counts.

  Args:
    seeds: how many trainings, of the seeds from 0 on.
    steps: moves of each generator; 0 for the mixture's own.

  Returns:
    By mixture and game.
  """
  plan = [
    (name, mixture, steps or mixture.steps)
    for name, mixture in MIXTURES.items()
  ]
  total = len(GAMES) * sum(count for *_, count in plan)
  outcomes = {}
  with tqdm(total=total, disable=None, unit='step') as bar:
    for name, mixture, count in plan:
      outcomes[name] = {}
      for game, its in GAMES.items():
        bar.set_description(f'{name}, {game}')
        made = samples(its, mixture, jnp.arange(seeds), count, bar.update)
        coverage = [
          mode_coverage(points, mixture.centres, mixture.std) for points in made
        ]
        outcomes[name][game] = Outcome(coverage, made[0])
        reached = [of.modes for of in coverage]
        bar.write(f'{name}, {game}: {reached} of {len(mixture.centres)} modes')
  return outcomes


def samples(
  game: Game,
  mixture: Mixture,
  seeds: jax.Array,
  steps: int,
  update: Callable[[int], object] = lambda steps: None,
) -> np.ndarray:
  """Samples of generators trained with these seeds, side by side.

  Args:
    game: what they play.
    mixture: what they learn.
    seeds: `[n]`.
    steps: moves of the generator.
    update: told the number of steps that were made.

  Returns:
    `[n, SAMPLES, 2]`; row i depends on seed i alone, to rounding.
  """
  gan, keys = game.gan(steps), jax.vmap(jax.random.key)(seeds)
  count = math.gcd(steps, _CHUNK)
  cycle = [jgan.moves(gan, step) for step in range(game.n_critic)]

  def batch(key, step):
    # The run's own draws fold in 0, 1 and 2.
    key = jax.random.fold_in(jax.random.fold_in(key, 3), step)
    return {'x': draw(mixture, key, PACKS * game.pack)}

  def chunk(state, key):
    return jgan.train_steps(
      gan,
      state,
      functools.partial(batch, key),
      key,
      count=count * game.n_critic,
      moves=cycle,
      unroll=False,  # dense layers are as fast in a loop
    )[0]

  def sample(state, key):
    return jgan.sample(gan, state, {'index': jnp.arange(SAMPLES)}, key)

  def start(key):
    return jgan.init(gan, key, batch(key, 0))

  state = jax.jit(jax.vmap(start, out_axes=_SEEDS))(keys)
  axes = (_SEEDS, 0)
  chunk = jax.jit(jax.vmap(chunk, axes, _SEEDS), donate_argnums=0)
  for _ in range(steps // count):
    state = jax.block_until_ready(chunk(state, keys))
    update(count)
  return np.asarray(jax.jit(jax.vmap(sample, axes))(state, keys))


def draw(mixture: Mixture, key: jax.Array, count: int) -> jax.Array:
  """Points of a mixture, float32 `[count, 2]`."""
  which, where = jax.random.split(key)
  mode = jax.random.randint(which, (count,), 0, len(mixture.centres))
  noise = jax.random.normal(where, (count, 2))
  return jnp.float32(mixture.centres)[mode] + mixture.std * noise


def fields(coverage: Sequence[ModeCoverage]) -> dict[str, list[float | None]]:
  """The values of each field, by seed; None where one is infinite."""
  return {
    name: [x if math.isfinite(x) else None for x in values]
    for name, values in zip(
      ModeCoverage._fields, zip(*coverage, strict=True), strict=True
    )
  }


def table(rows: Mapping[str, Mapping[str, Mapping[str, Sequence]]]) -> str:
  """Means and standard deviations over the seeds, in Markdown."""
  heads = [
    f'{mixture}: {head}'
    for mixture in rows
    for head in (
      f'modes of {len(MIXTURES[mixture].centres)}',
      'high quality',
      'reverse KL',
    )
  ]
  lines = []
  for game in next(iter(rows.values())):
    cells = [
      _cell(values, places)
      for games in rows.values()
      for values, places in zip(games[game].values(), (1, 3, 3), strict=True)
    ]
    lines.append([game, *cells])
  return pages.table(['game', *heads], lines)


def _cell(values: Sequence[float | None], places: int) -> str:
  if None in values:
    return 'infinite'
  return pages.mean_and_deviation(values, places)


def protocol(asked: Arguments, began: pages.Clocks) -> str:
  """How the numbers came about, in a line; the clocks as of the beginning."""
  steps = ', '.join(
    f'{asked.steps or mixture.steps:,} for the {name}'
    for name, mixture in MIXTURES.items()
  )
  return (
    f'Seeds 0 to {asked.seeds - 1}; moves of the generator: {steps}. '
    f'{pages.spent(began)}'
  )


def plots(outcomes: Mapping[str, Mapping[str, Outcome]]) -> np.ndarray:
  """A row for each mixture: points of it, then the first seed's samples."""
  panels = []
  for name, games in outcomes.items():
    mixture = MIXTURES[name]
    real = np.asarray(draw(mixture, jax.random.key(0), SAMPLES))
    panels.append(plot('data', real, mixture))
    panels += [plot(game, of.samples, mixture) for game, of in games.items()]
  return pictures.grid(np.stack(panels), columns=1 + len(GAMES))


def plot(title: str, points: np.ndarray, mixture: Mixture) -> np.ndarray:
  """Points as dots, within circles of 3 deviations; uint8 [side, side, 3]."""
  image = Image.new('RGB', (_SIDE, _SIDE), 'white')
  pen = ImageDraw.Draw(image)
  scale = _SIDE / 2 / (1.3 * np.abs(mixture.centres).max())
  centres, dots = (
    _SIDE / 2 + scale * np.float64([1, -1]) * x
    for x in (mixture.centres, points)
  )
  for x, y in centres:
    pen.circle((x, y), max(3 * mixture.std * scale, 4), outline='orange')
  pen.point([tuple(dot) for dot in dots], fill='black')
  pen.text((6, 4), title, fill='black')
  return np.asarray(image)


def page(table: str, protocol: str) -> str:
  """The page in Markdown that holds the table."""
  mixtures, games = (
    pages.items(f'{name}: {of.about}.' for name, of in each.items())
    for each in (MIXTURES, GAMES)
  )
  return f"""# Mode coverage

Which modes of a mixture of Gaussians in the plane the samples of a generator
reach, by game: means and standard deviations over seeds. The page is written by
`python -m experiments.mode_coverage`.

{table}

{textwrap.fill(protocol, 80)}

![Points in the plane](mode_coverage.png)

*Points of the mixture, then samples of seed 0 by game, in circles around the
modes.*

The mixtures, as in VEEGAN (Srivastava et al., 2017) and PacGAN:

{mixtures}

A mode counts if one of {SAMPLES:,} samples lies within 3 of its deviations. The
share of the samples that do is their high quality, and the reverse KL is that
of their modes from uniform, in nats. Read the modes beside the high quality: a
generator that spreads its samples all over the plane reaches most modes.

The games:

{games}

All else is alike:

- Both players have {DEPTH} hidden layers of {WIDTH} units, rectified, those of
  the discriminator leaky; latents are normal, of 2 entries.
- Adam has b1 = 0 and b2 = .99, its rate falls from .001 to 0 along a line, and
  samples come from params averaged with a decay of .999.
- A batch has {PACKS} packs, which are single points but in packing.

These numbers were chosen on other seeds than the table's. Published tables are
of other networks and far longer trainings (in PacGAN's published code a
generator of 4 hidden layers of 400, a discriminator of 3 of 200 maxout units,
and 400,000 steps): compare with them in kind alone.
"""


if __name__ == '__main__':
  main()
