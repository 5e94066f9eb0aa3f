"""Where the bars of a chart stand. Pure; the template draws them.

A chart is a picture of 10 units a column and `HEIGHT` units high, which is stretched to the room
that it gets: so its words are HTML beside it, and stay readable at any width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 100.0
COLUMN = 10.0
BAR = 7.0
#: The least that a bar has that is not nothing.
LEAST = 1.5


@dataclass(frozen=True)
class Bar:
    """A rectangle. `name` is its CSS class."""

    name: str
    x: float
    y: float
    height: float
    width: float = BAR


@dataclass(frozen=True)
class Column:
    """The bars above one label, and what they say when pointed at."""

    label: str
    says: str
    x: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Chart:
    """`top` is the value at its upper edge; `said`, what it shows, for those who do not see it."""

    said: str
    top: float
    columns: tuple[Column, ...]

    @property
    def width(self) -> float:
        return COLUMN * len(self.columns)

    @property
    def ticks(self) -> tuple[str, ...]:
        """Labels of five columns, evenly apart, the first and the last among them."""
        last = len(self.columns) - 1
        return tuple(self.columns[i].label for i in sorted({round(last * n / 4) for n in range(5)}))


@dataclass(frozen=True)
class Point:
    """One column's values, each with the CSS class of its bar."""

    label: str
    says: str
    values: Sequence[tuple[str, float]]


def stacked(points: Sequence[Point], *, said: str, top: float | None = None) -> Chart:
    """Bars on top of each other, the first value at the bottom."""
    top = top or nice(max((sum(v for _, v in point.values) for point in points), default=0))
    columns = []
    for index, point in enumerate(points):
        x, base, bars = _x(index), HEIGHT, []
        for name, value in point.values:
            if value > 0:
                height = _height(value, top)
                base = max(base - height, 0.0)
                bars.append(Bar(name, x, round(base, 2), height))
        columns.append(Column(point.label, point.says, index * COLUMN, tuple(bars)))
    return Chart(said, top, tuple(columns))


def layered(points: Sequence[Point], *, said: str, top: float | None = None) -> Chart:
    """Bars in front of each other, all from the ground: the largest value first."""
    top = top or nice(max((v for point in points for _, v in point.values), default=0))
    columns = []
    for index, point in enumerate(points):
        heights = [(name, _height(value, top)) for name, value in point.values if value > 0]
        bars = (Bar(name, _x(index), round(HEIGHT - h, 2), h) for name, h in heights)
        columns.append(Column(point.label, point.says, index * COLUMN, tuple(bars)))
    return Chart(said, top, tuple(columns))


def nice(value: float) -> float:
    """The next round number, at least a thousandth."""
    step = 0.001
    while True:
        for factor in (1, 1.5, 2, 3, 4, 5, 6, 8):
            if value <= step * factor:
                return round(step * factor, 6)
        step *= 10


def nice_seconds(value: float) -> float:
    """The next span that a clock would show, in seconds."""
    spans = (
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        300,
        600,
        900,
        1_800,
        3_600,
        7_200,
        14_400,
        21_600,
        43_200,
    )
    return next((span for span in spans if value <= span), 86_400 * nice(value / 86_400))


def _x(index: int) -> float:
    return index * COLUMN + (COLUMN - BAR) / 2


def _height(value: float, top: float) -> float:
    return round(max(LEAST, HEIGHT * value / top), 2)
