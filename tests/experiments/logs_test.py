import io
import json
import os
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

from experiments.logs import Log, Progress, Stopwatch, duration


def lines(workdir):
  text = (workdir / 'metrics.jsonl').read_text()
  assert text.endswith('\n')
  return [
    json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()
  ]


def curves(workdir):
  """What the TensorBoard server would show: by tag, (step, value) in order."""
  events = event_accumulator.EventAccumulator(str(workdir)).Reload()
  return {
    tag: [(event.step, event.value) for event in events.Scalars(tag)]
    for tag in events.Tags()['scalars']
  }


def train(workdir, start, stop, value=1.0):
  with Log(workdir, start) as log:
    for step in range(start + 10, stop + 1, 10):
      log.write(step, {'generator/loss': value, 'discriminator/loss': step})


def test_metrics_are_a_line_and_a_point_each(tmp_path):
  with Log(tmp_path / 'new' / 'run', 0) as log:
    log.write(10, {'generator/loss': np.float32(0.5), 'images/s': 850})
    log.write(20, {'generator/loss': 0.25})
  assert lines(tmp_path / 'new' / 'run') == [
    {'step': 10, 'generator/loss': 0.5, 'images/s': 850},
    {'step': 20, 'generator/loss': 0.25},
  ]
  assert curves(tmp_path / 'new' / 'run') == {
    'generator/loss': [(10, 0.5), (20, 0.25)],
    'images/s': [(10, 850)],
  }


def test_a_line_is_on_disk_as_soon_as_it_is_written(tmp_path):
  with Log(tmp_path, 0) as log:
    log.write(1, {'a': 1})
    assert lines(tmp_path) == [{'step': 1, 'a': 1}]


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_what_json_cannot_say_is_null(tmp_path, value):
  with Log(tmp_path, 0) as log:
    log.write(1, {'a': value})
  assert lines(tmp_path) == [{'step': 1, 'a': None}]
  ((step, point),) = curves(tmp_path)['a']
  assert step == 1
  np.testing.assert_equal(point, value)


def test_a_resumed_run_has_no_point_twice(tmp_path):
  train(tmp_path, 0, 50, value=1)
  train(tmp_path, 30, 40, value=2)
  train(tmp_path, 40, 60, value=3)
  expected = [(10, 1), (20, 1), (30, 1), (40, 2), (50, 3), (60, 3)]
  found = [(line['step'], line['generator/loss']) for line in lines(tmp_path)]
  assert found == expected
  assert curves(tmp_path)['generator/loss'] == expected
  assert [step for step, _ in curves(tmp_path)['discriminator/loss']] == [
    step for step, _ in expected
  ]


def test_a_run_that_starts_anew_forgets_all(tmp_path):
  train(tmp_path, 0, 30, value=1)
  train(tmp_path, 0, 10, value=2)
  assert [line['generator/loss'] for line in lines(tmp_path)] == [2]
  assert curves(tmp_path)['generator/loss'] == [(10, 2)]


@pytest.mark.parametrize('torn', ['{"step": 40, "gen', '{"step', '{', '\0\0\0'])
def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path, torn):
  train(tmp_path, 0, 30)
  before = lines(tmp_path)
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write(torn)
  train(tmp_path, 30, 40)
  assert lines(tmp_path)[:3] == before
  assert [line['step'] for line in lines(tmp_path)] == [10, 20, 30, 40]


def test_a_point_that_a_kill_cut_off_is_dropped(tmp_path):
  train(tmp_path, 0, 30)
  (events,) = tmp_path.glob('events*')
  os.truncate(events, events.stat().st_size - 7)
  train(tmp_path, 20, 40)
  assert [step for step, _ in curves(tmp_path)['generator/loss']] == [
    10,
    20,
    30,
    40,
  ]


@pytest.mark.parametrize('channels', [1, 3])
def test_pictures_reach_tensorboard(tmp_path, channels):
  with Log(tmp_path, 0) as log:
    log.picture(5, 'samples', np.full((4, 6, channels), 200, np.uint8))
  events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
  (picture,) = events.Images('samples')
  assert (picture.step, picture.height, picture.width) == (5, 4, 6)


class Clock:
  """Seconds that pass only where a test says so."""

  def __init__(self):
    self.now = 100.0

  def __call__(self):
    return self.now


def test_plain_lines_tell_speed_and_time_left():
  stream, clock = io.StringIO(), Clock()
  losses = {'generator': 1.234, 'discriminator': 0.98}
  with Progress(600, batch_size=32, stream=stream, clock=clock) as progress:
    clock.now += 30  # compiles
    progress.update(1)
    clock.now += 9
    progress.update(90)
    progress.update(91, losses)  # 90 steps in 9 s
    progress.say('samples/000091.png')
    clock.now += 18
    progress.update(181, losses)  # 90 steps in 18 s
  # 32 * 90 / 9 images/s and (600 - 91) / 10 s, then half as fast
  assert stream.getvalue().splitlines() == [
    'step 91/600 | 320 images/s | 51s left | generator 1.23 discriminator 0.98',
    'samples/000091.png',
    'step 181/600 | 160 images/s | 1m24s left'
    ' | generator 1.23 discriminator 0.98',
  ]


def test_a_pause_counts_in_no_speed():
  stream, clock = io.StringIO(), Clock()
  with Progress(200, batch_size=2, stream=stream, clock=clock) as progress:
    with progress.pausing():  # before there is a speed
      clock.now += 1000
    clock.now += 30
    progress.update(1)
    for step in range(2, 62):
      clock.now += 1
      progress.update(step, {'critic': 1} if step % 30 == 1 else None)
      if step % 20 == 0:
        with progress.pausing():
          clock.now += 1000
  assert [x for x in stream.getvalue().splitlines() if '/s' in x] == [
    'step 31/200 | 2 images/s | 2m49s left | critic 1',
    'step 61/200 | 2 images/s | 2m19s left | critic 1',
  ]


def test_the_first_step_tells_no_speed():
  stream = io.StringIO()
  progress = Progress(
    6, 4, batch_size=2, unit='clips', stream=stream, clock=Clock()
  )
  progress.update(5, {'critic': np.float32(12345)})
  progress.update(6, {'critic': float('nan')})  # by a clock that stands still
  assert stream.getvalue().splitlines() == [
    'step 5/6 | critic 1.23e+04',
    'step 6/6 | critic nan',
  ]


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_bar_moves_on_a_terminal(monkeypatch):
  monkeypatch.setenv('COLUMNS', '100')
  stream, clock = Terminal(), Clock()
  with Progress(20, 8, batch_size=5, stream=stream, clock=clock) as progress:
    progress.update(9)
    clock.now += 4
    progress.update(11, {'generator': 0.5})
    progress.say('a line')
    progress.update(12)
  drawn = stream.getvalue().replace('\n', '\r').split('\r')
  assert ' 8/20' in ''.join(drawn[:2])
  assert any(
    '| 11/20, 2 images/s | 18s left | generator 0.5' in text for text in drawn
  )
  assert 'a line' in [text.strip() for text in drawn]
  assert '| 12/20, 2 images/s' in drawn[-2]


def test_a_notebook_gets_a_bar(monkeypatch):
  monkeypatch.setitem(sys.modules, 'ipykernel', sys)
  stream = io.StringIO()
  with Progress(20, batch_size=5, stream=stream) as progress:
    progress.update(20)
  assert '| 20/20' in stream.getvalue()


def test_lines_go_to_the_standard_output(capsys):
  Progress(20, batch_size=5).say('a line')
  assert capsys.readouterr() == ('a line\n', '')


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [
    (0.4, '0s'),
    (59.4, '59s'),
    (59.6, '1m00s'),
    (160, '2m40s'),
    (3599.7, '1h00m'),
    (3900, '1h05m'),
    (100 * 3600, '100h00m'),
  ],
)
def test_duration(seconds, text):
  assert duration(seconds) == text


def test_estimates_the_whole_after_ten_steps():
  stream, clock = io.StringIO(), Clock()
  progress = Progress(100, batch_size=1, stream=stream, clock=clock)
  for step in range(1, 30):
    progress.update(step)
    clock.now += 2
  # Known at step 11: 89 steps of 2 s are left.
  assert stream.getvalue() == 'about 2m58s to go\n'


def test_stopwatch_tells_the_share_since_it_was_asked():
  times = iter([0.0, 1.0, 3.0, 8.0, 10.0, 11.0, 12.0])
  watch = Stopwatch(clock=lambda: next(times))
  with watch:  # from 1 to 3
    pass
  assert watch.share() == 2 / 8
  with watch:  # from 10 to 11
    pass
  assert watch.share() == 1 / 4
