"""For any WSGI server: `gunicorn wsgi:app`. The worker runs beside it: `python -m smsgw worker`."""

from smsgw.factory import create_app

app = create_app()
