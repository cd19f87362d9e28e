"""Numbers of other libraries."""


class Int64:
    """An integer of another library, as ``numpy.int64``: not an `int`, but with ``__index__``."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number

    def __float__(self) -> float:
        return float(self.number)

    def __repr__(self) -> str:
        return f"int64({self.number})"
