"""Common subexpressions: the same numbers, from fewer operations."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core
from jax.sharding import PartitionSpec as P

import jgan
from jgan.common_subexpressions import eliminate


def operations(function, *args):
  """How often each primitive stands in the program, and in what it calls."""
  found = collections.Counter()

  def count(jaxpr):
    for equation in jaxpr.eqns:
      found[equation.primitive.name] += 1
      for value in jax.tree.leaves(list(equation.params.values())):
        inner = getattr(value, 'jaxpr', value)
        if isinstance(inner, core.Jaxpr):
          count(inner)

  count(jax.make_jaxpr(eliminate(function))(*args).jaxpr)
  return found


def check_same(function, *args):
  got = jax.jit(eliminate(function))(*args)
  expected = jax.jit(function)(*args)
  jax.tree.map(np.testing.assert_array_equal, got, expected)


@jax.custom_jvp
def squared(x):
  return x**2


@squared.defjvp
def _(primals, tangents):
  (x,), (t,) = primals, tangents
  return squared(x), 2 * x * t


@jax.custom_vjp
def sine(x):
  return jnp.sin(x)


sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, t: (t * jnp.cos(x),))


def twice(one):
  """A function that computes one number in two places, and returns both."""
  return lambda x: (one(x), one(x + 1), one(x))


@pytest.mark.parametrize(
  ('one', 'primitive'),
  [
    (jnp.sin, 'sin'),
    (jax.jit(jnp.sin), 'sin'),
    (jax.jit(lambda x: jax.jit(jnp.sin)(2 * x)), 'sin'),
    (squared, 'integer_pow'),
    (sine, 'sin'),
    (lambda x: jnp.cumsum(jnp.array([1.0, 2.0]) * x), 'cumsum'),
    (lambda x: x @ jnp.asarray(np.eye(3, dtype=np.float32)), 'dot_general'),
    (lambda x: jax.random.normal(jax.random.key(x.astype(int))), 'erf_inv'),
  ],
)
def test_what_is_computed_in_two_places_is_computed_once(one, primitive):
  x = jnp.arange(3.0) if primitive == 'dot_general' else jnp.asarray(0.5)
  found = operations(twice(one), x)
  assert found[primitive] == 2  # of x, and of x + 1
  check_same(twice(one), x)


def test_a_forward_is_shared_with_the_derivative_that_runs_it_again():
  def both(x):
    return squared(sine(x)), jax.value_and_grad(lambda x: squared(sine(x)))(x)

  found = operations(both, 0.5)
  assert (found['sin'], found['integer_pow'], found['cos']) == (1, 1, 1)
  check_same(both, 0.5)


def test_what_differs_in_a_parameter_a_literal_or_a_constant_stays_apart():
  tables = [np.arange(4.0, dtype=np.float32), np.ones(4, np.float32)]

  def function(x):
    return (
      x.sum(0), x.sum(1), x.astype(int), x.astype(jnp.int8),
      x * 2.0, x * 3.0, lax.sign(x) * 0.0, lax.sign(x) * -0.0,
      *(x * table for table in tables),
    )  # fmt: skip

  x = jnp.arange(-8.0, 8.0).reshape(4, 4)
  with jax.numpy_rank_promotion('allow'):
    found = operations(function, x)
    assert (found['reduce_sum'], found['sign']) == (2, 1)
    assert found['convert_element_type'] == 2
    zero, minus = jax.jit(eliminate(function))(x)[6:8]
    check_same(function, x)
  assert (np.signbit(zero) != np.signbit(minus)).all()


def test_loops_and_branches_are_merged_inside():
  tilt = jax.jit(lambda x: x * jnp.asarray(np.array([1, 2], np.float32)).sum())

  def loop(x, rate):
    def body(x, y):
      return tilt(x) + rate * jnp.sin(x) + jnp.sin(x), y

    return lax.scan(body, x, jnp.arange(3))[0]

  def branch(x):
    return lax.cond(x > 0, lambda x: jnp.cos(x) * jnp.cos(x), jnp.tan, x)

  def function(x):
    loops = loop(x, 0.1), loop(x, 0.1), loop(x, 0.2)
    return *loops, branch(x), branch(x)

  found = operations(function, 0.5)
  assert found['sin'] == found['scan'] == 2
  assert found['cos'] == found['cond'] == 1
  check_same(function, 0.5)


def test_loops_and_branches_that_differ_within_stay_apart():
  def loop(x, table=(1.0, 2.0), wave=jnp.sin, count=3, reverse=False):
    table = np.array(table, np.float32)

    def body(x, y):
      inner = lax.cond(y > 1, lambda x: wave(x) * table[0], jnp.tan, x)
      return inner + jnp.asarray(table).sum(), 2 * x

    return lax.scan(body, x, jnp.arange(count), reverse=reverse)

  def function(x):
    kinds = (
      {}, {}, {'table': (1.0, 3.0)}, {'table': (1.5, 1.5)},
      {'wave': jnp.cos}, {'count': 4}, {'reverse': True},
    )  # fmt: skip
    return *(loop(x, **kind) for kind in kinds), loop(2 * x)

  assert operations(function, 0.5)['scan'] == 7
  check_same(function, 0.5)


def test_what_platforms_compute_each_in_their_own_way_is_computed_once():
  def one(x):
    return lax.platform_dependent(
      x, cpu=lambda x: jnp.sin(x) * 2, default=lambda x: 2 * jnp.sin(x)
    )

  found = operations(twice(one), 0.5)
  assert found['cond'] == 2
  assert found['platform_index'] == 1
  check_same(twice(one), 0.5)


def test_what_has_an_effect_happens_each_time(capsys):
  def function(x):
    jax.debug.print('seen {}', x)
    jax.debug.print('seen {}', x)
    return x

  jax.block_until_ready(jax.jit(eliminate(function))(0.5))
  jax.effects_barrier()
  assert capsys.readouterr().out == 'seen 0.5\n' * 2


def test_what_a_checkpoint_computes_again_stays():
  def loss(x):
    return jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))(x)

  found = operations(jax.value_and_grad(loss), 0.5)
  assert found['sin'] == 3  # two forward, and the first of them again
  check_same(jax.value_and_grad(loss), 0.5)


def test_outputs_may_be_arguments_constants_and_one_another():
  table = np.arange(3, dtype=np.float32)

  def function(tree):
    x = tree['x']
    return {'x': x, 'same': (x, x), 'held': jnp.asarray(table), 'one': 1.0}

  check_same(function, {'x': jnp.ones(2), 'unread': jnp.zeros(3)})


def test_a_function_that_was_divided_by_its_caller_is_one_operation():
  mesh = jgan.sharding.data_mesh(jax.devices()[:2])
  divided = jgan.sharding.over_examples(mesh)
  inner = jax.jit(jnp.sin, in_shardings=divided, out_shardings=divided)
  x = jnp.arange(4.0)
  found = operations(twice(inner), x)
  assert found['jit'] + found['pjit'] == 2
  check_same(twice(inner), x)


def test_derivatives_are_those_of_the_function_as_it_was():
  @jax.custom_vjp
  def reversed_sine(x):
    return jnp.sin(x)

  reversed_sine.defvjp(lambda x: (jnp.sin(x), None), lambda _, t: (-t,))

  def function(x, number, key):
    drawn = jax.random.normal(key)
    return reversed_sine(x) + number * reversed_sine(x), number, drawn

  def first(x):
    return eliminate(function)(x, 2, jax.random.key(0))[0]

  assert jax.grad(first)(0.5) == jax.jit(jax.grad(first))(0.5) == -3
  np.testing.assert_allclose(jax.vmap(first)(jnp.ones(2)), 3 * np.sin(1))


@pytest.mark.parametrize('check_vma', [True, False])
def test_what_devices_do_together_is_done_once(check_vma):
  def function(x):
    first, again = (lax.pmean(jnp.sin(x), 'batch') for _ in range(2))
    return jnp.cos(first) + jnp.cos(again)

  def divided(function):
    return jax.jit(
      jax.shard_map(
        function,
        mesh=jgan.sharding.data_mesh(jax.devices()[:2]),
        in_specs=P('batch'),
        out_specs=P(),
        check_vma=check_vma,
      )
    )

  x, once = jnp.arange(4.0), divided(eliminate(function))
  program = once.lower(x).as_text()
  for operation in ('sine', 'all_reduce', 'cosine'):
    assert program.count(f'stablehlo.{operation}') == 1
  np.testing.assert_allclose(once(x), divided(function)(x), rtol=1e-6)


def test_without_jit_the_function_is_called_as_it_is():
  def function(x):
    return x if float(x) > 0 else -x

  with jax.disable_jit():
    assert eliminate(function)(-2.0) == 2


def test_derivatives_pass_by_what_has_no_forward_mode():
  def function(x, y):
    return jnp.sin(x) * sine(y) * jax.jit(sine)(y)

  def slope(function, x):
    return jax.grad(function)(x, 0.5)  # the sines of y have none

  got, expected = (
    jax.value_and_grad(functools.partial(slope, each))(0.3)
    for each in (eliminate(function), function)
  )
  np.testing.assert_allclose(got, expected, rtol=1e-6)
  tangent = jax.jvp(eliminate(lambda x: jnp.sin(x) ** 2), (0.3,), (1.0,))[1]
  np.testing.assert_allclose(tangent, np.sin(0.6), rtol=1e-6)


def test_derivatives_reach_what_the_function_closes_over():
  def outer(rate):
    table = np.arange(3, dtype=np.float32)
    play = eliminate(lambda x: (rate * jnp.sin(x) + rate * table).sum())
    return play(0.5)

  for derivative in (jax.grad(outer), jax.jit(jax.grad(outer))):
    np.testing.assert_allclose(derivative(2.0), 3 * np.sin(0.5) + 3, rtol=1e-6)


@pytest.mark.skipif(not hasattr(jax, 'new_ref'), reason='jax has no new_ref')
def test_references_hold_what_was_set_last():
  def function(x):
    one, other = jax.new_ref(x), jax.new_ref(x)
    first = one[...]
    one[...] = jax.nn.relu(first) + 1
    return first, one[...], other[...]

  check_same(function, 0.5)


def test_debug_nans_tells_which_operation_made_one():
  def function(x):
    return jnp.log(x) - jnp.log(x)

  told = pytest.raises(FloatingPointError, match='encountered in log')
  with jax.debug_nans(True), told:
    jax.jit(eliminate(function))(jnp.asarray(-1.0))
