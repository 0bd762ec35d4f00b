"""The examples in docstrings run, and there is one on the first page."""

import doctest
import importlib
import pkgutil

import pytest

import jgan

MODULES = ['jgan'] + [
  module.name for module in pkgutil.walk_packages(jgan.__path__, 'jgan.')
]


def examples(name):
  module = importlib.import_module(name)
  tests = doctest.DocTestFinder().find(module, extraglobs={'jgan': jgan})
  return [test for test in tests if test.examples]


@pytest.mark.parametrize('name', MODULES)
def test_examples_of_docstrings(name):
  report = []
  for test in examples(name):
    # Fails with the example's own report, not with a traceback of ours.
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
  assert not report, ''.join(report)


@pytest.mark.parametrize(
  ('module', 'name'),
  [('jgan', 'jgan'), ('jgan.models.dcgan', 'jgan.models.dcgan.dcgan')],
)
def test_there_are_examples(module, name):
  """On the first page, and the finder looks past decorators."""
  assert name in [test.name for test in examples(module)]


@pytest.mark.parametrize('name', MODULES)
def test_every_module_and_public_function_says_what_it_is(name):
  module = importlib.import_module(name)
  public = {
    key: value
    for key, value in vars(module).items()
    if not key.startswith('_')
    and getattr(value, '__module__', None) == name
    and callable(value)
  }
  bare = [key for key, value in public.items() if not value.__doc__]
  assert module.__doc__
  assert not bare, f'{name}: no docstring at {bare}'
