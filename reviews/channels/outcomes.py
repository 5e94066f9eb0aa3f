"""How a try can fail."""


class Passing(Exception):
    """It may work later. `left` says whether it may have arrived all the same; `after` is how many
    seconds the receiver asked for."""

    def __init__(self, text: str, *, left: bool, after: float | None = None) -> None:
        super().__init__(text)
        self.left = left
        self.after = after


class Permanent(Exception):
    """It will not work however often it is tried. `gone`: the receiver wants nothing more."""

    def __init__(self, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.gone = gone
