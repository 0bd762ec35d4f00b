"""Card payments that nobody made: a simulated table of transactions.

No bank publishes such rows. These come from a simulation of a year of a few
thousand customers, written to have what real ones are hard for: amounts over
four orders of magnitude, with habits (cash in whole tens, prices that end in
.99); hours and days that depend on what is bought; labels that follow from each
other (a merchant has one category); numbers that are sometimes missing; and a
rare label, fraud, that only several columns together tell. Every number in it
is invented. A model of it says how well such structure is learned, and nothing
about real customers.
"""

import numpy as np

from experiments.data.csv_files import Table, Texts, texts

_START = np.datetime64('2023-01-01T00:00')
_MINUTES = 365 * 24 * 60
_MERCHANTS = 8  # of each category
_HOME = 'DE'
_ABROAD = ('FR', 'NL', 'AT', 'ES', 'IT', 'US', 'GB', 'CN')

# Of each category: its share, the median amount, the deviation of its
# logarithm, the hours at which most is bought and how widely around them,
# the share paid online, how much likelier it is at the weekend, and by how much
# its share grows by decade of age.
_CATEGORIES = {
  'groceries': (0.30, 28.0, 0.8, 17.0, 3.0, 0.03, 1.3, 1.05),
  'restaurant': (0.13, 24.0, 0.6, 19.5, 2.0, 0.05, 1.8, 0.95),
  'transport': (0.12, 7.5, 0.7, 8.5, 3.5, 0.35, 0.6, 0.90),
  'fuel': (0.08, 58.0, 0.3, 17.5, 3.5, 0.00, 1.0, 1.05),
  'clothing': (0.07, 46.0, 0.7, 15.5, 2.5, 0.45, 1.5, 0.92),
  'electronics': (0.04, 120.0, 1.0, 16.5, 4.0, 0.65, 1.1, 0.95),
  'health': (0.05, 19.0, 0.8, 11.0, 2.5, 0.08, 0.4, 1.25),
  'travel': (0.04, 210.0, 0.9, 14.0, 5.0, 0.85, 1.0, 1.05),
  'games': (0.05, 12.0, 0.8, 21.5, 2.5, 1.00, 1.3, 0.65),
  'subscription': (0.06, 11.0, 0.4, 5.0, 1.5, 1.00, 1.0, 0.95),
  'cash': (0.06, 70.0, 0.6, 13.5, 4.0, 0.00, 1.0, 1.15),
}


def transactions(count: int = 20_000, seed: int = 0) -> Table:
  """Returns simulated card payments, in the order of their time.

  Args:
    count: how many rows.
    seed: decides all of them.

  Returns:
    Columns 'time' (to the minute), 'amount', 'category', 'merchant' (88),
    'channel', 'country', 'age', 'balance', 'hours_since_last' (missing in a
    customer's first row) and 'fraud' (yes in about 2 of 100).

  Raises:
    ValueError: count is below 1.
  """
  if count < 1:
    raise ValueError(f'transactions: needs a count of 1 or more, got {count}.')
  rng = np.random.default_rng(seed)
  age, income, customer = _customers(count, rng)
  category = _categories(age, rng)
  share = np.array([*_CATEGORIES.values()])[category].T
  _, median, spread, hour, width, online_share, weekend, _ = share
  wealth = income / 2600
  amount = median * wealth**0.4 * np.exp(spread * rng.normal(size=count))
  online = rng.random(count) < online_share * np.clip(1.4 - age / 120, 0, 1)
  abroad = rng.random(count) < np.where(online, 0.12, 0.04)
  minute = _minutes(hour, width, weekend, rng)
  fraud = rng.random(count) < np.where(online, 0.03, 0.008) * (1 + 3 * abroad)
  # Thieves buy at night, abroad and online, and for more.
  amount = np.where(fraud, amount * rng.uniform(2, 6, count), amount)
  night = minute // 1440 * 1440 + rng.integers(0, 300, count)
  minute = np.where(fraud & (rng.random(count) < 0.6), night, minute)
  abroad |= fraud & (rng.random(count) < 0.5)
  order = np.argsort(minute, kind='stable')
  # Nobody chooses a shop abroad at random: some countries are near.
  near = 1 / (1 + np.arange(len(_ABROAD)))
  countries = np.where(
    abroad, rng.choice(_ABROAD, count, p=near / near.sum()), _HOME
  )
  popular = 1 / (1 + np.arange(_MERCHANTS)) ** 1.1
  merchant = rng.choice(_MERCHANTS, count, p=popular / popular.sum())
  names = np.array([*_CATEGORIES])[category]
  balance = income * rng.gamma(1.5, 0.6, count) - 0.4 * income
  columns = {
    'time': [
      str(_START + np.timedelta64(int(x), 'm')).replace('T', ' ')
      for x in minute
    ],
    'amount': [f'{x:.2f}' for x in _prices(amount, names, rng)],
    'category': names,
    'merchant': [f'{x}-{i}' for x, i in zip(names, merchant, strict=True)],
    'channel': _channels(names, online, age, rng),
    'country': countries,
    'age': age.astype(int).astype(str),
    'balance': [f'{x:.2f}' for x in balance],
    'hours_since_last': _since_last(customer, minute, order),
    'fraud': np.where(fraud, 'yes', 'no'),
  }
  return Table(
    {
      name: _ordered(texts([str(x) for x in column]), order)
      for name, column in columns.items()
    }
  )


def _customers(count, rng):
  """Age, monthly income and number of the customer of each row."""
  size = max(count // 12, 1)
  ages = np.clip(rng.normal([[31], [58]], [[8], [13]], (2, size)), 18, 92)
  ages = np.where(rng.random(size) < 0.55, *ages)
  top = 1 - ((ages - 52) / 60) ** 2  # most is earned about 52
  incomes = 2600 * top * np.exp(0.45 * rng.normal(size=size))
  activity = rng.gamma(1.2, size=size)
  customer = rng.choice(size, count, p=activity / activity.sum())
  return ages[customer], incomes[customer], customer


def _categories(age, rng):
  """The number of what each row buys: others are liked at other ages."""
  table = np.array([*_CATEGORIES.values()])
  weights = table[:, 0] * table[:, -1] ** ((age[:, None] - 45) / 10)
  ends = weights.cumsum(1)
  return (rng.random((len(age), 1)) * ends[:, -1:] > ends).sum(1)


def _minutes(hour, width, weekend, rng):
  """Minutes since the year began: by day of the week, season and hour."""
  count = len(hour)
  day = rng.integers(0, 365, count)
  for _ in range(2):  # who would rather buy at another day draws again
    is_weekend = (day + 6) % 7 >= 5  # the year began on a Sunday
    liked = np.where(is_weekend, weekend, 1) * np.where(day > 333, 1.5, 1)
    again = rng.random(count) > liked / 2.7
    day = np.where(again, rng.integers(0, 365, count), day)
  clock = np.rint(60 * rng.normal(hour, width)).astype(int) % 1440
  return day * 1440 + clock


def _prices(amount, names, rng):
  """Amounts as they are asked for: cash in tens, much else at .99 or .00."""
  habit = rng.random(len(amount))
  whole = np.maximum(np.rint(amount), 1)
  priced = np.where(habit < 0.35, whole - 0.01, np.round(amount, 2))
  priced = np.where((habit > 0.8) & (habit < 0.9), whole, priced)
  tens = np.maximum(np.rint(amount / 10), 1) * 10
  return np.maximum(np.where(names == 'cash', tens, priced), 0.5)


def _channels(names, online, age, rng):
  """How it is paid: the young hold the card to the machine."""
  touched = rng.random(len(names)) < np.clip(1.15 - age / 100, 0.2, 0.9)
  at_machine = np.where(touched, 'contactless', 'chip')
  paid = np.where(online, 'online', at_machine)
  return np.where(names == 'cash', 'cash machine', paid)


def _since_last(customer, minute, order):
  """Hours since the customer's row before, '' where there is none."""
  last, result = {}, [''] * len(customer)
  for i in order.tolist():
    before = last.get(customer[i])
    if before is not None:
      result[i] = f'{(minute[i] - before) / 60:.1f}'
    last[customer[i]] = minute[i]
  return result


def _ordered(column: Texts, order: np.ndarray) -> Texts:
  return column._replace(codes=column.codes[order])
