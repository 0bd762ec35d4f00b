"""FLOPs of a step over the fewest: `python -m experiments.benchmark flops`.

Both are of matrix products and convolutions, as `experiments.benchmarks.flops`
counts them. Those of the step are read off the compiled program, after all that
XLA has merged, rewritten and removed. `cost_analysis` of the step says more,
since it also counts what is elementwise: the last column is it over the fewest.

The fewest are counted from pieces that are written here, from the two networks
and the loss, not from the step: one forward of the generator, the
discriminator on reals and fakes, from there back to its params; the
discriminator as it is after its move on the fakes, from there back to its input
alone; and back through the generator to its params. Penalties, auxiliary terms,
augmentations and optimizers are as they are written, so that what a penalty
could share with the loss beyond equal operations is not looked for. Equal
operations on equal operands count once, and what nothing reads not at all. A
ratio below 1 is of products that XLA merges, writes as sums, or leaves out at
places that a later slice drops, and this does not.

Counted on a CPU (jax 0.10.2), by the command above: 1.0000 of all experiments
in `SHAPES` but mnist-infogan, 1.0010, both of StyleGAN2, .999, and
spoken-digits, .950, where XLA leaves out the slopes at the padding of the
critic's convolutions; with what is elementwise .975 (spoken-digits) to 1.087
(cifar10-r3gan).
"""

import collections
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import DenyList
from tqdm import tqdm

import jgan
from experiments import dispatch, train
from experiments.benchmarks import flops
from experiments.errors import UserError

SHAPES: Mapping[str, tuple[int, ...]] = {
  'digits': (32, 32, 1),
  'digits-stylegan2': (32, 32, 1),
  'mnist-mlp': (28, 28, 1),
  'mnist-dcgan': (32, 32, 1),
  'mnist-lsgan': (32, 32, 1),
  'mnist-wgan': (32, 32, 1),
  'mnist-cgan': (28, 28, 1),
  'mnist-infogan': (28, 28, 1),
  'stacked-mnist': (32, 32, 3),
  'stacked-mnist-wgan-gp': (32, 32, 3),
  'cifar10-dcgan': (32, 32, 3),
  'cifar10-dragan': (32, 32, 3),
  'cifar10-few': (32, 32, 3),
  'cifar10-acgan': (32, 32, 3),
  'cifar10-wgan-gp': (32, 32, 3),
  'cifar10-sngan': (32, 32, 3),
  'cifar10-sagan': (32, 32, 3),
  'cifar10-biggan': (32, 32, 3),
  'cifar10-stylegan2': (32, 32, 3),
  'cifar10-r3gan': (32, 32, 3),
  'spoken-digits': (4096, 1),
}
"""Of examples, by experiment whose game is of `jgan.standard_gan`."""

SMALLER: Mapping[str, Mapping[str, int]] = {
  'cifar10-r3gan': {'width': 64, 'batch_size': 64},
}
"""Numbers of those whose step takes too long to compile at its usual size."""

LEFT_OUT: Mapping[str, tuple[str, ...]] = {
  'another game than jgan.standard_gan': (
    'moving-digits',
    'clips',
    'digits-and-speech',
    'adult-ctgan',
    'transactions-ctgan',
    'openmoji-pix2pix',
    'mnist-cyclegan',
    'stocks-timegan',
    'oracle-seqgan',
    'names-seqgan',
    'names-gumbel',
    'captions-seqgan',
    'captions-gumbel',
    'series',
    'paired',
    'unpaired',
    'table',
    'text',
  ),
  "the user's files tell the shape": ('stocks-rcgan', 'folder', 'sounds'),
}
"""The other experiments, by why they have no row."""


def check(names: Sequence[str]) -> None:
  """Refuses names that are not of `SHAPES`.

  Raises:
    UserError: there is one.
  """
  if unknown := [name for name in names if name not in SHAPES]:
    raise UserError(
      f'--only: there are no steps {", ".join(unknown)}; the steps are '
      f'{", ".join(SHAPES)}'
    )


def table() -> str:
  """A line for each experiment: GFLOP of a mean step, and ratios."""
  lines = [f'{"":21} {"GFLOP":>8} {"fewest":>8} {"ratio":>7} {"with all":>9}']
  for name in tqdm(SHAPES, desc='steps', disable=None, leave=False):
    gan, batch = game(name, SMALLER.get(name, {}))
    step, least, everything = _mean_step(gan, batch) / 1e9
    lines.append(
      f'{name:21} {step:8.2f} {least:8.2f} {step / least:7.4f} '
      f'{everything / least:9.4f}'
    )
  for name, numbers in SMALLER.items():
    told = (f'--{k.replace("_", "-")}={v}' for k, v in numbers.items())
    lines.append(f'{name} is by {" ".join(told)}')
  lines += [f'no row, {why}: {", ".join(x)}' for why, x in LEFT_OUT.items()]
  return '\n'.join(lines)


def game(
  name: str, numbers: Mapping[str, Any]
) -> tuple[jgan.GAN, Mapping[str, jax.ShapeDtypeStruct]]:
  """The GAN of an experiment of `SHAPES`, and its batch's shapes and dtypes.

  Args:
    name: of the experiment.
    numbers: of its config, in place of the usual ones.
  """
  config = train.EXPERIMENTS[name].Config(**numbers)
  gan = train.EXPERIMENTS[name].make_gan(config)
  count = config.batch_size
  example = jax.ShapeDtypeStruct((count, *SHAPES[name]), jnp.float32)
  integers = jax.ShapeDtypeStruct((count,), jnp.int32)
  batch = {gan.sample.__self__.data: example, 'index': integers}
  if getattr(config, 'num_classes', 0):
    batch['label'] = integers
  return gan, batch


def _mean_step(gan, batch):
  """FLOPs of a mean step: of its products, the fewest, and of all in it."""
  often = patterns(gan)
  totals = np.zeros(3)
  for moves, times in often.items():
    program = step_program(gan, batch, moves)
    totals += times * np.array(
      [
        flops.compiled(program.as_text()),
        fewest(gan, batch, moves),
        program.cost_analysis()['flops'],
      ]
    )
  return totals / often.total()


def patterns(gan: jgan.GAN) -> collections.Counter[tuple[str, ...]]:
  """How often each pattern of moves comes in a cycle of steps."""
  length = dispatch.cycle_length(gan.players) or 1
  return collections.Counter(jgan.moves(gan, step) for step in range(length))


def step_program(
  gan: jgan.GAN, batch: jgan.Batch, moves: tuple[str, ...]
) -> jax.stages.Compiled:
  """The compiled step in which these move; quickly compiled, slow to run."""
  key = jax.random.key(0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
  step = jax.jit(jgan.train_step, static_argnames=('gan', 'moves'))
  lowered = step.lower(gan, state, batch, key, moves=moves)
  # Of the machine code alone; what is computed is decided before.
  return lowered.compile({'xla_backend_optimization_level': 0})


def fewest(gan: jgan.GAN, batch: jgan.Batch, moves: tuple[str, ...]) -> int:
  """The fewest FLOPs of a step in which these move.

  Args:
    gan: of `jgan.standard_gan`, unpacked. A move that it does not know, such as
      path lengths, is counted as its player's gradient.
    batch: of the training, or its shapes and dtypes.
    moves: the labels of who moves, in order.
  """
  key = jax.random.key(0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
  # Of its own for each move, as the one before has changed them.
  states = [state] * len(moves)
  return flops.traced(
    functools.partial(_updates, gan, moves), states, batch, key
  )


def _updates(gan, moves, states, batch, key):
  """Loss and update of each move, with one forward of the generator in all."""
  pieces = _Pieces(gan, batch, key)
  first = states[0].variables['generator']
  fake, back = jax.vjp(
    functools.partial(pieces.generated, first), first['params']
  )
  players = {player.label: player for player in gan.players}
  results = []
  for state, move in zip(states, moves, strict=True):
    player = players[move]
    loss, grads = pieces.gradient(player, state, fake, back)
    params = state.variables[player.name]['params']
    opt_state = state.opt_state[player.name]
    update, _ = player.optimizer.update(grads, opt_state, params)
    results.append((loss, update))
  return results


class _Pieces(NamedTuple):
  """What the steps of a game are made of, given a batch and a key.

  `own` are the variables of the player whose network it is; `params`, by which
  a piece may be differentiated, stand in for those among them.
  """

  gan: jgan.GAN
  batch: jgan.Batch
  key: jax.Array

  @property
  def game(self):
    return self.gan.sample.__self__

  @property
  def keys(self):
    return jgan.example_keys(self.key, self.batch)

  @property
  def latent(self):
    return jax.vmap(self.game.latent)(self.keys)

  def applied(self, module, own, params, x):
    return module.apply(
      {**own, 'params': params},
      x,
      self.batch.get('label'),
      train=True,
      mutable=DenyList(('params', 'intermediates')),
      rngs={'params': self.key},
    )[0]

  def generated(self, own, params):
    return self.applied(self.game.generator, own, params, self.latent)

  def judged(self, own, params, samples):
    outputs = self.applied(self.game.discriminator, own, params, samples)
    return outputs if isinstance(outputs, Mapping) else {'logits': outputs}

  def memory(self, own):
    return (own['tracked'],) if self.game.tracker else ()

  def seen(self, own, fake):
    """Reals and fakes as the discriminator sees them."""
    samples = self.batch[self.game.data], fake
    if self.game.augment is None:
      return samples
    return [self.game.augment(x, self.keys, *self.memory(own)) for x in samples]

  def losses(self, own, params, fake):
    """The generator's and the discriminator's, without penalty."""
    outputs = [self.judged(own, params, x) for x in self.seen(own, fake)]
    logits = [x['logits'] for x in outputs]
    pair = self.game.loss
    losses = pair.generator(*logits).mean(), pair.discriminator(*logits).mean()
    if not self.game.auxiliary:
      return losses
    memory = self.memory(own)
    terms = self.game.auxiliary(*outputs, self.latent, self.batch, *memory)
    return [x + term.mean() for x, term in zip(losses, terms, strict=True)]

  def penalty(self, own, params, fake):
    def critic(samples):
      return self.judged(own, params, samples)['logits']

    return self.game.penalty(critic, *self.seen(own, fake), self.keys).mean()

  def discriminator_loss(self, own, params, fake):
    _, loss = self.losses(own, params, fake)
    if self.game.penalty and not self.game.lazy:
      loss += self.penalty(own, params, fake)
    return loss

  def gradient(self, player, state, fake, back):
    """Loss and gradient of a move, by the forward of the generator and back."""
    own = state.variables[player.name]
    if player.label == 'generator':
      critic = state.variables['discriminator']
      loss, of_fake = jax.value_and_grad(
        lambda fake: self.losses(critic, critic['params'], fake)[0]
      )(fake)
      (grads,) = back(of_fake)
      return loss, grads
    if player.label == 'discriminator':
      loss = functools.partial(self.discriminator_loss, own, fake=fake)
    elif player.label == 'penalty':
      loss = functools.partial(self.penalty, own, fake=fake)
    else:
      loss = functools.partial(self.told_by_player, player, state)
    return jax.value_and_grad(loss)(own['params'])

  def told_by_player(self, player, state, params):
    """The loss of a move that is not known here."""
    own = {**state.variables[player.name], 'params': params}
    variables = {**state.variables, player.name: own}
    return player.loss(variables, self.batch, self.key, state.step).loss
