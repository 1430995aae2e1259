"""For any WSGI server: `gunicorn wsgi:app`. The worker runs beside it: `python -m smsgw worker`."""

import sys

from sqlalchemy.exc import SQLAlchemyError

from smsgw import settings
from smsgw.core.operations.copy_marks import Copied
from smsgw.factory import create_app
from smsgw.server import preparation
from smsgw.settings import SettingsError
from smsgw.store import outages

# At this exit code gunicorn stops instead of starting the process again and again.
CANNOT_START = 3

try:
    app = create_app()
    preparation.refuse_copied(settings.load())
except (SettingsError, Copied, SQLAlchemyError, OSError) as error:
    print(f"error: {outages.reason(error)}", file=sys.stderr)
    sys.exit(CANNOT_START)
