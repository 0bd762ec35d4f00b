"""FLOPs of matrix products and convolutions, counted exactly.

Those of a traced function and those of a compiled program, by one rule, so that
their ratio is exact; two for each multiply-add:

- a product's are 2 for each entry of the result and each term of its sum;
- a convolution's likewise, but for terms that read padding or the zeros that a
  dilation of the input puts in. `cost_analysis` counts so as well: of one
  convolution alone it says the same number (flops_test.py among the tests);
- a sum of one term is no product, but elementwise: XLA writes it as such.

What is elementwise is not counted.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import PyTree


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
    """FLOPs of what the results depend on."""
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
    """The numbers of an equation's results; a call is walked through."""
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
    whole = self.number((name, operands, str(params)), flops, operands)
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
  if name in ('dot_general', 'conv_general_dilated'):
    out = equation.outvars[0].aval.shape
    lhs, rhs = (x.aval.shape for x in equation.invars)
    if name == 'dot_general':
      (contracted, _), _ = params['dimension_numbers']
      terms = math.prod(lhs[i] for i in contracted)
      return of_product(math.prod(out), terms)
    return _of_traced_convolution(params, lhs, rhs, out)
  if name == 'scan':
    return params['length'] * sum(inner)
  if name == 'while' and any(inner):
    raise ValueError('traced: products in a loop of unknown length')
  return max(inner, default=0)


def _of_traced_convolution(params, lhs, rhs, out):
  of_lhs, of_rhs, of_out = params['dimension_numbers']
  axes = map(
    Axis,
    (lhs[i] for i in of_lhs[2:]),
    (rhs[i] for i in of_rhs[2:]),
    (out[i] for i in of_out[2:]),
    params['window_strides'],
    (low for low, _ in params['padding']),
    params['lhs_dilation'],
    params['rhs_dilation'],
  )
  return of_convolution(out[of_out[0]], rhs[of_rhs[1]], out[of_out[1]], axes)


_INSTRUCTION = re.compile(r'(?:ROOT )?%?(\S+) = \(?(\w+)\[([\d,]*)\]')
_OPERANDS = re.compile(
  r' (dot|convolution|custom-call)\(%?([^,\s]+), %?([^,\s)]+)'
)
_LIBRARY = re.compile(
  r'custom_call_target="([^"]*(?:matmul|gemm|conv|dot)\S*)"'
)
# Which of the result and the two operands of cuDNN's convolutions are the
# input, the kernel and the result of the forward one, whose window they tell.
_CUDNN = {
  '__cudnn$convForward': (1, 2, 0),
  '__cudnn$convBiasActivationForward': (1, 2, 0),
  '__cudnn$convBackwardInput': (0, 2, 1),
  '__cudnn$convBackwardFilter': (1, 0, 2),
}
_CUBLAS = ('__cublas$gemm', '__cublas$lt$matmul')
_CONTRACTED = re.compile(
  r'lhs_contracting_dim(?:s=\{|ensions":\[)((?:"?\d+"?,?)*)'
)
_LABELS = re.compile(r'dim_labels=(\w+)_(\w+)->(\w+)')
_WINDOW = re.compile(r'window=\{(.*?)\}')
_TIMES = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(r'(?:calls|to_apply|body|condition)=%?([\w.\-]+)')


class _Computation(NamedTuple):
  """A part of a program: FLOPs of its own lines, and the parts it calls.

  Attributes:
    flops: of each line.
    calls: names, and how often each is called; None where it is not known.
  """

  flops: list[int]
  calls: list[tuple[str, int | None]]


def compiled(text: str) -> int:
  """FLOPs of products and convolutions in a compiled program.

  Args:
    text: `jax.stages.Compiled.as_text()`.

  Raises:
    ValueError: there are products in a loop of unknown length, or calls of a
      library other than cuDNN and cuBLAS, of which it is not known what they
      compute.
  """
  parts = _computations(text)

  @functools.cache
  def total(name):
    flops = sum(parts[name].flops)
    for called, count in parts[name].calls:
      inner = total(called)
      if inner and count is None:
        raise ValueError('compiled: products in a loop of unknown length')
      flops += inner * (count or 0)
    return flops

  return total('ENTRY')


def _computations(text):
  """The parts of a program by name; that which runs is called ENTRY."""
  lines = list(map(str.strip, text.splitlines()))
  shapes = {
    found[1]: _integers(found[3])
    for found in filter(None, map(_INSTRUCTION.match, lines))
  }
  parts, part = {}, None
  for line in lines:
    if line.endswith('{') and '->' in line:
      part = _Computation([], [])
      parts[line.split(' ')[0].lstrip('%')] = part
    elif ' = ' in line and part:
      part.flops.append(_of_instruction(line, shapes))
      count = _times(line)
      part.calls.extend((name, count) for name in _CALLED.findall(line))
  return parts


def _integers(text):
  return tuple(map(int, filter(None, text.split(','))))


def _times(line):
  """How often a line runs what it calls; None for a loop that does not tell."""
  if found := _TIMES.search(line):
    return int(found[1])
  return None if ' while(' in line else 1


def _of_instruction(line, shapes):
  """FLOPs of one line of a program, by the shapes of all arrays in it."""
  library, operands = _LIBRARY.search(line), _OPERANDS.search(line)
  name = library[1] if library else operands and operands[1]
  if name not in ('dot', 'convolution', *_CUBLAS, *_CUDNN):
    if library:
      raise ValueError(f'compiled: a library computes {line[:80]}')
    return 0
  arrays = [
    shapes[x] for x in (_INSTRUCTION.match(line)[1], *operands.groups()[1:])
  ]
  if name in ('dot', *_CUBLAS):
    contracted = _integers(_CONTRACTED.search(line)[1].replace('"', ''))
    terms = math.prod(arrays[1][i] for i in contracted)
    return of_product(math.prod(arrays[0]), terms)
  roles = _CUDNN.get(name, (1, 2, 0))
  return _of_compiled_convolution(line, *(arrays[i] for i in roles))


def _of_compiled_convolution(line, lhs, rhs, out):
  labels = _LABELS.search(line).groups()
  of_lhs, of_rhs, of_out = (
    dict(zip(names, sizes, strict=True))
    for names, sizes in zip(labels, (lhs, rhs, out), strict=True)
  )
  window = _WINDOW.search(line)
  given = dict(x.split('=') for x in window[1].split()) if window else {}

  def option(name, axis, usual=1):
    if name not in given:
      return usual
    return int(given[name].split('x')[axis].split('_')[0])

  axes = (
    Axis(
      of_lhs[str(i)],
      of_rhs[str(i)],
      of_out[str(i)],
      stride=option('stride', i),
      low=option('pad', i, 0),
      dilation=option('lhs_dilate', i),
      window_dilation=option('rhs_dilate', i),
    )
    for i in range(len(lhs) - 2)
  )
  return of_convolution(of_out['b'], of_rhs['i'], of_out['f'], axes)
