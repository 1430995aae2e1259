"""Registers all tables when imported; one file per noun."""

from .audit import AuditEntry
from .callers import BrowserSession, Crm, CrmDevice, Operator, OperatorCrm, Passkey
from .copies import DatabaseCopy
from .counts import CountedHistory, HourlyCount
from .devices import Device, DeviceRecipient, DeviceSilence, QuarantinedItem
from .events import Event, FeedBase
from .imports import Bulk, BulkMessage, BulkSheet, Import
from .limits import Pairing, QueueRoom, RateLimit
from .messages import Dispatch, HistoryEntry, InboxEntry, Message
from .opt_outs import LastDevice, OptOut
from .read_marks import ReadMark
from .requests import IdempotentRequest
from .webhooks import Attempt, Delivery, WebhookEndpoint
from .workers import WorkerHeartbeat

__all__ = [
    "Attempt",
    "AuditEntry",
    "BrowserSession",
    "Bulk",
    "BulkMessage",
    "BulkSheet",
    "CountedHistory",
    "Crm",
    "CrmDevice",
    "DatabaseCopy",
    "Delivery",
    "Device",
    "DeviceRecipient",
    "DeviceSilence",
    "Dispatch",
    "Event",
    "FeedBase",
    "HistoryEntry",
    "HourlyCount",
    "IdempotentRequest",
    "Import",
    "InboxEntry",
    "LastDevice",
    "Message",
    "Operator",
    "OperatorCrm",
    "OptOut",
    "Pairing",
    "Passkey",
    "QuarantinedItem",
    "QueueRoom",
    "RateLimit",
    "ReadMark",
    "WebhookEndpoint",
    "WorkerHeartbeat",
]
