"""The CRM WebSocket API: the devices' side, the CRMs' side, and its REST half."""
