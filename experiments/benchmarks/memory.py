"""Memory of a step, and what `--rematerialize` saves of it, for what FLOPs.

All is read off the compiled programs, of all players' moves in one step; none
is run, so that a busy machine changes no figure. The memory is what a program
takes beside its arguments and results. The networks are narrower than the
papers', as the rows say.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

import jgan
from experiments import dispatch, runtime
from jgan import models


class Game(NamedTuple):
  """One row.

  Attributes:
    make: the game.
    batch: shapes of the entries of a batch; integers are of 'label'.
    size: in words.
  """

  make: Callable[[], jgan.GAN]
  batch: dict[str, tuple[int, ...]]
  size: str


def _pictures(n, side):
  return {'image': (n, side, side, 3)}


GAMES = {
  'dcgan': Game(
    functools.partial(models.dcgan, 32, 3),
    _pictures(64, 32),
    '32x32, width 64',
  ),
  'sngan': Game(
    functools.partial(models.sngan, generator_width=64, discriminator_width=64),
    _pictures(64, 32),
    '32x32, widths 64',
  ),
  'wgan-gp': Game(
    functools.partial(models.wgan_gp, generator_width=64, critic_width=64),
    _pictures(64, 32),
    '32x32, widths 64',
  ),
  'biggan': Game(
    functools.partial(models.biggan, width=16),
    _pictures(64, 32) | {'label': (64,)},
    '32x32, width 16',
  ),
  'stylegan2': Game(
    functools.partial(
      models.stylegan2, widths=(64, 64, 64, 32), latent_dim=64, w_dim=64
    ),
    _pictures(32, 32),
    '32x32, widths (64, 64, 64, 32), all its moves',
  ),
  'r3gan': Game(
    functools.partial(models.r3gan, widths=(32, 32, 32, 32), blocks=1),
    _pictures(32, 32),
    '32x32, widths 32, one block each',
  ),
  'cyclegan': Game(
    functools.partial(
      models.cyclegan, blocks=4, width=16, discriminator_width=16
    ),
    {'x': (4, 64, 64, 3), 'y': (4, 64, 64, 3)},
    '64x64, widths 16, 4 blocks',
  ),
}


def memory() -> str:
  """The table, in Markdown."""
  head = ('game', 'networks', 'batch', 'MB', 'rematerialized, MB', 'ratio')
  lines = [
    f'{jax.devices()[0].device_kind}, jax {jax.__version__}',
    '',
    f'| {" | ".join((*head, "FLOPs ratio"))} |',
    '|' + '---|' * (len(head) + 1),
  ]
  return '\n'.join([*lines, *(_row(name, x) for name, x in GAMES.items())])


def _row(name, game):
  gan = game.make()
  (whole, flop), (pieces, more) = (
    measured(each, game.batch) for each in (gan, dispatch.rematerialized(gan))
  )
  examples = next(iter(game.batch.values()))[0]
  return (
    f'| {name} | {game.size} | {examples} | {whole / 1e6:.1f} | '
    f'{pieces / 1e6:.1f} | {pieces / whole:.2f} | {more / flop:.2f} |'
  )


def measured(
  gan: jgan.GAN, shapes: dict[str, tuple[int, ...]]
) -> tuple[int, float]:
  """Bytes and FLOPs of a step in which every player moves."""
  batch = {
    name: jax.ShapeDtypeStruct(
      shape, jnp.int32 if name == 'label' else jnp.float32
    )
    for name, shape in shapes.items()
  }
  key = jax.eval_shape(jax.random.key, 0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
  moves = tuple(player.label for player in gan.players)
  program = (
    jax.jit(functools.partial(jgan.train_step, gan, moves=moves))
    .lower(state, batch, key)
    .compile(runtime.compiler_options())
  )
  return (
    program.memory_analysis().temp_size_in_bytes,
    program.cost_analysis()['flops'],
  )
