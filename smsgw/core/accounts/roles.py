"""Ranks the roles: each may do what the ones before it may, and more."""

VIEWER = "viewer"
CLERK = "clerk"
OPERATOR = "operator"
# Read without whole numbers; send and read messages; everything.
ROLES = (VIEWER, CLERK, OPERATOR)


def includes(role: str, needed: str) -> bool:
    """Return whether somebody with `role` may do what `needed` may."""
    return ROLES.index(role) >= ROLES.index(needed)
