"""One result of the doctor, and how several faults become one result."""

from collections.abc import Sequence
from dataclasses import dataclass

_MAX_SHOWN = 8  # faults that a check lists


@dataclass(frozen=True)
class Check:
    """One result.

    Attributes:
        name: what was examined.
        ok: `True`: fine; `False`: prevents serving; `None`: worth knowing.
        message: the result, for people.
    """

    name: str
    ok: bool | None
    message: str


def verdict(name: str, faults: Sequence[str], fine: str, ok: bool | None = False) -> Check:
    """`fine` if there are no faults, else the faults with the verdict `ok`."""
    if not faults:
        return Check(name, True, fine)
    more = [f"… and {len(faults) - _MAX_SHOWN} more"] if len(faults) > _MAX_SHOWN else []
    return Check(name, ok, "\n".join([*faults[:_MAX_SHOWN], *more]))
