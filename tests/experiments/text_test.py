"""The experiments on texts, as a user runs them, on files made here."""

import gzip
import json

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import (
  data,
  evaluate,
  names_gumbel,
  oracle_seqgan,
  sample,
  text,
  train,
)

pytestmark = pytest.mark.slow

SMALL = (
  '--embedding=3',
  '--hidden=4',
  '--filters=3',
  '--batch-size=8',
  '--log-every=2',
  '--sample-every=4',
)
WORDS = ['a', 'big', 'red', 'cat', 'sat', 'on', 'the', 'old', 'blue', 'mat']


@pytest.fixture(scope='module', autouse=True)
def one_device(tmp_path_factory):
  """The loop takes all devices, and keeps programs in the user's cache."""
  devices, cache = jax.devices, jax.config.jax_compilation_cache_dir
  jax.devices = lambda *args: devices(*args)[:1]
  folder = str(tmp_path_factory.mktemp('cache'))
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  yield
  jax.devices = devices
  jax.config.update('jax_compilation_cache_dir', cache)


@pytest.fixture(scope='module')
def lines(tmp_path_factory):
  """Sixty texts of two to six words."""
  rng = np.random.default_rng(0)
  texts = [' '.join(rng.choice(WORDS, rng.integers(2, 7))) for _ in range(60)]
  path = tmp_path_factory.mktemp('data') / 'texts.txt'
  path.write_text('\n'.join(texts) + '\n')
  return path


@pytest.fixture(scope='module')
def run(lines, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'text'
  phases = ('--likelihood-steps=2', '--discriminator-steps=1', '--n-critic=1')
  words = '--words', '--evaluate-every=4', '--steps=4', f'--path={lines}'
  train.main(['text', f'--workdir={workdir}', *words, *phases, *SMALL])
  return workdir


def test_a_run_shows_texts_and_keeps_them(run, lines):
  own = lines.read_text().splitlines()
  reals = (run / 'reals.txt').read_text().splitlines()
  assert len(reals) == 40
  assert set(reals) <= set(own)
  for step in (0, 4):
    made = (run / 'samples' / f'{step:06}.txt').read_text().splitlines()
    assert len(made) == 40
    assert {word for one in made for word in one.split()} <= set(WORDS)
  with Image.open(run / 'samples' / '000004.png') as image:
    assert min(image.size) > 100


def test_phases_move_who_they_should_and_scores_are_kept(run):
  told = [
    json.loads(line)
    for line in (run / 'metrics.jsonl').read_text().splitlines()
  ]
  first, last = (
    {k: v for k, v in line.items() if k.endswith('/moved')}
    for line in told
    if 'generator/moved' in line
  )
  assert first == {
    'likelihood/moved': 1,
    'discriminator/moved': 0,
    'generator/moved': 0,
  }
  assert last['likelihood/moved'] == 0
  assert last['discriminator/moved'] == 1
  assert last['generator/moved'] > 0
  assert json.loads((run / 'best.json').read_text())['step'] == 4


def test_evaluation_compares_with_held_out_texts(run, capsys):
  evaluate.main([f'--workdir={run}', '--count=30'])
  said = capsys.readouterr().out
  report = json.loads((run / 'evaluation.json').read_text())
  scores = {name: x['value'] for name, x in report['scores'].items()}
  assert set(text.LOWER_IS_BETTER + text.HIGHER_IS_BETTER) <= set(scores)
  assert 'real_self_bleu' in said
  assert report['protocol']['samples'] == 30
  assert 0 < scores['held_out_nll'] < 2 * np.log(len(WORDS) + 1)
  # Words at random surprise a model of the data more than the data do.
  assert scores['forward_cross_entropy'] > 0
  assert 0 <= scores['copied'] <= scores['unique'] <= 1


def test_a_run_is_of_its_file_as_it_was(run, lines, tmp_path, capsys):
  first = json.loads((run / 'config.json').read_text())['config']['sha256']
  # As many words, of which others are the most frequent.
  changed = tmp_path / 'texts.txt'
  changed.write_text(lines.read_text() + 'mat mat\n' * 60)
  with pytest.raises(ValueError, match='has changed since the run began'):
    text.make_data(text.Config(path=str(changed), sha256=first, words=True))
  assert len(text.make_data(text.Config(path=str(changed), words=True)))
  changed.unlink()
  with pytest.raises(SystemExit, match='2'):
    train.main(['text', f'--workdir={tmp_path / "w"}', f'--path={changed}'])
  assert 'there is no file' in capsys.readouterr().err
  # A run of before this number was kept.
  config = {'experiment': 'text', 'config': {'path': str(changed)}}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  with pytest.raises(SystemExit, match='2'):
    sample.main([f'--workdir={tmp_path}'])
  assert 'there is no file' in capsys.readouterr().err


def test_samples_are_files_of_text(run, tmp_path):
  sample.main(
    [
      f'--workdir={run}',
      '--count=3',
      f'--npz={tmp_path / "x.npz"}',
      f'--files={tmp_path / "each"}',
    ]
  )
  with np.load(tmp_path / 'x.npz') as stored:
    texts = stored['text'].tolist()
  files = [(tmp_path / 'each' / f'{i:06}.txt').read_text() for i in range(3)]
  assert files == [f'{one}\n' for one in texts]


def test_one_hot_draws_play_letters(lines, tmp_path, capsys):
  train.main(
    [
      'names-gumbel',
      f'--workdir={tmp_path / "run"}',
      f'--path={lines}',
      '--steps=4',
      '--likelihood-steps=2',
      '--length=16',
      *SMALL,
    ]
  )
  assert 'longer texts left out' in capsys.readouterr().out
  made = (tmp_path / 'run' / 'samples' / '000004.txt').read_text()
  assert max(map(len, made.splitlines())) <= 16
  assert names_gumbel.Config().inverse_temperature == 1


def test_an_oracle_judges_its_pupil(tmp_path, monkeypatch):
  monkeypatch.setattr(oracle_seqgan, '_TEXTS', 200)
  monkeypatch.setattr(oracle_seqgan, '_AT_ONCE', 100)
  oracle_seqgan._texts.cache_clear()
  numbers = (
    *('--vocabulary=12', '--length=6', '--steps=60', '--likelihood-steps=58'),
    *('--discriminator-steps=1', '--n-critic=1', '--likelihood-rate=0.05'),
    *('--embedding=3', '--hidden=4', '--filters=3', '--ema-decay=0.5'),
  )
  train.main(['oracle-seqgan', f'--workdir={tmp_path}', *numbers])
  evaluate.main([f'--workdir={tmp_path}'])
  oracle_seqgan._texts.cache_clear()
  report = json.loads((tmp_path / 'evaluation.json').read_text())
  scores = {name: x['value'] for name, x in report['scores'].items()}
  # Of 12 tokens; the oracle knows its texts best.
  assert scores['real_oracle_nll'] < scores['held_out_nll'] < np.log(12)
  assert scores['real_oracle_nll'] < scores['oracle_nll']
  made = (tmp_path / 'samples' / '000060.txt').read_text().splitlines()
  assert all(len(one.split()) == 6 for one in made)


def write(tmp_path, content, name='x.txt'):
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return path


TEN = '\n'.join(f'text {i}' for i in range(10))


def test_texts_become_tokens_and_come_back(tmp_path):
  texts = [f'{a}{b}' for a in 'abc' for b in ('', 'x', 'xy', 'yé')]
  path = write(tmp_path, '\n\n'.join(f'  {one} ' for one in texts))
  got = data.read_texts(path)
  assert got.tokens.shape == (11, 3)
  assert got.held_out.shape == (1, 3)
  assert got.tokens.dtype == np.int32
  everything = got.decode(np.concatenate([got.tokens, got.held_out]))
  assert sorted(everything) == sorted(texts)
  assert got.vocabulary[0] == ''
  counts = [
    sum(''.join(got.decode(got.tokens)).count(c) for c in v)
    for v in got.vocabulary[1:]
  ]
  assert counts == sorted(counts, reverse=True)
  again = data.read_texts(write(tmp_path, gzip.compress(path.read_bytes())))
  np.testing.assert_array_equal(again.tokens, got.tokens)


def test_what_is_held_out_is_not_learned(tmp_path):
  rng = np.random.default_rng(1)
  texts = [f'{i:02}' for i in rng.integers(0, 40, 300)]
  got = data.read_texts(write(tmp_path, '\n'.join(texts)))
  learned, kept = (set(got.decode(x)) for x in (got.tokens, got.held_out))
  assert not learned & kept
  assert len(kept) == len(set(texts)) // 10
  assert len(got.tokens) + len(got.held_out) == 300


def test_rare_tokens_are_unknown_and_long_texts_left_out(tmp_path):
  path = write(tmp_path, TEN + '\nfar too many words in one')
  got = data.read_texts(path, words=True, length=2, most=3)
  assert got.left_out == 1
  assert got.vocabulary[:2] == ('', 'text')
  assert got.vocabulary[-1] == data.UNKNOWN
  assert len(got.vocabulary) == 5
  told = got.decode(np.concatenate([got.tokens, got.held_out]))
  assert told.count(f'text {data.UNKNOWN}') == 8


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('', 'holds no text'),
    ('\n \n', 'holds no text'),
    (b'\xff\xfe\x00a', 'no text in UTF-8'),
    (gzip.compress(b'abc\n' * 30)[:-9], 'no text in UTF-8, nor its gzip'),
    (b'\x1f\x8b\x08' + b'\0' * 7 + b'\xff' * 9, 'nor its gzip: Error -3'),
    ('one\ntwo', 'has 2 different texts of at most 3 tokens; needs 10'),
    ('a\na', 'has 1 different text of at most 1 token; needs 10'),
    ('x' * 201, 'has 201 characters, more than 200'),
  ],
  ids=['empty', 'blank', 'bytes', 'truncated', 'damaged', 'few', 'one', 'long'],
)
def test_mistakes_are_told_in_a_line(content, message, tmp_path, capsys):
  path = write(tmp_path, content)
  workdir = tmp_path / 'run'
  with pytest.raises(SystemExit) as exit:
    train.main(['text', f'--workdir={workdir}', f'--path={path}', *SMALL])
  assert exit.value.code == 2
  assert message in capsys.readouterr().err
  assert not workdir.exists()


@pytest.mark.parametrize(
  ('path', 'message'),
  [('~/none.txt', 'there is no file {}'), ('~', '{} is a folder')],
)
def test_a_missing_file_is_told_with_its_home(
  path, message, tmp_path, capsys, monkeypatch
):
  monkeypatch.setenv('HOME', str(tmp_path))
  with pytest.raises(SystemExit) as exit:
    train.main(['text', f'--workdir={tmp_path / "run"}', f'--path={path}'])
  assert exit.value.code == 2
  found = path.replace('~', str(tmp_path))
  assert message.format(found) in capsys.readouterr().err


def test_a_missing_path_is_told(tmp_path, capsys):
  with pytest.raises(SystemExit):
    train.main(['text', f'--workdir={tmp_path / "run"}'])
  assert 'text: needs the path of a file' in capsys.readouterr().err


def test_ten_texts_are_enough_to_score(tmp_path):
  path = write(tmp_path, '\n'.join(WORDS))  # of which one is held out
  run = tmp_path / 'run'
  few = '--steps=1', '--likelihood-steps=1'
  train.main(['text', f'--workdir={run}', f'--path={path}', *SMALL, *few])
  evaluate.main([f'--workdir={run}', '--count=30'])
  report = json.loads((run / 'evaluation.json').read_text())
  assert report['protocol']['held_out'] == 1
  assert 0 <= report['scores']['self_bleu']['value'] <= 1
