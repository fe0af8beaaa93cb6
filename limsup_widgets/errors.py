"""The one exception that limsup raises for a mistake a user can mend."""

from __future__ import annotations


class LimsupError(ValueError):
    """What was met, what was expected and what to do about it, in one line.

    Parameters
    ----------
    what
        The offending thing, named: a file, a parameter, a class.
    got, expected
        The value met and the values that would have been accepted.
    do
        The remedy, as an instruction.

    Examples
    --------
    >>> print(LimsupError("crop", got=7, expected="a multiple of 8", do="use 96"))
    crop: got 7, expected a multiple of 8. Do: use 96.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, do: str | None = None
    ) -> None:
        self.what, self.got, self.expected, self.do = what, got, expected, do
        facts = [f"got {got}"] * (got is not None) + [f"expected {expected}"] * (
            expected is not None
        )
        line = what + (": " + ", ".join(facts) if facts else "")
        super().__init__(line + (f". Do: {do.rstrip('.')}." if do else ""))
