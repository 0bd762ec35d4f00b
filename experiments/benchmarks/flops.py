"""FLOPs of a step over the fewest: `python -m experiments.benchmark flops`.

Both are of matrix products and convolutions alone, two for each multiply-add,
and both by one rule, so that their ratio is exact:

- a product's are 2 for each entry of the result and each term of its sum;
- a convolution's likewise, but for terms that read padding or the zeros that a
  dilation of the input puts in. `cost_analysis` counts so as well: of one
  convolution alone it says the same number (flops_test.py among the tests);
- a sum of one term is no product, but elementwise: XLA writes it as such.

Those of the step are read off the compiled program, after all that XLA has
merged, rewritten and removed. `cost_analysis` of the step says more, since it
also counts what is elementwise: the last column is it over the fewest.

The fewest are counted from pieces that are written here, from the two networks
and the loss, not from the step: one forward of the generator, the
discriminator on reals and fakes, from there back to its params; the
discriminator as it is after its move on the fakes, from there back to its input
alone; and back through the generator to its params. Penalties, auxiliary terms,
augmentations and optimizers are as they are written, so that what a penalty
could share with the loss beyond equal operations is not looked for. Equal
operations on equal operands count once, and what nothing reads not at all. A
ratio below 1 is of products that XLA merges or writes as sums, and this does
not.

Measured on 2 CPU cores (jax 0.10.2), by the command above: 1.0000 of all
experiments in `MEASURED` but mnist-infogan, 1.0010, and cifar10-stylegan2,
.998; with what is elementwise 1.002 (cifar10-biggan) to 1.034 (mnist-mlp).
R3GAN is left out: in ten minutes on a busy machine its step did not compile.
"""

import collections
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import DenyList
from jax.extend import core
from jaxtyping import PyTree
from tqdm import tqdm

import jgan
from experiments import dispatch, train

# Experiments whose games are of `jgan.standard_gan`, at their usual sizes: the
# side of their pictures, and its channels.
MEASURED = {
  'mnist-mlp': (28, 1),
  'mnist-dcgan': (32, 1),
  'mnist-lsgan': (32, 1),
  'mnist-wgan': (32, 1),
  'mnist-cgan': (28, 1),
  'mnist-infogan': (28, 1),
  'cifar10-dcgan': (32, 3),
  'cifar10-dragan': (32, 3),
  'cifar10-acgan': (32, 3),
  'cifar10-wgan-gp': (32, 3),
  'cifar10-sngan': (32, 3),
  'cifar10-sagan': (32, 3),
  'cifar10-biggan': (32, 3),
  'cifar10-stylegan2': (32, 3),
}


class Axis(NamedTuple):
  """One spatial axis of a convolution.

  Attributes:
    size: of the input.
    window: of the kernel.
    out: of the result.
    stride, low: steps of the window, and padding before the input.
    dilation, window_dilation: of the input and of the kernel.
  """

  size: int
  window: int
  out: int
  stride: int = 1
  low: int = 0
  dilation: int = 1
  window_dilation: int = 1

  def terms(self) -> int:
    """Pairs of a place in the result and one in the kernel that meet input."""
    places = self.stride * np.arange(self.out)[:, None] - self.low
    places = places + self.window_dilation * np.arange(self.window)
    inside = (places >= 0) & (places <= (self.size - 1) * self.dilation)
    return int((inside & (places % self.dilation == 0)).sum())


def of_convolution(
  batch: int, inputs: int, outputs: int, axes: Iterable[Axis]
) -> int:
  """FLOPs of a convolution.

  Args:
    batch: of the result.
    inputs: channels that one kernel reads.
    outputs: channels of the result.
    axes: the spatial ones.
  """
  terms = math.prod(axis.terms() for axis in axes)
  return 2 * batch * inputs * outputs * terms


def of_product(entries: int, terms: int) -> int:
  """FLOPs of a matrix product: of its result's entries, and terms of each."""
  return 2 * entries * terms if terms > 1 else 0


def traced(function: Callable[..., PyTree], *arguments: PyTree) -> int:
  """FLOPs of products and convolutions that a function cannot do without.

  Args:
    function: of arrays.
    *arguments: arrays, or their shapes and dtypes.

  Returns:
    A sum over the operations that its results depend on; equal ones with equal
    operands count once, those of a loop as often as it runs.

  Raises:
    ValueError: there are products in a loop of unknown length.
  """
  with jax.debug_key_reuse(False):  # nothing is drawn here
    closed = jax.make_jaxpr(function)(*arguments)
  return _Graph().total(closed.jaxpr, closed.consts)


class _Graph:
  """Operations by what they compute: an equal one has the same number."""

  def __init__(self):
    self.numbers, self.nodes = {}, []

  def total(self, jaxpr, consts):
    inputs = [self.number(('input', i)) for i in range(len(jaxpr.invars))]
    todo, seen = self.walk(jaxpr, consts, inputs), set()
    while todo:
      number = todo.pop()
      if number not in seen:
        seen.add(number)
        todo.extend(self.nodes[number][1])
    return sum(self.nodes[number][0] for number in seen)

  def number(self, key, flops=0, operands=()):
    if key not in self.numbers:
      self.numbers[key] = len(self.nodes)
      self.nodes.append((flops, operands))
    return self.numbers[key]

  def walk(self, jaxpr, consts, inputs):
    """The numbers of a jaxpr's results."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))
    for variable, value in zip(jaxpr.constvars, consts, strict=True):
      known[variable] = self.number(('constant', _content(value)))

    def of(atom):
      if isinstance(atom, core.Literal):
        return self.number(('literal', str(atom.aval), str(atom.val)))
      return known[atom]

    for equation in jaxpr.eqns:
      operands = tuple(map(of, equation.invars))
      outs = self.results(equation, operands)
      known.update(zip(equation.outvars, outs, strict=True))
    return [of(atom) for atom in jaxpr.outvars]

  def results(self, equation, operands):
    name, params = equation.primitive.name, equation.params
    for branch, platforms in enumerate(params.get('branches_platforms') or ()):
      if platforms is None or jax.default_backend() in platforms:
        return self.walk(*_opened(params['branches'][branch]), operands[1:])
    if name not in ('scan', 'while', 'cond'):
      for called in ('jaxpr', 'call_jaxpr', 'fun_jaxpr'):
        if called in params:
          return self.walk(*_opened(params[called]), operands)
    leaves = jax.tree.leaves(tuple(params.values()), is_leaf=_is_jaxpr)
    inner = [_opened(x) for x in leaves if _is_jaxpr(x)]
    flops = _of_equation(equation, [_Graph().total(*x) for x in inner])
    key = name, operands, str(params)
    whole = self.number(key, flops, operands)
    return [
      self.number((whole, i), 0, (whole,)) for i in range(len(equation.outvars))
    ]


def _content(value):
  """What tells an array that is part of a program from others."""
  if not isinstance(value, np.ndarray | jax.Array):
    return id(value)
  if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
    value = jax.random.key_data(value)
  return str(value.dtype), value.shape, np.asarray(value).tobytes()


def _is_jaxpr(x):
  return isinstance(x, core.Jaxpr | core.ClosedJaxpr)


def _opened(x):
  return (x.jaxpr, x.consts) if isinstance(x, core.ClosedJaxpr) else (x, ())


def _of_equation(equation, inner):
  """FLOPs of one operation, given those of the programs within it."""
  name, params = equation.primitive.name, equation.params
  shapes = [x.aval.shape for x in equation.invars]
  out = equation.outvars[0].aval.shape if equation.outvars else ()
  if name == 'dot_general':
    (contracted, _), _ = params['dimension_numbers']
    terms = math.prod(shapes[0][i] for i in contracted)
    return of_product(math.prod(out), terms)
  if name == 'conv_general_dilated':
    lhs, rhs, result = params['dimension_numbers']
    axes = map(
      Axis,
      (shapes[0][i] for i in lhs[2:]),
      (shapes[1][i] for i in rhs[2:]),
      (out[i] for i in result[2:]),
      params['window_strides'],
      (low for low, _ in params['padding']),
      params['lhs_dilation'],
      params['rhs_dilation'],
    )
    return of_convolution(
      out[result[0]], shapes[1][rhs[1]], out[result[1]], axes
    )
  if name == 'scan':
    return params['length'] * sum(inner)
  if name == 'while' and any(inner):
    raise ValueError('traced: products in a loop of unknown length')
  return max(inner, default=0)


_INSTRUCTION = re.compile(r'(?:ROOT )?%?(\S+) = \(?(\w+)\[([\d,]*)\]')
_TIMES = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(r'(?:calls|to_apply|body|condition)=%?([\w.\-]+)')


def compiled(text: str) -> int:
  """FLOPs of products and convolutions in a compiled program.

  Args:
    text: `jax.stages.Compiled.as_text()`.

  Raises:
    ValueError: there are products in a loop of unknown length, or calls of a
      library, of which the text does not tell what they compute.
  """
  shapes = {
    name: tuple(map(int, filter(None, sizes.split(','))))
    for name, _, sizes in map(re.Match.groups, _matches(text))
  }
  own, calls, entry, at = {}, {}, None, None
  for line in map(str.strip, text.splitlines()):
    if line.endswith('{') and '->' in line:
      at = line.removeprefix('ENTRY ').split(' ')[0].lstrip('%')
      entry = at if line.startswith('ENTRY') else entry
      own[at], calls[at] = 0, []
    elif ' = ' in line and at:
      own[at] += _of_instruction(line, shapes)
      times = _TIMES.search(line)
      unknown = None if ' while(' in line else 1
      count = int(times[1]) if times else unknown
      calls[at] += [(name, count) for name in _CALLED.findall(line)]

  @functools.cache
  def total(name):
    flops = own[name]
    for called, count in calls[name]:
      inner = total(called)
      if inner and count is None:
        raise ValueError('compiled: products in a loop of unknown length')
      flops += inner * (count or 0)
    return flops

  return total(entry)


def _matches(text):
  lines = map(str.strip, text.splitlines())
  return filter(None, map(_INSTRUCTION.match, lines))


def _of_instruction(line, shapes):
  """FLOPs of one line of a program, by the shapes of all arrays in it."""
  if re.search(r'custom_call_target="[^"]*(matmul|gemm|conv|dot)', line):
    raise ValueError(f'compiled: a library computes {line[:80]}')
  found = re.search(r' (dot|convolution)\(%?([^,\s]+), %?([^,\s)]+)\)', line)
  if not found:
    return 0
  kind, *operands = found.groups()
  out = shapes[_INSTRUCTION.match(line)[1]]
  lhs, rhs = (shapes[name] for name in operands)
  if kind == 'dot':
    contracted = re.search(r'lhs_contracting_dims=\{([\d,]*)\}', line)[1]
    terms = math.prod(lhs[int(i)] for i in filter(None, contracted.split(',')))
    return of_product(math.prod(out), terms)
  labels = re.search(r'dim_labels=(\w+)_(\w+)->(\w+)', line).groups()
  of_lhs, of_rhs, of_out = (
    dict(zip(names, sizes, strict=True))
    for names, sizes in zip(labels, (lhs, rhs, out), strict=True)
  )
  window = re.search(r'window=\{(.*?)\}', line)
  given = dict(x.split('=') for x in window[1].split()) if window else {}

  def option(name, axis, usual='1'):
    values = given[name].split('x') if name in given else {axis: usual}
    return int(values[axis].split('_')[0])

  axes = (
    Axis(
      of_lhs[str(i)],
      of_rhs[str(i)],
      of_out[str(i)],
      stride=option('stride', i),
      low=option('pad', i, '0'),
      dilation=option('lhs_dilate', i),
      window_dilation=option('rhs_dilate', i),
    )
    for i in range(len(lhs) - 2)
  )
  return of_convolution(of_out['b'], of_rhs['i'], of_out['f'], axes)


def table() -> str:
  """A line for each experiment: GFLOP of a mean step, and ratios."""
  lines = [f'{"":18} {"GFLOP":>8} {"fewest":>8} {"ratio":>7} {"with all":>9}']
  named = tqdm(MEASURED.items(), desc='steps', disable=None, leave=False)
  for name, (side, channels) in named:
    config = train.EXPERIMENTS[name].Config()
    size = (config.batch_size,)
    batch = {
      'image': jax.ShapeDtypeStruct((*size, side, side, channels), jnp.float32),
      'index': jax.ShapeDtypeStruct(size, jnp.int32),
    }
    if getattr(config, 'num_classes', 0):
      batch['label'] = batch['index']
    gan = train.EXPERIMENTS[name].make_gan(config)
    step, least, everything = np.array(_mean_step(gan, batch)) / 1e9
    lines.append(
      f'{name:18} {step:8.2f} {least:8.2f} {step / least:7.4f} '
      f'{everything / least:9.4f}'
    )
  return '\n'.join(lines)


def _mean_step(gan, batch):
  """FLOPs of a mean step: of its products, the fewest, and of all in it."""
  steps = dispatch.told_by(gan.players, 0, 1)
  often = collections.Counter(jgan.moves(gan, step) for step in steps)
  totals = np.zeros(3)
  for moves, times in often.items():
    program = step_program(gan, batch, moves)
    totals += times * np.array(
      [
        compiled(program.as_text()),
        fewest(gan, batch, moves),
        program.cost_analysis()['flops'],
      ]
    )
  return totals / often.total()


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
  return traced(functools.partial(_pieces, gan, moves), states, batch, key)


def _pieces(gan, moves, states, batch, key):
  """Loss and update of each move, with one forward of the generator in all."""
  game = gan.sample.__self__
  keys, label = jgan.example_keys(key, batch), batch.get('label')
  real, latent = batch[game.data], jax.vmap(game.latent)(keys)

  def applied(module, variables, params, x):
    return module.apply(
      {**variables, 'params': params},
      x,
      label,
      train=True,
      mutable=DenyList(('params', 'intermediates')),
      rngs={'params': key},
    )[0]

  def generate(params):
    own = states[0].variables['generator']
    return applied(game.generator, own, params, latent)

  fake, back = jax.vjp(generate, states[0].variables['generator']['params'])

  def judged(variables, params, samples):
    outputs = applied(game.discriminator, variables, params, samples)
    return outputs if isinstance(outputs, Mapping) else {'logits': outputs}

  def memory(variables):
    return (variables['tracked'],) if game.tracker else ()

  def seen(variables, samples):
    if game.augment is None:
      return samples
    return game.augment(samples, keys, *memory(variables))

  def terms(which, variables, params, fake):
    """Of the player's loss: 0 for the generator's, 1 for the discriminator's"""
    outputs = [
      judged(variables, params, seen(variables, x)) for x in (real, fake)
    ]
    loss = game.loss.discriminator if which else game.loss.generator
    total = loss(*(x['logits'] for x in outputs)).mean()
    if game.auxiliary:
      told = game.auxiliary(*outputs, latent, batch, *memory(variables))
      total += told[which].mean()
    return total

  def penalty(variables, params):
    critic = lambda x: judged(variables, params, x)['logits']  # noqa: E731
    samples = (seen(variables, x) for x in (real, fake))
    return game.penalty(critic, *samples, keys).mean()

  def objective(params, state, move):
    """What a move of the discriminator descends."""
    own = state.variables['discriminator']
    if move == 'penalty':
      return penalty(own, params)
    total = terms(1, own, params, fake)
    penalized = game.penalty and 'penalty' not in everyone
    return total + (penalty(own, params) if penalized else 0)

  def of_player(params, player, state):
    """What any other move descends, as its player tells it."""
    own = state.variables[player.name]
    moving = {player.name: {**own, 'params': params}}
    return player.loss({**state.variables, **moving}, batch, key, state.step)[0]

  everyone = [player.label for player in gan.players]
  results = []
  for state, move in zip(states, moves, strict=True):
    player = gan.players[everyone.index(move)]
    own = state.variables[player.name]
    if move in ('discriminator', 'penalty'):
      loss, grads = jax.value_and_grad(objective)(own['params'], state, move)
    elif move == 'generator':
      critic = state.variables['discriminator']
      judge = functools.partial(terms, 0, critic, critic['params'])
      loss, of_fake = jax.value_and_grad(judge)(fake)
      (grads,) = back(of_fake)
    else:
      loss, grads = jax.value_and_grad(of_player)(own['params'], player, state)
    opt_state = state.opt_state[player.name]
    update = player.optimizer.update(grads, opt_state, own['params'])[0]
    results.append((loss, update))
  return results
