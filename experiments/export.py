"""A trained GAN as one file: `python -m experiments.export --workdir=...`.

The file holds what `jgan.sample` computes, its weights within, and needs no
more than jax and flatbuffers, on a CPU, a GPU or a TPU:

  import jax.export, numpy as np
  exported = jax.export.deserialize(open('generator.bin', 'rb').read())
  images = exported.call(1, {'index': np.arange(64)})

1 is the seed. The batch asks for samples as that of `jgan.sample` does: for any
number of them, by 'index', and with classes by 'label'; a run that translates
takes pictures 'x'. Sample number i depends on the seed and on `index[i]`, and
is that of `experiments.sample.load(workdir)(64, seed=1)` to rounding. Pictures
and sound are floats in [-1, 1], tables and texts what the networks make of
them. What a file takes and gives is described beside it, in the file of the
same name that ends in '.json'.

A newer jax reads the file for six months, by what is promised for `jax.export`;
an older one need not. On CPUs, jax 0.12.0 read a file of 0.10.2, and 0.10.2 one
of 0.7.2, but not 0.12.0 that of 0.7.2, nor 0.7.2 that of 0.10.2. On a GPU or a
TPU: not measured here.

References:
  https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees
"""

import dataclasses
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.export
import jax.numpy as jnp
import tyro
from jaxtyping import PyTree

import jgan
from experiments import config as configs
from experiments import data, kept, sample
from experiments.errors import UserError, building, reported
from experiments.files import read_batch, write_bytes, write_json
from experiments.sampler import Sampler
from experiments.train import EXPERIMENTS

PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
_SHOWN = 16  # samples in the lines that show how to call


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Writes a trained generator to a file that runs without this package."""

  workdir: Annotated[str, tyro.conf.arg(metavar='DIR')]
  """where the run is kept"""
  output: Annotated[str | None, tyro.conf.arg(metavar='FILE')] = None
  """the file; by default DIR/generator.bin"""
  best: bool = False
  """the best by --evaluate-every, not the last"""
  inputs: Annotated[
    tuple[str, ...], tyro.conf.arg(metavar='NAME ...', help_behavior_hint='')
  ] = ()
  """entries of the run's batches to ask with; by default label or x, if any"""


def exported(
  gan: jgan.GAN, state: jgan.TrainState, batch: PyTree
) -> jax.export.Exported:
  """The sampling of a GAN as a program that needs neither it nor its state.

  Args:
    gan: the game.
    state: its state, of which what sampling reads becomes part of the program.
    batch: like those to be asked with: arrays or their shapes and dtypes by
      name, 'index' among them. 'latent' where latents are to be given and not
      drawn. How many examples it holds does not matter.

  Returns:
    `call(seed, batch)`, where seed is an int32: `jgan.sample(gan, state, batch,
    jax.random.key(seed))` for any number of examples, on any of `PLATFORMS`.

  Raises:
    ValueError: the GAN does not sample from such a batch.
  """
  (n,) = jax.export.symbolic_shape('n')
  form = {
    name: jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype)
    for name, x in batch.items()
  }
  state = jax.device_get(state)

  def draw(seed, batch):
    return jgan.sample(gan, state, batch, jax.random.key(seed))

  seed = jax.ShapeDtypeStruct((), jnp.int32)
  # The check for reused keys does not follow those of an array of n.
  with jax.debug_key_reuse(False):
    return jax.export.export(jax.jit(draw), platforms=PLATFORMS)(seed, form)


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.export'
  )
  if importlib.util.find_spec('flatbuffers') is None:
    raise UserError(
      'jax.export needs flatbuffers, which is not installed: pip install '
      '"jgan[export]"'
    )
  workdir = Path(os.path.expanduser(arguments.workdir))
  run = kept.load(workdir, EXPERIMENTS)
  path = Path(os.path.expanduser(arguments.output or workdir / 'generator.bin'))
  description = path.with_suffix('.json')
  if path == description:
    raise UserError(
      f'--output={path}: there will be the description; the program needs '
      'another ending, such as .bin'
    )
  generate = sample.load(workdir, arguments.best)
  with building():
    program = exported(
      generate.gan, generate.state, inputs(run, generate, arguments.inputs)
    )
    write_bytes(path, bytes(program.serialize()))
    write_json(
      description,
      {'experiment': run.name, 'step': int(generate.state.step)}
      | described(program)
      | {'use': loading(path.name, program, generate.num_classes)},
    )
  size = path.stat().st_size / 1e6
  print(f'{path}: {size:.3g} MB, described in {description}')
  print('To use it, with jax and flatbuffers alone:\n')
  print(*loading(str(path), program, generate.num_classes), sep='\n')


def inputs(
  run: configs.Run, generate: Sampler, names: Sequence[str]
) -> dict[str, jax.ShapeDtypeStruct]:
  """What sampling from a run takes: the form of such a batch.

  Args:
    run: the run.
    generate: its sampler.
    names: entries of its batches beside 'index'; none: 'label' of a model with
      classes, 'x' of one that translates.

  Raises:
    UserError: the run's batches have no such entries.
  """
  form = jax.eval_shape(data.to_float, read_batch(run.workdir))
  usual = ('label',) if generate.num_classes else ()
  names = names or (('x',) if generate.make_conditions else usual)
  if unknown := set(names) - set(form):
    raise UserError(
      f'--inputs: {", ".join(sorted(unknown))} is none of what batches of '
      f'{run.name} hold, which is {", ".join(sorted(form))}'
    )
  return {name: form[name] for name in ('index', *names)}


def described(program: jax.export.Exported) -> dict[str, Any]:
  """What a program takes and gives, for a file of JSON."""
  (seed, batch), _ = _forms(program.in_tree, program.in_avals)
  return {
    'takes': {'seed': seed, 'batch': batch},
    'gives': _forms(program.out_tree, program.out_avals),
    'platforms': list(program.platforms),
    'jax': jax.__version__,
  }


def _forms(tree, avals):
  """Each array as text, such as float32[n, 28, 28, 1]."""
  shapes = [f'{x.dtype}[{", ".join(map(str, x.shape))}]' for x in avals]
  return jax.tree.unflatten(tree, shapes)


def loading(
  path: str, program: jax.export.Exported, num_classes: int
) -> list[str]:
  """Python that loads a program's file and calls it, line by line."""
  (_, batch), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
  asked = {
    name: f"np.zeros({(_SHOWN, *x.shape[1:])}, '{x.dtype}')"
    for name, x in batch.items()
  }
  asked['index'] = f'np.arange({_SHOWN})'
  if 'label' in asked and num_classes:
    asked['label'] = f'np.arange({_SHOWN}) % {num_classes}'
  entries = ', '.join(f"'{name}': {value}" for name, value in asked.items())
  return [
    'import jax.export, numpy as np',
    f"exported = jax.export.deserialize(open({path!r}, 'rb').read())",
    f'samples = exported.call(1, {{{entries}}})',
  ]


if __name__ == '__main__':
  main()
