"""Rematerialisation: activations computed again in place of kept.

The backward pass reads what the forward has computed. Here a function is
divided into pieces, and of each only what later pieces read is kept; the
backward pass computes the rest again, a piece at a time (Chen et al., Training
Deep Nets with Sublinear Memory Cost, 2016, https://arxiv.org/abs/1604.06174).
It is the program that is divided, not the modules of a network, so that
networks of plain layers in a row, containers of several, and losses that play
a network several times are divided as well.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.extend import core

from jgan import gradients

F = TypeVar('F', bound=Callable)

COMPILER_OPTIONS = {'xla_disable_hlo_passes': 'cse_barrier_expander'}
"""For `jax.jit(..., compiler_options=...)` and `.compile(...)` on CPUs.

By default XLA's CPU backend drops the barriers between what is kept and what is
computed again, merges the two, and saves nothing. Steps without
rematerialization are quicker with it too, if they have convolutions: gradients
are then not made again in each loop that reads them. Not for other backends.
"""


def rematerialized(
  gradient: gradients.GradientFn = gradients.whole,
) -> gradients.GradientFn:
  """The same gradient in less memory, of an objective by `rematerialize`.

  `player._replace(gradient=rematerialized(player.gradient))` plays the same
  game, to rounding. On CPUs it needs `COMPILER_OPTIONS`.

  Args:
    gradient: how the loss is differentiated, such as `microbatches(4)`.
  """

  def again(objective, params, batch, key):
    return gradient(rematerialize(objective), params, batch, key)

  return again


def rematerialize(function: F) -> F:
  """The same function, of which the gradient takes less memory.

  Its operations are divided where little is alive, so that what is kept between
  the pieces and what is computed in the largest of them come to the least
  bytes; each piece but the last is a `jax.checkpoint`. A loop (`lax.scan`) or
  another jitted function is one operation, and stays whole. Derivatives of any
  order and kind, and whatever maps over devices, work as before.

  Args:
    function: a pure function of trees of arrays to a tree of arrays.

  References:
    Chen et al., 2016, section 4.
  """

  def in_pieces(*args):
    program, form = jax.make_jaxpr(function, return_shape=True)(*args)
    outputs = _evaluate(program, jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(form), outputs)

  return in_pieces


def _evaluate(program: core.ClosedJaxpr, args: Sequence) -> list:
  """The outputs of a program, each piece but the last a checkpoint."""
  jaxpr = program.jaxpr
  values = dict(zip(jaxpr.constvars, program.consts, strict=True))
  values |= zip(jaxpr.invars, args, strict=True)
  *firsts, last = _pieces(jaxpr)
  for piece in firsts:
    call = jax.checkpoint(core.jaxpr_as_fun(core.ClosedJaxpr(piece, ())))
    outputs = call(*(values[x] for x in piece.invars))
    values |= zip(piece.outvars, outputs, strict=True)
  return core.jaxpr_as_fun(core.ClosedJaxpr(last, ()))(
    *(values[x] for x in last.invars)
  )


def _pieces(jaxpr: core.Jaxpr) -> list[core.Jaxpr]:
  """The program as several, of which each reads what those before it made."""
  pieces, needed = [], dict.fromkeys(_variables(jaxpr.outvars))
  for start, end in reversed(list(itertools.pairwise(_ends(jaxpr)))):
    equations = jaxpr.eqns[start:end]
    made = {x for equation in equations for x in equation.outvars}
    read = [x for equation in equations for x in equation.invars]
    if pieces:
      outputs = [x for x in needed if x in made]
    else:  # the last returns what the program does, which others may have made
      outputs = jaxpr.outvars
      read += outputs
    inputs = [x for x in dict.fromkeys(_variables(read)) if x not in made]
    pieces.append(
      jaxpr.replace(
        constvars=[],
        invars=inputs,
        outvars=outputs,
        eqns=equations,
        debug_info=jaxpr.debug_info.with_unknown_names(),
      )
    )
    needed = dict.fromkeys([*inputs, *(x for x in needed if x not in made)])
  return pieces[::-1]


def _ends(jaxpr: core.Jaxpr) -> list[int]:
  """Numbers of the equations at which pieces end, from 0 to that of all."""
  made, read, size = _lives(jaxpr)
  count = len(jaxpr.eqns)
  changes = np.zeros(count + 2, np.int64)
  np.add.at(changes, made + 1, size)
  total = np.append(0, np.bincount(made, size, count).cumsum())
  np.add.at(changes, read + 1, -size)
  alive = changes.cumsum()
  limits = total[-1] / 2 ** (np.arange(12) / 2)
  tried = [_cheapest(limit, total, alive) for limit in limits]

  def memory(ends):
    piece_of = np.searchsorted(ends, [made, read], side='right')
    kept = size[piece_of[0] != piece_of[1]].sum()
    return kept + np.diff(total[ends]).max(initial=0)

  return min(tried, key=memory)


def _lives(jaxpr: core.Jaxpr) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Of each array: the equation that makes it, the last to read it, bytes."""
  made, read = {}, {}
  for i, equation in enumerate(jaxpr.eqns):
    read |= {x: i for x in _variables(equation.invars) if x in made}
    made |= dict.fromkeys(equation.outvars, i)
  lives = [(i, read.get(x, i), _bytes(x)) for x, i in made.items()]
  return tuple(np.array(lives, np.int64).reshape(-1, 3).T)


def _cheapest(limit: float, total: np.ndarray, alive: np.ndarray) -> list[int]:
  """The ends of pieces with the least alive at them in all.

  Args:
    limit: of the bytes that the equations of a piece make, unless it is one.
    total: bytes that the equations before each make.
    alive: bytes that are alive before each.
  """
  count = len(total) - 1
  cost, before = np.zeros(count + 1), np.zeros(count + 1, int)
  for end in range(1, count + 1):
    first = np.searchsorted(total, total[end] - limit)
    first = min(first, end - 1)
    before[end] = first + np.argmin(cost[first:end])
    cost[end] = cost[before[end]] + alive[end]
  ends = [count, int(before[count])]
  while ends[-1]:
    ends.append(int(before[ends[-1]]))
  return ends[::-1]


def _variables(atoms: Sequence) -> list[core.Var]:
  return [x for x in atoms if isinstance(x, core.Var)]


def _bytes(x: core.Var) -> int:
  return x.aval.size * x.aval.dtype.itemsize
