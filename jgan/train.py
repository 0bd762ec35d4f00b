"""The heart: one step that plays any game.

Everything here is pure, and the same functions run eagerly, under `jax.jit`
on one device or over sharded arrays, under `jax.pmap` and `jax.shard_map`
(with `axis_name`), in `jax.lax.scan`, under `jax.vmap` over seeds, and under
`jax.grad`, as for unrolled games. (Derivatives through Adam need its
`eps_root`, such as 1e-12: without it they are NaN where a gradient is 0.)

The key is the run's and never changes: `init` folds in 0, a step folds in 1
and its number, `sample` 2. There is no random state to save, and a resumed run
is exact.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from jgan import checks, common_subexpressions, gradients, norms, sharding
from jgan.gan import GAN, Batch, LossOutput, Metrics, Player, Variables


class TrainState(NamedTuple):
  """All that a run has learned: arrays only.

  Hence it donates, shards, checkpoints, vmaps and prints.

  Attributes:
    step: the number of steps made, int32.
    variables: each player's Linen variables, by name.
    opt_state: each player's optimizer state, by name.
    ema_params: averaged params of the players that keep an average, of params
      in less than float32 in it.
  """

  step: Int[Array, '']
  variables: Mapping[str, Variables]
  opt_state: Mapping[str, optax.OptState]
  ema_params: Mapping[str, PyTree]


@functools.partial(jax.jit, static_argnames='gan')
def init(
  gan: GAN,
  key: PRNGKeyArray,
  batch: Batch,
  variables: Mapping[str, Variables] | None = None,
) -> TrainState:
  """The state before the first step, as one compiled program.

  Args:
    gan: the game.
    key: the run's key.
    batch: a batch like those of the training; of its arrays only the shapes
      and dtypes matter.
    variables: start some players from these in place of a fresh draw, by
      player and collection (transfer, fine-tuning).

  Returns:
    A `TrainState` at step 0.

  Raises:
    ValueError: if `variables` names an unknown player or differs in structure
      or shape from what `gan.init` gives, that lacks a player or its params,
      the players are no tuple of such, two moves share a label, a player moves
      at no whole number of steps, has no optimizer or averages by a decay
      outside of [0, 1], the batch does not name its arrays, has no example or
      they differ in leading axis, or the key is none or several.
  """
  checks.players(gan)
  sharding.check_named(batch)
  sharding.batch_size(batch)
  fresh = gan.init(jax.random.fold_in(sharding.one_key(key), 0), batch)
  checks.variables(gan, fresh)
  given = variables or {}
  if unknown := set(given) - set(fresh):
    raise ValueError(
      f'init: variables for {sorted(unknown)}, but the players of this GAN '
      f'are {sorted(fresh)}.'
    )
  for name, own in given.items():
    if set(own) - set(fresh[name]):
      raise ValueError(
        f"init: variables['{name}'] needs collections by name, of "
        f'{sorted(fresh[name])}, got {sorted(own)}; params alone are given as '
        "{'params': params}."
      )
  players = {
    name: _replaced(f"init: variables['{name}']", own, given.get(name, {}))
    for name, own in fresh.items()
  }
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    variables=players,
    opt_state={
      player.name: player.optimizer.init(players[player.name]['params'])
      for player in reversed(gan.players)  # the first move's is the state
    },
    ema_params={
      player.name: jax.tree.map(_start, players[player.name]['params'])
      for player in gan.players
      if player.ema_decay is not None
    },
  )


def update(
  player: Player,
  state: TrainState,
  batch: Batch,
  key: PRNGKeyArray,
  *,
  axis_name: sharding.AxisName = None,
) -> tuple[TrainState, Metrics]:
  """One move of one player; the step is not counted.

  Differentiates `player.loss` with respect to that player's params alone, and
  applies its optimizer, its new collections and its average.

  Args:
    player: who moves.
    state: the state of the game.
    batch: what the loss reads.
    key: given to the loss as it is.
    axis_name: the axis of `jax.pmap` or `jax.shard_map`, or a tuple of its
      axes, over which gradients, metrics and the floating arrays of
      'batch_stats' are averaged. Any other collection must come out equal on
      all devices.

  Returns:
    The new state, and metrics: 'loss', 'gradient_norm' (of all params
    together), and the loss's own.

  Raises:
    ValueError: if it is no player that moves, or the state has none of its
      name; if the loss returns no `LossOutput` of a scalar loss and scalar
      metrics, a metric of a name that the step gives, or params, a collection
      that its player does not have, or one of another structure, shape or
      dtype; or if the player keeps an average and the state has none.
  """
  if not isinstance(player, Player):
    raise ValueError(
      'update: needs a jgan.Player, such as gan.players[0], got a '
      f'{type(player).__name__}.'
    )
  checks.state('update', [player], state)
  batch = sharding.with_index(batch, axis_name)
  key = sharding.one_key(key)
  own = state.variables[player.name]

  def objective(params, batch, key):
    moving = {**own, 'params': params}
    variables = {**state.variables, player.name: moving}
    # Dictionaries of its own: what a loss sets in them, others do not see.
    variables, batch = jax.tree.map(lambda x: x, (variables, batch))
    output = player.loss(variables, batch, key, state.step)
    checks.output(player, output)
    if axis_name is None:
      return output.loss, output
    # Of each device its own, also where a loss is the same on all: else
    # shard_map would take it for one, and its slope would be divided twice. By
    # a product, since jax 0.7 sums slopes through `varying` also where a
    # shard_map does not check replication.
    one = sharding.varying(jnp.ones_like(output.loss), axis_name)
    return output.loss * one, output

  params = own['params']
  (_, output), grads = player.gradient(
    objective, sharding.varying(params, axis_name), batch, key
  )
  grads = sharding.mean(grads, axis_name)
  # Made once: each of an optimizer's loops would turn and reverse those of
  # convolutions again.
  grads = jax.tree.map(lax.optimization_barrier, grads)
  metrics = {**output.metrics, 'loss': output.loss}
  metrics = sharding.mean(metrics, axis_name)
  with jax.named_scope('optimizer'):
    updates, opt_state = _optimized(player, state, grads, metrics['loss'])
    params = optax.apply_updates(params, updates)
  mutated = _replaced(
    f'{player.label}: collections from its loss',
    own,
    _agreed(output, axis_name),
  )
  new = state._replace(
    variables={**state.variables, player.name: {**mutated, 'params': params}},
    opt_state={**state.opt_state, player.name: opt_state},
    ema_params={**state.ema_params, **_averaged(player, state, params)},
  )
  return new, {**metrics, 'gradient_norm': _norm(grads)}


def moves(gan: GAN, step: int) -> tuple[str, ...]:
  """The labels of those who move in step number `step`, a Python integer.

  What the static argument `moves` of `train_step` takes: a loop that knows
  its step runs one small program for each pattern of moves.
  """
  return tuple(
    player.label for player in gan.players if bool(_moves_at(player, step))
  )


@functools.partial(jax.jit, static_argnames=('gan', 'moves', 'axis_name'))
def train_step(
  gan: GAN,
  state: TrainState,
  batch: Batch,
  key: PRNGKeyArray,
  *,
  moves: tuple[str, ...] | None = None,
  axis_name: sharding.AxisName = None,
) -> tuple[TrainState, Metrics]:
  """One step of the game: each player moves in its turn.

  Every player gets the same key, hence the same latents, and what two moves
  compute alike, such as the forward of the generator, is computed once.

  Args:
    gan: the game (static; build it once).
    state: from `init`, or from the step before. Not donated: a notebook's
      cell can be run twice. A loop re-jits with the state donated.
    batch: arrays by name, examples leading. Under sharded jit, supply 'index'
      (see `jgan.example_keys`).
    key: the run's key, the same in every step.
    moves: the labels of who moves, as `jgan.moves(gan, step)` tells them
      (static). None decides inside the program by `lax.cond`, for traced
      steps; around convolutions that is slow on CPUs.
    axis_name: under `jax.pmap` and `jax.shard_map`, the axis that divides the
      batch, or a tuple of them.

  Returns:
    The next state, and metrics by '<label>/<name>', always '<label>/loss' and
    '<label>/moved': 1 where it moved; all are 0 of one who sat out.

  Raises:
    ValueError: if `moves` names nobody of this GAN, the batch does not name
      its arrays, has no example or they differ in leading axis, or as `init`
      and `update` do.
  """
  checks.players(gan)
  labels = {player.label for player in gan.players}
  if set(moves or ()) - labels:
    raise ValueError(
      f'train_step: moves needs a tuple of {sorted(labels)}, got {moves!r}.'
    )
  checks.state('train_step', gan.players, state)
  batch = sharding.with_index(batch, axis_name)
  run_key = jax.random.fold_in(sharding.one_key(key), 1)
  step_key = jax.random.fold_in(run_key, state.step)

  def play(state, batch, key):
    metrics = {}
    for player in gan.players:
      turn = _moves_at(player, state.step)
      if moves is not None:
        turn = player.label in moves
      state, own = _take_turn(player, turn, state, batch, key, axis_name)
      metrics |= {f'{player.label}/{name}': x for name, x in own.items()}
    return state._replace(step=state.step + 1), metrics

  play = common_subexpressions.eliminate(play)
  results = sharding.specs(state), PartitionSpec()  # metrics are whole
  return sharding.auto_axes(play, results)(state, batch, step_key)


def train_steps(
  gan: GAN,
  state: TrainState,
  batches: Batch | Callable[[Int[Array, '']], Batch],
  key: PRNGKeyArray,
  *,
  count: int | None = None,
  moves: Sequence[tuple[str, ...]] | None = None,
  axis_name: sharding.AxisName = None,
  unroll: bool | None = None,
) -> tuple[TrainState, Metrics]:
  """Several steps in one dispatch; not jitted, so jit it with what is static.

  All is static but the state, the key and batches that are arrays:
  `jax.jit(jgan.train_steps, static_argnames=('gan', 'moves'))`, and 'batches'
  and 'count' where batches are a function.

  Args:
    gan: the game.
    state: the state before the first of the steps.
    batches: batches stacked along a new leading axis, or a function of the
      step that makes its batch.
    key: the run's key.
    count: the number of steps; needed where `batches` is a function.
    moves: who moves in successive steps, as
      `tuple(jgan.moves(gan, s) for s in range(step, step + cycle))`: one cycle
      is written out and cycles are repeated. None decides inside each step.
    axis_name: as of `train_step`.
    unroll: write all steps out in place of a loop. None does so on a CPU,
      where XLA's kernel gradients inside loops are slow.

  Returns:
    The state after the last step, and each metric averaged over the steps in
    which its player moved ('<label>/moved' over all).

  Raises:
    ValueError: if the number of steps is unknown, 0, other than the batches,
      or is no multiple of the cycle.
  """
  count = _count(batches, count)
  cycle = tuple(moves) if moves is not None else (None,)
  if count % len(cycle):
    raise ValueError(
      f'train_steps: {count} steps are no multiple of the cycle of '
      f'{len(cycle)} moves.'
    )
  if not callable(batches):
    # Arrays of numpy cannot be indexed by a traced number.
    batches = jax.tree.map(jnp.asarray, batches)
  straight = jax.default_backend() == 'cpu' if unroll is None else unroll
  first = state.step

  def one(state, number, who):
    if callable(batches):
      batch = batches(first + number)
    else:
      batch = jax.tree.map(lambda x: x[number], batches)
    return train_step(gan, state, batch, key, moves=who, axis_name=axis_name)

  def play(state, start):
    played = []
    for offset, who in enumerate(cycle):
      state, metrics = one(state, start + offset, who)
      played.append(metrics)
    return state, jax.tree.map(lambda *xs: jnp.stack(xs), *played)

  starts = jnp.arange(0, count, len(cycle), dtype=jnp.int32)
  state, metrics = lax.scan(
    play, state, starts, unroll=len(starts) if straight else 1
  )
  return state, average_metrics(jax.tree.map(jnp.ravel, metrics))


def average_metrics(metrics: Metrics) -> Metrics:
  """Averages each player's metrics over the steps in which it moved.

  Args:
    metrics: of several steps, each `[steps]`, as `train_step` names them.

  Returns:
    Scalars: '<label>/moved' is the share of steps, anything else a mean over
    the moves made, and 0 where there was none.
  """

  def average(name, values):
    moved = metrics[f'{name.split("/")[0]}/moved']
    if name.endswith('/moved'):
      return moved.mean()
    return (values * moved).sum() / jnp.maximum(moved.sum(), 1)

  return {name: average(name, values) for name, values in metrics.items()}


# Inlined, so that a program around it keeps only what it reads of the state.
@functools.partial(jax.jit, static_argnames='gan', inline=True)
def sample(
  gan: GAN, state: TrainState, batch: Batch, key: PRNGKeyArray
) -> PyTree:
  """Samples from the averaged params of the players that keep an average.

  For a module applied by hand, such as to latents between two others, they are
  `{**state.variables[name], 'params': state.ema_params[name]}`.

  Args:
    gan: the game.
    state: its state.
    batch: how many and of what: `{'index': jnp.arange(n)}` for n samples,
      'label' for classes, 'latent' in place of drawn latents.
    key: the run's, or any other; sample number i depends on it and `index[i]`.

  Returns:
    What `gan.sample` makes: for a standard GAN, one array of n samples.

  Raises:
    ValueError: if the batch is empty, or names none of its arrays, or the
      state is of another game.
  """
  sharding.check_named(batch)
  if not batch:
    raise ValueError(
      "sample: the batch tells how many, such as {'index': jnp.arange(16)}; "
      'got an empty one.'
    )
  checks.state('sample', (), state)
  key = jax.random.fold_in(sharding.one_key(key), 2)
  variables = averaged_variables(state)
  numbers = batch.get('index', jax.tree.leaves(batch)[0])
  results = PartitionSpec(*sharding.specs(numbers)[:1])  # samples lie as these
  try:
    return sharding.auto_axes(gan.sample, results)(variables, batch, key)
  except KeyError:
    checks.state('sample', gan.players, state)
    raise


def averaged_variables(state: TrainState) -> Mapping[str, Variables]:
  """What `sample` samples from: averaged params where there are such."""
  variables = dict(state.variables)
  for name, average in state.ema_params.items():
    own = variables[name]
    params = jax.tree.map(
      lambda a, x: a.astype(x.dtype), average, own['params']
    )
    variables[name] = {**own, 'params': params}
  return variables


def _moves_at(player: Player, step):
  if callable(player.every):
    return player.every(step)
  return player.every == 1 or (step + 1) % player.every == 0


def _take_turn(player, turn, state, batch, key, axis_name):
  """The player's update, or, if it is not its turn, zeros for metrics."""

  def move(state):
    # A clone: the same numbers for everyone is what is meant here.
    state, metrics = update(
      player, state, batch, jax.random.clone(key), axis_name=axis_name
    )
    return state, {**metrics, 'moved': jnp.ones(())}

  def sit_out(state):
    _, metrics = jax.eval_shape(move, state)
    return state, {k: jnp.zeros(x.shape, x.dtype) for k, x in metrics.items()}

  if isinstance(turn, bool):
    return move(state) if turn else sit_out(state)
  return lax.cond(turn, move, sit_out, state)


def _optimized(
  player: Player, state: TrainState, grads: PyTree, loss: Float[Array, '']
) -> tuple[PyTree, optax.OptState]:
  """The optimizer's updates and new state; where it fails, whose it is."""
  params = state.variables[player.name]['params']
  own = state.opt_state[player.name]
  optimizer = optax.with_extra_args_support(player.optimizer)
  try:
    return optimizer.update(grads, own, params, value=loss)
  except (AttributeError, TypeError, ValueError) as error:
    error.add_note(
      f'{player.label}: its optimizer is given gradients, its part of the '
      'state, params, and the value of the loss. It must be one that asks for '
      'no more, and the state one of `jgan.init` with it. One that does not '
      'take the value, as optax.contrib.sam, takes its place as '
      '`optax.GradientTransformation(*optimizer)`.'
    )
    raise


def _norm(grads: PyTree) -> Array:
  """The norm of all gradients together.

  Of vectors, apart from the rest of the program: XLA's CPU backend would share
  the squares with Adam, and sums over tiles of matrices slowly.
  """
  flat = jax.tree.map(jnp.ravel, grads)
  return norms.of_tree(lax.optimization_barrier(flat))


def _start(x: Array) -> Array:
  """The average before the first move, in float32 or more.

  In less precision the small share that a move adds would be rounded away. A
  copy: aliases of the params could not be donated with them.
  """
  return jnp.array(x, jnp.promote_types(x.dtype, jnp.float32))


def _averaged(player: Player, state: TrainState, params: PyTree):
  """This player's new average, if it keeps one."""
  if player.ema_decay is None:
    return {}
  decay = player.ema_decay
  if callable(decay):
    decay = decay(state.step)
  else:
    decay = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
  if player.name not in state.ema_params:
    raise ValueError(
      f'update: the {player.name} keeps an average, but the state has none; '
      'begin one by `jgan.init(gan, key, batch, state.variables)`.'
    )
  old = state.ema_params[player.name]
  return {player.name: optax.incremental_update(params, old, 1 - decay)}


def _agreed(output: LossOutput, axis_name: sharding.AxisName) -> Variables:
  """Collections as they are on all devices: averaged, or equal already."""
  if axis_name is None or not output.mutated:
    return output.mutated
  agreed = sharding.agreed(output.mutated, axis_name)
  if 'batch_stats' not in agreed:
    return agreed
  stats = jax.tree.map(
    lambda x, same: lax.pmean(x, axis_name)
    if gradients.is_floating(x)
    else same,
    output.mutated['batch_stats'],
    agreed['batch_stats'],
  )
  return {**agreed, 'batch_stats': stats}


def _replaced(who: str, own: Variables, new: Variables) -> Variables:
  """`own` with the collections of `new`, which must have the same form."""
  for name, collection in new.items():
    if name not in own:
      raise ValueError(
        f'{who}: got a collection {name!r}, but there are only {sorted(own)}. '
        'It must be present from the init on.'
      )
    needed, got = checks.form(own[name]), checks.form(collection)
    if needed != got:
      different = sorted(
        path
        for path in needed.keys() | got.keys()
        if needed.get(path) != got.get(path)
      )
      path = different[0]
      raise ValueError(
        f'{who}: {name}{path} needs {needed.get(path, "nothing")}, '
        f'got {got.get(path, "nothing")}; {len(different)} arrays differ.'
      )
  return {**own, **{name: _in_form(own[name], new[name]) for name in new}}


def _in_form(old: PyTree, new: PyTree) -> PyTree:
  """The arrays of `new` in the containers of `old`, as a `FrozenDict`.

  Else a move would change the state's structure, which no loop may.
  """
  arrays = {
    jax.tree_util.keystr(path): x
    for path, x in jax.tree_util.tree_leaves_with_path(new)
  }
  return jax.tree_util.tree_map_with_path(
    lambda path, _: arrays[jax.tree_util.keystr(path)], old
  )


def _count(batches: Any, count: int | None) -> int:
  if callable(batches):
    if count is None:
      raise ValueError(
        'train_steps: `count` is needed where `batches` is a function.'
      )
    if count < 1:
      raise ValueError(f'train_steps: needs one step or more, got {count=}.')
    return count
  stacked = sharding.batch_size(batches)
  if count not in (None, stacked):
    raise ValueError(
      f'train_steps: count={count}, but {stacked} batches are stacked.'
    )
  return stacked
