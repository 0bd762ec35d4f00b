"""The command: what it runs, and how it tells mistakes."""

import importlib.util

import pytest

from experiments import benchmark


def test_the_command_prints_what_the_benchmark_tells(monkeypatch, capsys):
  monkeypatch.setattr(
    benchmark,
    'BENCHMARKS',
    {'inception': lambda arguments: f'{arguments.count} done'},
  )
  benchmark.main(['inception', '--count=300'])
  assert capsys.readouterr().out == '300 done\n'


def told(words, capsys):
  with pytest.raises(SystemExit, match='2'):
    benchmark.main(words)
  return capsys.readouterr().err


def test_another_name_is_told(capsys):
  message = 'there is no benchmark incepton, but torch, profile, flops'
  assert message in told(['incepton'], capsys)


@pytest.mark.skipif(
  importlib.util.find_spec('torch') is not None, reason='torch is installed'
)
def test_without_torch_it_says_what_to_install(capsys):
  assert 'pip install "jgan[benchmark]"' in told(['torch'], capsys)
