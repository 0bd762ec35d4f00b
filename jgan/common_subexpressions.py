"""Common subexpressions: equal operations of a program, computed once.

In a step in which both players move, both play the generator on the same
latents. XLA merges the two in a program for one device, but not in a loop of
several steps; and of a program that it divides over devices only what comes
before the first of their collectives, such as the sums of BatchNorm's moments,
each of which has a channel of its own. Here equal operations are merged before
XLA sees them.
"""

import functools
from collections.abc import (
  Callable,
  Hashable,
  Iterable,
  Iterator,
  Mapping,
  Sequence,
)
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

F = TypeVar('F', bound=Callable)

_JITTED = ('jit', 'pjit')
_CUSTOM = ('custom_jvp_call', 'custom_vjp_call')
_LOOPS = ('scan', 'while', 'cond')


def eliminate(function: F) -> F:
  """The same function, in which equal operations are computed once.

  Operations are equal where they do the same to the same values. Jitted
  functions are looked into, but those with shardings of their own, and so are
  loops and branches, each by itself; these are equal where all within is. What
  `jax.checkpoint` computes again stays apart from what it is computed again
  from. Derivatives are those of the function as it was, but in reverse mode
  alone where it calls a function of `jax.custom_vjp`. The whole is the function
  as it was where it has effects (prints, callbacks, references), under
  `jax.disable_jit()`, and with `jax_debug_nans` or `jax_debug_infs`, which then
  tell where.

  Args:
    function: a pure function of trees of arrays to a tree of arrays.
  """

  @functools.wraps(function)
  def once(*args):
    config = jax.config
    if config.jax_disable_jit or config.jax_debug_nans or config.jax_debug_infs:
      return function(*args)
    program, form = jax.make_jaxpr(function, return_shape=True)(*args)
    leaves = jax.tree.leaves(args)
    if _acts(program):
      outputs = core.jaxpr_as_fun(program)(*leaves)
    else:
      traced = [x for x in program.consts if isinstance(x, Tracer)]
      outputs = _played(program)(traced, leaves)
    return jax.tree.unflatten(jax.tree.structure(form), outputs)

  return once


def _acts(program: core.ClosedJaxpr) -> bool:
  """Whether it does more than compute: not if it only names an axis."""
  return any(type(x).__name__ != 'NamedAxisEffect' for x in program.effects)


def _played(program: core.ClosedJaxpr) -> Callable[[Sequence, Sequence], list]:
  """The merged program, with the derivatives of the program itself.

  A function of its traced constants and of its inputs: the constants are values
  of a transformation around it, which may differentiate with respect to them.
  """

  def filled(traced):
    traced = iter(traced)
    constants = [
      next(traced) if isinstance(x, Tracer) else x for x in program.consts
    ]
    return core.ClosedJaxpr(program.jaxpr, constants)

  def unmerged(traced, inputs):
    return core.jaxpr_as_fun(filled(traced))(*inputs)

  def merged(traced, inputs):
    return core.jaxpr_as_fun(_merged(filled(traced)))(*inputs)

  if _holds(program.jaxpr, 'custom_vjp_call'):
    # It has no forward mode, which a rule of forward mode would ask for even
    # where nothing is derived.
    merged = jax.custom_vjp(merged)
    merged.defvjp(
      lambda *primals: jax.vjp(unmerged, *primals),
      lambda pullback, cotangents: pullback(cotangents),
    )
  else:
    merged = jax.custom_jvp(merged)
    merged.defjvp(functools.partial(jax.jvp, unmerged))
  return merged


def _holds(jaxpr: core.Jaxpr, name: str) -> bool:
  """Whether an operation of this name is anywhere in a program."""
  return any(
    equation.primitive.name == name
    or any(_holds(inner, name) for inner in _inner(equation.params.values()))
    for equation in jaxpr.eqns
  )


def _inner(params: Iterable) -> Iterator[core.Jaxpr]:
  """The programs among the parameters of an operation."""
  for param in params:
    if isinstance(param, core.ClosedJaxpr):
      yield param.jaxpr
    elif isinstance(param, core.Jaxpr):
      yield param
    elif isinstance(param, tuple):
      yield from _inner(param)


def _merged(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
  """The program, the functions that it calls written out, without repeats."""
  equations, made, constants = [], {}, {}

  def played(program, inputs):
    """What a program returns, by variables of the merged one."""
    jaxpr = program.jaxpr
    values = dict(zip(jaxpr.invars, inputs, strict=True))
    for variable, value in zip(jaxpr.constvars, program.consts, strict=True):
      new = core.Var(variable.aval), value
      values[variable], _ = constants.setdefault(_content(value), new)
    for equation in jaxpr.eqns:
      inputs = [
        values[x] if isinstance(x, core.Var) else x for x in equation.invars
      ]
      outputs = computed(equation, inputs)
      values |= zip(equation.outvars, outputs, strict=True)
    return [values[x] if isinstance(x, core.Var) else x for x in jaxpr.outvars]

  def computed(equation, inputs):
    """What an equation makes of these inputs, computed before or now."""
    if (called := _called(equation)) is not None:
      return played(called, inputs)
    equation = equation.replace(invars=inputs, params=_merged_inside(equation))
    what = _operation(equation, lambda x: x)
    if what not in made:
      made[what] = [core.Var(x.aval) for x in equation.outvars]
      equations.append(equation.replace(outvars=made[what]))
    return made[what]

  outputs = played(program, program.jaxpr.invars)
  held = list(constants.values())
  jaxpr = program.jaxpr.replace(
    constvars=[variable for variable, _ in held],
    outvars=outputs,
    eqns=equations,
    debug_info=program.jaxpr.debug_info.with_unknown_names(),
  )
  return core.ClosedJaxpr(jaxpr, [value for _, value in held])


def _called(equation: core.JaxprEqn) -> core.ClosedJaxpr | None:
  """The program that an equation calls as it is, if it does."""
  name, params = equation.primitive.name, equation.params
  if name in _CUSTOM:
    return params['call_jaxpr']
  if name not in _JITTED:
    return None
  shardings = [*params['in_shardings'], *params['out_shardings']]
  if any(isinstance(x, jax.sharding.Sharding) for x in shardings):
    return None
  return params['jaxpr']


def _operation(
  equation: core.JaxprEqn, told: Callable[[core.Var], Hashable]
) -> Hashable:
  """What an equation computes, equal to what others do that compute the same.

  Of loops and branches what is within counts; any other program among the
  parameters, such as that of `jax.checkpoint`, is equal to itself alone.

  Args:
    equation: one whose loops and branches are merged.
    told: by what its variables are told apart.
  """
  params = tuple(equation.params.items())
  if equation.primitive.name in _LOOPS:
    params = _told_by_content(params)
  operands = tuple(_operand(x, told) for x in equation.invars)
  return equation.primitive, params, repr(equation.ctx), operands


def _operand(x: core.Var | core.Literal, told: Callable) -> Hashable:
  if isinstance(x, core.Var):
    return told(x)
  return x.aval, np.asarray(x.val).tobytes()


def _told_by_content(param: Any) -> Hashable:
  """The parameter, but of a program what it computes."""
  if isinstance(param, tuple):
    return tuple(map(_told_by_content, param))
  if not isinstance(param, core.ClosedJaxpr):
    return param
  jaxpr, numbers = param.jaxpr, {}

  def told(variable):
    return numbers.setdefault(variable, len(numbers)), variable.aval

  given = tuple(map(told, (*jaxpr.constvars, *jaxpr.invars)))
  made = tuple(
    (_operation(equation, told), tuple(map(told, equation.outvars)))
    for equation in jaxpr.eqns
  )
  returned = tuple(_operand(x, told) for x in jaxpr.outvars)
  return given, made, returned, tuple(map(_content, param.consts))


def _content(value: Any) -> Hashable:
  """What is equal for constants that are arrays of the same numbers."""
  is_key = jnp.issubdtype(value.dtype, jax.dtypes.extended)
  if is_key or isinstance(value, Tracer):
    return id(value)
  return value.shape, value.dtype, np.asarray(value).tobytes()


def _merged_inside(equation: core.JaxprEqn) -> Mapping[str, Any]:
  """The parameters of an equation; of a loop or a branch, merged."""
  if equation.primitive.name not in _LOOPS:
    return equation.params

  def merged(param):
    if isinstance(param, core.ClosedJaxpr):
      return _merged(param)
    return tuple(map(merged, param)) if isinstance(param, tuple) else param

  return {name: merged(value) for name, value in equation.params.items()}
