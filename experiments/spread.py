"""How scores vary over the seeds of a run: means and standard deviations."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
  """A score over seeds; None where there are too few.

  Attributes:
    mean: of those that are finite.
    deviation: their standard deviation, as of a sample (n - 1); of 2 at least.
    count: how many are finite.
  """

  mean: float | None
  deviation: float | None
  count: int


def spread(values: Iterable[float]) -> Spread:
  """The mean and the deviation of the finite ones."""
  known = [x for x in values if math.isfinite(x)]
  return Spread(
    statistics.fmean(known) if known else None,
    statistics.stdev(known) if len(known) > 1 else None,
    len(known),
  )


def spreads(found: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
  """Of each score by name, from the scores of each seed."""
  return {name: spread(one[name] for one in found) for name in found[0]}


def table(corner: str, rows: Mapping[str, Mapping[str, Spread]]) -> str:
  """A row for each swept value, in Markdown.

  Args:
    corner: over the names of the rows.
    rows: by name, each with the same scores. In brackets stands of how many
      seeds a score is, where others in the row are of more.
  """
  names = list(next(iter(rows.values())))
  lines = [
    [corner, 'seeds', *(name.replace('_', ' ') for name in names)],
    ['---', *['--:'] * (len(names) + 1)],
  ]
  for label, row in rows.items():
    seeds = max(x.count for x in row.values())
    lines.append([label, str(seeds), *(_cell(x, seeds) for x in row.values())])
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _cell(x: Spread, seeds: int) -> str:
  mean = 'none' if x.mean is None else f'{x.mean:.4g}'
  deviation = '' if x.deviation is None else f' ± {x.deviation:.2g}'
  return mean + deviation + f' ({x.count})' * (x.count < seeds)
