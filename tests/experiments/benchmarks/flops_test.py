"""Counts of products, against XLA's own and by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from experiments.benchmarks import flops

X, KERNEL = (4, 9, 8, 6), (4, 3, 6, 10)


def shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, jnp.float32)


def conv(x, kernel, strides, padding, **options):
  numbers = 'NHWC', 'HWIO', 'NHWC'
  return lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=numbers, **options
  )


def test_terms_by_hand():
  # Three places, a window of three: the outer two miss one each.
  assert flops.Axis(3, 3, 3, low=1).terms() == 7
  # In 1 0 2 0 3 every window of two has one entry and one zero.
  assert flops.Axis(3, 2, 4, dilation=2).terms() == 4
  assert flops.of_product(6, 4) == 48
  assert flops.of_product(6, 1) == 0  # nothing is added


@pytest.mark.parametrize(
  ('kernel', 'strides', 'padding', 'options'),
  [
    (KERNEL, (1, 1), 'SAME', {}),
    (KERNEL, (2, 2), 'VALID', {}),
    (KERNEL, (1, 1), ((2, 1), (3, 2)), {'lhs_dilation': (2, 3)}),
    (KERNEL, (1, 1), 'SAME', {'rhs_dilation': (1, 2)}),
    ((4, 3, 3, 10), (1, 2), 'SAME', {'feature_group_count': 2}),
  ],
)
def test_convolutions_are_counted_as_by_xla(kernel, strides, padding, options):
  def run(x, kernel):
    return conv(x, kernel, strides, padding, **options)

  program = jax.jit(run).lower(shape(*X), shape(*kernel)).compile()
  counted = flops.compiled(program.as_text())
  assert counted == flops.traced(run, shape(*X), shape(*kernel))
  assert counted == program.cost_analysis()['flops']


def test_gradients_of_convolutions_are_counted_alike():
  def loss(x, kernel):
    return jnp.sin(conv(x, kernel, (2, 2), 'SAME')).sum()

  run = jax.grad(loss, (0, 1))
  program = jax.jit(run).lower(shape(*X), shape(*KERNEL)).compile()
  expected = flops.traced(run, shape(*X), shape(*KERNEL))
  assert flops.compiled(program.as_text()) == expected


def test_equal_products_count_once_and_unread_ones_not_at_all():
  def run(x):
    _ = x @ x.T @ x
    return x @ x.T + jnp.matmul(x, x.T)

  assert flops.traced(run, shape(8, 5)) == 2 * 8 * 8 * 5


def test_loops_count_as_often_as_they_run():
  def run(x):
    return lax.scan(lambda carry, _: (carry @ x, None), x, None, length=7)[0]

  assert flops.traced(run, shape(8, 8)) == 7 * 2 * 8**3
  program = jax.jit(run).lower(shape(8, 8)).compile()
  assert flops.compiled(program.as_text()) == 7 * 2 * 8**3


def test_a_loop_of_unknown_length_is_refused():
  def run(x):
    return lax.while_loop(lambda y: y.sum() < 1, lambda y: y @ x, x)

  with pytest.raises(ValueError, match='unknown length'):
    flops.traced(run, shape(8, 8))
  program = jax.jit(run).lower(shape(8, 8)).compile()
  with pytest.raises(ValueError, match='unknown length'):
    flops.compiled(program.as_text())


LIBRARY = """
ENTRY %main (x: f32[64,8,8,64]) -> f32[64,8,8,64] {
  %x = f32[64,8,8,64]{3,2,1,0} parameter(0)
  %k = f32[128,4,4,64]{3,2,1,0} parameter(1)
  %y = f32[64,4,4,128]{3,2,1,0} parameter(2)
  %a = f32[6,8]{1,0} parameter(3)
  %b = f32[8,10]{1,0} parameter(4)
  CALL
}
"""
WINDOW = 'window={size=4x4 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f'


@pytest.mark.parametrize(
  ('result', 'operands', 'kind'),
  [
    ('f32[64,4,4,128]', '%x, %k', 'Forward'),
    ('f32[64,4,4,128]', '%x, %k, %b', 'BiasActivationForward'),
    ('f32[64,8,8,64]', '%y, %k', 'BackwardInput'),
    ('f32[128,4,4,64]', '%x, %y', 'BackwardFilter'),
  ],
)
def test_convolutions_of_cudnn_are_counted_alike(result, operands, kind):
  call = (
    f'%c = ({result}{{3,2,1,0}}, u8[0]{{0}}) custom-call({operands}), '
    f'{WINDOW}, custom_call_target="__cudnn$conv{kind}"'
  )
  # Along each axis two places of four see three taps, the others all four.
  expected = 2 * 64 * 64 * 128 * (3 + 4 + 4 + 3) ** 2
  assert flops.compiled(LIBRARY.replace('CALL', call)) == expected


@pytest.mark.parametrize('library', ['gemm', 'lt$matmul'])
def test_products_of_cublas_are_counted(library):
  call = (
    '%c = (f32[6,10]{1,0}, s8[64]{0}) custom-call(%a, %b), '
    f'custom_call_target="__cublas${library}", '
    'backend_config={"gemm_backend_config":{"dot_dimension_numbers":'
    '{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}'
  )
  assert flops.compiled(LIBRARY.replace('CALL', call)) == 2 * 6 * 8 * 10


def test_another_library_is_refused():
  call = '%c = f32[6,10] custom-call(%a, %b), custom_call_target="__onednn$dot"'
  with pytest.raises(ValueError, match='compiled: a library computes %c'):
    flops.compiled(LIBRARY.replace('CALL', call))
