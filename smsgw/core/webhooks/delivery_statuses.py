"""Names the statuses of a delivery: it waits for its next attempt, it arrived, or it was given up."""

from ...store.models import Delivery
from ...store.queries import written_out

PENDING = "pending"
DELIVERED = "delivered"
DISCARDED = "discarded"
STATUSES = (PENDING, DELIVERED, DISCARDED)

IS_PENDING = Delivery.status == written_out(PENDING)
