"""How scores vary over the seeds of a run: means and standard deviations."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from experiments import pages


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


def table(
  corner: str, rows: Mapping[str, Sequence[Mapping[str, float]]]
) -> str:
  """Means and deviations in Markdown, a line for each row.

  Args:
    corner: over the names of the rows.
    rows: the scores of each seed, by the name of the row. Where a score is
      finite for some of them, their number stands beside it in brackets.
  """
  names = list(next(iter(rows.values()))[0])
  heads = [corner, 'seeds', *(name.replace('_', ' ') for name in names)]
  lines = [
    [label, str(len(of)), *(_cell(x, len(of)) for x in spreads(of).values())]
    for label, of in rows.items()
  ]
  return pages.table(heads, lines)


def _cell(x: Spread, seeds: int) -> str:
  if x.mean is None:
    return 'none'
  deviation = '' if x.deviation is None else f' ± {x.deviation:.2g}'
  return f'{x.mean:.4g}{deviation}' + f' ({x.count})' * (x.count < seeds)
