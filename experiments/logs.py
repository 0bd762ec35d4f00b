"""What a run tells as it goes: its metrics on disk, its progress on screen."""

import contextlib
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import jax
import numpy as np
import tensorboardX
from tqdm.auto import tqdm

import jgan
from experiments.errors import UserError
from experiments.files import write_text

_GUESS_AFTER = 10  # steps, timed for the first estimate


class Log(contextlib.AbstractContextManager):
  """The metrics of a run: lines of `metrics.jsonl`, and TensorBoard's events.

  What the files hold of later steps than `step` is forgotten: a run that was
  killed and goes on from a checkpoint comes to those steps again.

  Args:
    workdir: Directory of the run, made if need be; both go directly into it.
    step: Steps done so far.
  """

  def __init__(self, workdir: Path, step: int):
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / 'metrics.jsonl'
    _forget_after(path, step)
    self._lines = path.open('a', encoding='utf-8')
    # TensorBoard reads the files by name, which else tells but the second.
    count = len(list(workdir.glob('events.out.tfevents.*')))
    self._events = tensorboardX.SummaryWriter(
      str(workdir),
      purge_step=step + 1,
      flush_secs=5,
      filename_suffix=f'.{count:06}',
    )

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """Adds a line and a point to each curve; JSON has null for nan and inf."""
    values = {name: float(value) for name, value in scalars.items()}
    known = {
      name: value if math.isfinite(value) else None
      for name, value in values.items()
    }
    line = json.dumps({'step': int(step)} | known, allow_nan=False)
    self._lines.write(line + '\n')
    self._lines.flush()
    for name, value in values.items():
      self._events.add_scalar(name, value, step)

  def picture(self, step: int, name: str, image: np.ndarray) -> None:
    """Shows a picture, uint8 [height, width, channels], in TensorBoard."""
    self._events.add_image(name, image, step, dataformats='HWC')

  def close(self) -> None:
    self._lines.close()
    self._events.close()

  def __exit__(self, *exception):
    self.close()


def _forget_after(path: Path, step: int) -> None:
  """Drops the lines of later steps, and one that a kill cut off."""
  if not path.exists():
    return
  lines = path.read_text('utf-8', errors='replace').splitlines()
  kept = [line for line in lines if _step(line) <= step]
  write_text(path, ''.join(line + '\n' for line in kept))


def _step(line: str) -> float:
  try:
    return json.loads(line)['step']
  except (ValueError, TypeError, KeyError):
    return math.inf


def write_metrics(
  log: Log,
  done: int,
  played: Sequence[tuple[int, jgan.Metrics]],
  waited: float,
) -> dict[str, float]:
  """Logs the averages over the steps played; returns each player's loss.

  Args:
    log: where they go.
    done: steps of the run so far.
    played: of each dispatch the number of its steps, and their averages.
    waited: share of the time in which the loop waited for batches; logged as
      'input_wait'. The devices may have computed meanwhile.

  Raises:
    UserError: a loss is not finite, and no later state can be.
  """
  counts, metrics = zip(*jax.device_get(played), strict=True)
  each = {
    name: np.repeat([values[name] for values in metrics], counts)
    for name in metrics[0]
  }
  means = {k: float(v) for k, v in jgan.average_metrics(each).items()}
  log.write(done, {**means, 'input_wait': waited})
  losses = {
    name.removesuffix('/loss'): value
    for name, value in means.items()
    if name.endswith('/loss')
  }
  if not all(map(math.isfinite, losses.values())):
    raise UserError(
      f'the training diverged before step {done}: {losses}. The checkpoints '
      'of the steps before are kept; try a lower --learning-rate or another '
      '--seed in another --workdir'
    )
  return losses


class Progress(contextlib.AbstractContextManager):
  """How far a run is and how fast: a bar, or plain lines in a log file.

  On a terminal and in a notebook a bar moves with each step. Elsewhere a line
  such as `step 1200/6000 | 850 images/s | 2m40s left | generator 1.23
  discriminator 0.98` follows whenever there are losses. The speed is that since
  the losses before; the first step, which compiles, does not count, nor do
  pauses. After ten more steps a line tells about how long the whole will take.

  Args:
    total: Steps of the whole run.
    start: Steps done before this sitting.
    batch_size: Examples in a step.
    unit: What an example is, in the plural.
    stream: Where to write. None: to the standard output.
    clock: Seconds since anything.
  """

  def __init__(
    self,
    total: int,
    start: int = 0,
    *,
    batch_size: int,
    unit: str = 'images',
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.perf_counter,
  ):
    self._total, self._batch_size, self._unit = total, batch_size, unit
    self._stream = sys.stdout if stream is None else stream
    self._clock = clock
    self._mark = None  # the step and the time that the speed counts from
    self._guess_at = None  # the step of the first estimate
    self._bar = None
    notebook = 'ipykernel' in sys.modules  # no terminal, but it shows a bar
    if notebook or self._stream.isatty():
      # On a terminal without a size, as in a container, tqdm shows nothing.
      sized = min(shutil.get_terminal_size((0, 0))) > 0
      self._bar = tqdm(
        total=total,
        initial=start,
        file=self._stream,
        bar_format='|{bar}| {n_fmt}/{total_fmt}{postfix}',
        dynamic_ncols=notebook or sized,
        ncols=80,
        nrows=24,
      )

  def update(
    self, step: int, losses: Mapping[str, float] | None = None
  ) -> None:
    """Tells that `step` steps are done, and each player's loss if given."""
    if self._bar is not None:
      self._bar.update(step - self._bar.n)
    if self._mark is None:
      self._guess_at = step + _GUESS_AFTER
    elif step == self._guess_at:
      seconds = (self._total - step) * self._seconds_per_step(step)
      self.say(f'about {duration(seconds)} to go')
    if losses is not None:
      self._show(step, losses)
    if losses is not None or self._mark is None:
      self._mark = step, self._clock()

  @contextlib.contextmanager
  def pausing(self) -> Iterator[None]:
    """Around what is no step, such as an evaluation."""
    since = self._clock()
    yield
    if self._mark is not None:
      step, then = self._mark
      self._mark = step, then + self._clock() - since

  def say(self, text: str) -> None:
    """Prints a line; the bar stays whole."""
    if self._bar is not None:
      self._bar.write(text, file=self._stream)
    else:
      print(text, file=self._stream, flush=True)

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()

  def __exit__(self, *exception):
    self.close()

  def _show(self, step, losses):
    parts = [' '.join(f'{k} {float(v):.3g}' for k, v in losses.items())]
    seconds = self._seconds_per_step(step)
    if seconds:
      speed = f'{self._batch_size / seconds:,.0f} {self._unit}/s'
      left = f'{duration((self._total - step) * seconds)} left'
      parts = [speed, left, *parts]  # first, as a narrow terminal cuts the end
    if self._bar is not None:
      self._bar.set_postfix_str(' | '.join(parts))
    else:
      self.say(' | '.join([f'step {step}/{self._total}', *parts]))

  def _seconds_per_step(self, step):
    if self._mark is None or step <= self._mark[0]:
      return None
    return (self._clock() - self._mark[1]) / (step - self._mark[0])


def duration(seconds: float) -> str:
  """Text such as 45s, 2m40s or 1h05m."""
  seconds = round(seconds)
  if seconds < 60:
    return f'{seconds}s'
  minutes, seconds = divmod(seconds, 60)
  if minutes < 60:
    return f'{minutes}m{seconds:02}s'
  return f'{minutes // 60}h{minutes % 60:02}m'


class Stopwatch(contextlib.AbstractContextManager):
  """What share of the time was spent within it.

  Args:
    clock: Seconds since anything.
  """

  def __init__(self, clock: Callable[[], float] = time.perf_counter):
    self._clock = clock
    self._within = 0.0
    self._since = self._entered = clock()

  def __enter__(self):
    self._entered = self._clock()
    return self

  def __exit__(self, *exception):
    self._within += self._clock() - self._entered

  def share(self) -> float:
    """The share of the time since the last call, from 0 to 1."""
    now = self._clock()
    share = self._within / max(now - self._since, 1e-9)
    self._within, self._since = 0.0, now
    return share
