"""One finding of the doctor, and how several faults become one."""

from dataclasses import dataclass

_SHOWN = 8  # faults that a check lists


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        ok: `True`: fine; `False`: in the way of serving; `None`: worth knowing.
        what: what was found, for people.
    """

    name: str
    ok: bool | None
    what: str


def verdict(name: str, faults: list[str], fine: str, ok: bool | None = False) -> Check:
    """`fine` if there are no faults, else the faults with the verdict `ok`."""
    if not faults:
        return Check(name, True, fine)
    more = [f"… and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    return Check(name, ok, "\n".join(faults[:_SHOWN] + more))
